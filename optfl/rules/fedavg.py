"""Weighted federated averaging (McMahan et al. 2017; seed 002, eq. 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optfl.rules.base import CoordinatewiseRule, Recipe, RoundFacts, Trim, check_no_weights, check_total_weight


@dataclass(frozen=True)
class FedAvg(CoordinatewiseRule):
    """floor((2·Σw·q + W) / (2W)), W = Σw: the mean weighted by the clients' numbers of examples. Robust to nobody."""

    def __str__(self) -> str:
        return "fedavg()"

    def recipe(self, weights: Sequence[int], facts: RoundFacts) -> Recipe:
        check_no_weights(self, weights)
        total = check_total_weight(facts.sample_weights)
        # Exact in int64 for every input within these bounds: see MAX_WEIGHT.
        return Recipe(Trim(0), np.array([facts.sample_weights], dtype=np.int64), total)

    def mixed_updates(self, updates: int) -> int:
        return 1
