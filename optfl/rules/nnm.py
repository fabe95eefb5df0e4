"""Nearest-neighbour mixing (Allouah et al. 2023, "Fixing by Mixing")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optfl.rules.base import MAX_UPDATES, RoundFacts, RuleError, check_gram, check_parameter
from optfl.rules.gram import Measures, TotalsKind, count_words, pack_selection
from optfl.rules.krum import check_selection
from optfl.rules.pipeline import Mixture


@dataclass(frozen=True)
class NearestNeighbourMixing:
    """Each update becomes the mean of the n - f nearest to it, itself among them; of equally near ones the first.

    Needs n >= 2f+1 updates. Sample weights stay with their updates.
    """

    f: int

    def __post_init__(self) -> None:
        check_parameter(self, "f", self.f, 0, (MAX_UPDATES - 1) // 2)

    def __str__(self) -> str:
        return f"nnm(f={self.f})"

    @property
    def minimum_updates(self) -> int:
        return 2 * self.f + 1

    @property
    def totals(self) -> TotalsKind:
        return TotalsKind.PRODUCTS

    @property
    def scales(self) -> bool:
        return False

    def count_mixed(self, updates: int) -> int:
        return updates

    def count_weights(self, updates: int) -> int:
        return updates * count_words(updates)

    def weights(self, measures: Measures | None, facts: RoundFacts) -> tuple[int, ...]:
        gram = check_gram(self, measures)
        kept, words = facts.updates - self.f, list[int]()
        for update, distances in enumerate(gram.squared_distances.tolist()):
            # Itself first: totals that somebody made up may have others at a distance below 0.
            distances[update] = min(distances) - 1
            nearest = sorted(range(facts.updates), key=distances.__getitem__)  # stable: selection order breaks ties
            words += pack_selection(nearest[:kept], facts.updates)
        return tuple(words)

    def mixture(self, weights: Sequence[int], facts: RoundFacts) -> Mixture:
        words, kept = count_words(facts.updates), facts.updates - self.f
        if len(weights) != self.count_weights(facts.updates):
            raise RuleError(f"{len(weights)} weights where {self} of {facts.updates} updates has {words} for each")
        rows = np.zeros((facts.updates, facts.updates), dtype=np.int64)
        for update, row in enumerate(rows):
            row[check_selection(weights[update * words : (update + 1) * words], facts.updates, kept)] = 1
        return Mixture(rows, kept, facts.sample_weights)

    def weight_operations(self, updates: int) -> int:
        return 200 * updates * updates
