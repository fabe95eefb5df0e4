"""Who takes part in a task: registered accounts, turns, draws."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from abci_app.state.keyspace import stake_key
from abci_app.state.state import State
from optfl.wire import state_pb2, transaction_pb2

SELECTION_DOMAIN = b"optfl/selection/v1"
MAX_PARTICIPANTS = 1000  # of one role: they are part of a task's record, which a live task changes in most blocks

# The lists of a task's parameters, by the role of those in them.
PARTICIPANT_ROLES = {
    "aggregators": transaction_pb2.ROLE_AGGREGATOR,
    "clients": transaction_pb2.ROLE_CLIENT,
    "replicas": transaction_pb2.ROLE_REPLICA,
}


def get_registered(state: State, role: int) -> list[bytes]:
    """Addresses with stake in `role` that are not excluded, ascending; at most MAX_PARTICIPANTS."""
    registered = [s.address for _, s in state.stakes.items(bytes([role])) if s.amount > 0 and not s.excluded]
    return registered[:MAX_PARTICIPANTS]


def change_open_tasks(state: State, role: int, addresses: Sequence[bytes], change: int) -> None:
    """Count a task that names these accounts: their stake is not released meanwhile."""
    for address in addresses:
        stake = state.stakes[stake_key(role, address)]
        stake.open_tasks += change
        state.stakes.put(stake_key(role, address), stake)


def is_eligible(state: State, role: int, address: bytes, min_stake: int) -> bool:
    stake = state.stakes.get(stake_key(role, address))
    return stake is not None and not stake.excluded and stake.amount >= min_stake


def compute_turn(aggregators: Sequence[bytes], eligible: Sequence[bytes], round_number: int, turn: int) -> bytes | None:
    """Whose turn it is: a = (r - 1 + turn) mod N; if that one is not eligible, the same index into those who are.

    None if nobody is. `eligible` in the order of `aggregators`.
    # seed 001, Alg. 1 (which piles excluded turns on one successor, and never ends when all are excluded: A11, R8, R9)
    """
    if not eligible:
        return None
    index = round_number - 1 + turn
    due = aggregators[index % len(aggregators)]
    return due if due in eligible else eligible[index % len(eligible)]


def get_due_aggregator(state: State, task: state_pb2.Task, round_number: int, turn: int) -> bytes | None:
    minimum = state.params.min_aggregator_stake
    aggregators = list(task.parameters.aggregators)
    eligible = [a for a in aggregators if is_eligible(state, transaction_pb2.ROLE_AGGREGATOR, a, minimum)]
    return compute_turn(aggregators, eligible, round_number, turn)


def draw_clients(
    beacon: bytes, task_id: int, round_number: int, weighted: Sequence[tuple[bytes, int]], count: int
) -> list[bytes]:
    """Draw `count` of the (address, weight) pairs without replacement, each draw in proportion to the weights left.

    The i-th draw is SHA-256(domain ‖ beacon ‖ task ‖ round ‖ i) mod the weights left, counted along `weighted`: anyone
    can recompute it. The order of drawing is the selection order.
    """
    pool = [(address, weight) for address, weight in weighted if weight > 0]
    left = np.array([weight for _, weight in pool], dtype=np.int64)  # all tokens there are fit an int64
    seed = SELECTION_DOMAIN + beacon + task_id.to_bytes(8, "big") + round_number.to_bytes(4, "big")
    selected = []
    for draw in range(min(count, len(pool))):
        number = int.from_bytes(hashlib.sha256(seed + draw.to_bytes(4, "big")).digest(), "big")
        tickets = np.cumsum(left)
        index = int(np.searchsorted(tickets, number % int(tickets[-1]), side="right"))
        selected.append(pool[index][0])
        left[index] = 0
    return selected


def select_clients(state: State, task: state_pb2.Task, round_number: int, beacon: bytes) -> list[bytes]:
    """The K clients of a round, of those on the task's list that have their stake (A9)."""
    weighted = []
    for address in task.parameters.clients:
        stake = state.stakes.get(stake_key(transaction_pb2.ROLE_CLIENT, address))
        if stake is None or stake.excluded or stake.amount < state.params.min_client_stake:
            continue
        # Without an allow-list, accounts are free: draw by stake, or one owner's many accounts would fill the round.
        weighted.append((address, max(stake.amount, 1) if task.draw_by_stake else 1))
    return draw_clients(beacon, task.task_id, round_number, weighted, task.parameters.clients_per_round)
