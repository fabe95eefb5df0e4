"""Vectors in files, read and written range by range: NumPy's `.npy`, or the plain values as a replica stores them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from offchain.kernels import compiled

Dtype = Literal["int8", "int16", "int32", "int64"]


class VectorFileError(Exception):
    """The file holds no vector, or not the one that is asked for; the message names it and says what is wrong."""


class VectorFile:
    """A vector of `dtype` in the file `path`, little-endian, after a header if its name ends in `.npy`.

    A context manager that holds the file open. Threads may read at once. Raises VectorFileError.
    """

    def __init__(self, path: Path, dtype: Dtype) -> None:
        self.path = path
        self._dtype: np.dtype[Any] = np.dtype(dtype)
        with _explained(path):
            self._file = path.open("rb")
        try:
            with _explained(path):
                self.length = self._read_length()
                self.offset = self._file.tell()  # of the first value
            if hasattr(os, "posix_fadvise"):  # read ahead further: ranges come nearly in order
                os.posix_fadvise(self._file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> VectorFile:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._file.close()

    @property
    def descriptor(self) -> int:
        return self._file.fileno()

    def read_into(self, values: npt.NDArray[Any], start: int) -> None:
        """Fill contiguous `values` with those from `start` on."""
        self.read_bytes_into(values, start)
        _swap(values)

    def read_bytes_into(self, values: npt.NDArray[Any], start: int) -> None:
        """The same, as the bytes stand in the file."""
        # Into memory of the caller's, not a mapping of the file: how much is used is then the caller's to say.
        rest = values.view(np.uint8).data
        position = self.offset + start * values.itemsize
        with _explained(self.path):
            while rest:
                count = os.preadv(self.descriptor, [rest], position)
                if count == 0:
                    raise VectorFileError(f"{self.path}: became shorter while it was read")
                rest, position = rest[count:], position + count

    def read(self) -> npt.NDArray[Any]:
        values = np.empty(self.length, dtype=self._dtype)
        self.read_into(values, 0)
        return values

    def _read_length(self) -> int:
        size = os.fstat(self._file.fileno()).st_size
        if self.path.suffix == ".npy":
            return self._read_header(size)
        length, rest = divmod(size, self._dtype.itemsize)
        if rest:
            raise VectorFileError(f"{self.path}: {size} bytes are no whole number of {self._dtype} values")
        return length

    def _read_header(self, size: int) -> int:
        try:
            version = np.lib.format.read_magic(self._file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(self._file)
        except ValueError as error:
            raise VectorFileError(f"{self.path}: not NumPy's format: {error}") from None
        if dtype != self._dtype.newbyteorder("<") or len(shape) != 1:
            found = f"{dtype} of shape {shape}"
            raise VectorFileError(f"{self.path}: {found}; use a vector of little-endian {self._dtype}")
        if size - self._file.tell() != shape[0] * dtype.itemsize:
            raise VectorFileError(f"{self.path}: {size} bytes are not what its header says; is it complete?")
        return int(shape[0])


class VectorFiles:
    """Vectors of one type that are read together."""

    def __init__(self, files: Sequence[VectorFile]) -> None:
        self._files = files
        self._descriptors = np.array([file.descriptor for file in files], dtype=np.int64)
        self._offsets = np.array([file.offset for file in files], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._files)

    def read_into(self, buffer: npt.NDArray[Any], start: int, width: int) -> None:
        """Fill buffer[k, :width] of contiguous [K, ≥ width] with the values of vector k from `start` on."""
        row_bytes, size = buffer.strides[0], buffer.itemsize
        done = 0
        while done < len(self._files):
            done += compiled.read_rows(
                self._descriptors[done:],
                self._offsets[done:],
                start * size,
                buffer.ctypes.data + done * row_bytes,
                row_bytes,
                width * size,
            )
            if done < len(self._files):  # a signal came in between, or it fails again and says why
                self._files[done].read_bytes_into(buffer[done, :width], start)
                done += 1
        _swap(buffer)


class VectorWriter:
    """A vector that is written in ranges, from any thread. Made by `create_vector_file`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._offset = file.tell()

    def write(self, values: npt.NDArray[Any], start: int) -> None:
        """Write `values`, the first of which is value `start` of the vector."""
        rest = values.astype(values.dtype.newbyteorder("<"), copy=False).view(np.uint8).data
        position = self._offset + start * values.itemsize
        while rest:
            count = os.pwrite(self._file.fileno(), rest, position)
            rest, position = rest[count:], position + count


@contextmanager
def create_vector_file(path: Path, dtype: Dtype, length: int) -> Iterator[VectorWriter]:
    """A file for `length` values, which appears under its name when all is written, and not at all after an error.

    With a header if the name ends in `.npy`. Raises VectorFileError when it cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    with _explained(path):
        try:
            with partial.open("wb") as file:
                if path.suffix == ".npy":
                    header = {
                        "descr": np.dtype(dtype).newbyteorder("<").str,
                        "fortran_order": False,
                        "shape": (length,),
                    }
                    np.lib.format.write_array_header_1_0(file, header)
                    file.flush()
                yield VectorWriter(file)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def _swap(values: npt.NDArray[Any]) -> None:
    if sys.byteorder == "big":
        values.byteswap(inplace=True)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise VectorFileError(f"{path}: {error.strerror or error}") from error
