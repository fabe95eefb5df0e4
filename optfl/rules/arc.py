"""Adaptive robust clipping (Allouah et al. 2025, "Adaptive gradient clipping for robust federated learning")."""

from __future__ import annotations

from dataclasses import dataclass

from optfl.rules.base import MAX_UPDATES, RoundFacts, check_norms, check_parameter
from optfl.rules.clipping import Scaling, clip_to_limit
from optfl.rules.gram import Measures


@dataclass(frozen=True)
class AdaptiveRobustClipping(Scaling):
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

    def count_whole(self, updates: int) -> int:
        """Updates that are not clipped, if no two norms are equal: more than half of them."""
        return updates - 2 * self.f * (updates - self.f) // updates

    def weights(self, measures: Measures | None, facts: RoundFacts) -> tuple[int, ...]:
        squares = check_norms(self, measures).squares.tolist()
        return clip_to_limit(squares, sorted(squares)[self.count_whole(facts.updates) - 1])
