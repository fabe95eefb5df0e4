"""Traces: the reference's bytes, at the ends of every sum that is taken on the way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offchain.kernels import compiled
from offchain.kernels.aggregate import compute_trace
from optfl import traces
from optfl.rules import TotalsKind
from optfl.rules.base import Int16Array
from support.inputs import FILLS


def check(updates: Int16Array, threads: int = 1) -> None:
    for kind in (TotalsKind.NORMS, TotalsKind.PRODUCTS):
        actual = compute_trace(kind, list(updates), threads)
        assert actual.dtype == np.int64
        np.testing.assert_array_equal(actual, traces.compute_trace(kind, list(updates)))


@pytest.mark.parametrize("updates", [*range(1, 14), 59, 60, 61, 130])
def test_every_shape_of_tiles(updates: int) -> None:
    for fill in FILLS.values():
        check(fill(np.random.default_rng(updates), updates, 45))


@pytest.mark.parametrize("fill", sorted(FILLS))
@pytest.mark.parametrize(
    "length", [1, 31, 32, 33, compiled.PRODUCT_VALUES - 1, compiled.PRODUCT_VALUES, compiled.PRODUCT_VALUES + 1, 5000]
)
def test_every_length_of_a_block(length: int, fill: str) -> None:
    check(FILLS[fill](np.random.default_rng(length), 5, length))


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("beyond", [-1, 0, 1])
def test_every_border_of_rows(threads: int, beyond: int) -> None:
    check(FILLS["uniform"](np.random.default_rng(1), 3, 2 * traces.BLOCK_VALUES + beyond), threads)


def test_the_largest_products_of_whole_rows() -> None:
    lowest = np.full((2, traces.BLOCK_VALUES + 1), -(2**15), dtype=np.int16)
    lowest[1, ::2] = 2**15 - 1
    check(lowest)


@pytest.mark.parametrize("size", range(4090, 4100))
def test_the_border_between_whole_and_halved_products(size: int) -> None:
    """128 products of 4096 with itself are what no int32 holds."""
    row = np.full(2 * compiled.PRODUCT_VALUES, size, dtype=np.int16)
    check(np.stack([row, -row, row // 2, np.full_like(row, 2**15 - 1), np.ones_like(row), row]))


@given(st.integers(1, 20), st.integers(1, 3000), st.sampled_from(sorted(FILLS)), st.integers(0, 2**32))
def test_any_updates(updates: int, length: int, fill: str, seed: int) -> None:
    check(FILLS[fill](np.random.default_rng(seed), updates, length))
