"""SubmitAggregate: the aggregator whose turn it is claims the round's model; its challenge window opens."""

from __future__ import annotations

from abci_app.state import State
from abci_app.state.keyspace import stake_key
from abci_app.state.rounds import open_window
from abci_app.transitions.call import Call
from abci_app.transitions.claims import build_claimed_attempt, check_claim, check_totals, validate_claim
from abci_app.transitions.fields import check_round, check_running_task
from optfl import errors, tasks
from optfl.wire import state_pb2, transaction_pb2


def validate(message: transaction_pb2.SubmitAggregate) -> None:
    validate_claim(message)


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
    check_totals(message, task)
    check_claim(state, call, message, task, current)
    return task, current


def apply(
    state: State,
    call: Call,
    message: transaction_pb2.SubmitAggregate,
    found: tuple[state_pb2.Task, state_pb2.Round],
) -> None:
    task, current = found
    attempt = build_claimed_attempt(state, call, message, task, current)
    attempt.aggregator = call.sender
    window_blocks = tasks.compute_window_blocks(task.parameters, call.height - current.freeze_height)
    open_window(state, task, current, attempt, window_blocks)
    # Nothing of this stake is released while the attempt can be proven wrong.
    key = stake_key(transaction_pb2.ROLE_AGGREGATOR, call.sender)
    stake = state.stakes[key]
    stake.evidence_height = max(stake.evidence_height, attempt.evidence_height)
    state.stakes.put(key, stake)
