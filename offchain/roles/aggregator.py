"""An aggregator: at its turn it aggregates alone, stores the model and submits its root.  # seed 001, section D

In mode `quorum` there are no turns: each aggregator computes and signs every round's model, see `certifying`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TypedDict, Unpack

from offchain.interfaces import Blobs, Ledger
from offchain.roles.certifying import Certifier
from offchain.roles.claiming import ClaimMaker, Inputs
from offchain.roles.computing import CannotCompute, Compute, FloatAggregate, ModelComputer, in_thread
from offchain.roles.keeping import KeptVectors, work_on_task
from offchain.roles.membership import Membership, Terms
from offchain.roles.signing import Signer
from offchain.roles.validator import Validator
from offchain.roles.views import Aggregate, get_head, submit
from offchain.roles.watching import Cost
from optfl.aggregation import Aggregation
from optfl.wire import state_pb2, transaction_pb2

log = logging.getLogger(__name__)


class AggregatorOptions(TypedDict, total=False):
    """What most aggregators leave as it is."""

    terms: Terms
    signer: Signer  # for mode quorum
    floats: Mapping[str, FloatAggregate]  # by name, for float tasks
    compute: Compute  # by default in a thread
    verify_parents: bool  # re-execute what a round is built on: work on a wrong model is lost (A10). Default: no


async def run_aggregator(aggregator: Aggregator, task_id: int) -> None:
    """Join a task, take this aggregator's turns in it until it ends."""
    await work_on_task(aggregator.ledger, task_id, aggregator.act, aggregator.kept)


class Aggregator:
    """One aggregator's work in a turn. `aggregate` is the kernel it computes with."""

    def __init__(
        self, ledger: Ledger, blobs: Blobs, aggregate: Aggregate, **options: Unpack[AggregatorOptions]
    ) -> None:
        self.ledger = ledger
        self.kept = KeptVectors(blobs)
        self.cost = Cost()
        self._blobs = blobs
        self._aggregate = aggregate
        self._computer = ModelComputer(aggregate, options.get("floats"))
        self._compute = options.get("compute", in_thread)
        self._membership = Membership(ledger, options.get("terms", Terms()), self._find_objection)
        self._claims = ClaimMaker(ledger, blobs, self._compute, self.kept, self.cost)
        self._watcher = None
        if options.get("verify_parents", False):
            self._watcher = Validator(ledger, blobs, aggregate, floats=options.get("floats", {}), compute=self._compute)
            self._watcher.cost = self.cost
        self._certifier = None
        if (signer := options.get("signer")) is not None:
            self._certifier = Certifier(
                ledger, blobs, signer, self._computer, self._compute, kept=self.kept, cost=self.cost
            )

    async def act(self, view: state_pb2.TaskView) -> None:
        """What is to be done at this block. Raises BlobUnavailable, LedgerUnavailable."""
        if view.task.status == state_pb2.TASK_STATUS_CREATED:
            await self._membership.join(view)
            return
        await self._membership.come_back(view)
        if self._watcher is not None:
            for attempt in view.attempts:
                if is_next(view.task.parameters, attempt, self.ledger.address):
                    await self._watcher.watch(view, attempt)
        if view.task.parameters.mode == transaction_pb2.MODE_QUORUM and self._certifier is not None:
            await self._certifier.act(view)
        elif (current := self.find_work(view)) is not None:
            await self.take_turn(view, current)

    def _find_objection(self, parameters: transaction_pb2.TaskParameters) -> str | None:
        """Why this aggregator could take no part in such a task, or None."""
        if parameters.mode == transaction_pb2.MODE_QUORUM and self._certifier is None:
            return "its models are signed by many, and this aggregator was given nothing to sign with"
        if parameters.mode == transaction_pb2.MODE_PBFT:
            return "validators make its models"
        return self._computer.find_objection(parameters)

    def find_work(self, view: state_pb2.TaskView) -> state_pb2.Round | None:
        """The round whose turn is ours."""
        current = get_head(view)
        if current is None or current.status != state_pb2.ROUND_STATUS_AGGREGATING:
            return None
        is_running = view.task.status == state_pb2.TASK_STATUS_RUNNING
        return current if is_running and current.aggregator == self.ledger.address else None

    async def take_turn(self, view: state_pb2.TaskView, current: state_pb2.Round) -> None:
        """Fetch, aggregate, store, submit. Raises BlobUnavailable, LedgerUnavailable.

        The input set is the ledger's: there is no update to drop or to add (seed 001 leaves it open, A1-9).
        """
        if not self.trusts_parent(view, current):
            return
        try:
            claim = await self._claims.make(view, current, self.compute_claim)
        except CannotCompute as error:
            log.warning("round %d cannot be aggregated here: %s", current.round, error)
            return
        certificate, reduction = await self._claims.store(view, current, claim)
        message = transaction_pb2.SubmitAggregate(
            task_id=view.task.task_id,
            round=current.round,
            parent_attempt=current.parent_attempt,
            turn=current.turn,
            model_root=claim.model.root,
            certificate=certificate,
            reduction=reduction,
        )
        what = f"round {current.round}, turn {current.turn}: aggregate of {current.committed} updates submitted"
        await submit(self.ledger, transaction_pb2.Body(submit_aggregate=message), what)

    def trusts_parent(self, view: state_pb2.TaskView, current: state_pb2.Round) -> bool:
        """Whether we build on the model before now: it was found right, or half the turn is gone.

        On a wrong one too, then: a vote on it may outlast our turn. Work that is void with it costs us its reward,
        being late would cost us stake.
        """
        parent = next((a for a in view.attempts if a.attempt_id == current.parent_attempt), None)
        if self._watcher is None or parent is None or not is_next(view.task.parameters, parent, self.ledger.address):
            return True
        is_late = 2 * view.height >= current.turn_start_height + current.aggregation_deadline_height
        is_judged = self._watcher.has_judged(parent) or parent.status != state_pb2.ATTEMPT_STATUS_OPEN
        return is_late or (is_judged and not self._watcher.has_doubts(parent))

    def compute_claim(self, task: state_pb2.Task, current: state_pb2.Round, inputs: Inputs) -> Aggregation:
        """G_r = saturate32(G_{r-1} + rule(updates)). Byzantine aggregators differ in this alone."""
        updates = [update.values for update in inputs.updates]
        return self._computer.compute(task.parameters, inputs.base.values, updates, inputs.facts)


def is_next(parameters: transaction_pb2.TaskParameters, attempt: state_pb2.Attempt, address: bytes) -> bool:
    """Whether the turn after the attempt's round is this aggregator's: it has most to lose if the model is wrong."""
    if not attempt.aggregator or attempt.aggregator == address or not parameters.aggregators:
        return False
    return parameters.aggregators[attempt.round % len(parameters.aggregators)] == address
