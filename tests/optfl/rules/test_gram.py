"""Inner products in integers of any size: packed, mixed, measured, and selections on the wire."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optfl.rules.gram import (
    Gram,
    compute_totals,
    count_totals,
    count_words,
    find_total,
    multiply,
    pack_selection,
    unpack_selection,
    unpack_totals,
)
from support import oracle
from support.inputs import FILLS, make_wild_totals


@given(st.integers(1, 9), st.integers(1, 30), st.sampled_from(sorted(FILLS)), st.integers(0, 2**32))
def test_totals_are_the_oracle_s(updates: int, length: int, fill: str, seed: int) -> None:
    matrix = FILLS[fill](np.random.default_rng(seed), updates, length)
    totals = compute_totals(matrix)
    assert totals.dtype == np.int64
    assert totals.tolist() == oracle.compute_totals(matrix.tolist())
    products = unpack_totals(totals, updates).products
    for j in range(updates):
        for k in range(j, updates):
            assert products[j, k] == products[k, j] == totals[find_total(j, k, updates)]


@pytest.mark.parametrize("updates", [1, 2, 3, 10, 100])
def test_every_pair_has_its_place(updates: int) -> None:
    places = [find_total(j, k, updates) for j in range(updates) for k in range(j, updates)]
    assert places == list(range(count_totals(updates)))


def test_any_int64_is_unpacked_as_it_is() -> None:
    totals = np.array([-(2**63), 2**63 - 1, -1], dtype=np.int64)
    gram = unpack_totals(totals, 2)
    assert gram.products.tolist() == [[-(2**63), 2**63 - 1], [2**63 - 1, -1]]
    assert gram.squared_distances.tolist() == [[0, 1 - 3 * 2**63], [1 - 3 * 2**63, 0]]
    assert all(type(value) is int for value in gram.squared_distances.ravel())


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 62), st.integers(0, 300), st.integers(0, 2**32))
def test_products_are_exact_for_integers_of_any_size(
    rows: int, inner: int, left_bits: int, right_bits: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    left_bits = min(left_bits, 44)  # the denominators of rows go no further
    left = random.integers(0, 1 << left_bits, (rows, inner), endpoint=True)
    right = np.array([[int.from_bytes(random.bytes(40), "big", signed=True) >> (320 - right_bits) for _ in range(3)]
                      for _ in range(inner)], dtype=object)  # fmt: skip
    assert multiply(left, right).tolist() == (left.astype(object) @ right).tolist()


def test_products_of_zeros_are_zeros() -> None:
    zeros = np.zeros((2, 2), dtype=object)
    assert multiply(np.ones((3, 2), dtype=np.int64), zeros).tolist() == [[0, 0]] * 3


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 1000), st.integers(0, 2**32))
def test_mixing_is_bilinear_also_of_what_nothing_has(updates: int, mixed: int, denominator: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    gram = unpack_totals(make_wild_totals(random, updates), updates)
    rows = random.integers(0, 1 << 30, (mixed, updates))
    result = gram.mix(rows, denominator)
    left = rows.astype(object)
    assert result.products.tolist() == (left @ gram.products @ left.T).tolist()
    assert result.denominator == denominator
    assert result.mix(np.ones((1, mixed), dtype=np.int64), 3).denominator == 3 * denominator


@given(st.integers(1, 6), st.integers(1, 2**44), st.integers(0, 2**32))
def test_distances_from_a_combination_are_exact(updates: int, denominator: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    matrix = FILLS["uniform"](random, updates, 4)
    numerators = random.integers(0, 1 << 40, updates).tolist()
    point = [
        Fraction(sum(a * int(x) for a, x in zip(numerators, column, strict=True)), denominator) for column in matrix.T
    ]
    gram = Gram(unpack_totals(compute_totals(matrix), updates).products * 9, 3)
    squares = gram.measure_from(numerators, denominator)
    for update, square in zip(matrix.tolist(), squares, strict=True):
        expected = sum((value - at) ** 2 for value, at in zip(update, point, strict=True))
        assert Fraction(square, (3 * denominator) ** 2) == expected


@given(st.integers(1, 200), st.data())
def test_selections_round_trip(updates: int, data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.integers(0, updates - 1), unique=True))
    words = pack_selection(chosen, updates)
    assert len(words) == count_words(updates)
    assert all(0 <= word < 2**64 for word in words)
    assert list(words) == oracle.encode_choice(chosen, updates)
    assert unpack_selection(words, updates) == sorted(chosen)


@pytest.mark.parametrize(("words", "updates"), [((0b1000,), 3), ((0, 1), 64), ((0, 1 << 6), 70), ((-1,), 3)])
def test_bits_beyond_the_updates_are_none(words: tuple[int, ...], updates: int) -> None:
    assert unpack_selection(words, updates) is None
