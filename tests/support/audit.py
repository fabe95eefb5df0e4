"""What must hold of any block, told a second time: from the stores before and after it, and from CometBFT's own rules.

Shares no rule with the ledger: only the encoding of its stores.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

from abci_app.queries import query
from abci_app.state import State
from abci_app.state.invariants import check_state
from abci_app.state.keyspace import round_key, stake_key
from abci_app.state_machine import Event, Stores, ValidatorUpdate
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
    _check_tokens(state)
    _check_stakes(state)
    _check_validators(state, validators)
    _check_rounds(state)
    _check_challenges(state)
    _check_demands(state)


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
    for key, record in new.disputes.items():
        if key not in old.disputes:
            assert record.slashed == sum(
                (record.burned, record.compensation, record.reporter_reward, record.inclusion_reward)
            )
            assert 100 * record.burned >= new.params.burned_percent * record.slashed, "a lie costs too little"
    _check_faults_between(old, new)
    for key, challenge in old.challenges.items():
        _check_challenge_between(challenge, new.challenges.get(key), is_kept=key in new.attempts)
    for key, task in old.tasks.items():
        assert new.tasks[key].settled_round >= task.settled_round, "a settled round was reverted"
        if task.status not in _LIVE_TASKS:
            assert new.tasks[key] == task, "a task that has ended changed"
    assert new.supply.genesis == old.supply.genesis
    assert new.supply.burned >= old.supply.burned


def check_told(before: Stores, after: Stores, events: Sequence[Event]) -> None:
    """A block's events name each task of which roles would see more than what comes one by one, and no other."""
    told = {dict(event.attributes)["task"] for event in events if event.kind == "task_changed"}
    for key in after.get("tasks", {}):
        name = str(int.from_bytes(key, "big"))
        if _look(before, key) != _look(after, key):
            assert told & {name, "all"}, f"nobody is told that task {name} changed"
        else:
            assert name not in told, f"task {name} is said to have changed"


def _look(stores: Stores, key: bytes) -> state_pb2.TaskView | None:
    """What roles that rest have to see of a task; None without it."""
    code, value = query(stores, "/task", key, 0)
    if code:
        return None
    view = state_pb2.TaskView.FromString(value)
    view.ClearField("commitments")
    for field in ("audits", "watches", "announcements"):
        view.ClearField(field)
    for current in view.rounds:
        current.ClearField("committed")
        current.ClearField("watches")
    return view


def _check_faults_between(old: State, new: State) -> None:
    """Only who joined a live task can be late, only who is convicted is out for good, and nobody comes back early."""
    height = new.chain.height
    joined = {address for _, task in old.tasks.items() if task.status in _LIVE_TASKS for address in task.joined}
    records = [record for key, record in new.disputes.items() if key not in old.disputes]
    convicted = {address for record in records for address in (record.aggregator, *record.signers)}
    for key, stake in old.stakes.items():
        now = new.stakes.get(key)
        if now is None:
            assert not stake.excluded, "an exclusion for good was forgotten"
            continue
        assert now.excluded >= stake.excluded, "an exclusion for good was lifted"
        assert now.excluded == stake.excluded or now.address in convicted, "excluded without a conviction"
        if now.faults > stake.faults or now.excluded_until_height > stake.excluded_until_height:
            assert now.role == 2, "nobody else has deadlines"
            assert now.address in joined, "late in no task that it joined"
        elif now.excluded_until_height < stake.excluded_until_height:
            assert now.excluded_until_height == 0, "an exclusion became shorter"
            assert height >= stake.excluded_until_height, "back too early"
    for round_id, current in new.rounds.items():
        key = stake_key(2, current.aggregator)
        previous = old.rounds.get(round_id) or state_pb2.Round()
        is_same_turn = (previous.turn, previous.aggregator) == (current.turn, current.aggregator)
        if current.turn_start_height == height and current.aggregator and not is_same_turn:
            before, now = old.stakes[key], new.stakes[key]
            assert not before.excluded, "a turn for who is out for good"
            assert not before.excluded_until_height or now.excluded_until_height != before.excluded_until_height


def _check_tokens(state: State) -> None:
    """Invariant 4, counted once more: nothing is made, and nothing is lost."""
    held = [account.balance for _, account in state.accounts.items()]
    held += [stake.amount for _, stake in state.stakes.items()] + [e.amount for _, e in state.unbonding.items()]
    held += [task.escrow for _, task in state.tasks.items()]
    held += [bond.amount for _, challenge in state.challenges.items() for bond in challenge.bonds]
    held += [demand.bond.amount for _, demand in state.demands.items()]
    assert sum(held) + state.supply.fee_pot + state.supply.burned == state.supply.genesis, "tokens came or went"


def _check_stakes(state: State) -> None:
    open_tasks: Counter[bytes] = Counter()
    committed: Counter[bytes] = Counter()
    for task in [t for _, t in state.tasks.items()]:
        if task.status in _STARTED:
            open_tasks.update(stake_key(3, address) for address in task.parameters.replicas)
        if task.status in _LIVE_TASKS:
            open_tasks.update(stake_key(2, address) for address in task.joined)
            for address in task.joined:
                committed[address] += task.required_stake
        assert task.status in _LIVE_TASKS or task.escrow == 0, "an ended task keeps tokens"
        if task.status in _LIVE_TASKS:
            cost = task.parameters.aggregator_reward + task.parameters.client_reward * task.parameters.clients_per_round
            cost += task.parameters.validator_reward + task.parameters.replica_reward
            assert task.escrow >= (task.head_round - task.settled_round) * cost, "the escrow does not suffice"
    for key, stake in state.stakes.items():
        assert key == stake_key(stake.role, stake.address)
        assert stake.committed == (committed[stake.address] if stake.role == 2 else 0)
        assert stake.faults <= (6 if stake.role == 2 else 0), "an exclusion would grow without end"
        assert stake.role == 2 or not stake.excluded_until_height, "nobody else has deadlines"
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


def _check_demands(state: State) -> None:
    live = {(r.task_id, r.round): r for _, r in state.rounds.items()}
    open_inputs: Counter[int] = Counter()
    for key, demand in state.demands.items():
        current = live.get((demand.task_id, demand.round))
        assert current is not None, "a demand of a round that is not live"
        numbers = (demand.parent_attempt, demand.attempt_id, demand.turn, demand.blob)
        assert key == round_key(demand.task_id, demand.round) + b"".join(n.to_bytes(4, "big") for n in numbers)
        assert (demand.parent_attempt, demand.turn) == (current.parent_attempt, current.turn), "of another turn"
        assert demand.attempt_id in (0, current.attempt_id), "a demand of an attempt that is not open"
        operators = [holder.operator for holder in demand.holders]
        assert operators == sorted(set(operators)), "holders are not ascending"
        if demand.status == state_pb2.DEMAND_STATUS_OPEN:
            assert demand.bond.amount > 0, "an open demand without a bond"
            open_inputs[demand.task_id] += demand.attempt_id != 0 and demand.blob != 2**32 - 1
        if demand.status == state_pb2.DEMAND_STATUS_MISSING:
            assert demand.bond.amount == 0, "a bond is held on what is decided"
    for task_id, count in open_inputs.items():
        task = state.tasks[task_id.to_bytes(8, "big")]
        assert count <= task.parameters.clients_per_round, "more is looked for than can be fetched in time"
    assert all(r.restarts <= 3 for r in live.values()), "time was bought"
    for store in (state.audits, state.announcements, state.watches):
        assert all(key[:12] in state.attempts for key in store.all_keys()), f"{store.name} of what is forgotten"
    _check_watches(state)


def _check_watches(state: State) -> None:
    counted: Counter[bytes] = Counter(key[:12] for key in state.watches.all_keys())
    opened = {key[:12] for key, watch in state.watches.items() if watch.opened}
    drawn = set()
    for current in [r for _, r in state.rounds.items()]:
        key = current.task_id.to_bytes(8, "big") + current.attempt_id.to_bytes(4, "big")
        assert current.watches == counted[key], "watches were miscounted"
        assert bool(current.watch_beacon) == bool(current.watch_start_height) == bool(current.watch_deadline_height)
        if current.watch_beacon:
            assert current.watches, "drawn for nobody"
            assert current.status == state_pb2.ROUND_STATUS_OPEN
            drawn.add(key)
    void = {key for key, attempt in state.attempts.items() if attempt.status != state_pb2.ATTEMPT_STATUS_OPEN}
    assert opened <= drawn | void, "a watch was opened before anything was drawn"


def _check_challenges(state: State) -> None:
    for key, challenge in state.challenges.items():
        assert key in state.attempts, "a vote on an attempt that is forgotten"
        is_decided = challenge.status == state_pb2.CHALLENGE_STATUS_DECIDED
        operators = [voter.operator for voter in challenge.voters]
        assert operators == sorted(set(operators)), "voters are not ascending"
        assert all(voter.power > 0 for voter in challenge.voters), "a voter without power"
        is_voted_on = any(voter.commitment for voter in challenge.voters)
        assert len(challenge.seed) in ((32,) if is_voted_on else (0, 32)), "a vote without a projection"
        assert is_decided == bool(challenge.verdict) == bool(challenge.decided_height)
        for voter in challenge.voters:
            revealing = challenge.status == state_pb2.CHALLENGE_STATUS_REVEALING
            assert revealing or not voter.HasField("vote"), "a vote outside of the reveals"
            assert voter.commitment or not voter.HasField("vote"), "a reveal without a commitment"
            assert is_decided or not voter.agreed
        if is_decided:
            assert all(bond.amount == 0 for bond in challenge.bonds), "a bond is held after the verdict"


def _check_challenge_between(old: state_pb2.Challenge, new: state_pb2.Challenge | None, *, is_kept: bool) -> None:
    """Phases only go on, nothing that was said is changed, and a verdict is for good."""
    if new is None:
        assert not is_kept, "a vote is forgotten before its attempt"
        return
    assert new.status >= old.status, "a vote went back"
    if old.status == state_pb2.CHALLENGE_STATUS_DECIDED:
        assert new == old, "a verdict changed"
    assert [(v.operator, v.power) for v in new.voters] == [(v.operator, v.power) for v in old.voters]
    for before, after in zip(old.voters, new.voters, strict=True):
        assert before.commitment in (b"", after.commitment), "a commitment changed"
        is_open = new.status != state_pb2.CHALLENGE_STATUS_DECIDED
        assert not (is_open and before.HasField("vote")) or before.vote == after.vote, "a vote changed"
    assert [b.address for b in new.bonds][: len(old.bonds)] == [b.address for b in old.bonds]
    assert old.seed in (b"", new.seed), "the projection changed"


def compute_digest(stores: Stores) -> bytes:
    """A hash of all stores that knows nothing of Merkle trees; equal for equal contents in any order."""
    digest = hashlib.sha256()
    for name in sorted(stores):
        for key in sorted(stores[name]):
            for part in (name.encode(), key, stores[name][key]):
                digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()
