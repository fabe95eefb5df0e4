"""AnswerDemand: a validator holds demanded blobs, and serves them under its own address from now on (A4).

It shows of each the chunk that was drawn for it: who has found nothing cannot say that it has.
"""

from __future__ import annotations

from abci_app.state import State
from abci_app.state.keyspace import attempt_key, demand_key, round_key
from abci_app.transitions.call import Call
from abci_app.transitions.fields import check_task, get_blobs, validate_blobs
from optfl import errors, tasks
from optfl.audits import compute_demanded_chunk
from optfl.vectors import Opening, VectorError, verify_opening
from optfl.wire import state_pb2, transaction_pb2

NAMES = {tasks.MODEL_BLOB: "the model", tasks.TRACE_BLOB: "the trace"}


def validate(message: transaction_pb2.AnswerDemand) -> None:
    validate_blobs(message)
    blobs = len(get_blobs(message))
    if len(message.openings) != blobs:
        raise errors.InvalidField(f"{len(message.openings)} chunks are opened, of {blobs} blobs; open one of each")


def check(state: State, call: Call, message: transaction_pb2.AnswerDemand) -> dict[bytes, state_pb2.Demand]:
    """Return the demands that this answers, by key: those of the blobs named that are undecided, and new to the sender.

    One that was decided meanwhile must not keep the others out.
    """
    task = check_task(state, message.task_id)
    validator = state.validators.get(call.sender)
    if validator is None or validator.power == 0:
        raise errors.NotVoter("only validators with voting power answer demands")
    current = state.rounds.get(round_key(task.task_id, message.round))
    turn = 0 if current is None else current.turn
    undecided, openings = {}, {}
    for blob, opening in zip(get_blobs(message), message.openings, strict=True):
        key = demand_key(task.task_id, message.round, message.parent_attempt, message.attempt_id, turn, blob)
        demand = state.demands.get(key)
        if demand is not None and tasks.is_undecided(demand):
            undecided[key], openings[key] = demand, opening
    if not undecided:
        raise errors.UnknownDemand("nobody demands these blobs, or it is decided what becomes of them")
    answered = {key: demand for key, demand in undecided.items() if not _is_holder(demand, call.sender)}
    if not answered:
        raise errors.AlreadyAnswered("this account serves these blobs already")
    for key, demand in answered.items():
        _check_opening(state, task, demand, call.sender, openings[key])
    return answered


def _check_opening(
    state: State, task: state_pb2.Task, demand: state_pb2.Demand, operator: bytes, opening: transaction_pb2.Opening
) -> None:
    shape = tasks.update_shape(task.parameters)
    if demand.blob in NAMES:
        attempt = state.attempts[attempt_key(task.task_id, demand.attempt_id)]
        shape, _ = tasks.find_blob(task.parameters, attempt, demand.blob)
    chunk = compute_demanded_chunk(demand, operator, shape.chunks)
    try:
        verify_opening(shape, demand.root, chunk, Opening(opening.data, tuple(opening.path)))
    except VectorError as error:
        what = NAMES.get(demand.blob, f"input {demand.blob}")
        raise errors.BadAudit(f"chunk {chunk} of {what} was drawn for this validator: {error}") from None


def _is_holder(demand: state_pb2.Demand, operator: bytes) -> bool:
    return any(holder.operator == operator for holder in demand.holders)


def apply(
    state: State, call: Call, message: transaction_pb2.AnswerDemand, found: dict[bytes, state_pb2.Demand]
) -> None:
    for key, demand in found.items():
        operators = sorted([*(holder.operator for holder in demand.holders), call.sender])
        del demand.holders[:]
        demand.holders.extend(state_pb2.Holder(operator=operator) for operator in operators)
        state.demands.put(key, demand)
    state.emit(
        "demand_answered",
        task=message.task_id,
        round=message.round,
        attempt=message.attempt_id,
        operator=call.sender,
        blobs=len(found),
    )
