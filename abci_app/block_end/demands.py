"""Decide demands: a blob is held, or missing; then who waited for it gets its time back (A4, red team I1 and I2)."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from itertools import groupby

from abci_app.state import State
from abci_app.state.demands import forfeit_bond, return_bond
from abci_app.state.keyspace import attempt_key, round_key, task_key
from abci_app.state.rounds import (
    get_base_attempt,
    is_window_over,
    prolong_window,
    restart_clock,
    restart_turn,
    strike_update,
)
from abci_app.transitions.call import BlockContext, Voiding
from optfl.tasks import MODEL_BLOB, TRACE_BLOB, is_undecided
from optfl.wire import state_pb2

HELD, MISSING, OPEN = (
    state_pb2.DEMAND_STATUS_HELD,
    state_pb2.DEMAND_STATUS_MISSING,
    state_pb2.DEMAND_STATUS_OPEN,
)


def process_demands(state: State, block: BlockContext) -> None:
    """The demands of a turn or of an attempt are concluded together, in the block that decides the last open one."""
    found = list(state.demands.items())
    # Tens of thousands of blobs can be looked for, opened in few blocks: validators are not read anew for each.
    powers = {v.operator: v.power for _, v in state.validators.items()}
    is_over = functools.cache(lambda opened, deadline: is_window_over(state, opened, deadline, block.height))
    for _, group in groupby(found, key=lambda item: item[0][:-4]):  # all but the blob
        demands = dict(group)
        was_open = _is_any_open(demands)
        for key, demand in demands.items():
            if not is_undecided(demand):
                continue
            if _decide(state, demand, block, powers, is_over=is_over(demand.open_height, demand.deadline_height)):
                state.demands.put(key, demand)
        if was_open and not _is_any_open(demands):
            _conclude(state, block, list(demands.values()))


def _is_any_open(demands: dict[bytes, state_pb2.Demand]) -> bool:
    return any(demand.status == OPEN for demand in demands.values())


def _decide(
    state: State, demand: state_pb2.Demand, block: BlockContext, powers: Mapping[bytes, int], *, is_over: bool
) -> bool:
    """More than 1/3 of voting power serve it, so somebody honest does: held. What over 2/3 serve cost its bond.

    Holders count with the power that they have now: stake cannot be moved on to attest twice. Returns whether anything
    was decided.
    """
    total = sum(powers.values())
    held = sum(powers.get(holder.operator, 0) for holder in demand.holders)
    if 3 * held <= total and not is_over:
        return False
    if demand.status == OPEN:
        demand.status = HELD if 3 * held > total else MISSING
        name = state_pb2.DemandStatus.Name(demand.status).removeprefix("DEMAND_STATUS_").lower()
        state.emit(f"blob_{name}", task=demand.task_id, round=demand.round, attempt=demand.attempt_id, blob=demand.blob)
        if demand.status == HELD and demand.blob == MODEL_BLOB:
            _restart_builder(state, block, demand)
    if 3 * held > 2 * total:
        forfeit_bond(state, demand, powers)
    elif is_over:
        return_bond(state, demand)
    return True


def _restart_builder(state: State, block: BlockContext, demand: state_pb2.Demand) -> None:
    """Whoever builds on a model that could not be had gets its time again: once, for a model is demanded once."""
    task = state.tasks[task_key(demand.task_id)]
    head = state.rounds[round_key(task.task_id, task.head_round)]
    base = get_base_attempt(state, head)
    is_waiting = head.status == state_pb2.ROUND_STATUS_AGGREGATING
    if is_waiting and base is not None and base.attempt_id == demand.attempt_id:
        restart_clock(state, task, head, block.height)


def _conclude(state: State, block: BlockContext, demands: list[state_pb2.Demand]) -> None:
    task = state.tasks[task_key(demands[0].task_id)]
    current = state.rounds[round_key(task.task_id, demands[0].round)]
    missing = {demand.blob for demand in demands if demand.status == MISSING}
    if demands[0].attempt_id != 0:
        _conclude_attempt(state, block, task, current, missing)
    elif current.status == state_pb2.ROUND_STATUS_AGGREGATING:  # else it was submitted meanwhile: it could be done
        for index in sorted(missing):
            strike_update(state, current, index)
        restart_turn(state, task, current, block.height, block.beacon)


def _conclude_attempt(
    state: State, block: BlockContext, task: state_pb2.Task, current: state_pb2.Round, missing: set[int]
) -> None:
    """What nobody can open, nobody can prove wrong: it must not settle (I2)."""
    if not missing:
        prolong_window(state, task, current, block.height)
        return
    own = missing & {MODEL_BLOB, TRACE_BLOB}
    for index in sorted(missing - own):
        strike_update(state, current, index)
    attempt = state.attempts[attempt_key(task.task_id, current.attempt_id)]
    # Its author could have kept model and trace; of an update, others' replicas may have been the last to hold it.
    block.voidings.append(Voiding(attempt, "model" if own else "update", silent=bool(own)))
