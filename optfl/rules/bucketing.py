"""Bucketing (Karimireddy et al. 2022, "Byzantine-robust learning on heterogeneous datasets via bucketing")."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import lcm

import numpy as np

from optfl.rules.base import MAX_UPDATES, RoundFacts, check_no_weights, check_parameter
from optfl.rules.gram import Measures, TotalsKind
from optfl.rules.pipeline import Mixture

BUCKETING_DOMAIN = b"optfl/bucketing/v1"


@dataclass(frozen=True)
class Bucketing:
    """Means of `s` updates each, in the order that the round's beacon shuffles them to; the last bucket has the rest.

    f Byzantine updates spoil f buckets of ⌈n/s⌉ at most: what follows must bear that. A bucket's sample weight is the
    sum of its members'. The beacon is known before clients commit, and who stays away changes n, and so the order.
    """

    s: int

    def __post_init__(self) -> None:
        check_parameter(self, "s", self.s, 1, MAX_UPDATES)

    def __str__(self) -> str:
        return f"bucketing(s={self.s})"

    @property
    def minimum_updates(self) -> int:
        return 1

    @property
    def totals(self) -> TotalsKind:
        return TotalsKind.NONE

    @property
    def scales(self) -> bool:
        return False

    def count_mixed(self, updates: int) -> int:
        return -(-updates // self.s)

    def count_weights(self, updates: int) -> int:
        return 0

    def weights(self, measures: Measures | None, facts: RoundFacts) -> tuple[int, ...]:
        return ()

    def mixture(self, weights: Sequence[int], facts: RoundFacts) -> Mixture:
        check_no_weights(self, weights)
        order = shuffle(facts.updates, facts.beacon)
        buckets = [order[start : start + self.s] for start in range(0, facts.updates, self.s)]
        denominator = lcm(*map(len, buckets))  # below 2^24
        rows = np.zeros((len(buckets), facts.updates), dtype=np.int64)
        for row, bucket in zip(rows, buckets, strict=True):
            row[bucket] = denominator // len(bucket)
        sample_weights = tuple(sum(facts.sample_weights[update] for update in bucket) for bucket in buckets)
        return Mixture(rows, denominator, sample_weights)

    def weight_operations(self, updates: int) -> int:
        return 10 * updates * updates + 300 * updates


def shuffle(count: int, beacon: bytes) -> list[int]:
    """0..count-1 in an order drawn by the beacon, all as likely but for 2^-240 (Fisher and Yates, from the end).

    Position i, from the last to 1, is exchanged with H(domain ‖ beacon ‖ u32(i)) mod (i + 1).
    """
    order = list(range(count))
    for i in range(count - 1, 0, -1):
        drawn = hashlib.sha256(BUCKETING_DOMAIN + beacon + i.to_bytes(4, "big")).digest()
        j = int.from_bytes(drawn, "big") % (i + 1)
        order[i], order[j] = order[j], order[i]
    return order
