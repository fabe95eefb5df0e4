"""Bulyan of Krum (El Mhamdi et al. 2018, "The hidden vulnerability of distributed learning in Byzantium")."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optfl.rules.base import MAX_UPDATES, GramRule, Nearest, Recipe, RoundFacts, check_gram, check_parameter
from optfl.rules.gram import Integers, Measures, pack_selection
from optfl.rules.krum import check_selection


@dataclass(frozen=True)
class Bulyan(GramRule):
    """Of n - 2f updates that Krum selects one by one, at each coordinate the mean around the median of n - 4f values.

    Each selection is Krum's among the r updates that are left: lowest score, a sum over the r - f - 1 nearest others
    left; of equal scores the first. Then as in `MeanAroundMedian`. Needs n >= 4f+3 updates. Scores are Python integers;
    sums of n int16 are far below 2^63.
    """

    f: int

    def __post_init__(self) -> None:
        check_parameter(self, "f", self.f, 0, (MAX_UPDATES - 3) // 4)

    def __str__(self) -> str:
        return f"bulyan(f={self.f})"

    @property
    def minimum_updates(self) -> int:
        return 4 * self.f + 3

    def weights(self, measures: Measures | None, facts: RoundFacts) -> tuple[int, ...]:
        distances = check_gram(self, measures).squared_distances
        return pack_selection(select_by_krum(distances, self.f, facts.updates - 2 * self.f), facts.updates)

    def recipe(self, weights: Sequence[int], facts: RoundFacts) -> Recipe:
        chosen = check_selection(weights, facts.updates, facts.updates - 2 * self.f)
        rows = np.zeros((len(chosen), facts.updates), dtype=np.int64)
        rows[np.arange(len(chosen)), chosen] = 1
        return Recipe(Nearest(facts.updates - 4 * self.f), rows)

    def mixed_updates(self, updates: int) -> int:
        return max(updates - 2 * self.f, 1)

    def weight_operations(self, updates: int) -> int:
        return 250 * updates * updates


def select_by_krum(squared_distances: Integers, f: int, count: int) -> list[int]:
    """`count` updates, each the best of those left by its squared distances to the r - f - 1 nearest of r - 1 others.

    Scores follow the updates that leave: one neighbour less is summed, either the one that leaves or, if that is not
    among them, the furthest. Which of the two is seen by comparing, since equal distances are one as good as the other.
    """
    distances = squared_distances.tolist()
    ordered = [sorted(row[:update] + row[update + 1 :]) for update, row in enumerate(distances)]
    left, chosen = list(range(len(distances))), list[int]()
    neighbours = len(left) - f - 1
    scores = [sum(row[:neighbours]) for row in ordered]
    for _ in range(count):
        best = min(left, key=scores.__getitem__)  # the first of the lowest
        chosen.append(best)
        left.remove(best)
        for update in left:
            row, leaving = ordered[update], distances[update][best]
            if neighbours:
                scores[update] -= min(leaving, row[neighbours - 1])
            del row[bisect_left(row, leaving)]
        neighbours -= 1
    return chosen
