"""What each party really did, counted where it reaches its kernel and the network; experiments read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from offchain.interfaces import Int16Vector, Int32Vector
from offchain.roles.computing import FloatAggregate, Reals
from offchain.roles.views import Aggregate
from offchain.storage.protocol import Verb
from optfl.aggregation import Aggregation
from optfl.rules import RoundFacts, Rule


@dataclass
class Meter:
    """One party's counters, over all of its lives."""

    executions: int = 0  # of an aggregation kernel, over a whole vector or a chunk of it
    values: int = 0  # that came out of these: a whole aggregation makes as many as the model has
    requests: Counter[Verb] = field(default_factory=Counter)  # that it sent to replicas and other accounts
    message_bytes: Counter[Verb] = field(default_factory=Counter)  # of these and of their answers

    def count_message(self, verb: Verb, request: bytes, answer: bytes | None) -> None:
        """A request, and its answer unless that was lost."""
        self.requests[verb] += 1
        self.message_bytes[verb] += len(request) + len(answer or b"")

    def wrap_kernel(self, kernel: Aggregate) -> Aggregate:
        def count(rule: Rule, base: Int32Vector, updates: Sequence[Int16Vector], facts: RoundFacts) -> Aggregation:
            self._count_execution(len(base))
            return kernel(rule, base, updates, facts)

        return count

    def wrap_floats(self, floats: Mapping[str, FloatAggregate]) -> dict[str, FloatAggregate]:
        return {name: self._wrap_float(aggregate) for name, aggregate in floats.items()}

    def _wrap_float(self, aggregate: FloatAggregate) -> FloatAggregate:
        def count(updates: Sequence[npt.NDArray[np.float32]], weights: Sequence[int]) -> Reals:
            self._count_execution(len(updates[0]))
            return aggregate(updates, weights)

        return count

    def _count_execution(self, values: int) -> None:
        self.executions += 1
        self.values += values
