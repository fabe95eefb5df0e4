"""AttestWatch: a validator commits to all that it has read of an attempt, and says which replicas failed it (E1).

It is paid once it has shown a chunk that is drawn when nobody can commit any more (OpenWatch).
"""

from __future__ import annotations

from abci_app.state import State
from abci_app.state.keyspace import round_key, watch_key
from abci_app.transitions.call import Call
from abci_app.transitions.fields import check_attempt, check_task, validate_digest
from optfl import errors
from optfl.wire import state_pb2, transaction_pb2


def validate(message: transaction_pb2.AttestWatch) -> None:
    validate_digest(message.digest, "digest")


def check(state: State, call: Call, message: transaction_pb2.AttestWatch) -> state_pb2.Round:
    """Return the attempt's round."""
    task = check_task(state, message.task_id)
    attempt = check_attempt(state, task, message.attempt_id)
    validator = state.validators.get(call.sender)
    if validator is None or validator.power == 0:
        raise errors.NotVoter("only validators with voting power are paid for watching")
    if attempt.status != state_pb2.ATTEMPT_STATUS_OPEN or not attempt.aggregator:
        raise errors.BadWatch(f"attempt {attempt.attempt_id} is void, dropped or certified: nobody is paid for it")
    if message.failed_replicas >> len(task.parameters.replicas):
        raise errors.BadWatch(f"failed_replicas has more bits than the task's {len(task.parameters.replicas)} replicas")
    if watch_key(task.task_id, attempt.attempt_id, call.sender) in state.watches:
        raise errors.AlreadyAnswered(f"this account watches attempt {attempt.attempt_id} already")
    current = state.rounds[round_key(task.task_id, attempt.round)]
    if _is_too_late(call.height, current.window_close_height):
        raise errors.WindowOver(f"attempt {attempt.attempt_id} was open to watches before its window closed")
    return current


def _is_too_late(height: int, close_height: int) -> bool:
    """The beacon of the closing block draws: whoever proposes that must not be able to commit in it."""
    return height >= close_height


def apply(state: State, call: Call, message: transaction_pb2.AttestWatch, found: state_pb2.Round) -> None:
    state.watches.put(
        watch_key(message.task_id, message.attempt_id, call.sender),
        state_pb2.Watch(digest=message.digest, failed_replicas=message.failed_replicas, height=call.height),
    )
    found.watches += 1
    state.rounds.put(round_key(found.task_id, found.round), found)
    state.emit("watch_attested", task=message.task_id, attempt=message.attempt_id, operator=call.sender)
