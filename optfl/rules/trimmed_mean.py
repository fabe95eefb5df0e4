"""Coordinate-wise trimmed mean (Yin et al. 2018; seed 004, 5.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from optfl.arithmetic import div_round_half_up
from optfl.rules.base import MAX_UPDATES, CoordinatewiseRule, Int16Array, Int32Array, RuleError, check_updates


@dataclass(frozen=True)
class TrimmedMean(CoordinatewiseRule):
    """At each coordinate: without the `f` lowest and the `f` highest values, the mean, halves up. Ignores weights."""

    f: int

    def __post_init__(self) -> None:
        if not 0 <= self.f <= (MAX_UPDATES - 1) // 2:
            raise RuleError(f"trimmed_mean(f={self.f}); use f from 0 to {(MAX_UPDATES - 1) // 2}")

    def __str__(self) -> str:
        return f"trimmed_mean(f={self.f})"

    @property
    def minimum_updates(self) -> int:
        return 2 * self.f + 1

    def output(self, chunk: Int16Array, weights: Sequence[int]) -> Int32Array:
        check_updates(self, len(chunk))
        return trim_and_average(chunk, self.f)


def trim_and_average(chunk: Int16Array, trimmed: int) -> Int32Array:
    """Mean, halves up, of int16[K, c] over K, without the `trimmed` lowest and highest of each column."""
    kept = np.sort(chunk, axis=0)[trimmed : len(chunk) - trimmed]
    # At most 2^12 values of at most 2^15 in size: int64 holds their sum.
    total: npt.NDArray[np.int64] = kept.sum(axis=0, dtype=np.int64)
    return div_round_half_up(total, len(kept)).astype(np.int32)
