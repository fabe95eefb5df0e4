"""CancelTask: no new rounds; the task ends once the open ones have, and what is left of the escrow goes back (R6)."""

from __future__ import annotations

from abci_app.state import State
from abci_app.state.keyspace import task_key
from abci_app.transitions.call import Call
from abci_app.transitions.fields import check_task
from optfl import errors
from optfl.wire import state_pb2, transaction_pb2


def validate(message: transaction_pb2.CancelTask) -> None:
    pass  # a task id only


def check(state: State, call: Call, message: transaction_pb2.CancelTask) -> state_pb2.Task:
    task = check_task(state, message.task_id)
    if task.requester != call.sender:
        raise errors.NotRequester(f"task {task.task_id} was created by {task.requester.hex()}")
    if task.task_id not in state.chain.live_tasks:
        raise errors.WrongTaskStatus(f"task {task.task_id} has ended")
    if task.cancelled:
        raise errors.WrongTaskStatus(f"task {task.task_id} is cancelled already and ends with its open rounds")
    return task


def apply(state: State, call: Call, message: transaction_pb2.CancelTask, found: state_pb2.Task) -> None:
    found.cancelled = True
    state.tasks.put(task_key(found.task_id), found)
    state.emit("task_cancelled", task=found.task_id)
