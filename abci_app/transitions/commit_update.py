"""CommitUpdate: a selected client binds its stored update to a round, so that no aggregator can drop or replace it."""

from __future__ import annotations

from abci_app.state import State
from abci_app.state.copies import is_copy, note_update
from abci_app.state.keyspace import commitment_key, round_key
from abci_app.transitions.call import Call
from abci_app.transitions.fields import check_round, check_running_task, check_stored, validate_root
from optfl import errors, tasks
from optfl.wire import state_pb2, transaction_pb2


def validate(message: transaction_pb2.CommitUpdate) -> None:
    validate_root(message.base_root, "base_root")
    validate_root(message.update_root, "update_root")


def check(state: State, call: Call, message: transaction_pb2.CommitUpdate) -> tuple[state_pb2.Round, int]:
    """Return the round and the sender's index in its selection."""
    task = check_running_task(state, message.task_id)
    current = check_round(state, task.task_id, message.round, message.parent_attempt, state_pb2.ROUND_STATUS_TRAINING)
    if message.base_root != current.base_root:
        raise errors.StaleBase(f"round {message.round} trains from the model with root {current.base_root.hex()}")
    if call.sender not in current.selected:
        raise errors.NotSelected(f"the beacon did not draw {call.sender.hex()} for round {message.round}")
    index = list(current.selected).index(call.sender)
    if commitment_key(task.task_id, message.round, message.parent_attempt, index) in state.commitments:
        raise errors.AlreadyCommitted(f"an update of round {message.round} is committed and cannot be replaced")
    if not 1 <= message.weight <= task.parameters.max_weight:
        raise errors.InvalidWeight(f"weight {message.weight}; the task takes 1 to {task.parameters.max_weight}")
    if is_copy(state, task, current, call.sender, message.update_root):
        raise errors.CopiedUpdate("this update is another client's, of another round; train one")
    check_stored(
        state,
        task,
        call.height,
        round_number=message.round,
        owner=call.sender,
        shape=tasks.update_shape(task.parameters),
        root=message.update_root,
        certificate=message.certificate,
    )
    return current, index


def apply(state: State, call: Call, message: transaction_pb2.CommitUpdate, found: tuple[state_pb2.Round, int]) -> None:
    current, index = found
    state.commitments.put(
        commitment_key(message.task_id, message.round, message.parent_attempt, index),
        state_pb2.Commitment(
            client=call.sender,
            update_root=message.update_root,
            weight=message.weight,
            certificate=message.certificate,
            height=call.height,
        ),
    )
    note_update(state, current, call.sender, message.update_root)
    current.committed += 1
    state.rounds.put(round_key(message.task_id, message.round), current)
    state.emit("update_committed", task=message.task_id, round=message.round, client=call.sender, index=index)
