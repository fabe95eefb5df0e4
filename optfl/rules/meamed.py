"""Mean around the median, coordinate by coordinate (Xie et al. 2018, "Generalized Byzantine-tolerant SGD")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from optfl.rules.base import (
    MAX_UPDATES,
    CoordinatewiseRule,
    Nearest,
    Recipe,
    RoundFacts,
    check_no_weights,
    check_parameter,
)


@dataclass(frozen=True)
class MeanAroundMedian(CoordinatewiseRule):
    """At each coordinate: of the n - f values nearest to the median, the mean, halves up. Needs n >= 2f+1 updates.

    Of two equally near the lower one. Values that are equal are one as good as the other, so that no order of updates
    matters, and what is kept is a window of the sorted values. The median of an even n lies between the middle two,
    half a unit's precision: distances are compared doubled. Sums of n int16 are far below 2^63.
    """

    f: int

    def __post_init__(self) -> None:
        check_parameter(self, "f", self.f, 0, (MAX_UPDATES - 1) // 2)

    def __str__(self) -> str:
        return f"meamed(f={self.f})"

    @property
    def minimum_updates(self) -> int:
        return 2 * self.f + 1

    def recipe(self, weights: Sequence[int], facts: RoundFacts) -> Recipe:
        check_no_weights(self, weights)
        return Recipe(Nearest(facts.updates - self.f))
