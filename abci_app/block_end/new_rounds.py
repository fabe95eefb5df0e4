"""Open the next round as soon as the head has a model, settled or not: training never waits for a dispute."""

from __future__ import annotations

from abci_app.state import State
from abci_app.state.keyspace import round_key, task_key
from abci_app.state.rounds import open_round
from abci_app.transitions.call import BlockContext
from optfl.wire import state_pb2

MAX_LIVE_ROUNDS = 256  # of a task: rounds that are dropped cost nobody anything, but each is kept until it settles


def process_new_rounds(state: State, block: BlockContext) -> None:
    for task_id in state.chain.live_tasks:
        task = state.tasks[task_key(task_id)]
        if task.status != state_pb2.TASK_STATUS_RUNNING or task.cancelled:
            continue
        if task.head_round in (task.parameters.rounds, task.settled_round + MAX_LIVE_ROUNDS):
            continue
        head = state.rounds.get(round_key(task_id, task.head_round))
        if head is None or head.status == state_pb2.ROUND_STATUS_OPEN:  # None: round 0, or settled already
            open_round(state, task, block.height, block.beacon)
