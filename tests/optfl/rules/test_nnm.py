"""Nearest-neighbour mixing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optfl.rules import NearestNeighbourMixing, RuleError
from support.inputs import make_wild_totals
from support.rules import make_claimed_gram, make_facts, make_gram, run_rule


def test_by_hand() -> None:
    """On a line at 0, 10, 30, 32, 99, each with the two nearest others."""
    updates = [[0], [10], [30], [32], [99]]
    words = NearestNeighbourMixing(2).weights(make_gram(updates), make_facts(5))
    assert words == (0b00111, 0b00111, 0b01110, 0b01110, 0b11100)
    assert run_rule("nnm(f=2) | median()", updates) == [24]  # 13.3, 13.3, 24, 24, 53.7


def test_of_equally_near_ones_the_first_are_mixed_in() -> None:
    words = NearestNeighbourMixing(1).weights(make_gram([[10], [0], [20]]), make_facts(3))
    assert words == (0b011, 0b011, 0b101)


@given(st.integers(1, 9), st.integers(0, 2**32), st.data())
def test_each_update_is_among_its_own_neighbours_whatever_is_claimed(
    updates: int, seed: int, data: st.DataObject
) -> None:
    f = data.draw(st.integers(0, (updates - 1) // 2))
    gram = make_claimed_gram(make_wild_totals(np.random.default_rng(seed), updates), updates)
    words = NearestNeighbourMixing(f).weights(gram, make_facts(updates))
    assert all(word >> update & 1 for update, word in enumerate(words))
    assert all(word.bit_count() == updates - f for word in words)


def test_beyond_64_updates_each_selection_takes_two_words() -> None:
    matrix = np.arange(70)[:, None]
    stage = NearestNeighbourMixing(30)
    words = stage.weights(make_gram(matrix), make_facts(70))
    assert len(words) == stage.count_weights(70) == 140
    mixture = stage.mixture(words, make_facts(70))
    assert (mixture.rows.sum(axis=1) == mixture.denominator).all()
    assert mixture.denominator == 40


def test_sample_weights_stay_with_their_updates() -> None:
    facts = make_facts(3, [5, 6, 7])
    stage = NearestNeighbourMixing(1)
    assert stage.mixture(stage.weights(make_gram([[1], [2], [9]]), facts), facts).sample_weights == (5, 6, 7)


@pytest.mark.parametrize("words", [(), (0b11, 0b11), (0b11, 0b11, 0b111), (0b11, 0b11, 0b1010), (0b11,) * 4])
def test_what_are_no_neighbourhoods_is_refused(words: tuple[int, ...]) -> None:
    with pytest.raises(RuleError):
        NearestNeighbourMixing(1).mixture(words, make_facts(3))


def test_2f_plus_1_updates_are_needed() -> None:
    assert NearestNeighbourMixing(2).minimum_updates == 5
    for f in (-1, 2048):
        with pytest.raises(RuleError, match="use f from 0 to 2047"):
            NearestNeighbourMixing(f)
