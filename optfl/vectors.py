"""Vectors cut into chunks: their bytes, their ids, and single chunks opened against a root.

An update is a vector of int16, a model one of int32 (design §4), little-endian on the wire and on disk. A vector is
known by its id, which binds dtype, length, chunk size and the Merkle root of the chunks; transactions carry the root
alone, and everyone derives the id and the size of the tree from the task's shape (red team A3).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from optfl import merkle

VECTOR_DOMAIN = b"optfl/vector/v1"
DEFAULT_CHUNK_VALUES = 2048
MAX_VECTOR_BYTES = 1 << 29  # a model of 2^27 values, 4 bytes each: what replicas take, and tasks may ask them to

Data = bytes | memoryview
"""Bytes that nobody changes: of a message as it came, without a copy."""

TreeBuilder = Callable[[Data, int], merkle.MerkleTree]
"""From a vector's bytes and the bytes of a chunk to the tree: `merkle.build_tree`, or what gives the same, faster."""

DTYPE_CODES = {"int16": 1, "int32": 2, "int64": 3, "int8": 4}
_WIRE_DTYPES: dict[str, np.dtype[Any]] = {
    "int8": np.dtype("<i1"),
    "int16": np.dtype("<i2"),
    "int32": np.dtype("<i4"),
    "int64": np.dtype("<i8"),
}


class ShapeError(ValueError):
    """No vector has such a shape."""


class VectorError(ValueError):
    """Bytes, values or an opening that do not fit the shape or the root they are given for."""


@dataclass(frozen=True)
class Shape:
    """What a task says of its vectors: type, number of values, and values in a chunk (the last may be shorter)."""

    dtype: Literal["int8", "int16", "int32", "int64"]
    length: int
    chunk_values: int = DEFAULT_CHUNK_VALUES

    def __post_init__(self) -> None:
        if self.dtype not in DTYPE_CODES:
            raise ShapeError(f"dtype {self.dtype!r}; use one of {', '.join(DTYPE_CODES)}")
        if not 1 <= self.length < 1 << 64:
            raise ShapeError(f"length {self.length}; a vector has 1 to 2^64 - 1 values")
        if not 1 <= self.chunk_values < 1 << 32 or self.chunk_values & (self.chunk_values - 1):
            raise ShapeError(f"chunk_values {self.chunk_values}; use a power of two from 1 to 2^31")

    @property
    def value_bytes(self) -> int:
        return _WIRE_DTYPES[self.dtype].itemsize

    @property
    def chunks(self) -> int:
        """Number of chunks, which is the number of leaves."""
        return -(-self.length // self.chunk_values)

    @property
    def size_bytes(self) -> int:
        return self.length * self.value_bytes

    def chunk_bounds(self, chunk: int) -> tuple[int, int]:
        """Values `start` to `stop` (exclusive) are chunk `chunk`; VectorError when there is no such chunk."""
        if not 0 <= chunk < self.chunks:
            raise VectorError(f"chunk {chunk} of a vector with {self.chunks} chunks")
        start = chunk * self.chunk_values
        return start, min(start + self.chunk_values, self.length)

    def range_bounds(self, chunks: range) -> tuple[int, int]:
        """Values `start` to `stop` (exclusive) are these neighbouring chunks; VectorError when there are none such."""
        if not 0 <= chunks.start < chunks.stop <= self.chunks or chunks.step != 1:
            raise VectorError(f"chunks {chunks.start} to {chunks.stop} of a vector with {self.chunks} chunks")
        return chunks.start * self.chunk_values, min(chunks.stop * self.chunk_values, self.length)


@dataclass(frozen=True)
class Opening:
    """One chunk of a vector (little-endian bytes) and the siblings that lead from its leaf to the root, bottom-up.

    Or several neighbouring chunks, with the roots of the subtrees beside them from left to right.
    """

    data: bytes
    path: tuple[bytes, ...]


class ChunkedVector:
    """A vector, its values and the Merkle tree over its chunks, which are made when first asked for. Immutable.

    `data`: the little-endian bytes (copied unless nobody can change them), or a one-dimensional array of exactly the
    shape's dtype (copied). `build_tree`: another way to the same tree. VectorError when data does not fit `shape`.
    """

    def __init__(
        self, shape: Shape, data: Data | npt.NDArray[Any], build_tree: TreeBuilder = merkle.build_tree
    ) -> None:
        self.shape = shape
        self._build_tree = build_tree
        self._built: merkle.MerkleTree | None = None
        self.buffer: Data  # the bytes as they came
        if isinstance(data, np.ndarray):
            self.buffer = _encode_values(shape, data)
        else:
            is_kept = isinstance(data, memoryview) and data.readonly and data.contiguous and data.format == "B"
            self.buffer = data if is_kept else bytes(data)
        _check_length(shape, self.buffer)

    @cached_property
    def data(self) -> bytes:
        return bytes(self.buffer)  # no copy of what is bytes already

    @cached_property
    def values(self) -> npt.NDArray[Any]:
        """Read-only, of the shape's dtype, aligned in memory."""
        values: npt.NDArray[Any] = np.require(_decode_values(self.shape, self.buffer), requirements="A")
        values.flags.writeable = False
        return values

    def chunk_bytes(self, chunk: int) -> bytes:
        start, stop = self.shape.chunk_bounds(chunk)
        return bytes(self.buffer[start * self.shape.value_bytes : stop * self.shape.value_bytes])

    def opening(self, chunk: int) -> Opening:
        return Opening(self.chunk_bytes(chunk), tuple(self._tree.path(chunk)))

    def range_opening(self, chunks: range) -> Opening:
        """Several neighbouring chunks, opened together."""
        start, stop = self.shape.range_bounds(chunks)
        data = self.data[start * self.shape.value_bytes : stop * self.shape.value_bytes]
        return Opening(data, tuple(self._tree.range_path(chunks.start, chunks.stop)))

    @property
    def root(self) -> bytes:
        return self._tree.root

    @property
    def id(self) -> bytes:
        return compute_vector_id(self.shape, self.root)

    @property
    def _tree(self) -> merkle.MerkleTree:
        # No cached_property: up to Python 3.11 that has one lock for all vectors, and threads would take turns.
        if self._built is None:
            self._built = self._build_tree(self.buffer, self.shape.chunk_values * self.shape.value_bytes)
        return self._built


def compute_vector_id(shape: Shape, root: bytes) -> bytes:
    """SHA-256(domain ‖ dtype code ‖ u64 length ‖ u32 chunk_values ‖ root), numbers big-endian."""
    if len(root) != merkle.HASH_BYTES:
        raise VectorError(f"a root has {merkle.HASH_BYTES} bytes, not {len(root)}")
    header = bytes([DTYPE_CODES[shape.dtype]]) + shape.length.to_bytes(8, "big") + shape.chunk_values.to_bytes(4, "big")
    return hashlib.sha256(VECTOR_DOMAIN + header + root).digest()


def decode_vector(shape: Shape, data: bytes) -> npt.NDArray[Any]:
    """Values of a whole vector, read-only, of the shape's dtype; VectorError when `data` has another length."""
    _check_length(shape, data)
    return _decode_values(shape, data)


def _check_length(shape: Shape, data: Data) -> None:
    if len(data) != shape.size_bytes:
        raise VectorError(f"{len(data)} bytes where a vector of {shape.length} {shape.dtype} has {shape.size_bytes}")


def verify_opening(shape: Shape, root: bytes, chunk: int, opening: Opening) -> npt.NDArray[Any]:
    """Values of chunk `chunk` of the vector with `root`, read-only; VectorError when the opening does not show it."""
    start, stop = shape.chunk_bounds(chunk)
    expected_bytes = (stop - start) * shape.value_bytes
    if len(opening.data) != expected_bytes:
        raise VectorError(f"{len(opening.data)} bytes where chunk {chunk} has {expected_bytes}")
    if _compute_opened_root(shape, chunk, opening.data, opening.path) != root:
        raise VectorError(f"chunk {chunk} with its path does not lead to the root")
    return _decode_values(shape, opening.data)


def verify_range_opening(shape: Shape, root: bytes, chunks: range, opening: Opening) -> npt.NDArray[Any]:
    """Values of neighbouring chunks of the vector with `root`, read-only; VectorError as `verify_opening`."""
    start, stop = shape.range_bounds(chunks)
    expected_bytes = (stop - start) * shape.value_bytes
    if len(opening.data) != expected_bytes:
        raise VectorError(
            f"{len(opening.data)} bytes where chunks {chunks.start} to {chunks.stop} have {expected_bytes}"
        )
    leaves = merkle.hash_leaves(opening.data, shape.chunk_values * shape.value_bytes)
    try:
        opened = merkle.compute_root_from_range(leaves, chunks.start, shape.chunks, opening.path)
    except merkle.MerkleError as error:
        raise VectorError(f"chunks {chunks.start} to {chunks.stop}: {error}") from error
    if opened != root:
        raise VectorError(f"chunks {chunks.start} to {chunks.stop} with their path do not lead to the root")
    return _decode_values(shape, opening.data)


def _compute_opened_root(shape: Shape, chunk: int, data: bytes, path: Sequence[bytes]) -> bytes:
    try:
        return merkle.compute_root_from_path(merkle.hash_leaf(data), chunk, shape.chunks, path)
    except merkle.MerkleError as error:
        raise VectorError(f"chunk {chunk}: {error}") from error


def _encode_values(shape: Shape, values: npt.NDArray[Any]) -> bytes:
    if values.dtype != np.dtype(shape.dtype) or values.ndim != 1:
        raise VectorError(f"an array of {values.ndim} dimensions and {values.dtype}; use a vector of {shape.dtype}")
    wire: npt.NDArray[Any] = values.astype(_WIRE_DTYPES[shape.dtype], copy=False)
    return wire.tobytes()


def _decode_values(shape: Shape, data: Data) -> npt.NDArray[Any]:
    # On a big-endian machine this copies; everywhere else it is a view of the bytes.
    return np.frombuffer(data, dtype=_WIRE_DTYPES[shape.dtype]).astype(np.dtype(shape.dtype), copy=False)
