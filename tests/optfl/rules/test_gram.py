"""Inner products in integers of any size: packed, mixed, measured, and selections on the wire."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optfl.rules import TotalsKind
from optfl.rules.gram import (
    Gram,
    compose,
    compute_totals,
    count_totals,
    count_words,
    find_total,
    is_total,
    list_pairs,
    multiply,
    pack_selection,
    unpack_selection,
    unpack_totals,
)
from support import oracle
from support.inputs import FILLS, make_wild_totals
from support.rules import make_claimed_gram, make_gram

RULES = {"norm_clipped_mean(norm=0)": TotalsKind.NORMS, "krum(f=0)": TotalsKind.PRODUCTS}


@given(
    st.sampled_from(sorted(RULES)), st.integers(1, 9), st.integers(1, 30), st.sampled_from(sorted(FILLS)),
    st.integers(0, 2**32),
)  # fmt: skip
def test_totals_are_the_oracle_s(name: str, updates: int, length: int, fill: str, seed: int) -> None:
    matrix, kind = FILLS[fill](np.random.default_rng(seed), updates, length), RULES[name]
    totals = compute_totals(kind, matrix)
    assert totals.dtype == np.int64
    assert totals.tolist() == oracle.compute_totals(name, matrix.tolist())
    measures = unpack_totals(kind, totals, updates)
    assert measures.norms.squares.tolist() == [totals[find_total(kind, j, j, updates)] for j in range(updates)]
    if isinstance(measures, Gram):
        for j, k in zip(*list_pairs(kind, updates), strict=True):
            place = find_total(kind, j, k, updates)
            assert measures.products[j, k] == measures.products[k, j] == totals[place]


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("updates", [1, 2, 3, 10, 100])
def test_every_pair_has_its_place(name: str, updates: int) -> None:
    kind = RULES[name]
    pairs = [(j, k) for j in range(-1, updates + 1) for k in range(-1, updates + 1) if is_total(kind, j, k, updates)]
    assert pairs == oracle.list_pairs(name, updates)
    assert pairs == list(zip(*(index.tolist() for index in list_pairs(kind, updates)), strict=True))
    assert [find_total(kind, j, k, updates) for j, k in pairs] == list(range(count_totals(kind, updates)))


def test_no_totals_are_none() -> None:
    assert count_totals(TotalsKind.NONE, 7) == 0
    assert not is_total(TotalsKind.NONE, 3, 3, 7)


def test_any_int64_is_unpacked_as_it_is() -> None:
    totals = np.array([-(2**63), 2**63 - 1, -1], dtype=np.int64)
    gram = make_claimed_gram(totals, 2)
    assert gram.products.tolist() == [[-(2**63), 2**63 - 1], [2**63 - 1, -1]]
    assert gram.squared_distances.tolist() == [[0, 1 - 3 * 2**63], [1 - 3 * 2**63, 0]]
    assert all(type(value) is int for value in gram.squared_distances.ravel())
    squares = unpack_totals(TotalsKind.NORMS, totals, 3).norms.squares.tolist()
    assert squares == totals.tolist()
    assert all(type(square) is int for square in squares)


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
    gram = make_claimed_gram(make_wild_totals(random, updates), updates)
    rows = random.integers(0, 1 << 30, (mixed, updates))
    result = gram.mix(rows, denominator)
    left = rows.astype(object)
    assert result.products.tolist() == (left @ gram.products @ left.T).tolist()
    assert result.denominator == denominator
    assert result.mix(np.ones((1, mixed), dtype=np.int64), 3).denominator == 3 * denominator


@given(st.integers(1, 6), st.integers(1, 1000), st.integers(0, 2**32))
def test_norms_of_multiples_follow_from_norms_and_are_those_of_the_whole_matrix(
    updates: int, denominator: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    gram, factors = make_claimed_gram(make_wild_totals(random, updates), updates), random.integers(0, 1 << 30, updates)
    as_rows = gram.mix(np.diag(factors), denominator)
    assert gram.mix(factors, denominator).products.tolist() == as_rows.products.tolist()
    norms = gram.norms.mix(factors, denominator)
    assert norms.squares.tolist() == as_rows.norms.squares.tolist()
    assert norms.denominator == as_rows.denominator == denominator


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**32))
def test_multiples_compose_as_the_matrices_that_they_stand_for(m: int, n: int, k: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    outer, middle, inner = (random.integers(0, 1 << 40, shape) for shape in ((m, n), n, (n, k)))
    inner = inner.astype(object)
    diagonal = np.diag(middle)
    assert compose(outer, middle.astype(object)).tolist() == multiply(outer, diagonal.astype(object)).tolist()
    assert compose(middle, inner).tolist() == multiply(diagonal, inner).tolist()
    assert (
        np.diag(compose(middle, middle.astype(object))).tolist() == multiply(diagonal, diagonal.astype(object)).tolist()
    )


@given(st.integers(1, 6), st.integers(1, 2**44), st.integers(0, 2**32))
def test_distances_from_a_combination_are_exact(updates: int, denominator: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    matrix = FILLS["uniform"](random, updates, 4)
    numerators = random.integers(0, 1 << 40, updates).tolist()
    point = [
        Fraction(sum(a * int(x) for a, x in zip(numerators, column, strict=True)), denominator) for column in matrix.T
    ]
    gram = Gram(make_gram(matrix).products * 9, 3)
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
