"""Chunked vectors: shapes, bytes, ids, and single chunks opened against a root."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optfl.vectors import (
    ChunkedVector,
    Opening,
    Shape,
    ShapeError,
    VectorError,
    compute_vector_id,
    decode_vector,
    verify_opening,
)
from support import oracle

LIMITS = {"int8": (-(2**7), 2**7 - 1), "int16": (-(2**15), 2**15 - 1), "int32": (-(2**31), 2**31 - 1)}
DTYPES: list[Literal["int8", "int16", "int32"]] = ["int8", "int16", "int32"]


@st.composite
def vectors(draw: st.DrawFn) -> tuple[Shape, list[int]]:
    dtype = draw(st.sampled_from(DTYPES))
    low, high = LIMITS[dtype]
    values = draw(st.lists(st.integers(low, high), min_size=1, max_size=70))
    return Shape(dtype, len(values), draw(st.sampled_from([1, 2, 4, 8, 64, 2048]))), values


@given(vectors())
def test_root_and_id_are_the_definition_s(vector: tuple[Shape, list[int]]) -> None:
    shape, values = vector
    chunked = ChunkedVector(shape, np.array(values, dtype=shape.dtype))
    assert chunked.root == oracle.compute_vector_root(shape.dtype, values, shape.chunk_values)
    assert chunked.id == oracle.compute_vector_id(shape.dtype, values, shape.chunk_values)
    assert chunked.id == compute_vector_id(shape, chunked.root)


@given(vectors())
def test_bytes_and_arrays_make_the_same_vector(vector: tuple[Shape, list[int]]) -> None:
    shape, values = vector
    from_array = ChunkedVector(shape, np.array(values, dtype=shape.dtype))
    data = oracle.encode_values(shape.dtype, values)
    from_bytes = ChunkedVector(shape, data)
    assert from_array.data == from_bytes.data == data
    assert from_array.id == from_bytes.id
    assert from_bytes.values.tolist() == decode_vector(shape, data).tolist() == values
    assert from_bytes.values.dtype == np.dtype(shape.dtype)


@given(vectors())
def test_every_chunk_opens_against_the_root(vector: tuple[Shape, list[int]]) -> None:
    shape, values = vector
    chunked = ChunkedVector(shape, np.array(values, dtype=shape.dtype))
    opened: list[int] = []
    for chunk in range(shape.chunks):
        opening = chunked.opening(chunk)
        assert opening.data == chunked.chunk_bytes(chunk)
        opened += verify_opening(shape, chunked.root, chunk, opening).tolist()
    assert opened == values


@given(vectors(), st.data())
def test_no_tampered_opening_verifies(vector: tuple[Shape, list[int]], data: st.DataObject) -> None:
    """A flipped bit anywhere in the data, the path or the root is seen."""
    shape, values = vector
    chunked = ChunkedVector(shape, np.array(values, dtype=shape.dtype))
    chunk = data.draw(st.integers(0, shape.chunks - 1))
    opening = chunked.opening(chunk)
    bit = data.draw(st.integers(0, len(opening.data) * 8 - 1))
    with pytest.raises(VectorError, match="does not lead to the root"):
        verify_opening(shape, chunked.root, chunk, replace(opening, data=flip(opening.data, bit)))
    bit = data.draw(st.integers(0, 255))
    with pytest.raises(VectorError, match="does not lead to the root"):
        verify_opening(shape, flip(chunked.root, bit), chunk, opening)
    if opening.path:
        aunt = data.draw(st.integers(0, len(opening.path) - 1))
        path = list(opening.path)
        path[aunt] = flip(path[aunt], bit)
        with pytest.raises(VectorError, match="does not lead to the root"):
            verify_opening(shape, chunked.root, chunk, replace(opening, path=tuple(path)))


def flip(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def count_up(shape: Shape) -> ChunkedVector:
    return ChunkedVector(shape, np.arange(shape.length, dtype=shape.dtype))


SHAPE = Shape("int16", 19, 4)


def test_a_chunk_does_not_open_as_another() -> None:
    vector = count_up(SHAPE)
    with pytest.raises(VectorError):
        verify_opening(SHAPE, vector.root, 1, vector.opening(0))


def test_a_path_of_another_length_is_a_vector_error() -> None:
    vector = count_up(SHAPE)
    opening = vector.opening(0)
    for path in ((), opening.path[:-1], (*opening.path, opening.path[0])):
        with pytest.raises(VectorError, match="chunk 0: the path"):
            verify_opening(SHAPE, vector.root, 0, Opening(opening.data, path))
    with pytest.raises(VectorError, match="chunk 0: a hash"):
        verify_opening(SHAPE, vector.root, 0, Opening(opening.data, (b"short", *opening.path[1:])))


@pytest.mark.parametrize("size", [0, 7, 9, 1000])
def test_a_chunk_of_another_length_is_a_vector_error(size: int) -> None:
    vector = count_up(SHAPE)
    with pytest.raises(VectorError, match="chunk 0 has 8"):
        verify_opening(SHAPE, vector.root, 0, Opening(bytes(size), vector.opening(0).path))


def test_the_tree_size_is_the_shape_s_so_a_longer_vector_s_opening_does_not_verify() -> None:
    """Red team A3: nothing in an opening can say how large the tree is."""
    longer = count_up(Shape("int16", 40, 4))
    with pytest.raises(VectorError):
        verify_opening(SHAPE, longer.root, 0, longer.opening(0))


@pytest.mark.parametrize("chunk", [-1, 5, 2**32])
def test_a_chunk_outside_the_vector_is_a_vector_error(chunk: int) -> None:
    vector = count_up(SHAPE)
    message = f"chunk {chunk} of a vector with 5 chunks"
    with pytest.raises(VectorError, match=message):
        SHAPE.chunk_bounds(chunk)
    with pytest.raises(VectorError, match=message):
        vector.opening(chunk)
    with pytest.raises(VectorError, match=message):
        verify_opening(SHAPE, vector.root, chunk, vector.opening(0))


@pytest.mark.parametrize(
    ("length", "chunks", "last"), [(1, 1, (0, 1)), (4, 1, (0, 4)), (5, 2, (4, 5)), (8, 2, (4, 8)), (19, 5, (16, 19))]
)
def test_the_last_chunk_has_what_is_left(length: int, chunks: int, last: tuple[int, int]) -> None:
    shape = Shape("int32", length, 4)
    assert shape.chunks == chunks
    assert shape.chunk_bounds(chunks - 1) == last
    assert shape.size_bytes == 4 * length


@pytest.mark.parametrize(
    ("dtype", "length", "chunk_values", "message"),
    [
        ("float32", 1, 1, "dtype"),
        ("int16", 0, 1, "length"),
        ("int16", -1, 1, "length"),
        ("int16", 2**64, 1, "length"),
        ("int16", 1, 0, "power of two"),
        ("int16", 1, -2, "power of two"),
        ("int16", 1, 3, "power of two"),
        ("int16", 1, 2**32, "power of two"),
    ],
)
def test_impossible_shapes_are_refused(dtype: Any, length: int, chunk_values: int, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        Shape(dtype, length, chunk_values)


@pytest.mark.parametrize("size", [0, 37, 39, 76])
def test_bytes_of_another_length_are_refused(size: int) -> None:
    with pytest.raises(VectorError, match="has 38"):
        decode_vector(SHAPE, bytes(size))
    with pytest.raises(VectorError, match="has 38"):
        ChunkedVector(SHAPE, bytes(size))


@pytest.mark.parametrize(
    "values",
    [
        np.zeros(19, dtype=np.int32),
        np.zeros(19, dtype=np.float64),
        np.zeros(19, dtype=">i2"),
        np.zeros((19, 1), dtype=np.int16),
        np.zeros(20, dtype=np.int16),
    ],
)
def test_arrays_that_do_not_fit_are_refused(values: npt.NDArray[Any]) -> None:
    with pytest.raises(VectorError):
        ChunkedVector(SHAPE, values)


def test_a_root_of_another_length_has_no_id() -> None:
    with pytest.raises(VectorError, match="32 bytes"):
        compute_vector_id(SHAPE, b"short")


def test_a_vector_does_not_follow_changes_of_what_it_was_made_from() -> None:
    values = np.arange(19, dtype=np.int16)
    mutable = bytearray(values.tobytes())
    vectors_made = [ChunkedVector(SHAPE, values), ChunkedVector(SHAPE, bytes(mutable))]
    expected = count_up(SHAPE).id
    values[0] = mutable[0] = 99
    for vector in vectors_made:
        assert vector.id == expected
        assert not vector.values.flags.writeable


@pytest.mark.parametrize("offset", range(4))
def test_a_view_of_a_message_is_kept_and_its_values_are_aligned_all_the_same(offset: int) -> None:
    shape = Shape("int32", 3, 2)
    values = np.array([1, -2, 3], dtype=np.int32)
    message = bytes(offset) + values.tobytes()
    vector = ChunkedVector(shape, memoryview(message)[offset:])
    assert isinstance(vector.buffer, memoryview)
    assert vector.buffer.obj is message
    assert vector.data == values.tobytes()
    assert vector.values.flags.aligned
    assert not vector.values.flags.writeable
    assert vector.values.tolist() == values.tolist()
    assert vector.id == ChunkedVector(shape, values).id
    assert type(vector.opening(1).data) is bytes


def test_a_view_that_may_change_is_copied() -> None:
    memory = bytearray(np.array([1, 2, 3], dtype=np.int32).tobytes())
    vector = ChunkedVector(Shape("int32", 3, 2), memoryview(memory))
    memory[0] = 9
    assert vector.values.tolist() == [1, 2, 3]
    assert type(vector.buffer) is bytes


def test_strided_arrays_are_taken_by_value() -> None:
    every_other = np.arange(38, dtype=np.int16)[::2]
    assert ChunkedVector(SHAPE, every_other).values.tolist() == every_other.tolist()


def test_the_id_binds_dtype_length_and_chunk_values() -> None:
    root = count_up(SHAPE).root
    shapes: list[tuple[Literal["int16", "int32"], int, int]] = [
        ("int16", 19, 4),
        ("int32", 19, 4),
        ("int16", 20, 4),
        ("int16", 19, 8),
    ]
    assert len({compute_vector_id(Shape(*shape), root) for shape in shapes}) == len(shapes)
