"""An aggregator: at its turn it aggregates alone, stores the model and submits its root.  # seed 001, section D"""

from __future__ import annotations

from offchain.interfaces import Blobs, Int32Vector, Ledger
from offchain.roles.views import (
    Aggregate,
    fetch_model,
    fetch_updates,
    get_commitments,
    get_head,
    store,
    submit,
    work_on_rounds,
)
from optfl import tasks
from optfl.rules import parse_rule
from optfl.vectors import ChunkedVector
from optfl.wire import state_pb2, transaction_pb2


async def run_aggregator(aggregator: Aggregator, task_id: int) -> None:
    """Take this aggregator's turns in a task until it ends."""
    await work_on_rounds(aggregator.ledger, task_id, aggregator.find_work, aggregator.take_turn)


class Aggregator:
    """One aggregator's work in a turn. `aggregate` is the kernel it computes with."""

    def __init__(self, ledger: Ledger, blobs: Blobs, aggregate: Aggregate) -> None:
        self.ledger = ledger
        self._blobs = blobs
        self._aggregate = aggregate

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
        commitments = get_commitments(view, current)
        base = await fetch_model(self._blobs, view.task, current.base_root)
        updates = await fetch_updates(self._blobs, view.task, [c.update_root for c in commitments])
        values = self.compute_model(view.task, current, base, updates, [c.weight for c in commitments])
        model = ChunkedVector(tasks.model_shape(view.task.parameters), values)
        certificate = await store(self.ledger, self._blobs, view, current.round, model)
        claim = transaction_pb2.SubmitAggregate(
            task_id=view.task.task_id,
            round=current.round,
            parent_attempt=current.parent_attempt,
            turn=current.turn,
            model_root=model.root,
            certificate=certificate,
        )
        what = f"round {current.round}, turn {current.turn}: aggregate of {len(updates)} updates submitted"
        await submit(self.ledger, transaction_pb2.Body(submit_aggregate=claim), what)

    def compute_model(
        self,
        task: state_pb2.Task,
        current: state_pb2.Round,
        base: ChunkedVector,
        updates: list[ChunkedVector],
        weights: list[int],
    ) -> Int32Vector:
        """G_r = saturate32(G_{r-1} + rule(updates)). Byzantine aggregators differ in this alone."""
        rule = parse_rule(task.parameters.rule)
        return self._aggregate(rule, base.values, [update.values for update in updates], weights)
