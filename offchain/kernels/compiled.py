"""Everything that numba compiles. In one file, because numba's cache notices no change of another one.

A kernel works on values `start` to `stop` of all vectors, in blocks that stay in a core's cache, and releases the GIL:
`aggregate` runs it on ranges in threads of its own, which needs no threading layer of numba (they are not safe to enter
from two threads at once, or after a fork). Vectors come by address, so that K is a number at run time: nothing is
compiled anew for another K, and nothing is copied into one array first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.numpy_support import carray

BLOCK_VALUES = 512
"""Coordinates worked on at a time; 50 updates of them are 50 KiB, which a level-1 or level-2 cache holds."""

BOTH, LOW, HIGH = 0, 1, 2
"""What a step of a network keeps: minimum and maximum, the minimum alone, the maximum alone."""

_Function = TypeVar("_Function", bound=Callable[..., object])


def _compile(function: _Function) -> _Function:
    # error_model: numpy's leaves out checks for division by zero, which keep loops from being vectorised.
    return cast("_Function", numba.njit(nogil=True, cache=True, error_model="numpy")(function))


def _type_pointer_to(_typing_context: Any, address: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(address), generate


_pointer_to = cast("Callable[[int], Any]", intrinsic(_type_pointer_to))


@_compile
def _add_mean(base: npt.NDArray[np.int32], total: npt.NDArray[Any], divisor: int, model: npt.NDArray[np.int32]) -> None:
    """model = saturate32(base + floor((2·total + n) / (2n))), for n = `divisor` < 2^45 and |total| <= n·2^15.

    `total` may be longer than `base`.
    """
    dividend_bias = np.int64(65537) * divisor
    doubled = np.int64(2) * divisor
    reciprocal = 1.0 / np.float64(doubled)
    for i in range(len(base)):
        # Shifted by 2^15 whole quotients, the dividend is positive and its quotient below 2^17. A float's estimate of
        # that is off by one at most, which integers then put right, exactly; a division would not be vectorised.
        dividend = np.int64(2) * np.int64(total[i]) + dividend_bias
        quotient = np.int64(np.float64(dividend) * reciprocal)
        remainder = dividend - quotient * doubled
        if remainder < 0:
            quotient -= 1
        if remainder >= doubled:
            quotient += 1
        value = np.int64(base[i]) + quotient - 32768
        model[i] = min(max(value, np.int64(-2147483648)), np.int64(2147483647))


@_compile
def add_weighted_mean(
    base_address: int,
    update_addresses: npt.NDArray[np.int64],
    weights: npt.NDArray[Any],
    total_weight: int,
    model: npt.NDArray[np.int32],
    start: int,
    stop: int,
) -> None:
    """FedAvg. Sums have the dtype of `weights`: int32 does for a total weight < 2^16, int64 for all that rules take."""
    total = np.empty(BLOCK_VALUES, dtype=weights.dtype)
    for block_start in range(start, stop, BLOCK_VALUES):
        width = min(BLOCK_VALUES, stop - block_start)
        total[:] = 0
        for k in range(len(update_addresses)):
            update = carray(_pointer_to(update_addresses[k] + 2 * block_start), (width,), np.int16)
            weight = weights[k]
            for i in range(width):
                total[i] += weight * update[i]
        base = carray(_pointer_to(base_address + 4 * block_start), (width,), np.int32)
        _add_mean(base, total, total_weight, model[block_start : block_start + width])


@_compile
def add_trimmed_mean(
    base_address: int,
    update_addresses: npt.NDArray[np.int64],
    network: npt.NDArray[np.int32],
    trimmed: int,
    model: npt.NDArray[np.int32],
    start: int,
    stop: int,
) -> None:
    """Mean of the wires that `network` (of `build_trimming_network`) leaves; the median is the case of one or two."""
    wires = len(update_addresses)
    # Zeros: the last block may be narrower than its wires, and the steps run over whole wires.
    wire = np.zeros((wires, BLOCK_VALUES), dtype=np.int16)
    total = np.empty(BLOCK_VALUES, dtype=np.int32)
    for block_start in range(start, stop, BLOCK_VALUES):
        width = min(BLOCK_VALUES, stop - block_start)
        for k in range(wires):
            update = carray(_pointer_to(update_addresses[k] + 2 * block_start), (width,), np.int16)
            row = wire[k]
            for i in range(width):
                row[i] = update[i]
        for s in range(len(network)):
            low, high, kept = wire[network[s, 0]], wire[network[s, 1]], network[s, 2]
            if kept == BOTH:
                for i in range(BLOCK_VALUES):
                    x, y = low[i], high[i]
                    low[i], high[i] = min(x, y), max(x, y)
            elif kept == LOW:
                for i in range(BLOCK_VALUES):
                    low[i] = min(low[i], high[i])
            else:
                for i in range(BLOCK_VALUES):
                    high[i] = max(low[i], high[i])
        total[:] = 0
        for k in range(trimmed, wires - trimmed):
            row = wire[k]
            for i in range(BLOCK_VALUES):
                total[i] += row[i]
        base = carray(_pointer_to(base_address + 4 * block_start), (width,), np.int32)
        _add_mean(base, total, wires - 2 * trimmed, model[block_start : block_start + width])
