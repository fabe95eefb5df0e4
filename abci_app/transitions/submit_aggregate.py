"""SubmitAggregate: the aggregator whose turn it is claims the round's model; its challenge window opens."""

from __future__ import annotations

from abci_app.state import State
from abci_app.state.keyspace import stake_key
from abci_app.state.rounds import build_attempt, open_window
from abci_app.transitions.call import Call
from abci_app.transitions.fields import check_round, check_running_task, check_stored, validate_root
from optfl import errors, tasks
from optfl.wire import state_pb2, transaction_pb2


def validate(message: transaction_pb2.SubmitAggregate) -> None:
    validate_root(message.model_root, "model_root")
    # Every rule of this ledger is coordinate-wise; a trace would be bytes that nobody can be held to.
    if message.trace_root or message.rule_weights:
        raise errors.InvalidField("trace_root and rule_weights are for rules with totals; leave them empty")


def check(state: State, call: Call, message: transaction_pb2.SubmitAggregate) -> tuple[state_pb2.Task, state_pb2.Round]:
    task = check_running_task(state, message.task_id)
    if task.parameters.mode != transaction_pb2.MODE_OPTIMISTIC:
        raise errors.WrongMode(f"models of task {task.task_id} need signatures; send SubmitCertifiedAggregate")
    current = check_round(
        state, task.task_id, message.round, message.parent_attempt, state_pb2.ROUND_STATUS_AGGREGATING
    )
    if (current.turn, current.aggregator) != (message.turn, call.sender):
        raise errors.NotYourTurn(
            f"round {message.round} is at turn {current.turn}, which is that of {current.aggregator.hex()}"
        )
    check_stored(
        state,
        task,
        call.height,
        round_number=message.round,
        owner=call.sender,
        shape=tasks.model_shape(task.parameters),
        root=message.model_root,
        certificate=message.certificate,
    )
    return task, current


def apply(
    state: State,
    call: Call,
    message: transaction_pb2.SubmitAggregate,
    found: tuple[state_pb2.Task, state_pb2.Round],
) -> None:
    task, current = found
    attempt = build_attempt(state, task, current, call.height, call.block.beacon)
    attempt.aggregator = call.sender
    attempt.model_root = message.model_root
    attempt.certificate.CopyFrom(message.certificate)
    attempt.model_retain_until_height = message.certificate.retain_until_height
    window_blocks = tasks.compute_window_blocks(task.parameters, call.height - current.freeze_height)
    open_window(state, task, current, attempt, window_blocks)
    # Nothing of this stake is released while the attempt can be proven wrong.
    key = stake_key(transaction_pb2.ROLE_AGGREGATOR, call.sender)
    stake = state.stakes[key]
    stake.evidence_height = max(stake.evidence_height, attempt.evidence_height)
    state.stakes.put(key, stake)
