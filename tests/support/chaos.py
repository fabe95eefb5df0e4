"""A ledger under everything at once: honest work, fraud, proofs true and false, junk, bad proposers, equivocation.

All from one seed. Beside what the harness checks after every block, two ledgers that share nothing but the blocks must
agree, whoever is convicted must have lied, and whoever was proven to have lied must be convicted.

Run as a script it prints one hash of everything that happened: `python chaos.py SEED BLOCKS`.
"""

from __future__ import annotations

import hashlib
import random
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from abci_app import ledger as ledger_module
from abci_app.app_hash import MerkleState
from abci_app.state.keyspace import attempt_key
from abci_app.state.members import get_members
from abci_app.state.rounds import get_commitments
from abci_app.state_machine import BlockResults, MisbehaviorKind, find_nothing
from optfl import tasks
from optfl.aggregation import aggregate
from optfl.ballots import sign_ballot
from optfl.keys import SigningKey
from optfl.vectors import ChunkedVector
from optfl.votes import build_ballot
from optfl.wire import state_pb2, transaction_pb2
from support import audit, demands, votes, watches
from support.ledger import (
    ACCOUNTS,
    AGGREGATOR,
    AGGREGATORS,
    CHAIN_ID,
    CLIENT,
    CLIENTS,
    REPLICA,
    REPLICAS,
    REQUESTER,
    VALIDATOR,
    VALIDATORS,
    LedgerHarness,
    TaskHarness,
    apply_changes,
    beacon_chain,
    consensus_key,
    register_validator,
    task_parameters,
)

EXTREMES = [0, 1, 2, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1]
MAX_LIVE = 3

# Short of everything, so that whatever can happen happens often.
PARAMS = {
    "evidence_blocks": 6,
    "unbonding_blocks": 5,
    "fraud_slash_percent": 60,
    "min_validators": 2,
    "exclusion_blocks": 3,
}


class Chaos:
    """One run. `step` applies a block; `codes` and `kinds` count what happened."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.ledger = LedgerHarness(params=PARAMS, beacons=True)
        self.ledger.register_participants()
        self.twin = _reverse(self.ledger.stores)
        self.merkle = MerkleState.from_stores(self.ledger.stores)
        self.tasks: dict[int, TaskHarness] = {}
        self.by_root: dict[bytes, ChunkedVector] = {}
        self.liars: set[tuple[int, bytes]] = set()  # (task, root) of models that are wrong
        self.votes: dict[tuple[int, int, bytes], transaction_pb2.Vote] = {}  # by task, attempt, voter
        self.trace = hashlib.sha256()
        self.codes: Counter[int] = Counter()
        self.kinds: Counter[str] = Counter()

    def step(self) -> None:
        self._learn_models()
        txs = [tx for tx in (self._make() for _ in range(self.random.randrange(14))) if tx is not None]
        if self.random.random() < 0.5:  # an honest proposer
            max_bytes = self.random.choice([1 << 22, 5000])
            txs = ledger_module.prepare_proposal(self.ledger.stores, txs, max_bytes, b"", find_nothing)
            assert ledger_module.process_proposal(self.ledger.stores, txs, b"")
        elif self.random.random() < 0.1:
            txs.insert(self.random.randrange(len(txs) + 1), self.ledger.reveal(self.random.randrange(4)))
        proposer = self.random.choice([0, 1, 2, 3, None, None, None, -1])
        withhold = self.random.random() < 0.1
        misbehavior = []
        if self.random.random() < 0.01:
            misbehavior = [self.ledger.equivocation(self.random.randrange(4), kind=self.random.choice(_KINDS))]
        block = self.ledger.next_block(*txs, misbehavior=misbehavior, proposer=proposer, withhold=withhold)
        twin_results = ledger_module.apply_block(self.twin, block)
        results = self.ledger.block(*txs, misbehavior=misbehavior, proposer=proposer, withhold=withhold)
        self._compare(results, twin_results)
        self._judge(results)

    def _compare(self, results: BlockResults, twin_results: BlockResults) -> None:
        """Invariant 1: the same stores in another order, and the tree that was only updated, say the same."""
        assert results == twin_results
        self.twin = _reverse(apply_changes(self.twin, twin_results.changes))
        self.merkle = self.merkle.update(results.changes)
        assert self.merkle.app_hash == MerkleState.from_stores(self.twin).app_hash
        self.trace.update(self.merkle.app_hash + audit.compute_digest(self.ledger.stores))
        for result in results.results:
            self.codes[result.code] += 1
            self.trace.update(result.code.to_bytes(4, "big") + result.log.encode())
        for event in [*results.events, *(event for result in results.results for event in result.events)]:
            self.kinds[event.kind] += 1
            self.trace.update(repr(event).encode())

    def _judge(self, results: BlockResults) -> None:
        """Invariant 2: whoever did not lie is not convicted. And whoever was proven to have lied is."""
        state = self.ledger.state
        for event in (event for result in results.results for event in result.events if event.kind == "fraud_proven"):
            given = dict(event.attributes)
            assert attempt_key(int(given["task"]), int(given["attempt"])) in state.disputes
        records = [record for _, record in state.disputes.items()]
        modes = {r.task_id: state.tasks[r.task_id.to_bytes(8, "big")].parameters.mode for r in records}
        convicted = {r.aggregator for r in records}  # validators that sign a lie are slashed, and stay
        convicted |= {s for r in records if modes[r.task_id] == transaction_pb2.MODE_QUORUM for s in r.signers}
        for stake in [s for _, s in state.stakes.items()]:
            assert stake.excluded == (stake.role == AGGREGATOR and stake.address in convicted)
        for attempt in [a for _, a in state.attempts.items()]:
            if attempt.status == state_pb2.ATTEMPT_STATUS_CONVICTED:
                assert (attempt.task_id, attempt.model_root) in self.liars, "an honest attempt was convicted"

    def _learn_models(self) -> None:
        for task_id, task in self.tasks.items():
            for _, attempt in self.ledger.state.attempts.items(task_id.to_bytes(8, "big")):
                if attempt.attempt_id not in task.models:
                    task.models[attempt.attempt_id] = self.by_root[attempt.model_root]

    def _make(self) -> bytes | None:
        """A transaction of some kind, or nothing when there is no occasion; now and then spoilt."""
        make = self.random.choices(list(_MENU), weights=list(_MENU.values()))[0]
        made = make(self)
        if made is None or isinstance(made, bytes):
            return made
        sender, message = made
        overrides: dict[str, Any] = {"fee": 1_000}
        if self.random.random() < 0.1:
            _spoil(self.random, message)
        if self.random.random() < 0.05:
            sender = self.random.choice(ACCOUNTS)
        if self.random.random() < 0.03:
            field = self.random.choice(["sequence", "fee", "expiry_height"])
            overrides[field] = self.random.choice(EXTREMES)
        return self.ledger.sign(sender, message, **overrides)

    def live(self) -> list[TaskHarness]:
        return [self.tasks[i] for i in self.ledger.state.chain.live_tasks if i in self.tasks]

    def head(self, status: state_pb2.RoundStatus) -> tuple[TaskHarness, state_pb2.Round] | None:
        """A live task whose newest round has this status."""
        heads = [(task, self.ledger.round(task.task.head_round, task.task_id)) for task in self.live()]
        found = [(task, current) for task, current in heads if current is not None and current.status == status]
        return self.random.choice(found) if found else None


_KINDS = list(MisbehaviorKind)
Made = tuple[SigningKey, Any] | bytes | None


def _reverse(stores: Any) -> dict[str, dict[bytes, bytes]]:
    return {name: dict(reversed(list(stores[name].items()))) for name in reversed(list(stores))}


def _spoil(rng: random.Random, message: Any) -> None:
    """Set one number or string of bytes of `message` to something else."""
    fields = [f for f in message.DESCRIPTOR.fields if f.message_type is None and not f.is_repeated]
    if not fields:
        return
    field = rng.choice(fields)
    match field.type:
        case field.TYPE_BYTES:
            setattr(message, field.name, rng.randbytes(rng.choice([0, 20, 31, 32, 33])))
        case field.TYPE_UINT64:
            setattr(message, field.name, rng.choice(EXTREMES))
        case field.TYPE_UINT32:
            setattr(message, field.name, rng.choice(EXTREMES) % 2**32)
        case field.TYPE_ENUM:
            setattr(message, field.name, rng.choice([0, 1, 2, 3, 4, 5, -1]))


def _transfer(chaos: Chaos) -> Made:
    sender, recipient = chaos.random.choices(ACCOUNTS, k=2)
    amount = chaos.random.choice([1, 5_000, chaos.ledger.balance(sender) // 3])
    return sender, transaction_pb2.Transfer(recipient=recipient.address, amount=amount)


def _register(chaos: Chaos) -> Made:
    role, accounts, stake = chaos.random.choice(
        [(AGGREGATOR, [*AGGREGATORS, REQUESTER], 400_000), (REPLICA, REPLICAS, 10_000), (CLIENT, CLIENTS, 1_000)]
    )
    missing = [a for a in accounts if chaos.ledger.stake(role, a) is None]
    if not missing or chaos.random.random() < 0.05:
        missing = accounts
    return chaos.random.choice(missing), transaction_pb2.RegisterRole(role=role, stake=stake)


def _register_validator(chaos: Chaos) -> Made:
    index = chaos.random.randrange(6)
    operator = chaos.random.choice([*VALIDATORS, REQUESTER])
    stake = chaos.random.choice([50_000, 100_000])
    return operator, register_validator(operator, consensus_key(f"validator-{index}"), stake)


def _stake(chaos: Chaos) -> Made:
    role, accounts = chaos.random.choice(
        [(AGGREGATOR, AGGREGATORS), (REPLICA, REPLICAS), (CLIENT, CLIENTS), (VALIDATOR, VALIDATORS)]
    )
    account = chaos.random.choice(accounts)
    stake = chaos.ledger.stake(role, account)
    amount = chaos.random.choice([1, 1_000, 1_000, 100_000, 100_000, stake.amount if stake else 1])
    kind = chaos.random.choice([transaction_pb2.AddStake, transaction_pb2.Unbond])
    return account, kind(role=role, amount=amount)


_FLOAT = {
    "arithmetic": transaction_pb2.ARITHMETIC_FLOAT,
    "rule": "float(median)",
    "vote_epsilon": 100,
    "vote_theta": 200,
}
_CERTIFIED = [{"mode": transaction_pb2.MODE_QUORUM}, {"mode": transaction_pb2.MODE_PBFT}]
_NOISE = 30  # of a float result: less than epsilon apart, and than theta from the claim
_LIE = 5_000


def _create_task(chaos: Chaos) -> Made:
    if len(chaos.ledger.state.chain.live_tasks) >= MAX_LIVE:
        return None
    rng = chaos.random
    parameters = task_parameters(
        **rng.choice(
            [*({"rule": rule} for rule in ("median()", "fedavg()", "trimmed_mean(f=1)")), _FLOAT, *_CERTIFIED]
        ),
        length=rng.choice([33, 100]),
        rounds=rng.choice([2, 5]),
        clients_per_round=rng.choice([3, 5]),
        training_blocks=rng.choice([2, 5]),
        aggregation_blocks=rng.choice([2, 4]),
        min_window_blocks=rng.choice([3, 6, 12]),
        window_factor_percent=rng.choice([0, 150, 400]),
        max_attempts=rng.choice([1, 3]),
        pause_blocks=4,
        demand_blocks=rng.choice([4, 8]),
        vote_commit_blocks=rng.choice([4, 8]),
        vote_reveal_blocks=rng.choice([1, 6]),
        replica_reward=rng.choice([0, 41]),
        aggregators=rng.choice([[], [a.address for a in AGGREGATORS], _pick_aggregators(chaos)]),
        clients=rng.choice([[], [c.address for c in CLIENTS]]),
    )
    base = ChunkedVector(tasks.model_shape(parameters), np.arange(parameters.length, dtype=np.int32))
    chaos.by_root[base.root] = base
    task_id = chaos.ledger.state.chain.next_task_id
    chaos.tasks[task_id] = TaskHarness(chaos.ledger, task_id, {0: base})
    return REQUESTER, transaction_pb2.CreateTask(parameters=parameters, initial_model_root=base.root)


def _pick_aggregators(chaos: Chaos) -> list[bytes]:
    stakes = [stake for _, stake in chaos.ledger.state.stakes.items(bytes([AGGREGATOR])) if not stake.excluded]
    return [stake.address for stake in chaos.random.sample(stakes, min(3, len(stakes)))]


def _get_account(address: bytes) -> SigningKey:
    return next(account for account in ACCOUNTS if account.address == address)


def _start_task(chaos: Chaos) -> Made:
    waiting = [task for task in chaos.live() if task.task.status == state_pb2.TASK_STATUS_CREATED]
    if not waiting:
        return None
    task = chaos.random.choice(waiting)
    if task.task.initial_model_root not in chaos.by_root:
        return None  # was spoilt
    task.models[0] = chaos.by_root[task.task.initial_model_root]
    return _get_account(task.task.requester), task.start_task()


def _join_task(chaos: Chaos) -> Made:
    waiting = [task for task in chaos.live() if task.task.status == state_pb2.TASK_STATUS_CREATED]
    if not waiting:
        return None
    task = chaos.random.choice(waiting)
    invited = [_get_account(address) for address in task.parameters.aggregators] or AGGREGATORS
    return chaos.random.choice(invited), transaction_pb2.JoinTask(task_id=task.task_id)


def _readmit(chaos: Chaos) -> Made:
    stakes = [stake for _, stake in chaos.ledger.state.stakes.items() if stake.excluded_until_height > 0]
    if not stakes:
        return None
    return _get_account(chaos.random.choice(stakes).address), transaction_pb2.Readmit(role=AGGREGATOR)


def _cancel_task(chaos: Chaos) -> Made:
    if not chaos.live() or chaos.random.random() < 0.7:
        return None
    task = chaos.random.choice(chaos.live())
    return _get_account(task.task.requester), transaction_pb2.CancelTask(task_id=task.task_id)


def _commit(chaos: Chaos) -> Made:
    found = chaos.head(state_pb2.ROUND_STATUS_TRAINING)
    if found is None or not found[1].selected:
        return None
    task, current = found
    committed = {c.client for c in get_commitments(chaos.ledger.state, current)}
    left = [address for address in current.selected if address not in committed]
    if not left or chaos.random.random() < 0.05:
        left = list(current.selected)
    client = _get_account(chaos.random.choice(left))
    return client, task.commit_update(client, current.round, weight=chaos.random.choice([1, 7, 1000]))


def _aggregate(chaos: Chaos) -> Made:
    found = chaos.head(state_pb2.ROUND_STATUS_AGGREGATING)
    if found is None or not found[1].aggregator:
        return None
    task, current = found
    lies = chaos.random.random() < 0.4
    model = task.honest_model(current.round)
    if lies:
        offset = _LIE if _is_float(task) else 1
        model = _shift(model, chaos.random.randrange(task.parameters.length), offset)
    elif _is_float(task):
        model = _shift(model, 0, chaos.random.randint(-_NOISE, _NOISE))
    chaos.by_root[model.root] = model
    if lies:
        chaos.liars.add((task.task_id, model.root))
    due = task.due_aggregator(current.round)
    attempt_id = task.task.next_attempt_id
    message = task.submit_aggregate(current.round, model)
    del task.models[attempt_id]  # learnt from the record once it is there
    return due, message


def _certify(chaos: Chaos) -> Made:
    """Some members sign, often enough of them; now and then a lie."""
    found = chaos.head(state_pb2.ROUND_STATUS_AGGREGATING)
    if found is None or found[1].aggregator:
        return None
    task, current = found
    members = [_get_account(m.address) for m in get_members(chaos.ledger.state, task.task)]
    signers = chaos.random.sample(members, chaos.random.randint(len(members) // 2, len(members)))
    if not signers:
        return None
    model = task.honest_model(current.round)
    if chaos.random.random() < 0.2:
        model = _shift(model, chaos.random.randrange(task.parameters.length), 1)
        chaos.liars.add((task.task_id, model.root))
    chaos.by_root[model.root] = model
    attempt_id = task.task.next_attempt_id
    message = task.submit_certified(current.round, signers, model)
    del task.models[attempt_id]
    return signers[0], message


def _register_beacon(chaos: Chaos) -> Made:
    index = chaos.random.randrange(4)
    anchor = beacon_chain(chaos.random.choice([f"validator-{index}", "nobody"])).anchor
    return VALIDATORS[index], transaction_pb2.RegisterBeacon(anchor=anchor)


def _prove(chaos: Chaos) -> Made:
    attempts = [attempt for _, attempt in chaos.ledger.state.attempts.items() if tasks.authors_of(attempt)]
    if not attempts:
        return None
    attempt = chaos.random.choice(attempts)
    task = chaos.tasks[attempt.task_id]
    chunk = chaos.random.randrange(tasks.model_shape(task.parameters).chunks)
    return chaos.random.choice(ACCOUNTS), task.prove(attempt.attempt_id, chunk)


def _announce(chaos: Chaos) -> Made:
    attempts = [attempt for _, attempt in chaos.ledger.state.attempts.items() if tasks.authors_of(attempt)]
    if not attempts:
        return None
    attempt = chaos.random.choice(attempts)
    task, sender = chaos.tasks[attempt.task_id], chaos.random.choice(ACCOUNTS)
    return sender, task.announce(sender, task.prove(attempt.attempt_id))


def _is_float(task: TaskHarness) -> bool:
    return task.parameters.arithmetic == transaction_pb2.ARITHMETIC_FLOAT


def _shift(model: ChunkedVector, coordinate: int, offset: int) -> ChunkedVector:
    values = model.values.copy()
    values[coordinate] += offset
    return ChunkedVector(model.shape, values)


def _demand(chaos: Chaos) -> Made:
    """Of a turn, by whose turn it is, or of an attempt."""
    rounds = [r for task in chaos.live() for _, r in chaos.ledger.state.rounds.items(task.task_id.to_bytes(8, "big"))]
    rounds = [r for r in rounds if r.status != state_pb2.ROUND_STATUS_TRAINING and r.committed]
    if not rounds:
        return None
    current = chaos.random.choice(rounds)
    task, attempt_id = chaos.tasks[current.task_id], current.attempt_id
    inputs = sorted(chaos.random.sample(range(len(current.selected)), chaos.random.choice([0, 1, 1, 2])))
    model = attempt_id != 0 and (not inputs or chaos.random.random() < 0.5)
    sender = chaos.random.choice(ACCOUNTS)
    if not attempt_id and current.aggregator:
        sender = task.due_aggregator(current.round)
    return sender, demands.demand(task, current.round, *inputs, attempt_id=attempt_id, model=model)


def _answer_demand(chaos: Chaos) -> Made:
    found = [d for _, d in chaos.ledger.state.demands.items() if d.task_id in chaos.tasks]
    if not found:
        return None
    demand = chaos.random.choice(found)
    if demand.root[0] % 3 == 0:  # nobody has this one
        return None
    message = transaction_pb2.AnswerDemand(
        task_id=demand.task_id,
        round=demand.round,
        parent_attempt=demand.parent_attempt,
        attempt_id=demand.attempt_id,
        inputs=[] if demand.blob == tasks.MODEL_BLOB else [demand.blob],
        model=demand.blob == tasks.MODEL_BLOB,
    )
    validator = chaos.random.choice(VALIDATORS)
    return validator, demands.open_demanded(chaos.tasks[demand.task_id], message, validator)


def _answer_audit(chaos: Chaos) -> Made:
    attempts = [attempt for _, attempt in chaos.ledger.state.attempts.items() if attempt.aggregator]
    if not attempts:
        return None
    attempt = chaos.random.choice(attempts)
    task, index = chaos.tasks[attempt.task_id], chaos.random.randrange(len(REPLICAS))
    return REPLICAS[index], demands.answer_audit(task, attempt.attempt_id, index)


def _watch(chaos: Chaos) -> Made:
    """Of an open attempt; some have read nothing, and some could not read from a replica."""
    found = [a for _, a in chaos.ledger.state.attempts.items() if a.aggregator]
    found = [a for a in found if a.status == state_pb2.ATTEMPT_STATUS_OPEN]
    if not found:
        return None
    attempt, validator = chaos.random.choice(found), chaos.random.choice(VALIDATORS)
    failed = chaos.random.sample(range(4), chaos.random.choice([0, 0, 1]))
    message = watches.attest(chaos.tasks[attempt.task_id], attempt.attempt_id, validator, *failed)
    if chaos.random.random() < 0.2:
        message.digest = chaos.random.randbytes(32)
    return validator, message


def _open_watch(chaos: Chaos) -> Made:
    drawn = [r for _, r in chaos.ledger.state.rounds.items() if r.watch_beacon]
    if not drawn:
        return None
    current, validator = chaos.random.choice(drawn), chaos.random.choice(VALIDATORS)
    return validator, watches.open_watch(chaos.tasks[current.task_id], current.attempt_id, validator)


def _challenge(chaos: Chaos) -> Made:
    attempts = [attempt for _, attempt in chaos.ledger.state.attempts.items()]
    if not attempts:
        return None
    attempt = chaos.random.choice(attempts)
    message = transaction_pb2.OpenChallenge(task_id=attempt.task_id, attempt_id=attempt.attempt_id)
    return chaos.random.choice(ACCOUNTS), message


def _find_voter(chaos: Chaos, status: int) -> tuple[TaskHarness, state_pb2.Challenge, SigningKey] | None:
    """A challenge in this phase, and one of its voters."""
    found = [c for _, c in chaos.ledger.state.challenges.items() if c.status == status]
    if not found:
        return None
    challenge = chaos.random.choice(found)
    committing = status == state_pb2.CHALLENGE_STATUS_COMMITTING
    left = [v for v in challenge.voters if not (v.commitment if committing else v.HasField("vote"))]
    voter = chaos.random.choice(left if left and chaos.random.random() < 0.9 else challenge.voters)
    return chaos.tasks[challenge.task_id], challenge, _get_account(voter.operator)


def _vote(chaos: Chaos) -> Made:
    found = _find_voter(chaos, state_pb2.CHALLENGE_STATUS_COMMITTING)
    if found is None:
        return None
    task, challenge, voter = found
    if not challenge.seed:
        return None  # its projection is not drawn yet
    key = (challenge.task_id, challenge.attempt_id, voter.address)
    if key not in chaos.votes:
        chaos.votes[key] = _make_vote(chaos, task, challenge, voter)
    return voter, votes.commit_vote(task, challenge.attempt_id, voter, chaos.votes[key])


def _make_vote(
    chaos: Chaos, task: TaskHarness, challenge: state_pb2.Challenge, voter: SigningKey
) -> transaction_pb2.Vote:
    """What an honest validator votes, or abstains from; anything, if it is the liar and has no third of the power."""
    if chaos.random.random() < 0.1:
        return votes.ABSTAIN
    own = _recompute(chaos, task, votes.get_attempt(task, challenge.attempt_id))
    power = {v.operator: v.power for v in challenge.voters}
    if voter is VALIDATORS[3] and 3 * power[voter.address] < sum(power.values()):
        own = _shift(own, 0, chaos.random.choice([1, 250, -_LIE]))
    elif _is_float(task):
        own = _shift(own, 0, chaos.random.randint(-_NOISE, _NOISE))
    if _is_float(task):
        return votes.sketch_of(task, challenge.attempt_id, own)
    return transaction_pb2.Vote(root=own.root)


def _recompute(chaos: Chaos, task: TaskHarness, attempt: state_pb2.Attempt) -> ChunkedVector:
    made = aggregate(
        task.rule,
        chaos.by_root[attempt.base_root].values,
        [tasks.expand_update(task.parameters, task.updates[given.update_root].values) for given in attempt.inputs],
        tasks.get_facts(attempt),
        task.parameters.chunk_values,
    )
    return ChunkedVector(tasks.model_shape(task.parameters), made.model)


def _reveal_vote(chaos: Chaos) -> Made:
    found = _find_voter(chaos, state_pb2.CHALLENGE_STATUS_REVEALING)
    if found is None:
        return None
    task, challenge, voter = found
    vote = chaos.votes.get((challenge.task_id, challenge.attempt_id, voter.address), votes.ABSTAIN)
    return voter, votes.reveal_vote(task, challenge.attempt_id, voter, vote)


def _equivocate(chaos: Chaos) -> Made:
    """The liar has signed another vote too, and somebody has seen it."""
    found = _find_voter(chaos, state_pb2.CHALLENGE_STATUS_COMMITTING)
    if found is None:
        return None
    task, challenge, _ = found
    attempt = votes.get_attempt(task, challenge.attempt_id)
    liar = VALIDATORS[3]
    first, second = (build_ballot(CHAIN_ID, attempt, bytes([number]) * 32) for number in (1, 2))
    message = transaction_pb2.SubmitEquivocation(
        member=liar.address,
        first=first,
        first_signature=sign_ballot(liar, first),
        second=second,
        second_signature=sign_ballot(liar, second),
    )
    return chaos.random.choice(ACCOUNTS), message


def _junk(chaos: Chaos) -> Made:
    return chaos.random.randbytes(chaos.random.randrange(200))


_MENU: dict[Callable[[Chaos], Made], int] = {
    _transfer: 2,
    _register: 3,
    _register_validator: 2,
    _stake: 3,
    _create_task: 6,
    _join_task: 12,
    _start_task: 4,
    _readmit: 6,
    _cancel_task: 2,
    _commit: 40,
    _aggregate: 20,
    _certify: 30,
    _register_beacon: 1,
    _prove: 8,
    _announce: 3,
    _challenge: 5,
    _vote: 30,
    _reveal_vote: 30,
    _demand: 5,
    _answer_demand: 30,
    _answer_audit: 6,
    _watch: 6,
    _open_watch: 10,
    _equivocate: 3,
    _junk: 1,
}


def main() -> None:
    seed, blocks = (int(argument) for argument in sys.argv[1:])
    chaos = Chaos(seed)
    for _ in range(blocks):
        chaos.step()
    print(chaos.trace.hexdigest())


if __name__ == "__main__":
    main()
