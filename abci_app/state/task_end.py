"""The end of a task: void what is open, refund the escrow, let go of the participants' stakes."""

from __future__ import annotations

from abci_app.state import tokens
from abci_app.state.copies import forget_updates
from abci_app.state.keyspace import attempt_key, task_key
from abci_app.state.participants import change_committed, change_open_tasks
from abci_app.state.rounds import remove_round, set_attempt_status
from abci_app.state.state import State
from optfl.wire import state_pb2, transaction_pb2


def end_task(state: State, task: state_pb2.Task, status: state_pb2.TaskStatus, height: int) -> None:
    was_started = task.status != state_pb2.TASK_STATUS_CREATED
    for _, current in state.rounds.items(task_key(task.task_id)):
        attempt = state.attempts.get(attempt_key(task.task_id, current.attempt_id))
        if attempt is not None and attempt.status == state_pb2.ATTEMPT_STATUS_OPEN:
            set_attempt_status(state, attempt, state_pb2.ATTEMPT_STATUS_VOID, height)
        remove_round(state, current)
    forget_updates(state, task.task_id)
    refund = task.escrow
    tokens.credit(state, task.requester, refund)
    task.escrow = 0
    task.status = status
    task.ended_height = height
    task.head_round = task.settled_round
    state.tasks.put(task_key(task.task_id), task)
    chain = state.chain
    chain.live_tasks.remove(task.task_id)
    state.put_chain(chain)
    if was_started:
        change_open_tasks(state, transaction_pb2.ROLE_REPLICA, task.parameters.replicas, -1)
    change_open_tasks(state, transaction_pb2.ROLE_AGGREGATOR, task.joined, -1)
    change_committed(state, task.joined, -task.required_stake)
    name = state_pb2.TaskStatus.Name(status).removeprefix("TASK_STATUS_").lower()
    state.emit("task_ended", task=task.task_id, status=name, refund=refund)
