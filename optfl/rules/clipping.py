"""Clipping to a norm before a rule, and the factors of all that clips (ByzFL's `Clipping`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt

import numpy as np

from optfl.rules.base import FACTOR_BITS, MAX_NORM, RoundFacts, RuleError, check_integers, check_norms, check_parameter
from optfl.rules.gram import Measures, Norms, TotalsKind
from optfl.rules.pipeline import Mixture

FULL = 1 << FACTOR_BITS


class Scaling:
    """Shared by pre-aggregators that multiply each update by a factor in 2^-20, which their norms decide."""

    @property
    def totals(self) -> TotalsKind:
        return TotalsKind.NORMS

    @property
    def scales(self) -> bool:
        return True

    def count_mixed(self, updates: int) -> int:
        return updates

    def count_weights(self, updates: int) -> int:
        return updates

    def count_whole(self, updates: int) -> int:
        """Updates that are left as they are, whatever their norms."""
        raise NotImplementedError

    def mixture(self, weights: Sequence[int], facts: RoundFacts) -> Mixture:
        check_factors(self, weights, facts.updates, self.count_whole(facts.updates))
        return Mixture(np.array(weights, dtype=np.int64), FULL, facts.sample_weights)

    def weight_operations(self, updates: int) -> int:
        return count_clipping(updates)


@dataclass(frozen=True)
class Clipping(Scaling):
    """Each update times min(1, norm / its own norm), rounded down to 2^-20. Sample weights stay with their updates.

    `norm` in units of 2^-fraction_bits; 0 for the lower median of the round's norms.
    """

    norm: int

    def __post_init__(self) -> None:
        check_parameter(self, "norm", self.norm, 0, MAX_NORM)

    def __str__(self) -> str:
        return f"clipping(norm={self.norm})"

    @property
    def minimum_updates(self) -> int:
        return 1

    def count_whole(self, updates: int) -> int:
        return 0 if self.norm else count_lower_half(updates)

    def weights(self, measures: Measures | None, facts: RoundFacts) -> tuple[int, ...]:
        return clip_to_norm(check_norms(self, measures), self.norm)


def clip_to_norm(norms: Norms, norm: int) -> tuple[int, ...]:
    """Factors over 2^20 that bring each vector's norm down to `norm` units, or to their lower median if that is 0."""
    squares = norms.squares.tolist()
    limit = (norm * norms.denominator) ** 2 if norm else find_lower_median(squares)
    return clip_to_limit(squares, limit)


def count_clipping(updates: int) -> int:
    """Work of clipping as many norms, in the unit of `weight_operations`."""
    return 200 * updates


def clip_to_limit(squares: Sequence[int], limit: int) -> tuple[int, ...]:
    return tuple(compute_factor(square, limit, FACTOR_BITS) for square in squares)


def compute_factor(square: int, limit: int, bits: int) -> int:
    """⌊2^bits · min(1, √(limit / square))⌋, for any integers: what is at most the limit, or not above 0, is whole."""
    if square <= max(limit, 0):
        return 1 << bits
    return isqrt((max(limit, 0) << 2 * bits) // square)


def count_lower_half(updates: int) -> int:
    """How many are at most the lower median, if no two are equal: the least number that clipping to it leaves whole."""
    return (updates + 1) // 2


def find_lower_median(squares: Sequence[int]) -> int:
    return sorted(squares)[count_lower_half(len(squares)) - 1]


def check_factors(rule: object, factors: Sequence[int], updates: int, whole: int) -> None:
    """Raise RuleError unless there is a factor in 0..2^20 for each update, and at least `whole` of them are 2^20."""
    check_integers(rule, factors, updates, FULL)
    if sum(factor == FULL for factor in factors) < whole:
        raise RuleError(f"fewer than {whole} of the factors are {FULL}; {rule} leaves as many updates as they are")
