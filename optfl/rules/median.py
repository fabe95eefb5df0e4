"""Coordinate-wise median (seed 001, Alg. 3; seed 002, IV-A1: needs 2f+1 updates against f Byzantine clients)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from optfl.rules.base import CoordinatewiseRule, Int16Array, Int32Array, check_updates
from optfl.rules.trimmed_mean import trim_and_average


@dataclass(frozen=True)
class Median(CoordinatewiseRule):
    """At each coordinate the middle value; of an even K the mean of the middle two, halves up. Ignores weights."""

    def __str__(self) -> str:
        return "median()"

    def output(self, chunk: Int16Array, weights: Sequence[int]) -> Int32Array:
        check_updates(self, len(chunk))
        # All but the one or two values in the middle are trimmed.
        return trim_and_average(chunk, (len(chunk) - 1) // 2)
