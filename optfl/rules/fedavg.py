"""Weighted federated averaging (McMahan et al. 2017; seed 002, eq. 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optfl.arithmetic import div_round_half_up
from optfl.rules.base import (
    CoordinatewiseRule,
    Int16Array,
    Int32Array,
    RuleError,
    Totals,
    check_sample_weights,
    check_updates,
)


@dataclass(frozen=True)
class FedAvg(CoordinatewiseRule):
    """floor((2·Σw·q + W) / (2W)), W = Σw: the mean weighted by the clients' numbers of examples. Robust to nobody."""

    def __str__(self) -> str:
        return "fedavg()"

    def weights(self, totals: Totals | None, sample_weights: Sequence[int]) -> tuple[int, ...]:
        check_sample_weights(sample_weights)
        return tuple(int(weight) for weight in sample_weights)

    def output(self, chunk: Int16Array, weights: Sequence[int]) -> Int32Array:
        check_updates(self, len(chunk))
        check_sample_weights(weights)
        if len(weights) != len(chunk):
            raise RuleError(f"{len(weights)} weights for {len(chunk)} updates; give each update one")
        # Exact in int64 for every input within these bounds: see MAX_WEIGHT.
        weighted_sum = np.asarray(weights, dtype=np.int64) @ chunk.astype(np.int64)
        total_weight = sum(int(weight) for weight in weights)
        return div_round_half_up(weighted_sum, total_weight).astype(np.int32)
