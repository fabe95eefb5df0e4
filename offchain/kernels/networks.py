"""Sorting networks that are pruned to what a rule reads of the sorted column."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from offchain.kernels.compiled import BOTH, HIGH, LOW
from optfl.rules import Nearest, Trim

_UNUSED, _SUMMED, _EXACT = 0, 1, 2
"""What is asked of a wire behind a step: nothing, its part in the sum, or its very value."""


@lru_cache(maxsize=64)
def build_network(wires: int, column: Trim | Nearest) -> npt.NDArray[np.int32]:
    """Steps int32[S, 3] of (low wire, high wire, BOTH | LOW | HIGH), after which `column` can be taken of `wires`.

    For Trim(n) the wires n to `wires` - n (exclusive) then hold, in some order, the column's values without its n
    lowest and highest. For Nearest(n) the wires hold the sorted column, but for those of the n lowest that are neither
    compared with others nor the median: these are in some order.
    Batcher's odd-even merge sort (Knuth, TAOCP 3, 5.2.2 M) read backwards: a step is left out if its two wires go
    unused, or are only summed, from there on: their order is of no interest.
    """
    use = np.full(wires, _UNUSED, dtype=np.int8)
    match column:
        case Trim(count):
            use[count : wires - count] = _SUMMED
        case Nearest(count) if count < wires:
            use[: wires - count] = use[count:] = _EXACT
            use[wires - count : count] = _SUMMED
            use[(wires - 1) // 2] = use[wires // 2] = _EXACT
        case Nearest():
            use[:] = _SUMMED
    steps: list[npt.NDArray[np.int32]] = []
    for low, distance in reversed(list(_batcher_layers(wires))):
        use_low, use_high = use[low], use[low + distance]
        needed = (use_low != use_high) | (use_low == _EXACT)
        low, use_low, use_high = low[needed], use_low[needed], use_high[needed]
        kept = np.where(use_high == _UNUSED, LOW, np.where(use_low == _UNUSED, HIGH, BOTH))
        use[low] = use[low + distance] = _EXACT
        steps.append(np.column_stack([low, low + distance, kept]).astype(np.int32))
    network = np.concatenate([np.empty((0, 3), dtype=np.int32), *reversed(steps)])
    network.setflags(write=False)
    return network


def _batcher_layers(wires: int) -> Iterator[tuple[npt.NDArray[np.intp], int]]:
    """Layers of disjoint compare-exchanges: the low wires, and the distance to each one's high wire."""
    top = 1 << max(wires - 1, 0).bit_length() >> 1
    size = top
    while size:
        q, remainder, distance = top, 0, size
        while True:
            wire = np.arange(wires - distance)
            yield wire[wire & size == remainder], distance
            if q == size:
                break
            distance, q, remainder = q - size, q >> 1, size
        size >>= 1
