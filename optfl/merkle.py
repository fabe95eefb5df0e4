"""Merkle trees of RFC 6962: the one shape for chunked vectors, the ledger's stores and CometBFT's proofs.

A leaf is hashed as SHA-256(0x00 ‖ data), a node as SHA-256(0x01 ‖ left ‖ right), and a tree of n > 1 leaves splits at
the largest power of two below n. Seen from below: neighbours pair up, and an odd one out moves up a level unchanged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()


class MerkleError(ValueError):
    """An index, a tree size, a path or a hash that cannot belong together."""


def hash_leaf(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def hash_leaves(data: bytes | memoryview, leaf_bytes: int) -> list[bytes]:
    """`hash_leaf` of each `leaf_bytes` of `data`, of what is left for the last one. A tight loop: vectors are long."""
    view, sha256 = memoryview(data), hashlib.sha256
    hashes = []
    for start in range(0, len(data), leaf_bytes):
        leaf = sha256(b"\x00")
        leaf.update(view[start : start + leaf_bytes])
        hashes.append(leaf.digest())
    return hashes


def hash_node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class MerkleTree:
    """A tree over given leaf hashes, all levels kept: the root and every path cost no further hashing."""

    def __init__(self, leaf_hashes: Sequence[bytes]) -> None:
        level = list(leaf_hashes)
        if any(len(leaf_hash) != HASH_BYTES for leaf_hash in level):
            raise MerkleError(f"a leaf hash has {HASH_BYTES} bytes; hash the data with hash_leaf first")
        self._levels = [level]
        while len(level) > 1:
            parents = [hash_node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
            if len(level) % 2:
                parents.append(level[-1])
            level = parents
            self._levels.append(level)

    @classmethod
    def from_levels(cls, levels: Sequence[list[bytes]]) -> MerkleTree:
        """A tree that was computed elsewhere: its leaves' hashes, their parents, up to the root. Nothing is checked."""
        tree = cls([])
        tree._levels = list(levels)
        return tree

    @property
    def size(self) -> int:
        """Number of leaves."""
        return len(self._levels[0])

    @property
    def root(self) -> bytes:
        return self._levels[-1][0] if self.size else EMPTY_ROOT

    def path(self, index: int) -> list[bytes]:
        """Siblings from leaf `index` up to the root; MerkleError when there is no such leaf."""
        _check_index(index, self.size)
        aunts = []
        for level in self._levels[:-1]:
            sibling = index ^ 1
            if sibling < len(level):
                aunts.append(level[sibling])
            index //= 2
        return aunts

    def range_path(self, start: int, stop: int) -> list[bytes]:
        """What leads from leaves `start` to `stop` (exclusive) to the root: the subtrees beside them, left to right."""
        _check_range(start, stop, self.size)
        path = []
        for level, index in _walk_outside(start, stop, self.size):
            path.append(self._levels[level][index])
        return path


def build_tree(data: bytes | memoryview, leaf_bytes: int) -> MerkleTree:
    """The tree whose leaves are each `leaf_bytes` of `data`, the last one what is left."""
    return MerkleTree(hash_leaves(data, leaf_bytes))


def compute_root(leaf_hashes: Sequence[bytes]) -> bytes:
    """Root over leaf hashes; SHA-256 of nothing for an empty tree."""
    return MerkleTree(leaf_hashes).root


def compute_path(leaf_hashes: Sequence[bytes], index: int) -> list[bytes]:
    """Siblings from leaf `index` up to the root; MerkleError when there is no such leaf."""
    return MerkleTree(leaf_hashes).path(index)


def compute_root_from_path(leaf_hash: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """Root of the tree of `size` leaves that has `leaf_hash` at `index` and these siblings, bottom-up.

    `size` must come from what the verifier knows, never from the proof (red team A3). MerkleError when the index is out
    of range or the path has another length than such a tree gives it.
    """
    _check_index(index, size)
    if len(leaf_hash) != HASH_BYTES or any(len(aunt) != HASH_BYTES for aunt in path):
        raise MerkleError(f"a hash in a path has {HASH_BYTES} bytes")
    node, used = leaf_hash, 0
    while size > 1:
        if index ^ 1 < size:
            if used == len(path):
                raise MerkleError(f"the path ends after {used} hashes, short of the root")
            node = hash_node(path[used], node) if index % 2 else hash_node(node, path[used])
            used += 1
        index //= 2
        size = (size + 1) // 2
    if used != len(path):
        raise MerkleError(f"the path has {len(path)} hashes where {used} lead to the root")
    return node


def compute_root_from_range(leaf_hashes: Sequence[bytes], start: int, size: int, path: Sequence[bytes]) -> bytes:
    """Root of the tree of `size` leaves that has these from `start` on, and `path` of `MerkleTree.range_path`.

    `size` must come from what the verifier knows, never from the proof (red team A3). MerkleError when the leaves are
    not within the tree or the path has another length than such a tree gives it.
    """
    stop = start + len(leaf_hashes)
    _check_range(start, stop, size)
    if any(len(given) != HASH_BYTES for given in (*leaf_hashes, *path)):
        raise MerkleError(f"a hash in a path has {HASH_BYTES} bytes")
    outside = list(_walk_outside(start, stop, size))
    if len(path) != len(outside):
        raise MerkleError(f"the path has {len(path)} hashes where {len(outside)} lead to the root")
    known = dict(zip(outside, path, strict=True))
    level = dict(enumerate(leaf_hashes, start))
    height = 0
    while size > 1:
        level |= {index: node for (at, index), node in known.items() if at == height}
        parents = {}
        for index in range(min(level) // 2, max(level) // 2 + 1):
            left, right = level[2 * index], level.get(2 * index + 1)
            parents[index] = left if right is None else hash_node(left, right)  # an odd one out moves up
        level, size, height = parents, (size + 1) // 2, height + 1
    return level[0]


def _walk_outside(start: int, stop: int, size: int) -> Iterator[tuple[int, int]]:
    """(level, index) of the largest subtrees that hold no leaf from `start` to `stop`, left to right."""
    left, right, level = list[tuple[int, int]](), list[tuple[int, int]](), 0
    while size > 1:
        if start % 2:
            left.append((level, start - 1))
        if stop % 2 and stop < size:
            right.append((level, stop))
        start, stop, size, level = start // 2, (stop + 1) // 2, (size + 1) // 2, level + 1
    yield from reversed(left)
    yield from right


def encode_uvarint(value: int) -> bytes:
    """Unsigned LEB128, as protobuf and Go's encoding/binary write it."""
    if value < 0:
        raise MerkleError(f"a length is not negative: {value}")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def simple_map_leaf(key: bytes, value: bytes) -> bytes:
    """Leaf hash of one entry of a simple map: CometBFT's `simple:v`, crypto/merkle/proof_value.go."""
    value_hash = hashlib.sha256(value).digest()
    return hash_leaf(encode_uvarint(len(key)) + key + encode_uvarint(HASH_BYTES) + value_hash)


def compute_simple_map_root(items: Mapping[bytes, bytes]) -> bytes:
    """Root of CometBFT's simple map: the tree over the entries in the order of their keys."""
    return compute_root([simple_map_leaf(key, items[key]) for key in sorted(items)])


def _check_range(start: int, stop: int, size: int) -> None:
    if not 0 <= start < stop <= size:
        raise MerkleError(f"leaves {start} to {stop} of a tree with {size} leaves")


def _check_index(index: int, size: int) -> None:
    if not 0 <= index < size:
        raise MerkleError(f"leaf {index} of a tree with {size} leaves")
