"""Once an attempt's window is over, a beacon that nobody knew while it was open draws what each watch has to show."""

from __future__ import annotations

from abci_app.block_end.settlement import MAX_SETTLED_ROUNDS
from abci_app.state import State
from abci_app.state.keyspace import round_key, task_key
from abci_app.state.rounds import is_disputed, is_window_over
from abci_app.transitions.call import BlockContext
from optfl.tasks import compute_showing_blocks
from optfl.wire import state_pb2


def process_watches(state: State, block: BlockContext) -> None:
    for task_id in state.chain.live_tasks:
        task = state.tasks[task_key(task_id)]
        for number in range(task.settled_round + 1, task.settled_round + 1 + MAX_SETTLED_ROUNDS):
            current = state.rounds.get(round_key(task_id, number))
            if current is None:
                break
            if _is_due(state, current, block.height):
                _draw(state, task, current, block)


def _is_due(state: State, current: state_pb2.Round, height: int) -> bool:
    if current.status != state_pb2.ROUND_STATUS_OPEN or current.watches == 0 or current.watch_beacon:
        return False
    if not is_window_over(state, current.window_open_height, current.window_close_height, height):
        return False
    return not is_disputed(state, current)


def _draw(state: State, task: state_pb2.Task, current: state_pb2.Round, block: BlockContext) -> None:
    """Nobody can commit to a tree any more, and not even this block's proposer could when its beacon was known."""
    current.watch_beacon = block.beacon
    current.watch_start_height = block.height
    current.watch_deadline_height = block.height + compute_showing_blocks(task.parameters)
    state.rounds.put(round_key(current.task_id, current.round), current)
    state.emit(
        "watches_drawn",
        task=current.task_id,
        round=current.round,
        attempt=current.attempt_id,
        watches=current.watches,
        deadline_height=current.watch_deadline_height,
    )
