"""Trees made by compiled code: node for node those of the protocol, with libcrypto and without."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offchain.kernels import compiled, hashing
from offchain.kernels.hashing import LARGE_BYTES, build_tree, find_functions, make_vector
from optfl import merkle
from optfl.vectors import ChunkedVector, Shape


@pytest.fixture
def _found_anew() -> Iterator[None]:
    find_functions.cache_clear()
    yield
    find_functions.cache_clear()


@pytest.fixture(scope="module", autouse=True)
def _all_are_large() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashing, "LARGE_BYTES", 1)
        yield


def check_tree(data: bytes, leaf_bytes: int) -> None:
    made, expected = build_tree(data, leaf_bytes), merkle.build_tree(data, leaf_bytes)
    assert made.root == expected.root
    assert made.size == expected.size
    assert [made.path(index) for index in range(made.size)] == [expected.path(index) for index in range(made.size)]


@given(data=st.binary(min_size=1, max_size=400), leaf_bytes=st.integers(1, 80))
def test_any_tree(data: bytes, leaf_bytes: int) -> None:
    check_tree(data, leaf_bytes)


@pytest.mark.parametrize("leaves", [1, 2, 3, 5, 8, 811])
@pytest.mark.parametrize("last", [1, 4095, 4096])
def test_trees_of_real_chunks(leaves: int, last: int) -> None:
    check_tree(np.random.default_rng(leaves).bytes(4096 * (leaves - 1) + last), 4096)


def test_vectors_of_bytes_views_and_values_are_those_of_the_protocol() -> None:
    values = np.random.default_rng(1).integers(-(2**15), 2**15, LARGE_BYTES // 2 + 5, dtype=np.int16)
    shape, data = Shape("int16", len(values)), values.astype("<i2").tobytes()
    expected = ChunkedVector(shape, data)
    for given_as in (data, memoryview(b"xyz" + data)[3:], values):
        made = make_vector(shape, given_as)
        assert made.id == expected.id
        assert made.opening(7) == expected.opening(7)
        assert made.range_opening(range(3, 9)) == expected.range_opening(range(3, 9))


def test_many_threads_at_once() -> None:
    random = np.random.default_rng(2)
    blobs = [random.bytes(1 << 16) for _ in range(64)]
    with ThreadPoolExecutor(8) as pool:
        roots = list(pool.map(lambda blob: build_tree(blob, 512).root, blobs))
    assert roots == [merkle.build_tree(blob, 512).root for blob in blobs]


@pytest.mark.usefixtures("_found_anew")
@pytest.mark.parametrize("failure", ["no module", "no library", "no symbols", "another function", "no cache"])
def test_where_libcrypto_cannot_be_called_hashlib_does_it(failure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise {"no library": OSError, "no cache": RuntimeError}[failure]("as said")

    if failure == "no module":
        monkeypatch.setitem(sys.modules, "_hashlib", None)
    elif failure == "no library":
        monkeypatch.setattr(ctypes, "CDLL", fail)
    elif failure == "no symbols":
        monkeypatch.setattr(ctypes, "CDLL", lambda _path: object())
    elif failure == "no cache":
        monkeypatch.setattr(compiled, "hash_tree", fail)
    else:
        monkeypatch.setattr(compiled, "hash_tree", lambda *_arguments: None)  # leaves digests of no meaning
    assert find_functions() is None
    monkeypatch.delattr(compiled, "hash_tree")
    check_tree(bytes(10_000), 4096)


def test_small_vectors_do_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "LARGE_BYTES", LARGE_BYTES)
    monkeypatch.delattr(compiled, "hash_tree")
    check_tree(bytes(LARGE_BYTES - 1), 4096)
