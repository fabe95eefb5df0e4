"""Vectors whose trees are made in one call that needs no GIL, node for node those of `optfl.merkle`.

Python's `hashlib` gives up the GIL for each chunk, and threads that hash wait for one another to get it back. Compiled
code calls the same SHA-256, that of the libcrypto which `hashlib` uses, for a whole tree at once. Where that library
cannot be had, as in Pythons with a part of it linked into them, `hashlib` does it.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from optfl import merkle
from optfl.merkle import HASH_BYTES, MerkleTree
from optfl.rules.base import Int64Array
from optfl.vectors import ChunkedVector, Data, Shape

LARGE_BYTES = 1 << 20
"""Of a vector that is worth it: loading numba takes as long as hashing a few hundred of these."""

_SAMPLE = bytes(range(200))
_PREFIXES = np.array([0, 1], dtype=np.uint8)  # of a leaf and of a node (RFC 6962)


def make_vector(shape: Shape, data: Data | npt.NDArray[Any]) -> ChunkedVector:
    """The same as `ChunkedVector`; many threads that ask for ids of such vectors work at once."""
    return ChunkedVector(shape, data, build_tree)


def build_tree(data: Data, leaf_bytes: int) -> MerkleTree:
    """As `optfl.merkle.build_tree`."""
    functions = find_functions() if len(data) >= LARGE_BYTES else None
    return merkle.build_tree(data, leaf_bytes) if functions is None else _build_tree(functions, data, leaf_bytes)


@lru_cache(maxsize=1)
def find_functions() -> Int64Array | None:
    """Addresses of libcrypto's SHA-256 (OpenSSL 1.1 and 3 alike), None where it cannot be had or called.

    The first call compiles, or loads what was compiled.
    """
    try:
        import _hashlib

        library = ctypes.CDLL(getattr(_hashlib, "__file__", None))  # None: what is linked into Python itself
        found = (library.SHA256_Init, library.SHA256_Update, library.SHA256_Final)
        functions = np.array([ctypes.cast(function, ctypes.c_void_p).value for function in found], dtype=np.int64)
        sample = _build_tree(functions, _SAMPLE, 64)
    except (ImportError, OSError, AttributeError, RuntimeError):  # the last one: numba has no folder for its cache
        return None
    return functions if sample.root == merkle.build_tree(_SAMPLE, 64).root else None


def _build_tree(functions: Int64Array, data: Data, leaf_bytes: int) -> MerkleTree:
    from offchain.kernels import compiled  # here: replicas and clients of small models do without numba

    counts = [-(-len(data) // leaf_bytes)]
    while counts[-1] > 1:
        counts.append((counts[-1] + 1) // 2)
    nodes = np.empty((sum(counts), HASH_BYTES), dtype=np.uint8)
    values = np.frombuffer(data, dtype=np.uint8)
    state = np.empty(compiled.HASH_STATE_BYTES, dtype=np.uint8)
    compiled.hash_tree(functions, values.ctypes.data, len(values), leaf_bytes, state, _PREFIXES, nodes)
    hashes = iter(nodes.view(f"V{HASH_BYTES}")[:, 0].tolist())
    return MerkleTree.from_levels([list(islice(hashes, count)) for count in counts])
