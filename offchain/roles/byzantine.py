"""Byzantine aggregators, beside the honest one that they imitate: stored, certified and signed; but the model lies."""

from __future__ import annotations

import logging

import numpy as np

from offchain.interfaces import Blobs, Int32Vector, Ledger
from offchain.roles.aggregator import Aggregator
from offchain.roles.views import Aggregate, compute_seed
from optfl.vectors import ChunkedVector
from optfl.wire import state_pb2

log = logging.getLogger(__name__)


class ByzantineAggregator(Aggregator):
    """Honest in rounds before `from_round`; from then on it lies in every turn, until it is excluded."""

    def __init__(self, ledger: Ledger, blobs: Blobs, aggregate: Aggregate, *, from_round: int) -> None:
        super().__init__(ledger, blobs, aggregate)
        self._from_round = from_round

    def compute_model(
        self,
        task: state_pb2.Task,
        current: state_pb2.Round,
        base: ChunkedVector,
        updates: list[ChunkedVector],
        weights: list[int],
    ) -> Int32Vector:
        honest = super().compute_model(task, current, base, updates, weights)
        if current.round < self._from_round:
            return honest
        log.warning("round %d: turning Byzantine (%s)", current.round, type(self).__name__)
        seed = compute_seed(self.ledger.address, task.task_id, current.round)
        return self.corrupt(base.values, honest, np.random.default_rng(seed))

    def corrupt(self, base: Int32Vector, honest: Int32Vector, random: np.random.Generator) -> Int32Vector:
        """The model that is claimed in place of the honest one."""
        raise NotImplementedError


class PoisoningAggregator(ByzantineAggregator):
    """Destroys the model: the step is reversed and drowned in noise of the size of the largest parameter."""

    def corrupt(self, base: Int32Vector, honest: Int32Vector, random: np.random.Generator) -> Int32Vector:
        scale = max(int(np.abs(honest.astype(np.int64)).max()), 1)
        noise = random.integers(-scale, scale, honest.size, endpoint=True)
        poisoned = 2 * base.astype(np.int64) - honest + noise
        limits = np.iinfo(np.int32)
        clipped: Int32Vector = np.clip(poisoned, limits.min, limits.max).astype(np.int32)
        return clipped


class CoordinateAggregator(ByzantineAggregator):
    """Changes a single value by one: no statistic of the model would show it."""

    def corrupt(self, base: Int32Vector, honest: Int32Vector, random: np.random.Generator) -> Int32Vector:
        tampered: Int32Vector = honest.copy()
        coordinate = int(random.integers(honest.size))
        tampered[coordinate] += 1 if tampered[coordinate] < np.iinfo(np.int32).max else -1
        return tampered


FRAUDS: dict[str, type[ByzantineAggregator]] = {"poison": PoisoningAggregator, "coordinate": CoordinateAggregator}
"""The frauds that `optfl demo --fraud` and an aggregator's `fraud` setting name."""
