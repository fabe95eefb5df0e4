"""Coordinate-wise trimmed mean (Yin et al. 2018; seed 004, 5.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from optfl.rules.base import MAX_UPDATES, CoordinatewiseRule, Recipe, RoundFacts, RuleError, Trim, check_no_weights


@dataclass(frozen=True)
class TrimmedMean(CoordinatewiseRule):
    """At each coordinate: without the `f` lowest and the `f` highest values, the mean, halves up. Ignores weights."""

    f: int

    def __post_init__(self) -> None:
        if not 0 <= self.f <= (MAX_UPDATES - 1) // 2:
            raise RuleError(f"trimmed_mean(f={self.f}); use f from 0 to {(MAX_UPDATES - 1) // 2}")

    def __str__(self) -> str:
        return f"trimmed_mean(f={self.f})"

    @property
    def minimum_updates(self) -> int:
        return 2 * self.f + 1

    def recipe(self, weights: Sequence[int], facts: RoundFacts) -> Recipe:
        check_no_weights(self, weights)
        return Recipe(Trim(self.f))
