"""Krum and Multi-Krum."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optfl.rules import MAX_UPDATES, Krum, MultiKrum, RuleError, TotalsKind
from optfl.rules.krum import compute_scores
from support.inputs import FILLS
from support.rules import decide, make_facts, make_gram, run_rule


def test_by_hand() -> None:
    """On a line at 0, 1, 3, 100: with f = 1 the scores are the sums of the two least squares to others."""
    updates = [[0], [1], [3], [100]]
    assert compute_scores(make_gram(updates).squared_distances, 2) == [1 + 9, 1 + 4, 4 + 9, 97**2 + 99**2]
    assert run_rule("krum(f=1)", updates) == [1]
    assert run_rule("multi_krum(f=1)", updates) == [1]  # (0 + 1 + 3) / 3 = 1.3


def test_of_equal_scores_the_first_are_chosen() -> None:
    updates = [[5], [7], [5], [7]]
    assert decide("krum(f=1)", updates) == (0b0001,)
    assert decide("multi_krum(f=1)", updates) == (0b0111,)
    assert decide("krum(f=1)", updates[::-1]) == (0b0001,)
    assert run_rule("krum(f=1)", updates[::-1]) == [7]


def test_one_update_needs_no_neighbours() -> None:
    assert run_rule("krum(f=0)", [[4, -4]]) == run_rule("multi_krum(f=0)", [[4, -4]]) == [4, -4]


@given(st.integers(1, 8), st.integers(0, 2**32))
def test_updates_far_away_from_a_cluster_are_never_chosen(f: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    honest = random.integers(-20, 20, (2 * f + 1, 6))
    byzantine = random.integers(20_000, 32_767, (f, 6))
    order = random.permutation(3 * f + 1)
    matrix = np.concatenate([honest, byzantine])[order]
    for name in ("krum", "multi_krum"):
        chosen = decide(f"{name}(f={f})", matrix)[0]
        assert not any(chosen >> position & 1 for position, update in enumerate(order) if update > 2 * f)


def test_a_selection_of_more_than_64_takes_two_words() -> None:
    matrix = FILLS["uniform"](np.random.default_rng(0), 70, 4)
    words = decide("multi_krum(f=6)", matrix)
    assert len(words) == 2
    assert sum(word.bit_count() for word in words) == 64
    assert MultiKrum(6).recipe(words, make_facts(70)).denominator == 64


@pytest.mark.parametrize("words", [(), (0,), (0b11,), (0b10000,), (1, 0), (0, 1), (-1,), (1 << 64,)])
def test_what_is_no_selection_of_one_is_refused(words: tuple[int, ...]) -> None:
    with pytest.raises(RuleError, match="no selection of 1 from 4 updates"):
        Krum(1).recipe(words, make_facts(4))


@pytest.mark.parametrize("rule", [Krum, MultiKrum])
def test_f_out_of_bounds_is_refused_and_2f_plus_1_updates_are_needed(rule: type[Krum]) -> None:
    for f in (-1, MAX_UPDATES // 2):
        with pytest.raises(RuleError, match="use f from 0 to 2047"):
            rule(f)
    assert rule(3).minimum_updates == 7
    assert rule(3).totals == TotalsKind.PRODUCTS
