"""Adaptive robust clipping (Allouah et al. 2025, "Adaptive gradient clipping for robust federated learning")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optfl.rules.base import MAX_UPDATES, RoundFacts, check_gram, check_parameter
from optfl.rules.clipping import FULL, check_factors, clip_to_limit
from optfl.rules.gram import Gram
from optfl.rules.pipeline import Mixture


@dataclass(frozen=True)
class AdaptiveRobustClipping:
    """The ⌊2f(n − f) / n⌋ updates of the largest norms are clipped to the next smaller norm. Needs n >= 2f+1 updates.

    Factors are rounded down to 2^-20. Sample weights stay with their updates.
    """

    f: int

    def __post_init__(self) -> None:
        check_parameter(self, "f", self.f, 0, (MAX_UPDATES - 1) // 2)

    def __str__(self) -> str:
        return f"arc(f={self.f})"

    @property
    def minimum_updates(self) -> int:
        return 2 * self.f + 1

    @property
    def needs_totals(self) -> bool:
        return True

    def count_mixed(self, updates: int) -> int:
        return updates

    def count_weights(self, updates: int) -> int:
        return updates

    def count_whole(self, updates: int) -> int:
        """Updates that are not clipped, if no two norms are equal: more than half of them."""
        return updates - 2 * self.f * (updates - self.f) // updates

    def weights(self, gram: Gram | None, facts: RoundFacts) -> tuple[int, ...]:
        squares = check_gram(self, gram).squared_norms.tolist()
        return clip_to_limit(squares, sorted(squares)[self.count_whole(facts.updates) - 1])

    def mixture(self, weights: Sequence[int], facts: RoundFacts) -> Mixture:
        check_factors(self, weights, facts.updates, self.count_whole(facts.updates))
        return Mixture(np.diag(np.array(weights, dtype=np.int64)), FULL, facts.sample_weights)

    def weight_operations(self, updates: int) -> int:
        return 10 * updates * updates + 200 * updates
