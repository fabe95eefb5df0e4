"""The trace of a reduction on all cores, bit-identical to `optfl.traces.compute_trace`."""

from __future__ import annotations

import threading

import numpy as np

from offchain.kernels import compiled
from optfl.rules import Totals, TotalsKind
from optfl.rules.base import Int64Array
from optfl.rules.gram import count_totals, list_pairs
from optfl.traces import BLOCK_VALUES, count_rows

PART_VALUES = BLOCK_VALUES // 8
"""Coordinates that a thread works on at a time: all cores have work in a round of a few rows."""


class TraceBuilder:
    """Adds up a trace of K updates of `length` values, part by part, in any order and from any thread."""

    def __init__(self, kind: TotalsKind, length: int, updates: int) -> None:
        self._kind, self._updates = kind, updates
        self._lock = threading.Lock()
        self._pairs = list_pairs(kind, updates)
        self._rows = np.zeros((count_rows(length), count_totals(kind, updates)), dtype=np.int64)

    @property
    def part_values(self) -> int:
        """Coordinates that a thread works on at a time.

        Of norms, which take no longer than reading does, more: each update is then read in long runs.
        """
        return PART_VALUES if self._kind == TotalsKind.PRODUCTS else BLOCK_VALUES // 2

    def make_sums(self) -> Int64Array:
        """Zeros for `add_values` to add to."""
        if self._kind != TotalsKind.PRODUCTS:
            return np.zeros(self._updates, dtype=np.int64)
        padded = self._updates + -self._updates % compiled.DOT_ROWS
        return np.zeros((padded, padded), dtype=np.int64)

    def add_values(self, addresses: Int64Array, sums: Int64Array, start: int, stop: int) -> None:
        """Add to `sums` the inner products over values `start` to `stop` of the updates at `addresses`."""
        add = compiled.add_products if self._kind == TotalsKind.PRODUCTS else compiled.add_squares
        add(addresses, sums, start, stop)

    def add(self, sums: Int64Array, row: int) -> None:
        """Add inner products over coordinates that belong to row `row`."""
        totals = sums[self._pairs] if self._kind == TotalsKind.PRODUCTS else sums
        with self._lock:
            self._rows[row] += totals

    def build(self) -> Totals:
        """The trace int64[rows · totals], once everything is added."""
        return np.cumsum(self._rows, axis=0, dtype=np.int64).reshape(-1)
