"""OpenWatch: a validator shows the chunk that was drawn for its watch, and so earns its share of the round (E1)."""

from __future__ import annotations

from abci_app.state import State
from abci_app.state.keyspace import round_key, watch_key
from abci_app.transitions.call import Call
from abci_app.transitions.fields import check_attempt, check_task
from optfl import errors, tasks
from optfl.vectors import Opening
from optfl.watches import WatchError, check_watch, compute_watch_key, draw_chunk
from optfl.wire import state_pb2, transaction_pb2


def validate(message: transaction_pb2.OpenWatch) -> None:
    pass  # openings: they are judged against the attempt's record and the watch


def check(state: State, call: Call, message: transaction_pb2.OpenWatch) -> state_pb2.Watch:
    """Return the watch that this opens."""
    task = check_task(state, message.task_id)
    attempt = check_attempt(state, task, message.attempt_id)
    watch = state.watches.get(watch_key(task.task_id, attempt.attempt_id, call.sender))
    if watch is None:
        raise errors.BadWatch(f"this account has not attested that it watches attempt {attempt.attempt_id}")
    if watch.opened:
        raise errors.AlreadyAnswered(f"the watch of attempt {attempt.attempt_id} is open; save the fee")
    current = state.rounds.get(round_key(task.task_id, attempt.round))
    if current is None or current.attempt_id != attempt.attempt_id or not current.watch_beacon:
        raise errors.BadWatch(f"no chunk of attempt {attempt.attempt_id} is drawn; its window is open, or it is void")
    _check_openings(state, call, task, attempt, current, watch, message)
    return watch


def _check_openings(
    state: State,
    call: Call,
    task: state_pb2.Task,
    attempt: state_pb2.Attempt,
    current: state_pb2.Round,
    watch: state_pb2.Watch,
    message: transaction_pb2.OpenWatch,
) -> None:
    chunks = tasks.model_shape(task.parameters).chunks
    drawn = draw_chunk(current.watch_beacon, task.task_id, attempt.attempt_id, call.sender, len(attempt.inputs), chunks)
    key = compute_watch_key(state.params.chain_id, call.sender, task.task_id, attempt.attempt_id)
    opening = Opening(message.opening.data, tuple(message.opening.path))
    try:
        check_watch(task.parameters, attempt, key, watch.digest, drawn, opening, message.watch_path)
    except WatchError as error:
        raise errors.BadWatch(str(error)) from None


def apply(state: State, call: Call, message: transaction_pb2.OpenWatch, found: state_pb2.Watch) -> None:
    found.opened = True
    state.watches.put(watch_key(message.task_id, message.attempt_id, call.sender), found)
    state.emit("watch_opened", task=message.task_id, attempt=message.attempt_id, operator=call.sender)
