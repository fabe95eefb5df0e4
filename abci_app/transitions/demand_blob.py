"""DemandBlob: with a bond, "this blob cannot be had". Validators look for it, and serve it if they find it (A4).

Of a round that is being aggregated, whose turn it is demands updates, and is not late meanwhile (I1). Of an attempt in
its window anyone demands what is needed to prove it wrong (I2).
"""

from __future__ import annotations

from abci_app.state import State, tokens
from abci_app.state.keyspace import attempt_key, commitment_key, demand_key, task_key
from abci_app.state.members import get_members, may_sign
from abci_app.state.rounds import has_open_demands, was_window_over
from abci_app.transitions.call import Call
from abci_app.transitions.fields import (
    check_balance,
    check_round,
    check_running_task,
    check_task,
    get_blobs,
    validate_blobs,
)
from optfl import errors
from optfl.tasks import MAX_RESTARTS, MODEL_BLOB, TRACE_BLOB, authors_of, find_blob
from optfl.wire import state_pb2, transaction_pb2


def validate(message: transaction_pb2.DemandBlob) -> None:
    validate_blobs(message)


def check(state: State, call: Call, message: transaction_pb2.DemandBlob) -> dict[bytes, state_pb2.Demand]:
    """Return the demands to be stored, by key."""
    is_turn = message.attempt_id == 0
    task = check_running_task(state, message.task_id) if is_turn else check_task(state, message.task_id)
    status = state_pb2.ROUND_STATUS_AGGREGATING if is_turn else state_pb2.ROUND_STATUS_OPEN
    current = check_round(state, task.task_id, message.round, message.parent_attempt, status)
    if is_turn:
        _check_turn(state, call, task, current)
        roots = {}
    else:
        attempt = _check_attempt(state, call, message, current)
        if message.trace and not attempt.HasField("reduction"):
            raise errors.BadDemand(f"attempt {attempt.attempt_id} has no trace: {attempt.rule} needs no totals")
        own = [blob for blob in get_blobs(message) if blob in (MODEL_BLOB, TRACE_BLOB)]
        roots = {blob: find_blob(task.parameters, attempt, blob)[1] for blob in own}
    for index in message.inputs:
        key = commitment_key(task.task_id, current.round, current.parent_attempt, index)
        commitment = state.commitments.get(key)
        if commitment is None:
            raise errors.BadDemand(f"round {current.round} has no update with selection index {index}")
        roots[index] = commitment.update_root
    demands = _build_demands(call, task, current, message.attempt_id, roots)
    # Somebody else's demand of one of them must not be a way to keep the others out.
    new = {key: demand for key, demand in demands.items() if key not in state.demands}
    if not new:
        raise errors.AlreadyDemanded("each of these blobs was demanded already; await what the validators find")
    if not is_turn:
        new = _take_room(state, task, new)
    check_balance(state, call.sender, len(new) * task.parameters.demand_bond)
    return new


def _check_turn(state: State, call: Call, task: state_pb2.Task, current: state_pb2.Round) -> None:
    if not _may_demand(state, call, task, current):
        raise errors.BadDemand(f"updates of round {current.round} are demanded by whose turn it is")
    if current.restarts >= MAX_RESTARTS:
        raise errors.BadDemand(f"this turn was restarted {MAX_RESTARTS} times; it has what can be had")
    # One after the other they would hold the deadline up for ever: all that is missing is demanded at once.
    if has_open_demands(state, current):
        raise errors.BadDemand("demands of this turn are open; await what the validators find")


def _may_demand(state: State, call: Call, task: state_pb2.Task, current: state_pb2.Round) -> bool:
    if task.parameters.mode != transaction_pb2.MODE_OPTIMISTIC:
        members = get_members(state, task)
        return any(member.address == call.sender and may_sign(state, task, member) for member in members)
    return call.sender == current.aggregator


def _check_attempt(
    state: State, call: Call, message: transaction_pb2.DemandBlob, current: state_pb2.Round
) -> state_pb2.Attempt:
    if current.attempt_id != message.attempt_id:
        raise errors.UnknownAttempt(f"the open attempt of round {current.round} is {current.attempt_id}")
    attempt = state.attempts[attempt_key(message.task_id, message.attempt_id)]
    if not authors_of(attempt):
        raise errors.BadDemand(f"attempt {attempt.attempt_id} has no author who could be proven wrong")
    # The window that it got at first: each of many demands prolongs it, and they must come to an end.
    if was_window_over(state, attempt.submit_height, attempt.window_close_height, call.height):
        raise errors.WindowOver(f"attempt {attempt.attempt_id} was open to demands until its first window closed")
    return attempt


def _take_room(state: State, task: state_pb2.Task, new: dict[bytes, state_pb2.Demand]) -> dict[bytes, state_pb2.Demand]:
    """What of it can be looked for now. `demand_blocks` is time to fetch a round's updates: more at once would look
    missing to honest validators. Model and trace are one for each attempt, and never wait behind others' demands."""
    open_inputs = sum(
        demand.status == state_pb2.DEMAND_STATUS_OPEN and demand.attempt_id != 0 and demand.blob < TRACE_BLOB
        for _, demand in state.demands.items(task_key(task.task_id))
    )
    room = task.parameters.clients_per_round - open_inputs
    inputs = [key for key, demand in new.items() if demand.blob < TRACE_BLOB]
    waiting = set(inputs[max(room, 0) :])
    taken = {key: demand for key, demand in new.items() if key not in waiting}
    if not taken:
        raise errors.BadDemand(f"{open_inputs} updates of this task's attempts are looked for; send it again later")
    return taken


def _build_demands(
    call: Call, task: state_pb2.Task, current: state_pb2.Round, attempt_id: int, roots: dict[int, bytes]
) -> dict[bytes, state_pb2.Demand]:
    return {
        demand_key(
            task.task_id, current.round, current.parent_attempt, attempt_id, current.turn, blob
        ): state_pb2.Demand(
            task_id=task.task_id,
            round=current.round,
            parent_attempt=current.parent_attempt,
            attempt_id=attempt_id,
            turn=current.turn,
            blob=blob,
            root=root,
            bond=state_pb2.Bond(address=call.sender, amount=task.parameters.demand_bond),
            open_height=call.height,
            deadline_height=call.height + task.parameters.demand_blocks,
            status=state_pb2.DEMAND_STATUS_OPEN,
            beacon=call.block.beacon,
        )
        for blob, root in roots.items()
    }


def apply(state: State, call: Call, message: transaction_pb2.DemandBlob, found: dict[bytes, state_pb2.Demand]) -> None:
    for key, demand in found.items():
        tokens.debit(state, call.sender, demand.bond.amount)
        state.demands.put(key, demand)
    state.emit(
        "blobs_demanded",
        task=message.task_id,
        round=message.round,
        attempt=message.attempt_id,
        sender=call.sender,
        blobs=len(found),
    )
