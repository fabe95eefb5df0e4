"""Weighted mean of updates whose norms are clipped: bounds what one update can do and honours the sample weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optfl.rules.base import (
    FACTOR_BITS,
    MAX_MEAN_DENOMINATOR,
    MAX_NORM,
    BaseRule,
    Recipe,
    RoundFacts,
    Trim,
    check_norms,
    check_parameter,
    check_total_weight,
    fit_rows,
)
from optfl.rules.clipping import check_factors, clip_to_norm, count_clipping, count_lower_half
from optfl.rules.gram import Measures, TotalsKind


@dataclass(frozen=True)
class NormClippedMean(BaseRule):
    """Σ w_i·c_i·x_i / Σ w_i, w_i the sample weights and c_i = min(1, norm / ‖x_i‖), rounded down to 2^-20.

    `norm` in units of 2^-fraction_bits; 0 for the lower median of the round's norms, which less than half of the
    updates cannot raise above the others' largest. An update moves the mean by norm · w_i / Σ w_i at most (Sun et al.
    2019, "Can you really backdoor federated learning?"): weights are what clients say, so a task should bound them.
    The row w_i·c_i is brought down to the denominator 2^44 where Σ w_i · 2^20 is above that.
    """

    norm: int

    def __post_init__(self) -> None:
        check_parameter(self, "norm", self.norm, 0, MAX_NORM)

    def __str__(self) -> str:
        return f"norm_clipped_mean(norm={self.norm})"

    @property
    def minimum_updates(self) -> int:
        return 1

    @property
    def totals(self) -> TotalsKind:
        return TotalsKind.NORMS

    def weights(self, measures: Measures | None, facts: RoundFacts) -> tuple[int, ...]:
        return clip_to_norm(check_norms(self, measures), self.norm)

    def recipe(self, weights: Sequence[int], facts: RoundFacts) -> Recipe:
        check_factors(self, weights, facts.updates, 0 if self.norm else count_lower_half(facts.updates))
        total = check_total_weight(facts.sample_weights)
        row = np.array([facts.sample_weights], dtype=object) * np.array([weights], dtype=object)
        return Recipe(Trim(0), *fit_rows(row, total << FACTOR_BITS, MAX_MEAN_DENOMINATOR))

    def mixed_updates(self, updates: int) -> int:
        return 1

    def weight_operations(self, updates: int) -> int:
        return count_clipping(updates)
