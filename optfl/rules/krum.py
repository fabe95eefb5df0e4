"""Krum and Multi-Krum (Blanchard et al. 2017; in the form of Allouah et al. 2023 and ByzFL).

The score of an update is the sum of its squared distances to the n - f - 1 others nearest to it: one more of them than
in Blanchard's paper, so that with itself a neighbourhood has n - f members, as many as there are honest updates. Scores
are Python integers, and sums of n int16 far below 2^63.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optfl.rules.base import MAX_UPDATES, GramRule, Recipe, RoundFacts, RuleError, Trim, check_gram, check_parameter
from optfl.rules.gram import Integers, Measures, count_words, pack_selection, unpack_selection


@dataclass(frozen=True)
class Krum(GramRule):
    """The update with the lowest score; of equal scores the first. Needs n >= 2f+1 updates."""

    f: int

    def __post_init__(self) -> None:
        check_parameter(self, "f", self.f, 0, (MAX_UPDATES - 1) // 2)

    def __str__(self) -> str:
        return f"krum(f={self.f})"

    @property
    def minimum_updates(self) -> int:
        return 2 * self.f + 1

    def count_chosen(self, updates: int) -> int:
        return 1

    def weights(self, measures: Measures | None, facts: RoundFacts) -> tuple[int, ...]:
        scores = compute_scores(check_gram(self, measures).squared_distances, facts.updates - self.f - 1)
        best = sorted(range(facts.updates), key=lambda update: scores[update])  # stable: selection order breaks ties
        return pack_selection(best[: self.count_chosen(facts.updates)], facts.updates)

    def recipe(self, weights: Sequence[int], facts: RoundFacts) -> Recipe:
        return average_selection(weights, facts.updates, self.count_chosen(facts.updates))

    def mixed_updates(self, updates: int) -> int:
        return 1

    def weight_operations(self, updates: int) -> int:
        return 100 * updates * updates


@dataclass(frozen=True)
class MultiKrum(Krum):
    """The mean, halves up, of the n - f updates with the lowest scores; of equal scores the first ones."""

    def __str__(self) -> str:
        return f"multi_krum(f={self.f})"

    def count_chosen(self, updates: int) -> int:
        return updates - self.f


def compute_scores(squared_distances: Integers, neighbours: int) -> list[int]:
    """For each update the sum of its squared distances to the `neighbours` nearest others."""
    scores = []
    for update, row in enumerate(squared_distances.tolist()):
        del row[update]
        scores.append(sum(sorted(row)[:neighbours]))
    return scores


def check_selection(words: Sequence[int], updates: int, count: int) -> list[int]:
    """Indices of a bit set over `updates`, ascending; RuleError unless there are `count`."""
    # Their number first: a bit set of a million words would take the ledger minutes to read.
    chosen = unpack_selection(words, updates) if len(words) == count_words(updates) else None
    if chosen is None or len(chosen) != count:
        raise RuleError(f"the weights are no selection of {count} from {updates} updates")
    return chosen


def average_selection(words: Sequence[int], updates: int, count: int) -> Recipe:
    """The mean of the chosen. RuleError as `check_selection`."""
    row = np.zeros((1, updates), dtype=np.int64)
    row[0, check_selection(words, updates, count)] = 1
    return Recipe(Trim(0), row, count)
