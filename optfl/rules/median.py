"""Coordinate-wise median (seed 001, Alg. 3; seed 002, IV-A1: needs 2f+1 updates against f Byzantine clients)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from optfl.rules.base import CoordinatewiseRule, Recipe, RoundFacts, Trim, check_no_weights


@dataclass(frozen=True)
class Median(CoordinatewiseRule):
    """At each coordinate the middle value; of an even K the mean of the middle two, halves up. Ignores weights."""

    def __str__(self) -> str:
        return "median()"

    def recipe(self, weights: Sequence[int], facts: RoundFacts) -> Recipe:
        check_no_weights(self, weights)
        return Recipe(Trim((facts.updates - 1) // 2))  # all but the one or two values in the middle
