"""Coordinate-wise trimmed mean (Yin et al. 2018; seed 004, 5.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from optfl.rules.base import (
    MAX_UPDATES,
    CoordinatewiseRule,
    Recipe,
    RoundFacts,
    Trim,
    check_no_weights,
    check_parameter,
)


@dataclass(frozen=True)
class TrimmedMean(CoordinatewiseRule):
    """At each coordinate: without the `f` lowest and the `f` highest values, the mean, halves up. Ignores weights.

    Needs n >= 2f+1 updates. Sums of n int16 are far below 2^63.
    """

    f: int

    def __post_init__(self) -> None:
        check_parameter(self, "f", self.f, 0, (MAX_UPDATES - 1) // 2)

    def __str__(self) -> str:
        return f"trimmed_mean(f={self.f})"

    @property
    def minimum_updates(self) -> int:
        return 2 * self.f + 1

    def recipe(self, weights: Sequence[int], facts: RoundFacts) -> Recipe:
        check_no_weights(self, weights)
        return Recipe(Trim(self.f))
