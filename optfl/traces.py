"""The trace of a reduction: how a rule's totals came about, row by row, so that one wrong step shows (A5).

An int64 vector of one row for each block of BLOCK_VALUES coordinates. Row i holds the totals of blocks 0..i, of the
kind that the rule decides by (`optfl.rules.gram`), so that the last row has those of the whole round.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from optfl.rules.gram import Totals, TotalsKind, compute_totals, count_totals, find_total, list_pairs
from optfl.vectors import Shape

BLOCK_VALUES = 1 << 17
"""Coordinates of a row. Two such blocks of updates, 512 KiB, fit into a proof; a product of 2^17 · 2^30 is exact in
float64 too."""
CHUNK_VALUES = 512  # of a trace: an entry opens with 4 KiB


class Entry(NamedTuple):
    """The inner product of updates j <= k over blocks 0..`row`."""

    row: int
    j: int
    k: int


def count_rows(length: int) -> int:
    return -(-length // BLOCK_VALUES)


def trace_shape(kind: TotalsKind, length: int, updates: int) -> Shape:
    """Shape of the trace of `updates` vectors of `length` values, by a rule with totals."""
    return Shape("int64", count_rows(length) * count_totals(kind, updates), CHUNK_VALUES)


def block_bounds(row: int, length: int) -> tuple[int, int]:
    """Coordinates `start` to `stop` (exclusive) are what `row` adds."""
    return row * BLOCK_VALUES, min((row + 1) * BLOCK_VALUES, length)


def find_entry(kind: TotalsKind, entry: Entry, updates: int) -> int:
    """Where the entry stands in the trace."""
    return entry.row * count_totals(kind, updates) + find_total(kind, entry.j, entry.k, updates)


def compute_trace(kind: TotalsKind, updates: Sequence[np.ndarray]) -> Totals:
    """Trace int64[rows · totals] of K updates int16[D]: the reference; `offchain.kernels` has a faster one."""
    length = len(updates[0])
    blocks = [slice(*block_bounds(row, length)) for row in range(count_rows(length))]
    rows = [compute_totals(kind, np.stack([update[block] for update in updates])) for block in blocks]
    trace: Totals = np.cumsum(rows, axis=0, dtype=np.int64).reshape(-1)
    return trace


def get_totals(kind: TotalsKind, trace: Totals, updates: int) -> Totals:
    """The last row."""
    return trace[-count_totals(kind, updates) :]


def find_first_difference(kind: TotalsKind, own: Totals, claimed: Totals, updates: int) -> Entry | None:
    """The first wrong entry of `claimed`; None if none is. All before it are right, so that its step is wrong."""
    wrong = np.flatnonzero(own != claimed)
    if wrong.size == 0:
        return None
    row, position = divmod(int(wrong[0]), count_totals(kind, updates))
    j, k = (int(index[position]) for index in list_pairs(kind, updates))
    return Entry(row, j, k)
