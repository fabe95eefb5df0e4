"""The invariants of the design that can be read off the state: cheaply after every block, in full in tests."""

from __future__ import annotations

from google.protobuf.message import Message

from abci_app.state.keyspace import round_key, task_key
from abci_app.state.state import State
from abci_app.state.tokens import InvariantViolation
from optfl.wire import state_pb2

_TOKENS = {
    "accounts": lambda m: m.balance,
    "stakes": lambda m: m.amount,
    "unbonding": lambda m: m.amount,
    "tasks": lambda m: m.escrow,
    "supply": lambda m: m.fee_pot + m.burned,
    "challenges": lambda m: sum(bond.amount for bond in m.bonds),
    "demands": lambda m: m.bond.amount,
}
_TYPES: dict[str, type[Message]] = {
    "accounts": state_pb2.Account,
    "stakes": state_pb2.Stake,
    "unbonding": state_pb2.Unbonding,
    "tasks": state_pb2.Task,
    "supply": state_pb2.Supply,
    "challenges": state_pb2.Challenge,
    "demands": state_pb2.Demand,
}


def _count_tokens(store: str, value: bytes | None) -> int:
    return 0 if value is None else _TOKENS[store](_TYPES[store].FromString(value))


def check_block(state: State) -> None:
    """Invariant 4 over what this block changed: the tokens that left anywhere have arrived somewhere."""
    drift = 0
    for store in state.all_stores:
        if store.name in _TOKENS:
            for key in store.changes:
                drift += _count_tokens(store.name, store.get_bytes(key))
                drift -= _count_tokens(store.name, state.get_base_bytes(store.name, key))
    if drift != 0:
        raise InvariantViolation(f"this block would create {drift} tokens")


def count_all_tokens(state: State) -> int:
    """Balances + stakes + unbonding + escrows + bonds + fee pot + burned."""
    return sum(
        _count_tokens(store.name, store.get_bytes(key))
        for store in state.all_stores
        if store.name in _TOKENS
        for key in store.all_keys()
    )


def check_state(state: State) -> None:
    """All that must hold of any committed state. Linear in it: for tests and for operators, not for every block."""
    if (total := count_all_tokens(state)) != state.supply.genesis:
        raise InvariantViolation(f"{total} tokens where genesis made {state.supply.genesis}")
    live = list(state.chain.live_tasks)
    if live != sorted(set(live)):
        raise InvariantViolation("the live tasks are not ascending")
    for key in state.tasks.all_keys():
        task = state.tasks[key]
        is_live = task.status in LIVE_STATUSES
        if is_live != (task.task_id in live):
            raise InvariantViolation(f"task {task.task_id} has status {task.status} and is_live={is_live}")
        _check_task(state, task)


LIVE_STATUSES = (state_pb2.TASK_STATUS_CREATED, state_pb2.TASK_STATUS_RUNNING, state_pb2.TASK_STATUS_PAUSED)


def _check_task(state: State, task: state_pb2.Task) -> None:
    name = f"task {task.task_id}"
    rounds = [r for _, r in state.rounds.items(task_key(task.task_id))]
    if [r.round for r in rounds] != list(range(task.settled_round + 1, task.head_round + 1)):
        raise InvariantViolation(f"{name}: its live rounds are not those between the settled and the head round")
    if rounds and task.status not in (state_pb2.TASK_STATUS_RUNNING, state_pb2.TASK_STATUS_PAUSED):
        raise InvariantViolation(f"{name} is over but has live rounds")
    if any(r.status != state_pb2.ROUND_STATUS_OPEN for r in rounds[:-1]):
        raise InvariantViolation(f"{name}: a round before the head is not open")  # rounds start on an open one
    parent = task.settled_attempt
    for r in rounds:
        if r.parent_attempt != parent:
            raise InvariantViolation(f"{name}: round {r.round} does not build on the attempt before it")
        parent = r.attempt_id
    for number in range(1, task.settled_round + 1):
        if round_key(task.task_id, number) not in state.digests:
            raise InvariantViolation(f"{name}: settled round {number} has no digest")
