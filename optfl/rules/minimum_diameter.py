"""Minimum-diameter averaging (El Mhamdi et al. 2018, Brute; ByzFL's MDA)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from optfl.rules.base import MAX_UPDATES, GramRule, Recipe, RoundFacts, check_gram, check_parameter
from optfl.rules.gram import Integers, Measures, pack_selection
from optfl.rules.krum import average_selection

MAX_F = 13
MAX_SEARCH = 1 << 24
"""Values that the search for the subset may look at, at worst: which n is small enough for an f."""


@dataclass(frozen=True)
class MinimumDiameterAveraging(GramRule):
    """The mean, halves up, of the n - f updates with the least largest distance between two; of equals the first.

    First in lexicographic order of their places. Needs n >= 2f+1 updates, and few enough for the search: at worst it is
    exponential in f, not in n (`maximum_updates`).
    """

    f: int

    def __post_init__(self) -> None:
        check_parameter(self, "f", self.f, 0, MAX_F)

    def __str__(self) -> str:
        return f"minimum_diameter(f={self.f})"

    @property
    def minimum_updates(self) -> int:
        return 2 * self.f + 1

    @property
    def maximum_updates(self) -> int:
        return find_maximum_updates(self.f)

    def weights(self, measures: Measures | None, facts: RoundFacts) -> tuple[int, ...]:
        chosen = find_tightest(check_gram(self, measures).squared_distances, self.f)
        return pack_selection(chosen, facts.updates)

    def recipe(self, weights: Sequence[int], facts: RoundFacts) -> Recipe:
        return average_selection(weights, facts.updates, facts.updates - self.f)

    def mixed_updates(self, updates: int) -> int:
        return 1

    def weight_operations(self, updates: int) -> int:
        return count_search(updates, self.f)


def find_tightest(squared_distances: Integers, f: int) -> list[int]:
    """The n - f of n with the least diameter, the first such in lexicographic order, ascending.

    Who keeps a diameter d leaves out a cover of the graph of pairs further apart than d: one end at least of each. So
    the least d whose graph has a cover of f is searched among the distances, and then updates are kept from the first
    on, as long as what is left can still be covered.
    """
    updates = len(squared_distances)
    candidates = np.unique(squared_distances[np.triu_indices(updates, 1)])  # sorted; of objects too
    if f == 0 or candidates.size == 0:
        return list(range(updates))
    everyone = (1 << updates) - 1
    low, high = 0, len(candidates) - 1  # the largest always suffices
    while low < high:
        middle = (low + high) // 2
        if has_cover(_find_conflicts(squared_distances, candidates[middle]), everyone, f):
            high = middle
        else:
            low = middle + 1
    conflicts = _find_conflicts(squared_distances, candidates[low])
    kept, out, chosen = everyone, 0, list[int]()
    for update in range(updates):
        if len(chosen) == updates - f:
            break
        if out >> update & 1:
            continue
        leaving = out | conflicts[update]
        if has_cover(conflicts, kept & ~leaving, f - leaving.bit_count()):
            chosen.append(update)
            out = leaving
        else:
            out |= 1 << update
    return chosen


def _find_conflicts(squared_distances: Integers, diameter: int) -> list[int]:
    """For each update the bit set of those further from it than `diameter`."""
    further = (squared_distances > diameter).astype(bool)
    np.fill_diagonal(further, val=False)
    packed = np.packbits(further, axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in packed]


def has_cover(conflicts: Sequence[int], among: int, size: int) -> bool:
    """Whether at most `size` of the vertices `among` meet every edge between them (both are bit sets).

    Branches on a vertex of three or more edges alone: either it is in the cover, or all its neighbours are. Of a vertex
    with one edge the neighbour is as good as any; and in a ring so is every vertex.
    """
    while True:
        if size < 0:
            return False
        degrees = [(degree, v) for v in iterate_bits(among) if (degree := (conflicts[v] & among).bit_count())]
        if not degrees:
            return True
        highest, vertex = max(degrees)
        if sum(degree for degree, _ in degrees) > 2 * size * highest:
            return False
        leaf = next((v for degree, v in degrees if degree == 1), None)
        among = sum(1 << v for _, v in degrees)
        if leaf is not None:
            among &= ~(conflicts[leaf] & among)
        elif highest == 2:
            among &= ~(1 << vertex)
        else:
            neighbours = conflicts[vertex] & among
            if has_cover(conflicts, among & ~neighbours, size - highest):
                return True
            among &= ~(1 << vertex)
        size -= 1


def iterate_bits(bits: int) -> Iterator[int]:
    """Places of the ones, ascending."""
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest


def count_search(updates: int, f: int) -> int:
    """Values that the search looks at, at worst."""
    searches = updates + 2 * updates.bit_length()
    return 30 * searches * _count_branches(f) * updates


@cache
def _count_branches(size: int) -> int:
    """Calls and turns of `has_cover` at worst, since one branch takes one vertex, and the other three or more."""
    return 1 + (_count_branches(size - 1) + _count_branches(size - 3)) if size > 0 else 1


@cache
def find_maximum_updates(f: int) -> int:
    """The largest n for which the search stays within MAX_SEARCH."""
    return max(n for n in range(1, MAX_UPDATES + 1) if count_search(n, f) <= MAX_SEARCH)
