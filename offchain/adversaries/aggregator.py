"""Byzantine aggregators: honest up to a round, from which on they deviate in every turn, until they are excluded."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import NamedTuple, Unpack

import numpy as np

from offchain.adversaries.accomplices import NOBODY, Accomplices, TamperingLedger, UnstoringBlobs
from offchain.adversaries.certifying import (
    ByzantineCertifier,
    EquivocatingCertifier,
    LyingCertifier,
    SilentCertifier,
)
from offchain.interfaces import Blobs, Int32Vector, Ledger
from offchain.roles.aggregator import Aggregator, AggregatorOptions
from offchain.roles.announcing import announce
from offchain.roles.claiming import Inputs
from offchain.roles.computing import is_float
from offchain.roles.views import Aggregate, compute_seed, submit, watch_task
from optfl import tasks
from optfl.aggregation import Aggregation, aggregate_chunk, derive_weights
from optfl.fraud import build_output_proof
from optfl.rules import RoundFacts, Totals, TotalsKind, parse_rule
from optfl.rules.gram import count_totals, list_pairs
from optfl.traces import get_totals
from optfl.vectors import ChunkedVector
from optfl.wire import state_pb2, transaction_pb2

log = logging.getLogger(__name__)


class Turn(NamedTuple):
    """What an aggregator has before it when it makes its claim. `honest` is the model that the task asks for."""

    parameters: transaction_pb2.TaskParameters
    base: Int32Vector
    updates: list[ChunkedVector]
    facts: RoundFacts
    honest: Int32Vector
    random: np.random.Generator

    @property
    def kind(self) -> TotalsKind:
        """Of the totals of the task's rule."""
        return parse_rule(self.parameters.rule).totals


class ByzantineAggregator(Aggregator):
    """Stored, certified and signed like an honest model; but `lie` made it.

    Where models are signed by many, `certifier` is its part.
    """

    certifier: type[ByzantineCertifier] = LyingCertifier

    def __init__(
        self,
        ledger: Ledger,
        blobs: Blobs,
        aggregate: Aggregate,
        *,
        from_round: int,
        accomplices: Accomplices = NOBODY,
        **options: Unpack[AggregatorOptions],
    ) -> None:
        self._from_round = from_round
        self._accomplices = accomplices
        ledger, blobs = self.bend_ledger(ledger), self.bend_blobs(blobs)
        super().__init__(ledger, blobs, aggregate, **options)
        if (signer := options.get("signer")) is not None:
            self._certifier = self.certifier(
                ledger, blobs, signer, self._computer, self._compute, self.kept, from_round=from_round
            )

    def bend_ledger(self, ledger: Ledger) -> Ledger:
        """What stands between this aggregator and its ledger."""
        return ledger

    def bend_blobs(self, blobs: Blobs) -> Blobs:
        return blobs

    def compute_claim(self, task: state_pb2.Task, current: state_pb2.Round, inputs: Inputs) -> Aggregation:
        honest = super().compute_claim(task, current, inputs)
        if current.round < self._from_round:
            return honest
        log.warning("round %d: turning Byzantine (%s)", current.round, type(self).__name__)
        random = np.random.default_rng(compute_seed(self.ledger.address, task.task_id, current.round))
        turn = Turn(task.parameters, inputs.base.values, inputs.updates, inputs.facts, honest.model, random)
        return self.misstate(turn, honest)

    def misstate(self, turn: Turn, honest: Aggregation) -> Aggregation:
        """What is claimed in place of the honest one: by default all but the model is true."""
        return honest._replace(model=self.lie(turn))

    def lie(self, turn: Turn) -> Int32Vector:
        """The model that is claimed in place of the honest one."""
        return turn.honest

    def aggregate_otherwise(self, turn: Turn, *, rule: str = "") -> Int32Vector:
        """The model that the turn's base, updates and weights give, by another rule if one is named."""
        values = [tasks.expand_update(turn.parameters, update.values) for update in turn.updates]
        if rule:
            return self._aggregate(parse_rule(rule), turn.base, values, turn.facts).model
        return self._computer.compute(turn.parameters, turn.base, values, turn.facts).model


class PoisoningAggregator(ByzantineAggregator):
    """Destroys the model: the step is reversed and drowned in noise of the size of the largest parameter."""

    def lie(self, turn: Turn) -> Int32Vector:
        scale = max(int(np.abs(turn.honest.astype(np.int64)).max()), 1)
        noise = turn.random.integers(-scale, scale, turn.honest.size, endpoint=True)
        poisoned = 2 * turn.base.astype(np.int64) - turn.honest + noise
        limits = np.iinfo(np.int32)
        clipped: Int32Vector = np.clip(poisoned, limits.min, limits.max).astype(np.int32)
        return clipped


class CoordinateAggregator(ByzantineAggregator):
    """Changes a single value by one: no statistic of the model would show it."""

    def lie(self, turn: Turn) -> Int32Vector:
        tampered: Int32Vector = turn.honest.copy()
        coordinate = int(turn.random.integers(turn.honest.size))
        tampered[coordinate] += 1 if tampered[coordinate] < np.iinfo(np.int32).max else -1
        return tampered


class ChunkAggregator(ByzantineAggregator):
    """Writes noise into one chunk: a back door in one layer."""

    def lie(self, turn: Turn) -> Int32Vector:
        shape = tasks.model_shape(turn.parameters)
        start, stop = shape.chunk_bounds(int(turn.random.integers(shape.chunks)))
        tampered: Int32Vector = turn.honest.copy()
        tampered[start:stop] ^= turn.random.integers(1, 1 << 12, stop - start, dtype=np.int32)
        return tampered


class WrongRuleAggregator(ByzantineAggregator):
    """Aggregates by another rule: the mean, which one poisoned update is enough to steer, or else the median."""

    def lie(self, turn: Turn) -> Int32Vector:
        is_mean = is_float(turn.parameters) or turn.parameters.rule == "fedavg()"
        return self.aggregate_otherwise(turn, rule="median()" if is_mean else "fedavg()")


class DroppingAggregator(ByzantineAggregator):
    """Leaves the first client's update out; honest where the rule needs every update that there is."""

    def lie(self, turn: Turn) -> Int32Vector:
        least = 1 if is_float(turn.parameters) else parse_rule(turn.parameters.rule).minimum_updates
        if len(turn.updates) <= least:
            return turn.honest
        facts = replace(turn.facts, sample_weights=turn.facts.sample_weights[1:])
        return self.aggregate_otherwise(turn._replace(updates=turn.updates[1:], facts=facts))


class InventingAggregator(ByzantineAggregator):
    """Adds a client that is nobody, with an extreme update."""

    def lie(self, turn: Turn) -> Int32Vector:
        shape = tasks.update_shape(turn.parameters)
        invented = ChunkedVector(shape, np.full(turn.base.size, np.iinfo(shape.dtype).max, dtype=shape.dtype))
        facts = replace(turn.facts, sample_weights=(*turn.facts.sample_weights, turn.parameters.max_weight))
        return self.aggregate_otherwise(turn._replace(updates=[*turn.updates, invented], facts=facts))


class StaleBaseAggregator(ByzantineAggregator):
    """Adds the step to the model of its own last turn: what others did since is lost."""

    _stale: Int32Vector | None = None

    def lie(self, turn: Turn) -> Int32Vector:
        # At its first turn it has none, and makes one up.
        stale = turn.base + np.int32(1) if self._stale is None else self._stale
        self._stale = turn.base
        return self.aggregate_otherwise(turn._replace(base=stale))


class MisreducingAggregator(ByzantineAggregator):
    """Lies about how its totals came about or what they decide, and makes its model of that without a fault (F1).

    Where the rule needs no totals it claims a trace all the same, which the ledger refuses.
    """

    def bend_ledger(self, ledger: Ledger) -> Ledger:
        return TamperingLedger(ledger, self._add_trace)

    def _add_trace(self, body: transaction_pb2.Body) -> list[transaction_pb2.Body]:
        claim = body.submit_aggregate
        is_due = body.WhichOneof("kind") == "submit_aggregate" and claim.round >= self._from_round
        if is_due and not claim.HasField("reduction"):
            claim.reduction.trace_root = bytes(range(32))
            claim.reduction.weights.extend([1, 2, 3])
        return [body]

    def misstate(self, turn: Turn, honest: Aggregation) -> Aggregation:
        if honest.trace is None:
            return honest
        trace, totals = self.misreduce(turn, honest.trace)
        rule = parse_rule(turn.parameters.rule)
        updates = tasks.expand_update(turn.parameters, np.stack([update.values for update in turn.updates]))
        weights = derive_weights(rule, totals, turn.facts)
        return Aggregation(aggregate_chunk(rule, turn.base, updates, turn.facts, weights), weights, trace)

    def misreduce(self, turn: Turn, trace: Totals) -> tuple[Totals, Totals]:
        """The trace that is claimed, and the totals that are taken to decide. By default it is all made up."""
        limits = np.iinfo(np.int64)
        made_up: Totals = turn.random.integers(limits.min, limits.max, trace.size, dtype=np.int64)
        return made_up, get_totals(turn.kind, made_up, len(turn.updates))


class TraceEntryAggregator(MisreducingAggregator):
    """Adds to the last total of the first update in one row and all behind it.

    Where totals are inner products it looks nearer to the last update, where they are norms it looks larger.
    """

    def misreduce(self, turn: Turn, trace: Totals) -> tuple[Totals, Totals]:
        updates = len(turn.updates)
        rows = trace.reshape(-1, count_totals(turn.kind, updates)).copy()
        start = int(turn.random.integers(len(rows)))
        j, _ = list_pairs(turn.kind, updates)
        rows[start:, np.flatnonzero(j == 0)[-1]] += 1 << 40
        return rows.reshape(-1), rows[-1]


class WrongWeightsAggregator(MisreducingAggregator):
    """Adds up truly, and decides as if whoever is near were far."""

    def misreduce(self, turn: Turn, trace: Totals) -> tuple[Totals, Totals]:
        return trace, -get_totals(turn.kind, trace, len(turn.updates))


class UnstoredTraceAggregator(MisreducingAggregator):
    """Makes its totals up and stores nothing of it: nobody has the entries that would prove it (F1, I2)."""

    def bend_blobs(self, blobs: Blobs) -> Blobs:
        return UnstoringBlobs(blobs, self._accomplices, self._from_round)


class UnstoredModelAggregator(CoordinateAggregator):
    """Lies, and certifies the lie without storing it, so that nobody has the chunk that would prove it (I2)."""

    def bend_blobs(self, blobs: Blobs) -> Blobs:
        return UnstoringBlobs(blobs, self._accomplices, self._from_round)


class SilentAggregator(ByzantineAggregator):
    """Takes its turn and says nothing."""

    certifier = SilentCertifier

    async def take_turn(self, view: state_pb2.TaskView, current: state_pb2.Round) -> None:
        if current.round < self._from_round:
            await super().take_turn(view, current)


class DemandingAggregator(ByzantineAggregator):
    """Submits nothing, and demands one update after the other, which it could have: its clock starts anew (A4)."""

    certifier = SilentCertifier

    async def take_turn(self, view: state_pb2.TaskView, current: state_pb2.Round) -> None:
        if current.round < self._from_round:
            await super().take_turn(view, current)
            return
        mine = [d for d in view.demands if (d.round, d.attempt_id) == (current.round, 0)]
        position = [r.round for r in view.rounds].index(current.round)
        known = [indexed.index for indexed in view.commitments[position].commitments]
        left = [index for index in known if index not in [demand.blob for demand in mine]]
        if not left or any(demand.status == state_pb2.DEMAND_STATUS_OPEN for demand in mine):
            return
        demand = transaction_pb2.DemandBlob(
            task_id=current.task_id, round=current.round, parent_attempt=current.parent_attempt, inputs=left[:1]
        )
        body = transaction_pb2.Body(demand_blob=demand)
        await submit(self.ledger, body, f"round {current.round}: update {left[0]} demanded for nothing")


class LateAggregator(ByzantineAggregator):
    """Submits an honest model, once its turn is over."""

    certifier = SilentCertifier

    async def take_turn(self, view: state_pb2.TaskView, current: state_pb2.Round) -> None:
        if current.round >= self._from_round:
            async for later in watch_task(self.ledger, view.task.task_id):
                if later.height > current.aggregation_deadline_height:
                    break
        await super().take_turn(view, current)


class EquivocatingAggregator(CoordinateAggregator):
    """Makes an honest model and a lie in the same turn, and submits both at once."""

    certifier = EquivocatingCertifier

    async def take_turn(self, view: state_pb2.TaskView, current: state_pb2.Round) -> None:
        turns = [super().take_turn(view, current)]
        if current.round >= self._from_round:
            honest = Aggregator(self.ledger, self._blobs, self._aggregate, compute=self._compute)
            turns.append(honest.take_turn(view, current))
        await asyncio.gather(*turns)


class SelfConvictingAggregator(CoordinateAggregator):
    """Lies, and has a sybil prove it in the last block of the window: as many rounds as can be are void (R5)."""

    _proof: transaction_pb2.OutputProof | None = None

    def misstate(self, turn: Turn, honest: Aggregation) -> Aggregation:
        claimed = super().misstate(turn, honest)
        wrong = np.flatnonzero(claimed.model != honest.model)
        if wrong.size:
            shape = tasks.model_shape(turn.parameters)
            base, model = ChunkedVector(shape, turn.base), ChunkedVector(shape, claimed.model)
            chunk = int(wrong[0]) // turn.parameters.chunk_values
            self._proof = build_output_proof(chunk, turn.updates, base, model)
        return claimed

    async def take_turn(self, view: state_pb2.TaskView, current: state_pb2.Round) -> None:
        await super().take_turn(view, current)
        if self._proof is None or self._accomplices.sybil is None:
            return
        is_announced = False
        async for later in watch_task(self.ledger, view.task.task_id):
            own = [a for a in later.attempts if (a.aggregator, a.round) == (self.ledger.address, current.round)]
            if not own or own[-1].status == state_pb2.ATTEMPT_STATUS_CONVICTED:
                return
            attempt = own[-1]
            proof = transaction_pb2.SubmitFraudProof(
                task_id=attempt.task_id, attempt_id=attempt.attempt_id, output=self._proof
            )
            if not is_announced:  # earlier than anybody else could
                is_announced = True
                await announce(self._accomplices.sybil, later, attempt, proof)
            if later.height >= attempt.window_close_height - 2:  # what is sent now is in the last block but one
                break
        body = transaction_pb2.Body(submit_fraud_proof=proof)
        await submit(self._accomplices.sybil, body, f"attempt {attempt.attempt_id}: proof by its author's sybil")


AGGREGATORS: dict[str, type[ByzantineAggregator]] = {
    "coordinate": CoordinateAggregator,
    "demanding": DemandingAggregator,
    "dropped-client": DroppingAggregator,
    "equivocating": EquivocatingAggregator,
    "garbage-trace": MisreducingAggregator,
    "invented-client": InventingAggregator,
    "late": LateAggregator,
    "poison": PoisoningAggregator,
    "self-convicting": SelfConvictingAggregator,
    "silent": SilentAggregator,
    "stale-base": StaleBaseAggregator,
    "trace-entry": TraceEntryAggregator,
    "unstored-model": UnstoredModelAggregator,
    "unstored-trace": UnstoredTraceAggregator,
    "wrong-chunk": ChunkAggregator,
    "wrong-rule": WrongRuleAggregator,
    "wrong-weights": WrongWeightsAggregator,
}
FRAUDS: dict[str, type[ByzantineAggregator]] = {name: AGGREGATORS[name] for name in ("poison", "coordinate")}
"""The frauds that `optfl demo --fraud` and an aggregator's `fraud` setting name."""
