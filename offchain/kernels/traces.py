"""The trace of a reduction on all cores, bit-identical to `optfl.traces.compute_trace`."""

from __future__ import annotations

import threading

import numpy as np

from offchain.kernels import compiled
from optfl.rules import Totals
from optfl.rules.base import Int64Array
from optfl.rules.gram import count_totals
from optfl.traces import BLOCK_VALUES, count_rows

PART_VALUES = BLOCK_VALUES // 8
"""Coordinates that a thread works on at a time: all cores have work in a round of a few rows."""


class TraceBuilder:
    """Adds up a trace of K updates of `length` values, part by part, in any order and from any thread."""

    def __init__(self, length: int, updates: int) -> None:
        self._updates = updates
        self._lock = threading.Lock()
        self._upper = np.triu_indices(updates)
        self._rows = np.zeros((count_rows(length), count_totals(updates)), dtype=np.int64)

    def make_products(self) -> Int64Array:
        """Zeros for `compiled.add_products` to add to."""
        padded = self._updates + -self._updates % compiled.DOT_ROWS
        return np.zeros((padded, padded), dtype=np.int64)

    def add(self, products: Int64Array, row: int) -> None:
        """Add inner products over coordinates that belong to row `row`."""
        totals = products[: self._updates, : self._updates][self._upper]
        with self._lock:
            self._rows[row] += totals

    def build(self) -> Totals:
        """The trace int64[rows · K(K+1)/2], once everything is added."""
        return np.cumsum(self._rows, axis=0, dtype=np.int64).reshape(-1)
