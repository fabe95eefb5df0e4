"""Minimum-diameter averaging: the search gives what enumeration does."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optfl.rules import MinimumDiameterAveraging, RuleError
from optfl.rules.minimum_diameter import MAX_F, MAX_SEARCH, count_search, find_tightest, has_cover, iterate_bits
from support.inputs import FILLS, make_wild_totals
from support.rules import decide, make_claimed_gram, make_facts, make_gram, run_rule


def enumerate_subsets(distances: list[list[int]], f: int) -> list[int]:
    """ByzFL's way."""
    least, best = None, list[int]()
    for chosen in combinations(range(len(distances)), len(distances) - f):
        diameter = max((distances[j][k] for j, k in combinations(chosen, 2)), default=0)
        if least is None or diameter < least:
            least, best = diameter, list(chosen)
    return best


@given(st.integers(1, 10), st.sampled_from(["uniform", "ties", "zeros"]), st.integers(0, 2**32), st.data())
@settings(max_examples=200)
def test_it_is_what_enumeration_finds(updates: int, fill: str, seed: int, data: st.DataObject) -> None:
    f = data.draw(st.integers(0, (updates - 1) // 2))
    distances = make_gram(FILLS[fill](np.random.default_rng(seed), updates, 2)).squared_distances
    assert find_tightest(distances, f) == enumerate_subsets(distances.tolist(), f)


@given(st.integers(1, 9), st.integers(0, 2**32), st.data())
@settings(max_examples=200)
def test_also_for_distances_that_nothing_has(updates: int, seed: int, data: st.DataObject) -> None:
    f = data.draw(st.integers(0, (updates - 1) // 2))
    distances = make_claimed_gram(make_wild_totals(np.random.default_rng(seed), updates), updates).squared_distances
    assert find_tightest(distances, f) == enumerate_subsets(distances.tolist(), f)


@given(st.integers(1, 9), st.integers(0, 9), st.data())
@settings(max_examples=200)
def test_covers_are_found_where_there_are_any(vertices: int, size: int, data: st.DataObject) -> None:
    pairs = list(combinations(range(vertices), 2))
    edges = data.draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    conflicts = [sum(1 << k for k in range(vertices) if tuple(sorted((j, k))) in edges) for j in range(vertices)]
    exists = any(
        all(j in cover or k in cover for j, k in edges) for cover in combinations(range(vertices), min(size, vertices))
    )
    assert has_cover(conflicts, (1 << vertices) - 1, size) == exists


def test_of_equal_diameters_the_first_subset_is_taken() -> None:
    assert decide("minimum_diameter(f=1)", [[0], [10], [20]]) == (0b011,)
    assert decide("minimum_diameter(f=2)", [[0], [9], [3], [12], [6]]) == (0b10101 & 0b11111,)
    assert run_rule("minimum_diameter(f=1)", [[0], [10], [21]]) == [5]


def test_one_update_is_itself() -> None:
    assert run_rule("minimum_diameter(f=0)", [[4, -4]]) == [4, -4]


def test_bits_are_iterated_from_the_lowest() -> None:
    assert list(iterate_bits(0b101_0010)) == [1, 4, 6]


def test_it_is_refused_where_the_search_would_take_too_long() -> None:
    """Each f that there is has some n; the least is 2f+1."""
    for f in range(MAX_F + 1):
        rule = MinimumDiameterAveraging(f)
        assert rule.minimum_updates == 2 * f + 1 <= rule.maximum_updates
        assert count_search(rule.maximum_updates, f) <= MAX_SEARCH < count_search(rule.maximum_updates + 1, f)
        assert rule.weight_operations(rule.maximum_updates) <= MAX_SEARCH
    most = MinimumDiameterAveraging(10).maximum_updates
    with pytest.raises(RuleError, match=rf"minimum_diameter\(f=10\) of {most + 1} updates; use 21 to {most}"):
        run_rule("minimum_diameter(f=10)", [[0]] * (most + 1))
    for f in (-1, MAX_F + 1):
        with pytest.raises(RuleError, match=f"use f from 0 to {MAX_F}"):
            MinimumDiameterAveraging(f)


@pytest.mark.parametrize("words", [(), (0b1,), (0b111,), (0b1100,), (0b11, 0)])
def test_what_is_no_selection_of_n_minus_f_is_refused(words: tuple[int, ...]) -> None:
    with pytest.raises(RuleError, match="no selection of 2 from 3 updates"):
        MinimumDiameterAveraging(1).recipe(words, make_facts(3))
