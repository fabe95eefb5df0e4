"""Bulyan of Krum."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optfl.rules import MAX_UPDATES, Bulyan, RuleError
from optfl.rules.bulyan import select_by_krum
from support import oracle
from support.inputs import FILLS, make_wild_totals
from support.rules import decide, make_claimed_gram, make_facts, make_gram, run_rule


def select_slowly(distances: list[list[int]], f: int, count: int) -> list[int]:
    """Every score anew at every step."""
    left, chosen = list(range(len(distances))), list[int]()
    while len(chosen) < count:
        neighbours = len(left) - f - 1
        scores = {j: sum(sorted(distances[j][k] for k in left if k != j)[:neighbours]) for j in left}
        chosen.append(min(left, key=lambda j: (scores[j], j)))
        left.remove(chosen[-1])
    return chosen


@given(st.integers(0, 3), st.integers(0, 8), st.sampled_from(["uniform", "ties", "zeros"]), st.integers(0, 2**32))
def test_scores_that_follow_are_those_computed_anew(f: int, more: int, fill: str, seed: int) -> None:
    updates = 4 * f + 3 + more
    distances = make_gram(FILLS[fill](np.random.default_rng(seed), updates, 3)).squared_distances
    count = updates - 2 * f
    assert select_by_krum(distances, f, count) == select_slowly(distances.tolist(), f, count)


@given(st.integers(0, 3), st.integers(0, 8), st.integers(0, 2**32))
def test_also_for_distances_that_nothing_has(f: int, more: int, seed: int) -> None:
    updates = 4 * f + 3 + more
    distances = make_claimed_gram(make_wild_totals(np.random.default_rng(seed), updates), updates).squared_distances
    count = updates - 2 * f
    assert select_by_krum(distances, f, count) == select_slowly(distances.tolist(), f, count)


def test_without_byzantine_updates_it_is_the_mean() -> None:
    matrix = FILLS["uniform"](np.random.default_rng(3), 8, 10)
    assert run_rule("bulyan(f=0)", matrix) == run_rule("trimmed_mean(f=0)", matrix)


def test_one_of_seven_by_hand() -> None:
    """1000 is out; of 0, 1, 2, 3, 4, 5 Krum leaves out the last but one of equal scores; 3 of 5 around the median."""
    updates = [[0], [1], [2], [3], [4], [5], [1000]]
    chosen = decide("bulyan(f=1)", updates)[0]
    assert chosen.bit_count() == 5
    assert not chosen >> 6 & 1
    assert run_rule("bulyan(f=1)", updates) == oracle.apply_rule("bulyan(f=1)", updates, [1] * 7)


@given(st.integers(1, 3), st.integers(0, 2**32))
def test_f_updates_cannot_move_one_coordinate_out_of_the_honest_range(f: int, seed: int) -> None:
    """The hidden vulnerability: far off at one coordinate alone, so that Krum's distances hardly notice."""
    random = np.random.default_rng(seed)
    honest = random.integers(-50, 50, (3 * f + 3, 40))
    byzantine = np.tile(honest.mean(axis=0).astype(int), (f, 1))
    byzantine[:, 7] = 300
    output = run_rule(f"bulyan(f={f})", np.concatenate([byzantine, honest]))
    assert honest[:, 7].min() <= output[7] <= honest[:, 7].max()


def test_4f_plus_3_updates_are_needed() -> None:
    assert [Bulyan(f).minimum_updates for f in (0, 1, 2)] == [3, 7, 11]
    with pytest.raises(RuleError, match=r"bulyan\(f=1\) of 6 updates; use 7 to 4096"):
        run_rule("bulyan(f=1)", [[0]] * 6)
    for f in (-1, MAX_UPDATES // 4):
        with pytest.raises(RuleError, match="use f from 0 to 1023"):
            Bulyan(f)


@pytest.mark.parametrize("words", [(), (0b1111,), (0b111111,), (0b11110000,), (0b10011111 << 1,)])
def test_what_is_no_selection_of_n_minus_2f_is_refused(words: tuple[int, ...]) -> None:
    with pytest.raises(RuleError, match="no selection of 5 from 7 updates"):
        Bulyan(1).recipe(words, make_facts(7))
