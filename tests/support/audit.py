"""What must hold of any block, told a second time: from the stores before and after it, and from CometBFT's own rules.

Shares no rule with the ledger: only the encoding of its stores.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

from abci_app.state import State
from abci_app.state.invariants import check_state
from abci_app.state.keyspace import round_key, stake_key
from abci_app.state_machine import Stores, ValidatorUpdate
from optfl.wire import state_pb2

MAX_TOTAL_POWER = (2**63 - 1) // 8  # types/validator_set.go

_LIVE_TASKS = (state_pb2.TASK_STATUS_CREATED, state_pb2.TASK_STATUS_RUNNING, state_pb2.TASK_STATUS_PAUSED)
_STARTED = (state_pb2.TASK_STATUS_RUNNING, state_pb2.TASK_STATUS_PAUSED)


def diff(expected: Stores, found: Stores) -> dict[tuple[str, bytes], tuple[bytes | None, bytes | None]]:
    """Every key of every store that differs, with both its values."""
    return {
        (name, key): (expected.get(name, {}).get(key), found.get(name, {}).get(key))
        for name in sorted({*expected, *found})
        for key in sorted({*expected.get(name, {}), *found.get(name, {})})
        if expected.get(name, {}).get(key) != found.get(name, {}).get(key)
    }


def update_validator_set(validators: Mapping[bytes, int], updates: Sequence[ValidatorUpdate]) -> dict[bytes, int]:
    """The set that CometBFT makes of `updates`; fails where CometBFT would stop (types/validator_set.go)."""
    keys = [update.consensus_key for update in updates]
    assert len(set(keys)) == len(keys), "duplicate validator updates"
    assert all(0 <= update.power <= MAX_TOTAL_POWER for update in updates)
    assert all(update.power or update.consensus_key in validators for update in updates), "removes an unknown validator"
    added = {**validators, **{key: power for key, power in updates if power}}
    assert sum(added.values()) <= MAX_TOTAL_POWER, "total power before removals"
    after = {key: power for key, power in {**validators, **dict(updates)}.items() if power}
    assert after, "an empty validator set"
    return after


def check_after(stores: Stores, validators: Mapping[bytes, int]) -> None:
    """What holds of every committed state."""
    state = State(stores)
    check_state(state)
    _check_stakes(state)
    _check_validators(state, validators)
    _check_rounds(state)


def check_between(before: Stores, after: Stores) -> None:
    """What holds between the state before a block and after it."""
    old, new = State(before), State(after)
    for key, account in old.accounts.items():
        assert new.accounts[key].sequence >= account.sequence, "a sequence number went back"
    for name in ("digests", "disputes"):  # invariant 3: settled is settled
        for key, value in before.get(name, {}).items():
            assert after[name].get(key) == value, f"{name} are for good"
    for key, attempt in old.attempts.items():  # A1: all but its status is immutable
        kept = new.attempts.get(key)
        if kept is not None:
            kept.status, kept.status_height, kept.prover = attempt.status, attempt.status_height, attempt.prover
            assert kept == attempt, "an attempt's record changed"
    for key, task in old.tasks.items():
        assert new.tasks[key].settled_round >= task.settled_round, "a settled round was reverted"
        if task.status not in _LIVE_TASKS:
            assert new.tasks[key] == task, "a task that has ended changed"
    assert new.supply.genesis == old.supply.genesis
    assert new.supply.burned >= old.supply.burned


def _check_stakes(state: State) -> None:
    open_tasks: Counter[bytes] = Counter()
    for task in [t for _, t in state.tasks.items()]:
        if task.status in _STARTED:
            lists = {2: task.parameters.aggregators, 3: task.parameters.replicas, 4: task.parameters.clients}
            open_tasks.update(stake_key(role, address) for role, addresses in lists.items() for address in addresses)
        assert task.status in _LIVE_TASKS or task.escrow == 0, "an ended task keeps tokens"
        if task.status in _LIVE_TASKS:
            cost = task.parameters.aggregator_reward + task.parameters.client_reward * task.parameters.clients_per_round
            cost += task.parameters.validator_reward + task.parameters.replica_reward
            assert task.escrow >= (task.parameters.rounds - task.settled_round) * cost, "the escrow does not suffice"
    for key, stake in state.stakes.items():
        assert key == stake_key(stake.role, stake.address)
        assert stake.open_tasks == open_tasks.pop(key, 0), "open_tasks is not the number of tasks that name the account"
    assert not open_tasks, "a running task names an account without a stake record"
    unbondings = Counter(key[8:] for key in state.unbonding.all_keys())
    for key, stake in state.stakes.items():
        assert stake.unbondings == unbondings.pop(key, 0), "unbondings is not the number of entries under way"
    assert not unbondings, "unbonding without a stake record"
    for attempt in [a for _, a in state.attempts.items()]:
        if attempt.aggregator:
            assert stake_key(2, attempt.aggregator) in state.stakes, "nobody is left to convict"


def _check_validators(state: State, validators: Mapping[bytes, int]) -> None:
    known = [v for _, v in state.validators.items()]
    assert len({v.consensus_key for v in known}) == len(known), "a consensus key stands twice"
    assert {v.consensus_key: v.power for v in known if v.power} == validators, "CometBFT has another validator set"


def _check_rounds(state: State) -> None:
    commitments: Counter[bytes] = Counter(key[:16] for key in state.commitments.all_keys())
    for current in [r for _, r in state.rounds.items()]:
        prefix = round_key(current.task_id, current.round) + current.parent_attempt.to_bytes(4, "big")
        assert current.committed == commitments.pop(prefix, 0), "the count of commitments is wrong"
        assert len(set(current.selected)) == len(current.selected), "a client was drawn twice"
    assert not commitments, "commitments of a round that is not live"


def compute_digest(stores: Stores) -> bytes:
    """A hash of all stores that knows nothing of Merkle trees; equal for equal contents in any order."""
    digest = hashlib.sha256()
    for name in sorted(stores):
        for key in sorted(stores[name]):
            for part in (name.encode(), key, stores[name][key]):
                digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()
