"""What a rule is, and the bounds within which its int64 sums are exact."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

Int16Array = npt.NDArray[np.int16]
Int32Array = npt.NDArray[np.int32]
Totals = npt.NDArray[np.int64]

MAX_UPDATES = 1 << 12
MAX_WEIGHT = (1 << 32) - 1
"""K <= 2^12 and w < 2^32 give W = Σw < 2^44 and |2·Σw·q + W| <= W·(2^16 + 1) < 2^61: an int64 cannot overflow."""


class RuleError(ValueError):
    """No such rule, or inputs that it is not defined for: too few or too many updates, a weight out of bounds."""


class Rule(Protocol):
    """An aggregation rule as pure functions on one chunk of all K updates, in selection order (design §5).

    `str(rule)` is its canonical name, which `parse_rule` reads. With K from `minimum_updates` to MAX_UPDATES it has
    a result for every input (red team A6).
    """

    @property
    def minimum_updates(self) -> int:
        """The least K that the rule is defined for."""
        ...

    def partial(self, chunk: Int16Array) -> Totals | None:
        """What this chunk, int16[K, c], adds to the totals; None for a rule that needs no totals."""
        ...

    def weights(self, totals: Totals | None, sample_weights: Sequence[int]) -> tuple[int, ...]:
        """What `output` needs besides the chunk, from the totals and the clients' weights; empty if nothing."""
        ...

    def output(self, chunk: Int16Array, weights: Sequence[int]) -> Int32Array:
        """The aggregate int32[c] of one chunk int16[K, c]."""
        ...

    def operations(self, updates: int, chunk_values: int) -> int:
        """Work of re-executing one chunk, in values read: what a task's limit on proofs counts."""
        ...


class CoordinatewiseRule:
    """Shared by rules whose every output coordinate depends on the same coordinate of the updates alone."""

    @property
    def minimum_updates(self) -> int:
        return 1

    def partial(self, chunk: Int16Array) -> Totals | None:
        return None

    def weights(self, totals: Totals | None, sample_weights: Sequence[int]) -> tuple[int, ...]:
        check_sample_weights(sample_weights)
        return ()

    def operations(self, updates: int, chunk_values: int) -> int:
        return updates * chunk_values


def check_sample_weights(sample_weights: Sequence[int]) -> None:
    """Raise RuleError unless every weight is in 1..MAX_WEIGHT."""
    for weight in sample_weights:
        if not 1 <= weight <= MAX_WEIGHT:
            raise RuleError(f"weight {weight}; use 1 to {MAX_WEIGHT}")


def check_updates(rule: Rule, updates: int) -> None:
    """Raise RuleError unless the rule is defined for this number of updates."""
    if not rule.minimum_updates <= updates <= MAX_UPDATES:
        raise RuleError(f"{rule} of {updates} updates; use {rule.minimum_updates} to {MAX_UPDATES}")
