"""Geometric median by smoothed Weiszfeld steps (Pillutla et al. 2022, "Robust aggregation for federated learning")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt

import numpy as np

from optfl.rules.base import (
    GramRule,
    Recipe,
    RoundFacts,
    RuleError,
    Trim,
    check_gram,
    check_integers,
    check_parameter,
)
from optfl.rules.gram import Measures

MAX_STEPS = 32
_FULL = 1 << 30  # the weight of the update nearest to the last iterate


@dataclass(frozen=True)
class GeometricMedian(GramRule):
    """From 0, `steps` times: the mean of the updates, each weighted by one over its distance to the last mean.

    Distances below one unit of 2^-fraction_bits count as one. A mean is Σ a_i·x_i / Σ a_i with integers a_i: 2^30 for
    the update nearest to the mean before, for another ⌊2^30 · the nearest's distance / its own⌋. All distances follow
    from the Gram matrix, in Python integers. Σ a_i lies in 2^30..2^42, below MAX_MEAN_DENOMINATOR.
    """

    steps: int

    def __post_init__(self) -> None:
        check_parameter(self, "steps", self.steps, 1, MAX_STEPS)

    def __str__(self) -> str:
        return f"geometric_median(steps={self.steps})"

    @property
    def minimum_updates(self) -> int:
        return 1

    def weights(self, measures: Measures | None, facts: RoundFacts) -> tuple[int, ...]:
        gram = check_gram(self, measures)
        numerators, total = (0,) * facts.updates, 1
        for _ in range(self.steps):
            unit = (total * gram.denominator) ** 2
            squares = [max(square, unit) for square in gram.measure_from(numerators, total)]
            nearest = min(squares) << 60
            numerators = tuple(isqrt(nearest // square) for square in squares)
            total = sum(numerators)
        return numerators

    def recipe(self, weights: Sequence[int], facts: RoundFacts) -> Recipe:
        check_integers(self, weights, facts.updates, _FULL)
        if max(weights) != _FULL:
            raise RuleError(f"no weight is {_FULL}; {self} gives it to the nearest update")
        return Recipe(Trim(0), np.array([weights], dtype=np.int64), sum(weights))

    def mixed_updates(self, updates: int) -> int:
        return 1

    def weight_operations(self, updates: int) -> int:
        return 20 * (self.steps + 1) * updates * updates
