"""Which updates a task has seen, and whose they were: an update that anybody can read earns nothing a second time.

Updates are readable once their round is frozen, so a copy of one is recognised in any other *opening* of a round: a
round, or the same one again after a revert. Within one opening equal updates are taken: what a bad replica has leaked
must not have its author refused (red team I4). Whoever committed an update where it first appeared may commit it again:
after a revert an honest client may train the same once more.
"""

from __future__ import annotations

from abci_app.state.keyspace import round_key, seen_update_key, task_key
from abci_app.state.state import State
from optfl import tasks
from optfl.merkle import hash_leaf, hash_node
from optfl.tasks import MAX_LIVE_ROUNDS
from optfl.vectors import Shape
from optfl.wire import state_pb2

KNOWN_ROUNDS = 8  # settled ones whose updates are remembered, beside those of live and void rounds after these


def is_copy(state: State, task: state_pb2.Task, current: state_pb2.Round, client: bytes, root: bytes) -> bool:
    """Whether the update with `root` is somebody else's, of another round of the task."""
    first = max(task.settled_round + 1 - KNOWN_ROUNDS, 1)
    is_anothers = False
    for number in range(first, task.settled_round + MAX_LIVE_ROUNDS + 1):  # also those that a revert has made void
        seen = state.seen_updates.get(seen_update_key(task.task_id, number, root))
        if seen is None:
            continue
        if client in seen.clients:
            return False
        is_anothers |= (number, seen.parent_attempt) != (current.round, current.parent_attempt)
    # Everybody makes the same of nothing: a client that has nothing to say has copied nobody.
    return is_anothers and root != compute_zero_root(tasks.update_shape(task.parameters))


def note_update(state: State, current: state_pb2.Round, client: bytes, root: bytes) -> None:
    key = seen_update_key(current.task_id, current.round, root)
    seen = state.seen_updates.get(key) or state_pb2.SeenUpdate(parent_attempt=current.parent_attempt)
    if client not in seen.clients:
        seen.clients.append(client)
        state.seen_updates.put(key, seen)


def forget_updates(state: State, task_id: int, round_number: int | None = None) -> None:
    """Of one round, or all of a task that is over."""
    prefix = task_key(task_id) if round_number is None else round_key(task_id, round_number)
    for key in state.seen_updates.all_keys(prefix):
        state.seen_updates.delete(key)


def compute_zero_root(shape: Shape) -> bytes:
    """Root of the vector of nothing but zeros: all chunks but the last are equal, so a hash or two for each level."""
    start, stop = shape.chunk_bounds(shape.chunks - 1)
    node = hash_leaf(bytes(shape.chunk_values * shape.value_bytes))
    last = hash_leaf(bytes((stop - start) * shape.value_bytes))
    size = shape.chunks
    while size > 1:
        last = last if size % 2 else hash_node(node, last)
        node = hash_node(node, node)
        size = (size + 1) // 2
    return last
