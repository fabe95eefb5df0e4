"""The protocol's hashing and arithmetic a second time: slow, from the definitions, in Python integers alone.

Shares no code with `optfl` or `offchain`, so that an agreement of the two says something.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import floor


def hash_leaf(data: bytes) -> bytes:
    return hashlib.sha256(bytes([0]) + data).digest()


def compute_root(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962, 2.1: MTH, over the leaves' data."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hash_leaf(leaves[0])
    split = _split(len(leaves))
    return hashlib.sha256(bytes([1]) + compute_root(leaves[:split]) + compute_root(leaves[split:])).digest()


def compute_path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """RFC 6962, 2.1.1: PATH, over the leaves' data."""
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*compute_path(leaves[:split], index), compute_root(leaves[split:])]
    return [*compute_path(leaves[split:], index - split), compute_root(leaves[:split])]


def _split(size: int) -> int:
    """The largest power of two smaller than `size`."""
    split = 1
    while split * 2 < size:
        split *= 2
    return split


def compute_simple_map_root(items: Mapping[bytes, bytes]) -> bytes:
    """Of maps whose keys have fewer than 128 bytes: a length is one byte then."""
    leaves = []
    for key, value in sorted(items.items()):
        leaves.append(bytes([len(key)]) + key + bytes([32]) + hashlib.sha256(value).digest())
    return compute_root(leaves)


def encode_values(dtype: str, values: Sequence[int]) -> bytes:
    size = {"int8": 1, "int16": 2, "int32": 4}[dtype]
    return b"".join(value.to_bytes(size, "little", signed=True) for value in values)


def cut(values: Sequence[int], chunk_values: int) -> list[Sequence[int]]:
    return [values[start : start + chunk_values] for start in range(0, len(values), chunk_values)]


def compute_vector_root(dtype: str, values: Sequence[int], chunk_values: int) -> bytes:
    return compute_root([encode_values(dtype, chunk) for chunk in cut(values, chunk_values)])


def compute_vector_id(dtype: str, values: Sequence[int], chunk_values: int) -> bytes:
    shape = {"int8": b"\x04", "int16": b"\x01", "int32": b"\x02"}[dtype]
    shape += len(values).to_bytes(8, "big") + chunk_values.to_bytes(4, "big")
    return hashlib.sha256(b"optfl/vector/v1" + shape + compute_vector_root(dtype, values, chunk_values)).digest()


def round_half_up(value: Fraction) -> int:
    return floor(value + Fraction(1, 2))


def fedavg(column: Sequence[int], weights: Sequence[int]) -> int:
    return round_half_up(Fraction(sum(w * q for w, q in zip(weights, column, strict=True)), sum(weights)))


def median(column: Sequence[int], weights: Sequence[int]) -> int:
    ordered = sorted(column)
    if len(ordered) % 2:
        return ordered[len(ordered) // 2]
    return round_half_up(Fraction(ordered[len(ordered) // 2 - 1] + ordered[len(ordered) // 2], 2))


def trimmed_mean(column: Sequence[int], f: int) -> int:
    """One lowest and one highest value taken away at a time."""
    left = list(column)
    for _ in range(f):
        left.remove(min(left))
        left.remove(max(left))
    return round_half_up(Fraction(sum(left), len(left)))


def apply_rule(rule: str, updates: Sequence[Sequence[int]], weights: Sequence[int]) -> list[int]:
    """The aggregate of K updates under the rule with this canonical name."""
    columns = [[update[i] for update in updates] for i in range(len(updates[0]))]
    if rule == "fedavg()":
        return [fedavg(column, weights) for column in columns]
    if rule == "median()":
        return [median(column, weights) for column in columns]
    f = int(rule.removeprefix("trimmed_mean(f=").removesuffix(")"))
    return [trimmed_mean(column, f) for column in columns]


def aggregate(rule: str, base: Sequence[int], updates: Sequence[Sequence[int]], weights: Sequence[int]) -> list[int]:
    """saturate32(base + rule)."""
    sums = [b + r for b, r in zip(base, apply_rule(rule, updates, weights), strict=True)]
    return [max(-(2**31), min(2**31 - 1, value)) for value in sums]
