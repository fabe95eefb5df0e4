"""Deadlines of live rounds: freeze training, hand a late aggregator's turn over, resume or abort a paused task."""

from __future__ import annotations

from abci_app.state import State
from abci_app.state.faults import punish_lateness
from abci_app.state.keyspace import round_key, stake_key, task_key
from abci_app.state.rounds import (
    drop_round,
    freeze_round,
    has_open_demands,
    is_base_demanded,
    is_turn_possible,
    is_window_over,
    start_turn,
)
from abci_app.state.safety import record_outcome
from abci_app.state.task_end import end_task
from abci_app.transitions.call import BlockContext
from optfl.wire import state_pb2, transaction_pb2

MAX_CREATED_BLOCKS = 5000  # a task that nobody starts gives its place to others


def process_deadlines(state: State, block: BlockContext) -> None:
    for task_id in state.chain.live_tasks:
        task = state.tasks[task_key(task_id)]
        if task.status == state_pb2.TASK_STATUS_CREATED and block.height >= task.created_height + MAX_CREATED_BLOCKS:
            end_task(state, task, state_pb2.TASK_STATUS_ABORTED, block.height)
            continue
        current = state.rounds.get(round_key(task_id, task.head_round))  # those before the head are open
        if current is None:
            continue
        if task.status == state_pb2.TASK_STATUS_PAUSED:
            _process_pause(state, block, task, current)
        elif current.status == state_pb2.ROUND_STATUS_TRAINING:
            _process_training(state, block, task, current)
        elif current.status == state_pb2.ROUND_STATUS_AGGREGATING:
            _process_turn(state, block, task, current)


def _process_training(state: State, block: BlockContext, task: state_pb2.Task, current: state_pb2.Round) -> None:
    """Commits in the deadline's own block are in: they were applied before this (I9)."""
    is_complete = len(current.selected) == current.committed
    if is_complete or block.height >= current.training_deadline_height:
        freeze_round(state, task, current, block.height, block.beacon)


def _process_turn(state: State, block: BlockContext, task: state_pb2.Task, current: state_pb2.Round) -> None:
    """Who had every blob, or could have demanded it, and still is late, is slashed and excluded for a time (I1, A4)."""
    role = transaction_pb2.ROLE_AGGREGATOR
    if current.aggregator and state.stakes[stake_key(role, current.aggregator)].excluded:
        # Convicted of another attempt since its turn began: it may not submit, so nobody waits for it.
        start_turn(state, task, current, current.turn + 1, block.height, block.beacon)
        return
    if has_open_demands(state, current) or is_base_demanded(state, current):
        return
    if not is_window_over(state, current.turn_start_height, current.aggregation_deadline_height, block.height):
        return
    if current.aggregator:  # in the modes of many signers nobody's turn it is
        punish_lateness(state, current.aggregator, block.height)
        record_outcome(task, faulty=True)
        state.tasks.put(task_key(task.task_id), task)
    state.emit("turn_missed", task=task.task_id, round=current.round, turn=current.turn, aggregator=current.aggregator)
    start_turn(state, task, current, current.turn + 1, block.height, block.beacon)


def _process_pause(state: State, block: BlockContext, task: state_pb2.Task, current: state_pb2.Round) -> None:
    """A11: a task without an eligible aggregator waits `pause_blocks` for one, then ends with its open rounds.

    These settle first: a requester whose own aggregators leave must not have the updates for nothing (R6).
    """
    if is_turn_possible(state, task, current.round, current.turn):
        task.status = state_pb2.TASK_STATUS_RUNNING
        state.tasks.put(task_key(task.task_id), task)
        state.emit("task_resumed", task=task.task_id, round=current.round)
        start_turn(state, task, current, current.turn, block.height, block.beacon)
    elif block.height >= task.paused_height + task.parameters.pause_blocks:
        task.status = state_pb2.TASK_STATUS_RUNNING
        task.cancelled = True
        state.emit("task_cancelled", task=task.task_id)
        drop_round(state, task, current, block.height, block.beacon)
