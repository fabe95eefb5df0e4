"""Open the next round as soon as the head has a model, settled or not: training never waits for a dispute."""

from __future__ import annotations

from abci_app.state import State
from abci_app.state.keyspace import round_key, task_key
from abci_app.state.rounds import has_open_challenge, open_round
from abci_app.state.safety import is_safe
from abci_app.transitions.call import BlockContext
from optfl.tasks import MAX_LIVE_ROUNDS, compute_round_cost
from optfl.wire import state_pb2


def process_new_rounds(state: State, block: BlockContext) -> None:
    for task_id in state.chain.live_tasks:
        task = state.tasks[task_key(task_id)]
        if task.status != state_pb2.TASK_STATUS_RUNNING or task.cancelled:
            continue
        if task.head_round in (task.parameters.rounds, task.settled_round + MAX_LIVE_ROUNDS):
            continue
        if not _check_safety(state, task, block.height):
            continue
        if task.head_round > 0 and block.height < task.head_start_height + task.parameters.min_round_blocks:
            continue
        head = state.rounds.get(round_key(task_id, task.head_round))
        if head is not None and not _is_ready(state, head):  # None: round 0, or settled already
            continue
        if task.escrow < (task.head_round + 1 - task.settled_round) * compute_round_cost(task.parameters):
            _cancel(state, task)  # it paid for rounds that its replicas lost
        else:
            open_round(state, task, block.height, block.beacon)


def _is_ready(state: State, head: state_pb2.Round) -> bool:
    """Whether something can be built on `head`."""
    if head.status != state_pb2.ROUND_STATUS_OPEN:
        return False
    # A vote without a quorum made validators recompute this round before anything is built on it (A7, red team V5).
    return head.undecided_votes == 0 or not has_open_challenge(state, head)


def _check_safety(state: State, task: state_pb2.Task, height: int) -> bool:
    """S_t below S_min holds new rounds back; a task that does not recover ends with its open rounds (A11, R7)."""
    if is_safe(state, task):
        if task.unsafe_height:
            task.unsafe_height = 0
            state.tasks.put(task_key(task.task_id), task)
            state.emit("safety_restored", task=task.task_id)
        return True
    if not task.unsafe_height:
        task.unsafe_height = height
        state.tasks.put(task_key(task.task_id), task)
        state.emit("safety_low", task=task.task_id)
    elif height >= task.unsafe_height + task.parameters.pause_blocks:
        _cancel(state, task)
    return False


def _cancel(state: State, task: state_pb2.Task) -> None:
    """No new rounds; it ends with its open ones."""
    task.cancelled = True
    state.tasks.put(task_key(task.task_id), task)
    state.emit("task_cancelled", task=task.task_id)
