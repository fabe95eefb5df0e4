"""A ledger in one process, driven block by block: what the tests of transitions and of the block's end stand on.

Every block goes through `ledger.apply_block`, as in production, and every invariant is checked after it.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from abci_app import ledger
from abci_app.state import State
from abci_app.state.keyspace import attempt_key, round_key, stake_key, task_key
from abci_app.state.rounds import get_commitments
from abci_app.state_machine import Block, BlockResults, Changes, Misbehavior, MisbehaviorKind, Stores, TxResult
from optfl import keys, tasks
from optfl.aggregation import Aggregation, aggregate, aggregate_chunk, derive_weights
from optfl.announcements import PAID_BLOCKS, compute_announcement, hash_proof
from optfl.ballots import compute_aggregate_digest, sign_ballot
from optfl.beacon import HashChain
from optfl.certificates import Statement, build_certificate, sign_receipt
from optfl.errors import Rejection
from optfl.fraud import build_output_proof, build_step_proof, build_weights_proof, wrap_proof
from optfl.keys import SigningKey, address_of
from optfl.rules import RoundFacts, Rule, parse_rule
from optfl.rules.gram import count_totals
from optfl.traces import compute_trace, find_first_difference
from optfl.transactions import decode_transaction, encode_reveal, sign_transaction
from optfl.vectors import ChunkedVector
from optfl.wire import receipt_pb2, state_pb2, transaction_pb2
from support import audit

CHAIN_ID = "test-chain"
BALANCE = 1_000_000_000
PARAMS: dict[str, int] = {
    "block_time_ms": 1000,
    "min_fee": 10,
    "fee_per_kilobyte": 10,
    "validator_stake_unit": 1_000,
    "min_validators": 3,
    "min_validator_stake": 10_000,
    "min_aggregator_stake": 100_000,
    "min_replica_stake": 1_000,
    "min_client_stake": 100,
    "unbonding_blocks": 30,
    "evidence_blocks": 20,
    "proof_bond": 5_000,
    "max_proofs_per_block": 2,
    "min_task_escrow": 0,
    "late_slash_percent": 1,
    "exclusion_blocks": 10,
}


def key(name: str) -> SigningKey:
    """A key of its own for every name, the same in every run."""
    return SigningKey.from_seed(hashlib.sha256(name.encode()).digest())


def consensus_key(name: str) -> SigningKey:
    return key(f"consensus of {name}")


@functools.cache
def beacon_chain(name: str) -> HashChain:
    """The hash chain of a validator, by its name; long enough for any test."""
    return HashChain(hashlib.sha256(f"beacon of {name}".encode()).digest(), 1 << 12)


VALIDATORS = [key(f"validator-{i}") for i in range(4)]
AGGREGATORS = [key(f"aggregator-{i}") for i in range(3)]
REPLICAS = [key(f"replica-{i}") for i in range(4)]
CLIENTS = [key(f"client-{i}") for i in range(5)]
REQUESTER = key("requester")
STRANGER = key("stranger")
ACCOUNTS = [*VALIDATORS, *AGGREGATORS, *REPLICAS, *CLIENTS, REQUESTER, STRANGER]
NOBODY = key("nobody")  # has no account

VALIDATOR = transaction_pb2.ROLE_VALIDATOR
AGGREGATOR = transaction_pb2.ROLE_AGGREGATOR
REPLICA = transaction_pb2.ROLE_REPLICA
CLIENT = transaction_pb2.ROLE_CLIENT
VALIDATOR_STAKE, AGGREGATOR_STAKE, REPLICA_STAKE, CLIENT_STAKE = 100_000, 200_000, 10_000, 1_000
FEE = 50_000
FIRST_CHARGED_CODE = 20  # codes below are of the envelope: nothing is taken for them


def apply_changes(stores: Stores, changes: Changes) -> dict[str, dict[bytes, bytes]]:
    """The stores after a block; `stores` stay as they are."""
    after = {name: values if isinstance(values, dict) else dict(values) for name, values in stores.items()}
    for name, of_store in changes.items():
        merged = {**after.get(name, {}), **of_store}
        after[name] = {k: v for k, v in merged.items() if v is not None}
    return {name: values for name, values in after.items() if values}


@dataclass
class LedgerHarness:
    """State, height and sequences; `block(...)` applies a block of transactions and returns its results."""

    params: dict[str, int] = field(default_factory=dict)
    stakes: Sequence[int] = (VALIDATOR_STAKE,) * 4  # of the validators
    beacons: bool = False  # the validators have hash chains, and every block begins with a reveal
    stores: Stores = field(init=False)
    height: int = 0
    proposer: int = 0
    pending: dict[bytes, int] = field(default_factory=dict)
    validators: dict[bytes, int] = field(default_factory=dict)  # CometBFT's: power by consensus key
    waiting: list[bytes] = field(default_factory=list)  # transactions that the next block begins with

    def __post_init__(self) -> None:
        genesis = json.dumps(genesis_document(self.stakes, self.beacons, **self.params)).encode()
        self.stores, updates = ledger.init_chain(genesis, CHAIN_ID, [], 1)
        self.validators = audit.update_validator_set({}, updates)
        audit.check_after(self.stores, self.validators)

    @property
    def state(self) -> State:
        """The committed state, to read."""
        return State(self.stores)

    def sign(self, sender: SigningKey, message: Any, **overrides: Any) -> bytes:
        """A well-formed transaction of `sender`; `overrides` replace fields of its body (sequence, fee, …)."""
        kind = next(f.name for f in transaction_pb2.Body.DESCRIPTOR.fields if f.message_type is message.DESCRIPTOR)
        account = self.state.accounts.get(sender.address)
        sequence = (0 if account is None else account.sequence) + self.pending.get(sender.address, 0)
        self.pending[sender.address] = self.pending.get(sender.address, 0) + 1
        fields: dict[str, Any] = {
            "chain_id": CHAIN_ID,
            "sequence": sequence,
            "fee": FEE,
            "expiry_height": self.height + 10,
            kind: message,
        }
        return sign_transaction(sender, transaction_pb2.Body(**{**fields, **overrides}))

    def reveal(self, index: int) -> bytes:
        """The reveal of validator `index`, as its own node would put it into the next block; empty if it has none."""
        operator = VALIDATORS[index].address
        validator = self.state.validators.get(operator)
        tip = b"" if validator is None else validator.beacon_tip
        preimage = beacon_chain(f"validator-{index}").get_preimage(tip)
        return b"" if preimage is None else encode_reveal(operator, preimage)

    def next_block(
        self,
        *transactions: bytes,
        misbehavior: Sequence[Misbehavior] = (),
        proposer: int | None = None,
        withhold: bool = False,
    ) -> Block:
        """The block after the last one; proposers take turns unless one is given (-1: somebody unknown).

        With `beacons` it begins with the proposer's reveal, unless the proposer is to `withhold` it.
        """
        index = (self.proposer + 1) % len(VALIDATORS) if proposer is None else proposer
        name = f"validator-{index}" if index >= 0 else "nobody"
        if self.beacons and index >= 0 and not withhold and (reveal := self.reveal(index)):
            transactions = (reveal, *transactions)
        return Block(
            height=self.height + 1,
            hash=hashlib.sha256(b"block" + (self.height + 1).to_bytes(8, "big")).digest(),
            proposer_address=consensus_key(name).address,
            misbehavior=tuple(misbehavior),
            transactions=transactions,
        )

    def block(
        self,
        *transactions: bytes,
        misbehavior: Sequence[Misbehavior] = (),
        proposer: int | None = None,
        withhold: bool = False,
    ) -> BlockResults:
        """Apply the next block and check all that must hold after it."""
        transactions = (*self.waiting, *transactions)
        self.waiting.clear()
        block = self.next_block(*transactions, misbehavior=misbehavior, proposer=proposer, withhold=withhold)
        self.proposer = (self.proposer + 1) % len(VALIDATORS) if proposer is None else max(proposer, 0)
        self.height += 1
        results = ledger.apply_block(self.stores, block)
        before, self.stores = self.stores, apply_changes(self.stores, results.changes)
        self.validators = audit.update_validator_set(self.validators, results.validator_updates)
        self.pending.clear()
        audit.check_after(self.stores, self.validators)
        audit.check_between(before, self.stores)
        audit.check_told(before, self.stores, results.events)
        return results

    def blocks(self, count: int) -> None:
        for _ in range(count):
            self.block()

    def send(self, sender: SigningKey, message: Any, **overrides: Any) -> TxResult:
        """Apply a block with one transaction and return its result."""
        return self.block(self.sign(sender, message, **overrides)).results[-1]

    def accept(self, sender: SigningKey, message: Any, **overrides: Any) -> TxResult:
        """`send`, where anything but success is the test's own mistake."""
        result = self.send(sender, message, **overrides)
        if result.code != 0:
            raise AssertionError(f"{type(message).__name__} was rejected: {result.log}")
        return result

    def reject(
        self,
        rejection: type[Rejection],
        sender: SigningKey,
        message: Any,
        *,
        after: Sequence[bytes] = (),
        **overrides: Any,
    ) -> TxResult:
        """`send`, which must fail with `rejection` and change nothing but, where it is charged, fee and sequence.

        `after` are transactions of the same block before it; `overrides` as in `sign`.
        """
        return self.reject_bytes(rejection, self.sign(sender, message, **overrides), after=after)

    def reject_bytes(self, rejection: type[Rejection], tx: bytes, *, after: Sequence[bytes] = ()) -> TxResult:
        # What the block does without the transaction; then the fee by hand (invariant 7).
        control = self.next_block(*after)
        expected = apply_changes(self.stores, ledger.apply_block(self.stores, control).changes)
        if rejection.code >= FIRST_CHARGED_CODE:
            _charge_by_hand(expected, control, tx)
        result = self.block(*after, tx).results[-1]
        assert (result.code, result.log.partition(": ")[0]) == (rejection.code, rejection.__name__), result.log
        assert result.log.partition(": ")[2], "a rejection without a message"
        assert (result.events, result.data) == ((), b"")
        assert audit.diff(expected, self.stores) == {}
        return result

    def balance(self, account: SigningKey) -> int:
        found = self.state.accounts.get(account.address)
        return 0 if found is None else found.balance

    def stake(self, role: int, account: SigningKey) -> state_pb2.Stake | None:
        return self.state.stakes.get(stake_key(role, account.address))

    def must_stake(self, role: int, account: SigningKey) -> state_pb2.Stake:
        return self.state.stakes[stake_key(role, account.address)]

    def unbonding(self, role: int, account: SigningKey) -> list[state_pb2.Unbonding]:
        return [e for _, e in self.state.unbonding.items() if (e.role, e.address) == (role, account.address)]

    def validator(self, operator: SigningKey) -> state_pb2.Validator | None:
        return self.state.validators.get(operator.address)

    def equivocation(self, index: int, **overrides: Any) -> Misbehavior:
        """What CometBFT reports of validator `index` when it voted twice."""
        fields: dict[str, Any] = {
            "kind": MisbehaviorKind.DUPLICATE_VOTE,
            "address": consensus_key(f"validator-{index}").address,
            "power": 100,
            "height": self.height,
            "total_power": 400,
        }
        return Misbehavior(**{**fields, **overrides})

    def task(self, task_id: int = 1) -> state_pb2.Task:
        return self.state.tasks[task_key(task_id)]

    def round(self, number: int, task_id: int = 1) -> state_pb2.Round | None:
        return self.state.rounds.get(round_key(task_id, number))

    def attempt(self, attempt_id: int, task_id: int = 1) -> state_pb2.Attempt | None:
        return self.state.attempts.get(attempt_key(task_id, attempt_id))

    def must_attempt(self, attempt_id: int, task_id: int = 1) -> state_pb2.Attempt:
        return self.state.attempts[attempt_key(task_id, attempt_id)]

    def register_participants(self) -> None:
        """All aggregators, replicas and clients, in one block."""
        stakes = [
            (AGGREGATOR, AGGREGATORS, AGGREGATOR_STAKE),
            (REPLICA, REPLICAS, REPLICA_STAKE),
            (CLIENT, CLIENTS, CLIENT_STAKE),
        ]
        results = self.block(
            *(
                self.sign(account, transaction_pb2.RegisterRole(role=role, stake=amount))
                for role, accounts, amount in stakes
                for account in accounts
            )
        )
        if any(result.code for result in results.results):
            raise AssertionError([result.log for result in results.results])


def genesis_document(
    stakes: Sequence[int] = (VALIDATOR_STAKE,) * 4, beacons: bool = False, **params: int
) -> dict[str, Any]:
    """`app_state` as the genesis file has it: every account of this module, four validators, by default equal ones."""
    anchors = [{"beacon_anchor": beacon_chain(f"validator-{i}").anchor.hex()} if beacons else {} for i in range(4)]
    return {
        "params": {**PARAMS, **params},
        "accounts": [{"address": k.address.hex(), "balance": BALANCE} for k in ACCOUNTS],
        "validators": [
            {
                "operator_public_key": k.public_key.hex(),
                "consensus_key": consensus_key(f"validator-{i}").public_key.hex(),
                "stake": stakes[i],
                **anchors[i],
            }
            for i, k in enumerate(VALIDATORS)
        ],
    }


def register_validator(
    operator: SigningKey, consensus: SigningKey, stake: int = VALIDATOR_STAKE, chain_id: str = CHAIN_ID
) -> transaction_pb2.RegisterValidator:
    """`operator` registers `consensus`, with a proof that it holds that key."""
    possession = keys.encode_account(chain_id, operator.address)
    return transaction_pb2.RegisterValidator(
        consensus_key=consensus.public_key,
        proof_of_possession=consensus.sign(keys.POSSESSION_DOMAIN, possession),
        stake=stake,
    )


def _charge_by_hand(stores: dict[str, dict[bytes, bytes]], block: Block, tx: bytes) -> None:
    """Move the fee of `tx` from its sender to the proposer of `block`, and count its sequence number."""
    signed = decode_transaction(tx)
    state = State(stores)
    sender = state.accounts[signed.sender]
    sender.balance -= signed.body.fee
    sender.sequence += 1
    state.accounts.put(signed.sender, sender)
    by_address = {address_of(v.consensus_key): v.operator for _, v in state.validators.items()}
    operator = by_address[block.proposer_address]
    proposer = state.accounts.get(operator) or state_pb2.Account()
    proposer.balance += signed.body.fee
    state.accounts.put(operator, proposer)
    stores["accounts"] = {**stores["accounts"], **{k: v for k, v in state.accounts.changes.items() if v is not None}}


@dataclass
class TaskHarness:
    """A running task on a ledger, with the vectors that its participants would hold."""

    ledger: LedgerHarness
    task_id: int = 1
    models: dict[int, ChunkedVector] = field(default_factory=dict)  # by attempt id; 0 is G_0
    traces: dict[int, ChunkedVector] = field(default_factory=dict)  # by attempt id, of rules with totals
    updates: dict[bytes, ChunkedVector] = field(default_factory=dict)  # by root

    @classmethod
    def start(cls, ledger_harness: LedgerHarness | None = None, **overrides: Any) -> TaskHarness:
        """Register everybody, create a task (`overrides` replace its parameters) and start it: round 1 is training."""
        harness = cls(ledger_harness or LedgerHarness())
        harness.ledger.register_participants()
        harness.launch(**overrides)
        return harness

    def launch(self, **overrides: Any) -> None:
        """Create the task, let every aggregator that it invites join, and start it."""
        self.create(**overrides)
        self.join_all()
        self.ledger.accept(REQUESTER, self.start_task())

    def create(self, **overrides: Any) -> TxResult:
        parameters = task_parameters(**overrides)
        self.models[0] = ChunkedVector(tasks.model_shape(parameters), np.arange(parameters.length, dtype=np.int32))
        result = self.ledger.accept(
            REQUESTER,
            transaction_pb2.CreateTask(parameters=parameters, initial_model_root=self.models[0].root),
        )
        self.task_id = self.ledger.state.chain.next_task_id - 1
        return result

    def join(self) -> transaction_pb2.JoinTask:
        return transaction_pb2.JoinTask(task_id=self.task_id)

    def join_all(self) -> None:
        """Every aggregator that the task invites joins it, in one block."""
        invited = set(self.parameters.aggregators) or {a.address for a in AGGREGATORS}
        results = self.ledger.block(*(self.ledger.sign(a, self.join()) for a in ACCOUNTS if a.address in invited))
        if any(result.code for result in results.results):
            raise AssertionError([result.log for result in results.results])

    @property
    def task(self) -> state_pb2.Task:
        return self.ledger.task(self.task_id)

    @property
    def parameters(self) -> transaction_pb2.TaskParameters:
        return self.task.parameters

    def round(self, number: int) -> state_pb2.Round:
        found = self.ledger.round(number, self.task_id)
        if found is None:
            raise AssertionError(f"round {number} is not live")
        return found

    def certify(
        self,
        owner: SigningKey,
        round_number: int,
        vector: ChunkedVector,
        signers: Sequence[SigningKey] = REPLICAS[:3],
        retain_until_height: int | None = None,
    ) -> receipt_pb2.Certificate:
        """A certificate as replicas would sign it; by default of the first quorum of them."""
        retain = retain_until_height or self.ledger.height + self.task.retention_blocks + 5
        statement = Statement(
            CHAIN_ID, self.task_id, round_number, owner.address, vector.id, vector.shape.size_bytes, retain
        )
        order = [k.address for k in REPLICAS]
        return build_certificate(retain, [(order.index(k.address), sign_receipt(k, statement)) for k in signers])

    def start_task(self, **overrides: Any) -> transaction_pb2.StartTask:
        fields = {"task_id": self.task_id, "certificate": self.certify(REQUESTER, 0, self.models[0])}
        return transaction_pb2.StartTask(**{**fields, **overrides})

    def update(self, client: SigningKey, number: int) -> ChunkedVector:
        """The update of a client in a round: random, the same in every run."""
        seed = int.from_bytes(hashlib.sha256(client.address + number.to_bytes(4, "big")).digest()[:8], "big")
        values = np.random.default_rng(seed).integers(-500, 500, self.parameters.length, dtype=np.int16)
        shape = tasks.update_shape(self.parameters)
        return ChunkedVector(shape, values.astype(shape.dtype))

    def commit_update(self, client: SigningKey, number: int, **overrides: Any) -> transaction_pb2.CommitUpdate:
        vector = self.update(client, number)
        self.updates[vector.root] = vector
        current = self.round(number)
        fields = {
            "task_id": self.task_id,
            "round": number,
            "parent_attempt": current.parent_attempt,
            "base_root": current.base_root,
            "update_root": vector.root,
            "weight": 1,
            "certificate": self.certify(client, number, vector),
        }
        return transaction_pb2.CommitUpdate(**{**fields, **overrides})

    def commit_all(self, number: int) -> None:
        """Every selected client commits, in one block; its end freezes the round."""
        selected = set(self.round(number).selected)
        clients = [c for c in CLIENTS if c.address in selected]
        results = self.ledger.block(*(self.ledger.sign(c, self.commit_update(c, number)) for c in clients))
        if any(result.code for result in results.results):
            raise AssertionError([result.log for result in results.results])

    @property
    def rule(self) -> Rule:
        """The task's; of a float task, whose rule the ledger knows by name only, the median."""
        is_float = self.parameters.arithmetic == transaction_pb2.ARITHMETIC_FLOAT
        return parse_rule("median()" if is_float else self.parameters.rule)

    def honest_model(self, number: int) -> ChunkedVector:
        """What the rule makes of a frozen round's committed updates."""
        return ChunkedVector(tasks.model_shape(self.parameters), self.honest_aggregation(number).model)

    def facts(self, number: int) -> RoundFacts:
        current = self.round(number)
        weights = tuple(c.weight for c in get_commitments(self.ledger.state, current))
        return RoundFacts(weights, current.beacon)

    def honest_aggregation(self, number: int) -> Aggregation:
        """The model of a frozen round, and for rules with totals how it came about."""
        current = self.round(number)
        return aggregate(
            self.rule,
            self.models[current.parent_attempt].values,
            [
                tasks.expand_update(self.parameters, self.updates[c.update_root].values)
                for c in get_commitments(self.ledger.state, current)
            ],
            self.facts(number),
            self.parameters.chunk_values,
        )

    def reduction(
        self, number: int, made: Aggregation, owner: SigningKey | None = None
    ) -> transaction_pb2.Reduction | None:
        """What is claimed of the totals of `made`, certified by the replicas; None for rules without."""
        if made.trace is None:
            return None
        shape = tasks.trace_shape(self.parameters, self.round(number).committed)
        trace = ChunkedVector(shape, made.trace)
        self.traces[self.task.next_attempt_id] = trace
        certificate = self.certify(owner or self.due_aggregator(number), number, trace)
        return transaction_pb2.Reduction(trace_root=trace.root, certificate=certificate, weights=made.weights)

    def due_aggregator(self, number: int) -> SigningKey:
        address = self.round(number).aggregator
        return next(a for a in ACCOUNTS if a.address == address)

    def submit_aggregate(
        self, number: int, model: ChunkedVector | None = None, **overrides: Any
    ) -> transaction_pb2.SubmitAggregate:
        current = self.round(number)
        model = model or self.honest_model(number)
        self.models[self.task.next_attempt_id] = model
        fields = {
            "task_id": self.task_id,
            "round": number,
            "parent_attempt": current.parent_attempt,
            "turn": current.turn,
            "model_root": model.root,
            "certificate": self.certify(self.due_aggregator(number), number, model),
        }
        if tasks.needs_totals(self.parameters) and "reduction" not in overrides:
            fields["reduction"] = self.reduction(number, self.honest_aggregation(number))
        return transaction_pb2.SubmitAggregate(**{**fields, **overrides})

    def claim(self, number: int, made: Aggregation, **overrides: Any) -> transaction_pb2.SubmitAggregate:
        """What the due aggregator submits if `made` is what it says it has made."""
        model = ChunkedVector(tasks.model_shape(self.parameters), made.model)
        return self.submit_aggregate(number, model, **{"reduction": self.reduction(number, made), **overrides})

    def misreduce(self, number: int, *, row: int | None = None) -> Aggregation:
        """A claim about totals that is wrong in one place: an entry of `row`, or else what they decide."""
        honest = self.honest_aggregation(number)
        if honest.trace is None:
            raise AssertionError(f"{self.rule} has no totals")
        kind, updates = self.rule.totals, self.round(number).committed
        trace = honest.trace.copy().reshape(-1, count_totals(kind, updates))
        totals = -trace[-1]
        if row is not None:
            trace[row:, 1] += 1 << 40
            totals = trace[-1]
        weights = derive_weights(self.rule, totals, self.facts(number))
        current = self.round(number)
        commitments = get_commitments(self.ledger.state, current)
        stacked = np.stack([self.updates[c.update_root].values for c in commitments])
        base = self.models[current.parent_attempt].values
        model = aggregate_chunk(self.rule, base, stacked, self.facts(number), weights)
        return Aggregation(model, weights, trace.reshape(-1))

    def prove_reduction(self, attempt_id: int) -> transaction_pb2.SubmitFraudProof:
        """The proof that a watcher would send about an attempt whose totals, or decision by them, are wrong."""
        attempt = self.ledger.attempt(attempt_id, self.task_id)
        if attempt is None:
            raise AssertionError(f"attempt {attempt_id} is not on record")
        updates = [self.updates[given.update_root] for given in attempt.inputs]
        claimed = self.traces[attempt_id]
        kind = self.rule.totals
        own = compute_trace(kind, [update.values for update in updates])
        entry = find_first_difference(kind, own, claimed.values, len(updates))
        if entry is None:
            return wrap_proof(attempt, build_weights_proof(kind, claimed, len(updates)))
        return wrap_proof(attempt, build_step_proof(kind, entry, updates, claimed))

    def aggregate(self, number: int, model: ChunkedVector | None = None) -> int:
        """The due aggregator submits (the honest model unless another is given); returns the attempt id."""
        attempt_id = self.task.next_attempt_id
        self.ledger.accept(self.due_aggregator(number), self.submit_aggregate(number, model))
        return attempt_id

    def ballot(self, number: int, root: bytes, **overrides: Any) -> transaction_pb2.Ballot:
        """What members of a round that is being aggregated sign in the modes quorum and pbft."""
        current = self.round(number)
        fields = {
            "chain_id": CHAIN_ID,
            "task_id": self.task_id,
            "round": number,
            "parent_attempt": current.parent_attempt,
            "turn": current.turn,
            "restarts": current.restarts,
            "kind": transaction_pb2.BALLOT_KIND_AGGREGATE,
            "digest": root,
        }
        return transaction_pb2.Ballot(**{**fields, **overrides})

    def submit_certified(
        self,
        number: int,
        signers: Sequence[SigningKey],
        model: ChunkedVector | None = None,
        owner: SigningKey | None = None,
        **overrides: Any,
    ) -> transaction_pb2.SubmitCertifiedAggregate:
        """The model with the ballots of `signers`; stored by the first of them unless another `owner` is given."""
        current = self.round(number)
        model = model or self.honest_model(number)
        self.models[self.task.next_attempt_id] = model
        reduction = None
        if tasks.needs_totals(self.parameters):
            reduction = self.reduction(number, self.honest_aggregation(number), owner or signers[0])
        ballot = self.ballot(number, compute_aggregate_digest(model.root, reduction))
        fields = {
            "task_id": self.task_id,
            "round": number,
            "parent_attempt": current.parent_attempt,
            "turn": current.turn,
            "model_root": model.root,
            "certificate": self.certify(owner or signers[0], number, model),
            "reduction": reduction,
            "signatures": [
                transaction_pb2.BallotSignature(member=k.address, signature=sign_ballot(k, ballot))
                for k in sorted(signers, key=lambda k: k.address)
            ],
        }
        return transaction_pb2.SubmitCertifiedAggregate(**{**fields, **overrides})

    def certify_round(self, number: int, signers: Sequence[SigningKey], model: ChunkedVector | None = None) -> int:
        """The first of `signers` sends the model with all their ballots; returns the attempt id."""
        attempt_id = self.task.next_attempt_id
        self.ledger.accept(signers[0], self.submit_certified(number, signers, model))
        return attempt_id

    def run_round(self, number: int) -> int:
        self.commit_all(number)
        return self.aggregate(number)

    def poisoned_model(self, number: int, coordinate: int = 0) -> ChunkedVector:
        """The honest model but for one value, by one."""
        values = self.honest_model(number).values.copy()
        values[coordinate] += 1
        return ChunkedVector(tasks.model_shape(self.parameters), values)

    def prove(self, attempt_id: int, chunk: int = 0) -> transaction_pb2.SubmitFraudProof:
        """The proof that a watcher would send about one chunk of an attempt on record."""
        attempt = self.ledger.attempt(attempt_id, self.task_id)
        if attempt is None:
            raise AssertionError(f"attempt {attempt_id} is not on record")
        base = next(m for m in self.models.values() if m.root == attempt.base_root)
        updates = [self.updates[given.update_root] for given in attempt.inputs]
        proof = build_output_proof(chunk, updates, base, self.models[attempt_id])
        return transaction_pb2.SubmitFraudProof(task_id=self.task_id, attempt_id=attempt_id, output=proof)

    def announce(
        self, prover: SigningKey, proof: transaction_pb2.SubmitFraudProof, **overrides: Any
    ) -> transaction_pb2.AnnounceProof:
        """What `prover` sends some blocks before `proof`."""
        fields = {
            "task_id": proof.task_id,
            "attempt_id": proof.attempt_id,
            "commitment": compute_announcement(CHAIN_ID, prover.address, hash_proof(proof)),
        }
        return transaction_pb2.AnnounceProof(**{**fields, **overrides})

    def announce_in_time(self, prover: SigningKey, proof: transaction_pb2.SubmitFraudProof) -> None:
        """Announce `proof`, and wait until the next block pays for it."""
        self.ledger.accept(prover, self.announce(prover, proof))
        self.ledger.blocks(PAID_BLOCKS - 1)


def task_parameters(**overrides: Any) -> transaction_pb2.TaskParameters:
    """A small task of 4 rounds with 5 clients, 3 aggregators and 4 replicas."""
    fields: dict[str, Any] = {
        "name": "test",
        "rule": "median()",
        "length": 100,
        "chunk_values": 32,
        "fraction_bits": 12,
        "rounds": 4,
        "clients_per_round": 5,
        "min_updates": 3,
        "max_weight": 1000,
        "training_blocks": 5,
        "aggregation_blocks": 5,
        "min_window_blocks": 6,
        "window_factor_percent": 200,
        "max_attempts": 3,
        "pause_blocks": 10,
        "bandwidth_bytes_per_second": 1_000_000,
        "aggregator_reward": 1_000,
        "client_reward": 100,
        "validator_reward": 50,
        "replica_reward": 40,
        "vote_commit_blocks": 4,
        "vote_reveal_blocks": 3,
        "demand_blocks": 4,
        "min_round_blocks": 1,
        "challenge_bond": 2_000,
        "demand_bond": 500,
        "aggregators": [a.address for a in AGGREGATORS],
        "clients": [c.address for c in CLIENTS],
        "replicas": [r.address for r in REPLICAS],
    }
    return transaction_pb2.TaskParameters(**{**fields, **overrides})
