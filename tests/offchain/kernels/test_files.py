"""Vector files: what is read, what is refused, and that a file appears whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offchain.kernels.files import VectorFile, VectorFileError, VectorFiles, create_vector_file


def save(path: Path, values: Any) -> Path:
    np.save(path, values)
    return path


@pytest.mark.parametrize("name", ["vector.npy", "vector", "0a1b"])
@pytest.mark.parametrize("dtype", ["int16", "int32", "int64"])
def test_what_was_written_is_read(tmp_path: Path, name: str, dtype: Any) -> None:
    values = np.arange(-50, 50).astype(dtype)
    with create_vector_file(tmp_path / name, dtype, 100) as writer:
        writer.write(values[60:], 60)
        writer.write(values[:60], 0)
    with VectorFile(tmp_path / name, dtype) as file:
        assert file.length == 100
        np.testing.assert_array_equal(file.read(), values)
        part = np.zeros(7, dtype=dtype)
        file.read_into(part, 90)
        np.testing.assert_array_equal(part, values[90:97])
    plain = (tmp_path / name).read_bytes()[-100 * values.itemsize :]
    assert plain == values.astype(values.dtype.newbyteorder("<")).tobytes()


def test_numpy_reads_what_was_written(tmp_path: Path) -> None:
    with create_vector_file(tmp_path / "model.npy", "int32", 3) as writer:
        writer.write(np.array([1, -2, 3], dtype=np.int32), 0)
    assert np.load(tmp_path / "model.npy").tolist() == [1, -2, 3]


def test_files_with_and_without_header_are_read_together(tmp_path: Path) -> None:
    values = np.arange(3000, dtype=np.int16).reshape(3, 1000)
    paths = [save(tmp_path / "a.npy", values[0]), tmp_path / "b", save(tmp_path / "c.npy", values[2])]
    paths[1].write_bytes(values[1].astype("<i2").tobytes())
    opened = [VectorFile(path, "int16") for path in paths]
    buffer = np.zeros((3, 600), dtype=np.int16)
    VectorFiles(opened).read_into(buffer, 450, 550)
    np.testing.assert_array_equal(buffer[:, :550], values[:, 450:])
    for file in opened:
        file.__exit__()


@pytest.mark.parametrize("cut", ["first", "last"])
def test_a_file_that_shrinks_while_it_is_read_is_named(tmp_path: Path, cut: str) -> None:
    paths = [save(tmp_path / f"{name}.npy", np.arange(1000, dtype=np.int16)) for name in ("first", "between", "last")]
    opened = [VectorFile(path, "int16") for path in paths]
    with (tmp_path / f"{cut}.npy").open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(VectorFileError, match=f"{cut}.npy: became shorter"):
        VectorFiles(opened).read_into(np.zeros((3, 1000), dtype=np.int16), 0, 1000)
    for vector in opened:
        vector.__exit__()


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.zeros(4, dtype=np.float32), "float32 of shape .*use a vector of little-endian int16"),
        (np.zeros(4, dtype=np.int32), "int32 of shape"),
        (np.zeros(4, dtype=">i2"), ">i2 of shape"),
        (np.zeros((2, 2), dtype=np.int16), r"shape \(2, 2\)"),
        (np.int16(3), r"shape \(\)"),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, values: Any, says: str) -> None:
    with pytest.raises(VectorFileError, match=says):
        VectorFile(save(tmp_path / "update.npy", values), "int16")


def test_what_is_no_vector_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.npy").write_text("no header")
    with pytest.raises(VectorFileError, match="not NumPy's format"):
        VectorFile(tmp_path / "text.npy", "int16")
    (tmp_path / "odd").write_bytes(b"123")
    with pytest.raises(VectorFileError, match="3 bytes are no whole number of int16"):
        VectorFile(tmp_path / "odd", "int16")
    whole = save(tmp_path / "cut.npy", np.zeros(100, dtype=np.int16)).read_bytes()
    (tmp_path / "cut.npy").write_bytes(whole[:-2])
    with pytest.raises(VectorFileError, match="is it complete"):
        VectorFile(tmp_path / "cut.npy", "int16")
    with pytest.raises(VectorFileError, match="No such file"):
        VectorFile(tmp_path / "nowhere", "int16")
    with pytest.raises(VectorFileError, match="directory"):
        VectorFile(tmp_path, "int16")


def test_a_file_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = save(tmp_path / "model.npy", np.arange(3))
    before = path.read_bytes()
    with pytest.raises(ZeroDivisionError), create_vector_file(path, "int32", 3):
        raise ZeroDivisionError
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["model.npy"]
    with pytest.raises(VectorFileError, match="nowhere"), create_vector_file(tmp_path / "nowhere" / "m", "int32", 3):
        pass
