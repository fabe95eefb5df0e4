"""Sketches: a model's distance from another one in 256 integers, for votes that agree only within a tolerance.

seed 001, Alg. 3, groups results by their Euclidean distance. A vote cannot carry a model, so it carries a projection of
(own result − claimed model): a CountSketch. Every coordinate is added to, or taken from, one of 256 rows. Which row and
which sign is drawn from a seed that is not known until the claimed model is fixed, so nobody can claim a model whose
difference from the honest one the projection does not see (red team V8).

What it keeps. Let d be the difference and y its sketch. Over the seeds, Σ y_j² has the mean ‖d‖² and the variance
(2 / 256)·(‖d‖⁴ − Σ d_i⁴): its relative standard deviation is at most √(2/256) < 8.9 %, which is 4.5 % of the distance
itself. A difference in one coordinate alone keeps its length exactly. Sketching is linear, so the difference of two
sketches is the sketch of the difference of two results.

Integers only, and exact. With int32 values every |d_i| <= 2^32 - 1, and a sum of at most 2^27 of them, whatever their
signs, is below 2^59 in magnitude: no int64 overflows, in any order of adding. Squares are compared as Python integers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from optfl.rules.base import Int32Array

SKETCH_DOMAIN = b"optfl/sketch/v1"
ROWS = 256
BLOCK_VALUES = 8192  # coordinates that share one call of the hash
MAX_LENGTH = 1 << 27
MAX_VALUE = MAX_LENGTH * ((1 << 32) - 1)  # of a sketch of int32 vectors, in magnitude


class SketchError(ValueError):
    """Vectors that have no sketch: not int32, not equally long, or too long."""


def compute_sketch(seed: bytes, own: Int32Array, claimed: Int32Array) -> list[int]:
    """The 256 rows of the sketch of (own − claimed), both int32[D]. O(D) time, and memory for one block.

    Coordinate i is number i mod 8192 of block i // 8192. The two bytes of SHAKE-256(domain ‖ seed ‖ u32(block)) at
    twice its number say where it goes: the first is its row, the lowest bit of the second its sign, 1 for minus.
    """
    if own.dtype != np.int32 or claimed.dtype != np.int32 or own.ndim != 1 or own.shape != claimed.shape:
        raise SketchError(f"{own.dtype} of {own.shape} and {claimed.dtype} of {claimed.shape}; use two int32[D]")
    if len(own) > MAX_LENGTH:
        raise SketchError(f"{len(own)} values; sketches are exact up to {MAX_LENGTH}")
    sums = np.zeros(2 * ROWS, dtype=np.int64)  # by row, those to add, then those to take away
    for block, start in enumerate(range(0, len(own), BLOCK_VALUES)):
        stop = min(start + BLOCK_VALUES, len(own))
        difference = own[start:stop].astype(np.int64) - claimed[start:stop]
        np.add.at(sums, _draw_places(seed, block)[: stop - start], difference)
    return [int(value) for value in sums[:ROWS] - sums[ROWS:]]


def _draw_places(seed: bytes, block: int) -> npt.NDArray[np.uint16]:
    """For each coordinate of a block its row, plus 256 if its sign is minus."""
    stream = hashlib.shake_256(SKETCH_DOMAIN + seed + block.to_bytes(4, "big")).digest(2 * BLOCK_VALUES)
    return np.frombuffer(stream, dtype="<u2").astype(np.uint16, copy=False) & np.uint16(2 * ROWS - 1)


def compute_squared_norm(values: Iterable[int]) -> int:
    return sum(value * value for value in values)


def is_within(values: Iterable[int], distance: int) -> bool:
    """Whether a sketch is that of a difference of at most `distance`; equal is within. No root is taken."""
    return compute_squared_norm(values) <= distance * distance
