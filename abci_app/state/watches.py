"""Watches of attempts: who says that it has read all of one, who has shown it, and which replicas failed them."""

from __future__ import annotations

from abci_app.state.keyspace import attempt_key
from abci_app.state.rounds import is_window_over
from abci_app.state.state import State
from optfl.wire import state_pb2


def get_watches(state: State, task_id: int, attempt_id: int) -> list[tuple[bytes, state_pb2.Watch]]:
    """Operators and their watches of an attempt, ascending."""
    prefix = attempt_key(task_id, attempt_id)
    return [(key[len(prefix) :], watch) for key, watch in state.watches.items(prefix)]


def are_watches_over(state: State, current: state_pb2.Round, height: int) -> bool:
    """Whether all that watched the round's attempt have shown it, or had their time to."""
    if current.watches == 0:
        return True
    if not current.watch_beacon:
        return False
    if all(watch.opened for _, watch in get_watches(state, current.task_id, current.attempt_id)):
        return True
    return is_window_over(state, current.watch_start_height, current.watch_deadline_height, height)


def get_shown_power(state: State, attempt: state_pb2.Attempt) -> list[tuple[bytes, int, state_pb2.Watch]]:
    """Operators that have shown that they read the attempt, with the power that they have now."""
    powers = {v.operator: v.power for _, v in state.validators.items()}
    watches = get_watches(state, attempt.task_id, attempt.attempt_id)
    return [(operator, powers.get(operator, 0), watch) for operator, watch in watches if watch.opened]


def get_failed_replicas(state: State, attempt: state_pb2.Attempt) -> frozenset[int]:
    """Indices of replicas that more than a third of the power that read the attempt could not read from.

    Less than a third of the power may lie. Who has not shown that it read anything says nothing of those it read from.
    """
    shown = get_shown_power(state, attempt)
    total = sum(power for _, power, _ in shown)
    flagged: dict[int, int] = {}
    for _, power, watch in shown:
        for replica in range(watch.failed_replicas.bit_length()):
            if watch.failed_replicas >> replica & 1:
                flagged[replica] = flagged.get(replica, 0) + power
    return frozenset(replica for replica, power in flagged.items() if _is_enough(power, total))


def _is_enough(power: int, total: int) -> bool:
    return 3 * power > total
