"""Who takes part in a task: registered accounts, turns, draws."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from abci_app.state.keyspace import stake_key
from abci_app.state.state import State
from optfl.wire import state_pb2, transaction_pb2

SELECTION_DOMAIN = b"optfl/selection/v1"
MAX_PARTICIPANTS = 1000  # of one role: they are part of a task's record, which a live task changes in most blocks

MAX_AGGREGATORS = 256


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


def change_committed(state: State, aggregators: Sequence[bytes], change: int) -> None:
    """What a task requires of these aggregators' stake, added to or taken off what their other tasks do."""
    for address in aggregators:
        key = stake_key(transaction_pb2.ROLE_AGGREGATOR, address)
        stake = state.stakes[key]
        stake.committed += change
        state.stakes.put(key, stake)


def is_eligible(state: State, role: int, address: bytes, min_stake: int) -> bool:
    stake = state.stakes.get(stake_key(role, address))
    if stake is None or stake.excluded or stake.excluded_until_height > 0:
        return False  # who was excluded for a time comes back by Readmit
    return stake.amount >= max(min_stake, stake.committed)  # less would not answer for what it has joined (R5)


def get_eligible_aggregators(state: State, task: state_pb2.Task) -> list[bytes]:
    """The task's aggregators that may take a turn now, in the order of their turns."""
    minimum = state.params.min_aggregator_stake
    role = transaction_pb2.ROLE_AGGREGATOR
    return [a for a in task.parameters.aggregators if is_eligible(state, role, a, minimum)]


def compute_turn(
    aggregators: Sequence[bytes], eligible: Sequence[bytes], round_number: int, turn: int, *, literal: bool = False
) -> bytes | None:
    """Whose turn it is: a = (r - 1 + turn) mod N; if that one is not eligible, those who are take its turns in turn.

    The k-th turn of excluded ones is that of `eligible[k mod n]`: nobody's own turns shift, and nobody collects
    another's. With `literal` it is the next in order who is eligible, as the paper has it: an excluded one's turns pile
    on its successor (R9). None if nobody is eligible, where the paper's loop has no end (R8). `eligible` in the order
    of `aggregators`.
    # seed 001, Alg. 1
    """
    if not eligible:
        return None
    cycle, place = divmod(round_number - 1 + turn, len(aggregators))
    if aggregators[place] in eligible:
        return aggregators[place]
    if literal:
        return next(a for a in (*aggregators[place:], *aggregators[:place]) if a in eligible)
    before = sum(a not in eligible for a in aggregators[:place])
    passed_on = cycle * (len(aggregators) - len(eligible)) + before
    return eligible[passed_on % len(eligible)]


def get_due_aggregator(state: State, task: state_pb2.Task, round_number: int, turn: int) -> bytes | None:
    return compute_turn(
        list(task.parameters.aggregators),
        get_eligible_aggregators(state, task),
        round_number,
        turn,
        literal=task.parameters.rotation == transaction_pb2.ROTATION_LITERAL,
    )


def draw_clients(
    beacon: bytes, task_id: int, round_number: int, weighted: Sequence[tuple[bytes, int]], count: int
) -> list[bytes]:
    """The first `count` of `iterate_draws`."""
    return list(itertools.islice(iterate_draws(beacon, task_id, round_number, weighted), count))


def iterate_draws(
    beacon: bytes, task_id: int, round_number: int, weighted: Sequence[tuple[bytes, int]]
) -> Iterator[bytes]:
    """Draw all of the (address, weight) pairs without replacement, each draw in proportion to the weights left.

    The i-th draw is SHA-256(domain ‖ beacon ‖ task ‖ round ‖ i) mod the weights left, counted along `weighted`: anyone
    can recompute it. The order of drawing is the selection order.
    """
    pool = [(address, weight) for address, weight in weighted if weight > 0]
    left = np.array([weight for _, weight in pool], dtype=np.int64)  # all tokens there are fit an int64
    seed = SELECTION_DOMAIN + beacon + task_id.to_bytes(8, "big") + round_number.to_bytes(4, "big")
    for draw in range(len(pool)):
        number = int.from_bytes(hashlib.sha256(seed + draw.to_bytes(4, "big")).digest(), "big")
        tickets = np.cumsum(left)
        index = int(np.searchsorted(tickets, number % int(tickets[-1]), side="right"))
        yield pool[index][0]
        left[index] = 0


def select_clients(state: State, task: state_pb2.Task, round_number: int, beacon: bytes) -> list[bytes]:
    """The K clients of a round: the first drawn of the task's list that have their stake (A9).

    Who is drawn from and with which weights is fixed before any beacon is known, and whoever lacks its stake is passed
    over: otherwise a proposer could move stake of its own clients about until the draw suits it (L4).
    """
    clients = list(task.parameters.clients)
    weights = list(task.client_weights) if task.draw_by_stake else [1] * len(clients)
    weight_of = dict(zip(clients, weights, strict=True))
    drawn = iterate_draws(beacon, task.task_id, round_number, list(weight_of.items()))
    present = (client for client in drawn if _has_stake(state, client, weight_of[client]))
    return list(itertools.islice(present, task.parameters.clients_per_round))


def _has_stake(state: State, client: bytes, weight: int) -> bool:
    stake = state.stakes.get(stake_key(transaction_pb2.ROLE_CLIENT, client))
    minimum = max(state.params.min_client_stake, weight)
    return stake is not None and not stake.excluded and stake.amount >= minimum
