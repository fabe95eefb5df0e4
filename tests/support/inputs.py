"""Inputs for rules: random ones, and those at the edges of what int16 and int32 hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

INT16_MIN, INT16_MAX = -32768, 32767
INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1

Int16Matrix = npt.NDArray[np.int16]
Fill = Callable[[np.random.Generator, int, int], Int16Matrix]


def _constant(value: int) -> Fill:
    return lambda _random, updates, length: np.full((updates, length), value, dtype=np.int16)


def _uniform(low: int, high: int) -> Fill:
    return lambda random, updates, length: random.integers(low, high + 1, (updates, length), dtype=np.int16)


def _extremes(random: np.random.Generator, updates: int, length: int) -> Int16Matrix:
    return random.choice(np.array([INT16_MIN, INT16_MAX], dtype=np.int16), (updates, length))


FILLS: dict[str, Fill] = {
    "uniform": _uniform(INT16_MIN, INT16_MAX),
    "ties": _uniform(-2, 1),
    "lowest": _constant(INT16_MIN),
    "highest": _constant(INT16_MAX),
    "zeros": _constant(0),
    "extremes": _extremes,
}
"""Ways to make K updates of D values, int16[K, D]."""


def make_base(random: np.random.Generator, length: int) -> npt.NDArray[np.int32]:
    """A model int32[D], of which every other value is within reach of saturation."""
    base = random.integers(INT32_MIN, INT32_MAX + 1, length, dtype=np.int32)
    base[::4] = INT32_MAX - random.integers(0, 3, len(base[::4]), dtype=np.int32)
    base[2::4] = INT32_MIN + random.integers(0, 3, len(base[2::4]), dtype=np.int32)
    return base


def rule_names(updates: int) -> Sequence[str]:
    """Rules that K updates suffice for: both ends of f, and one in between."""
    trims = sorted({0, min(1, (updates - 1) // 2), (updates - 1) // 4, (updates - 1) // 2})
    return ["fedavg()", "median()", *(f"trimmed_mean(f={f})" for f in trims)]
