"""Centred clipping (Karimireddy et al. 2021, "Learning from history for Byzantine robust optimization")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optfl.rules.base import (
    MAX_NORM,
    GramRule,
    Recipe,
    RoundFacts,
    RuleError,
    Trim,
    check_gram,
    check_integers,
    check_parameter,
)
from optfl.rules.clipping import compute_factor, find_lower_median
from optfl.rules.gram import Measures

MAX_STEPS = 32
_DENOMINATOR = 1 << 40
_FACTOR_BITS = 30


@dataclass(frozen=True)
class CentredClipping(GramRule):
    """From v = 0, `steps` times: v += mean of (x_i − v)·min(1, norm / ‖x_i − v‖).

    `norm` in units of 2^-fraction_bits; 0 for the lower median of the distances at each step. v is Σ a_i·x_i / 2^40
    with integers a_i >= 0 that add up to 2^40 at most, below MAX_MEAN_DENOMINATOR. Factors are rounded down to 2^-30
    and a_i to integers, which moves v by less than 2^-12 of a unit a step. Python integers throughout.

    The paper starts at the last round's momentum. That is no combination of this round's updates, and so none of its
    distances follow from their totals (F4): this starts at 0 each round, which an update, a difference to the base, is
    centred at anyway.
    """

    norm: int
    steps: int

    def __post_init__(self) -> None:
        check_parameter(self, "norm", self.norm, 0, MAX_NORM)
        check_parameter(self, "steps", self.steps, 1, MAX_STEPS)

    def __str__(self) -> str:
        return f"centred_clipping(norm={self.norm}, steps={self.steps})"

    @property
    def minimum_updates(self) -> int:
        return 1

    def weights(self, measures: Measures | None, facts: RoundFacts) -> tuple[int, ...]:
        gram = check_gram(self, measures)
        numerators = (0,) * facts.updates
        fixed_limit = (self.norm * _DENOMINATOR * gram.denominator) ** 2
        whole = facts.updates << _FACTOR_BITS
        for _ in range(self.steps):
            squares = gram.measure_from(numerators, _DENOMINATOR)
            limit = fixed_limit if self.norm else find_lower_median(squares)
            factors = [compute_factor(square, limit, _FACTOR_BITS) for square in squares]
            rest = whole - sum(factors)
            numerators = tuple(
                (numerator * rest + _DENOMINATOR * factor) // whole
                for numerator, factor in zip(numerators, factors, strict=True)
            )
        return numerators

    def recipe(self, weights: Sequence[int], facts: RoundFacts) -> Recipe:
        check_integers(self, weights, facts.updates, _DENOMINATOR)
        if sum(weights) > _DENOMINATOR:
            raise RuleError(f"the weights add up to {sum(weights)}; those of {self} to {_DENOMINATOR} at most")
        return Recipe(Trim(0), np.array([weights], dtype=np.int64), _DENOMINATOR)

    def mixed_updates(self, updates: int) -> int:
        return 1

    def weight_operations(self, updates: int) -> int:
        return 20 * (self.steps + 1) * updates * updates
