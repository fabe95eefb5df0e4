"""Sketches: linear, exact in 64 bits, and about as long as the difference that they stand for."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optfl.sketch import (
    BLOCK_VALUES,
    MAX_LENGTH,
    MAX_VALUE,
    ROWS,
    SKETCH_DOMAIN,
    SketchError,
    compute_sketch,
    compute_squared_norm,
    is_within,
)

INT32 = np.iinfo(np.int32)
SEED = hashlib.sha256(b"a beacon").digest()


def sketch_by_hand(seed: bytes, own: list[int], claimed: list[int]) -> list[int]:
    """As the protocol's text has it, coordinate by coordinate."""
    rows = [0] * ROWS
    for i, (a, b) in enumerate(zip(own, claimed, strict=True)):
        block, number = divmod(i, BLOCK_VALUES)
        stream = hashlib.shake_256(SKETCH_DOMAIN + seed + block.to_bytes(4, "big")).digest(2 * BLOCK_VALUES)
        row, sign = stream[2 * number], stream[2 * number + 1] & 1
        rows[row] += (b - a) if sign else (a - b)
    return rows


def vector(*values: int) -> npt.NDArray[np.int32]:
    return np.array(values, dtype=np.int32)


def draw(seed: int, length: int) -> npt.NDArray[np.int32]:
    return np.random.default_rng(seed).integers(INT32.min, INT32.max, length, dtype=np.int32, endpoint=True)


@pytest.mark.parametrize("length", [1, 2, 255, 8191, 8192, 8193, 20_000])
def test_it_is_what_the_text_says(length: int) -> None:
    own, claimed = draw(1, length), draw(2, length)
    assert compute_sketch(SEED, own, claimed) == sketch_by_hand(SEED, own.tolist(), claimed.tolist())


def test_a_published_sketch() -> None:
    """Whoever changes this forks the votes of every chain."""
    own = np.arange(10_000, dtype=np.int32) ** 2
    sketch = compute_sketch(bytes(32), own, np.zeros(10_000, dtype=np.int32))
    digest = hashlib.sha256(b"".join(value.to_bytes(8, "big", signed=True) for value in sketch)).hexdigest()
    assert digest == "62143159fa4968763e0ad2f9876d786a1f733d94978e8c07a3a12b3f182220d1"


def test_equal_models_have_the_sketch_zero() -> None:
    assert compute_sketch(SEED, draw(1, 9000), draw(1, 9000)) == [0] * ROWS


@pytest.mark.parametrize("own", [INT32.min, -1, 0, 1, INT32.max])
@pytest.mark.parametrize("claimed", [INT32.min, -1, 0, 1, INT32.max])
def test_one_coordinate_keeps_its_length_exactly(own: int, claimed: int) -> None:
    sketch = compute_sketch(SEED, vector(0, own, 0), vector(0, claimed, 0))
    assert compute_squared_norm(sketch) == (own - claimed) ** 2


def test_the_largest_sum_that_there_is_fits() -> None:
    """All coordinates as far apart as int32 can be, and all of them in one row with one sign."""
    assert MAX_LENGTH * (INT32.max - INT32.min) == MAX_VALUE
    assert MAX_VALUE < 2**59


def test_extremes_do_not_wrap() -> None:
    length = 50_000
    own, claimed = np.full(length, INT32.max, np.int32), np.full(length, INT32.min, np.int32)
    assert compute_sketch(SEED, own, claimed) == sketch_by_hand(SEED, own.tolist(), claimed.tolist())


def test_it_is_linear() -> None:
    """So that the distance of two votes is the distance of two results, whatever the claimed model."""
    a, b, claimed = (draw(seed, 10_000) // 4 for seed in (1, 2, 3))
    first, second = compute_sketch(SEED, a, claimed), compute_sketch(SEED, b, claimed)
    assert [x - y for x, y in zip(first, second, strict=True)] == compute_sketch(SEED, a, b)


def test_another_seed_is_another_projection() -> None:
    own, claimed = draw(1, 1000), draw(2, 1000)
    assert compute_sketch(SEED, own, claimed) != compute_sketch(bytes(32), own, claimed)


def test_blocks_do_not_repeat() -> None:
    """A change in one block is not cancelled by its negative at the same place in the next."""
    own = np.zeros(2 * BLOCK_VALUES, dtype=np.int32)
    own[:BLOCK_VALUES], own[BLOCK_VALUES:] = draw(1, BLOCK_VALUES) // 2, -(draw(1, BLOCK_VALUES) // 2)
    assert not is_within(compute_sketch(SEED, own, np.zeros_like(own)), 2**31)


def test_V8_the_distortion_is_that_of_256_rows() -> None:
    """Relative standard deviation of the squared norm: √(2/256) = 8.8 %, for a difference spread over coordinates."""
    difference = np.random.default_rng(5).integers(-1000, 1001, 3000).astype(np.int32)
    zero = np.zeros_like(difference)
    true = int((difference.astype(np.int64) ** 2).sum())
    seeds = [number.to_bytes(32, "big") for number in range(400)]
    ratios = np.array([compute_squared_norm(compute_sketch(seed, difference, zero)) / true for seed in seeds])
    assert abs(ratios.mean() - 1) < 4 * 0.0884 / 20
    assert 0.075 < ratios.std() < 0.105
    assert 0.6 < ratios.min() < ratios.max() < 1.45


@given(st.lists(st.integers(-(2**62), 2**62), max_size=20), st.integers(0, 2**63))
def test_is_within_is_the_root_of_the_squared_norm(values: list[int], distance: int) -> None:
    assert is_within(values, distance) == (sum(v * v for v in values) <= distance**2)


def test_at_the_distance_is_within() -> None:
    assert is_within([3, 4], 5)
    assert not is_within([3, 4, 1], 5)
    assert is_within([2**59, 0], 2**59)
    assert not is_within([2**59, 1], 2**59)


@pytest.mark.parametrize(
    ("own", "claimed"),
    [
        (np.zeros(3, np.int64), np.zeros(3, np.int32)),
        (np.zeros(3, np.int32), np.zeros(3, np.int16)),
        (np.zeros(3, np.int32), np.zeros(4, np.int32)),
        (np.zeros((3, 1), np.int32), np.zeros((3, 1), np.int32)),
    ],
)
def test_only_models_of_one_shape_have_a_sketch(own: npt.NDArray[np.int32], claimed: npt.NDArray[np.int32]) -> None:
    with pytest.raises(SketchError, match=r"use two int32\[D\]"):
        compute_sketch(SEED, own, claimed)


def test_what_is_too_long_to_be_exact_has_none() -> None:
    long = np.broadcast_to(np.int32(0), (MAX_LENGTH + 1,))
    with pytest.raises(SketchError, match="exact up to"):
        compute_sketch(SEED, long, long)
