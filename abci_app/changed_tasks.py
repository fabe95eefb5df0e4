"""Which tasks a block changed: a hint for roles, which would otherwise have to look at each task at each block."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.message import Message

from abci_app.state import State
from abci_app.state.keyspace import task_key
from abci_app.state_machine import Event
from optfl.wire import state_pb2

KIND = "task_changed"
ALL = "all"

# What `/task` shows of these stores is all of it, under keys that begin with the task's id. Not `commitments`, `audits`
# and `watches`, which come one after the other, while most roles wait for what follows from the last; and not
# `announcements`, which concern those alone who look at every block.
_STORES_OF_TASKS = ("tasks", "attempts", "digests", "disputes", "challenges", "demands")
_TASK_KEY_BYTES = len(task_key(0))


def find_changed_tasks(state: State) -> list[Event]:
    """An event for each task whose view this block changed by more than what comes one after the other.

    One for all tasks where it may be any: a view shows keys of stakes, and which validators have power.
    """
    if any(_shown_of_all(state)):
        return [Event(KIND, (("task", ALL),))]
    task_keys = {key[:_TASK_KEY_BYTES] for name in _STORES_OF_TASKS for key in _find_written(state, name)}
    task_keys |= {key[:_TASK_KEY_BYTES] for key in _find_written(state, "rounds") if not _was_counted_up(state, key)}
    return [Event(KIND, (("task", str(int.from_bytes(key, "big"))),)) for key in sorted(task_keys)]


def _find_written(state: State, name: str) -> Iterator[bytes]:
    """Keys of a store that have another value than before the block."""
    for key, value in getattr(state, name).changes.items():
        if value != state.get_base_bytes(name, key):
            yield key


def _was_counted_up(state: State, key: bytes) -> bool:
    """Whether a round that was written has more commitments or watches than before, and is the same otherwise."""
    before, after = state.get_base_bytes("rounds", key), state.rounds.get(key)
    if before is None or after is None:
        return False
    earlier = state_pb2.Round.FromString(before)
    earlier.committed, earlier.watches = after.committed, after.watches
    return earlier == after


def _shown_of_all(state: State) -> Iterator[bool]:
    """For each stake and validator that was written: whether what a task's view shows of it changed."""
    for key in _find_written(state, "stakes"):
        before, after = state.get_base_bytes("stakes", key), state.stakes.get(key)
        yield _show(before, state_pb2.Stake, "public_key") != (None if after is None else after.public_key)
    for key in _find_written(state, "validators"):
        before, now = state.get_base_bytes("validators", key), state.validators.get(key)
        yield _show(before, state_pb2.Validator, "power") != (None if now is None else now.power)


def _show(value: bytes | None, message_type: type[Message], field: str) -> object:
    return None if value is None else getattr(message_type.FromString(value), field)
