"""Integer arithmetic that every party must do alike: rounding division and saturation."""

from __future__ import annotations

from typing import overload

import numpy as np
import numpy.typing as npt

INT32_MIN = -(1 << 31)
INT32_MAX = (1 << 31) - 1


@overload
def div_round_half_up(numerator: int, denominator: int) -> int: ...


@overload
def div_round_half_up(numerator: npt.NDArray[np.int64], denominator: int) -> npt.NDArray[np.int64]: ...


def div_round_half_up(numerator: int | npt.NDArray[np.int64], denominator: int) -> int | npt.NDArray[np.int64]:
    """floor((2a + n) / (2n)): a / n to the nearest integer, halves towards +∞. n >= 1, and below 2^63 for arrays.

    Computed as ⌊a/n⌋, plus one if the remainder r >= n - r, so that nothing is doubled and no int64 overflows.
    """
    if denominator < 1:
        raise ValueError(f"the denominator is {denominator}; use one of at least 1")
    quotient = numerator // denominator
    remainder = numerator - quotient * denominator
    return quotient + (remainder >= denominator - remainder)


def saturate32(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """The nearest int32 to each value."""
    return np.clip(values, INT32_MIN, INT32_MAX).astype(np.int32)
