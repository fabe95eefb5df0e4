"""A round's claim: its model, and for rules with totals their trace and what they decide. Made once, stored, submitted.

The same for whoever makes it: the aggregator whose turn it is, or each member of a signer set.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from offchain.interfaces import Blobs, Ledger
from offchain.kernels.hashing import make_vector
from offchain.roles.computing import Compute
from offchain.roles.fetching import Demander, VectorsMissing, fetch_round, get_facts
from offchain.roles.keeping import KeptVectors
from offchain.roles.views import get_commitments, store
from offchain.roles.watching import Cost
from optfl import tasks
from optfl.aggregation import Aggregation
from optfl.ballots import compute_aggregate_digest
from optfl.rules import RoundFacts
from optfl.vectors import ChunkedVector
from optfl.wire import receipt_pb2, state_pb2, transaction_pb2

Question = tuple[int, int, int, int]  # round, parent attempt, turn, restarts; of the one task that a maker works for


@dataclass(frozen=True)
class Inputs:
    """What a round's model is made of, in selection order."""

    base: ChunkedVector
    updates: list[ChunkedVector]
    facts: RoundFacts


ComputeClaim = Callable[[state_pb2.Task, state_pb2.Round, Inputs], Aggregation]


@dataclass(frozen=True)
class Claim:
    """What is said of a round, as vectors with roots. `trace` and `weights` are those of rules with totals."""

    model: ChunkedVector
    trace: ChunkedVector | None
    weights: tuple[int, ...]

    @property
    def digest(self) -> bytes:
        """What members of a signer set sign."""
        if self.trace is None:
            return self.model.root
        reduction = transaction_pb2.Reduction(trace_root=self.trace.root, weights=self.weights)
        return compute_aggregate_digest(self.model.root, reduction)

    @property
    def vectors(self) -> list[ChunkedVector]:
        return [self.model] if self.trace is None else [self.model, self.trace]


def build_claim(parameters: transaction_pb2.TaskParameters, made: Aggregation, updates: int) -> Claim:
    """Cut and hash what was computed of so many updates."""
    model = make_vector(tasks.model_shape(parameters), made.model)
    trace = None if made.trace is None else make_vector(tasks.trace_shape(parameters, updates), made.trace)
    return Claim(model, trace, made.weights)


def get_question(current: state_pb2.Round) -> Question:
    return current.round, current.parent_attempt, current.turn, current.restarts


class ClaimMaker:
    """Makes the claim of a round that waits for one: once, however often storing or submitting it fails."""

    def __init__(self, ledger: Ledger, blobs: Blobs, compute: Compute, kept: KeptVectors, cost: Cost) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._compute = compute
        self._kept = kept
        self._cost = cost
        self._demander = Demander(ledger)
        self._made: tuple[Question, Claim] | None = None

    async def make(self, view: state_pb2.TaskView, current: state_pb2.Round, compute_claim: ComputeClaim) -> Claim:
        """Fetch, compute, hash. Raises BlobUnavailable, LedgerUnavailable, CannotCompute."""
        question = get_question(current)
        if self._made is not None and self._made[0] == question:
            return self._made[1]
        commitments = get_commitments(view, current)
        roots = [commitment.update_root for commitment in commitments]
        try:
            (base,), updates = await fetch_round(self._blobs, view, [current.base_root], roots)
        except VectorsMissing as missing:
            await self._demander.demand_for_turn(view, current, missing.roots)
            raise
        self._cost.aggregations += 1
        self._cost.bytes += sum(len(vector.data) for vector in (base, *updates))
        inputs = Inputs(base, updates, get_facts(view, current))
        made = await self._compute(compute_claim, view.task, current, inputs)
        claim = build_claim(view.task.parameters, made, len(updates))
        for vector in claim.vectors:
            self._kept.keep(current.round, vector)
        self._made = (question, claim)
        return claim

    async def store(
        self, view: state_pb2.TaskView, current: state_pb2.Round, claim: Claim
    ) -> tuple[receipt_pb2.Certificate, transaction_pb2.Reduction | None]:
        """Put a claim's vectors at the replicas, all at once: the model's certificate, and the reduction to submit.

        Raises BlobUnavailable, LedgerUnavailable.
        """
        certificates = await asyncio.gather(
            *(store(self._ledger, self._blobs, view, current.round, vector) for vector in claim.vectors)
        )
        if claim.trace is None:
            return certificates[0], None
        reduction = transaction_pb2.Reduction(
            trace_root=claim.trace.root, certificate=certificates[1], weights=claim.weights
        )
        return certificates[0], reduction
