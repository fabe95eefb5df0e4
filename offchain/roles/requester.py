"""A requester: creates a task with its escrow, waits for its aggregators, stores the first model, starts the task."""

from __future__ import annotations

import logging

from offchain.interfaces import Blobs, Int32Vector, Ledger
from offchain.kernels.hashing import make_vector
from offchain.roles.views import store, watch_task
from optfl import tasks
from optfl.wire import state_pb2, transaction_pb2

log = logging.getLogger(__name__)


class TaskRefused(Exception):
    """The ledger refused the task; the message is its reason, for the requester."""


async def create_task(ledger: Ledger, parameters: transaction_pb2.TaskParameters, model: Int32Vector) -> int:
    """Put the escrow up and bind G_0; return the new task's id. Raises TaskRefused, LedgerUnavailable.

    Numbers of disputes that are 0 get their defaults.
    """
    initial = make_vector(tasks.model_shape(parameters), model)
    creation = transaction_pb2.CreateTask(parameters=parameters, initial_model_root=initial.root)
    tasks.fill_defaults(creation.parameters)
    result = await ledger.submit(transaction_pb2.Body(create_task=creation))
    if not result.accepted:
        raise TaskRefused(result.log)
    return int.from_bytes(result.data, "big")


async def wait_for_aggregators(ledger: Ledger, task_id: int, at_least: int | None = None) -> None:
    """Return once so many aggregators have joined; by default all that the task lists, or one if it lists none.

    In mode `pbft` none is needed. Raises TaskRefused if the task ends before.
    """
    waiting = False
    async for view in watch_task(ledger, task_id):
        if view.task.status != state_pb2.TASK_STATUS_CREATED:
            raise TaskRefused(f"task {task_id} does not wait for its start")
        needed = _count_needed(view.task.parameters) if at_least is None else at_least
        if len(view.task.joined) >= needed:
            return
        if not waiting:
            waiting = True
            joined, stake = len(view.task.joined), view.task.required_stake
            log.info("waiting for aggregators to join: %d of %d have; a free stake of %d each", joined, needed, stake)


def _count_needed(parameters: transaction_pb2.TaskParameters) -> int:
    if parameters.mode == transaction_pb2.MODE_PBFT:
        return 0
    return max(len(parameters.aggregators), 1)


async def start_task(ledger: Ledger, blobs: Blobs, task_id: int, model: Int32Vector) -> None:
    """Store G_0 at the task's replicas, let round 1 begin. Raises TaskRefused, BlobUnavailable, LedgerUnavailable."""
    view = await ledger.get_task(task_id)
    if view is None or view.task.status != state_pb2.TASK_STATUS_CREATED:
        raise TaskRefused(f"task {task_id} does not wait for its start")
    initial = make_vector(tasks.model_shape(view.task.parameters), model)
    certificate = await store(ledger, blobs, view, 0, initial)
    start = transaction_pb2.StartTask(task_id=task_id, certificate=certificate)
    result = await ledger.submit(transaction_pb2.Body(start_task=start))
    if not result.accepted:
        raise TaskRefused(result.log)
