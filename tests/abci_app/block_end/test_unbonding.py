"""Release of stake: after its time, and not while anything open names the account (A12, L6)."""

from __future__ import annotations

from abci_app import ledger as ledger_module
from abci_app.state.keyspace import stake_key, unbonding_key
from abci_app.state_machine import Block
from optfl.wire import state_pb2
from optfl.wire.transaction_pb2 import Unbond
from support.ledger import (
    AGGREGATOR,
    AGGREGATOR_STAKE,
    AGGREGATORS,
    CLIENT,
    CLIENT_STAKE,
    CLIENTS,
    PARAMS,
    REPLICA,
    REPLICA_STAKE,
    REPLICAS,
    STRANGER,
    VALIDATOR,
    VALIDATOR_STAKE,
    VALIDATORS,
    LedgerHarness,
    TaskHarness,
)

UNBONDING = PARAMS["unbonding_blocks"]


def finish(task: TaskHarness, first: int) -> None:
    for number in range(first, task.parameters.rounds + 1):
        task.run_round(number)
    while task.task.status == state_pb2.TASK_STATUS_RUNNING:
        task.ledger.block()


def test_L6_not_while_a_running_task_names_the_account() -> None:
    task = TaskHarness.start(training_blocks=10, rounds=2)
    leaving = [(AGGREGATOR, AGGREGATORS[2], AGGREGATOR_STAKE), (REPLICA, REPLICAS[0], REPLICA_STAKE)]
    for role, account, amount in leaving:
        task.ledger.accept(account, Unbond(role=role, amount=amount))  # type: ignore[arg-type]
    for _ in range(5 * UNBONDING):
        task.ledger.block(proposer=0)  # too few proposers: nothing settles, the task goes on
    assert all(task.ledger.unbonding(role, account) for role, account, _ in leaving)
    before = task.ledger.balance(AGGREGATORS[2])
    for _ in range(20):
        if task.task.status != state_pb2.TASK_STATUS_COMPLETED:
            task.ledger.block()
    assert task.task.status == state_pb2.TASK_STATUS_COMPLETED
    assert not any(task.ledger.unbonding(role, account) for role, account, _ in leaving)
    assert all(task.ledger.stake(role, account) is None for role, account, _ in leaving)
    assert task.ledger.balance(AGGREGATORS[2]) == before + AGGREGATOR_STAKE


def test_a_client_leaves_whenever_it_likes() -> None:
    """It answers for nothing, so no task holds its stake."""
    task = TaskHarness.start(training_blocks=100, pause_blocks=1000)
    task.ledger.accept(CLIENTS[0], Unbond(role=CLIENT, amount=CLIENT_STAKE))
    task.ledger.blocks(UNBONDING)
    assert task.task.status == state_pb2.TASK_STATUS_RUNNING
    assert task.ledger.stake(CLIENT, CLIENTS[0]) is None


def test_a_task_that_has_not_started_holds_nobody() -> None:
    task = TaskHarness(LedgerHarness())
    task.ledger.register_participants()
    task.create()
    task.ledger.accept(CLIENTS[0], Unbond(role=CLIENT, amount=CLIENT_STAKE))
    task.ledger.blocks(UNBONDING)
    assert task.ledger.stake(CLIENT, CLIENTS[0]) is None


def test_L6_not_before_the_evidence_height_even_after_the_task() -> None:
    """A void attempt may outlive its task; so does its author's stake, to the block after the evidence height."""
    ledger = LedgerHarness(params={"unbonding_blocks": 1, "evidence_blocks": 40})
    task = TaskHarness.start(ledger, rounds=2)
    task.commit_all(1)
    task.aggregate(1, task.poisoned_model(1))
    task.commit_all(2)
    author = task.due_aggregator(2)
    task.aggregate(2)
    evidence = ledger.must_stake(AGGREGATOR, author).evidence_height
    task.ledger.accept(STRANGER, task.prove(1))
    task.aggregate(1)
    finish(task, 2)
    evidence = max(evidence, ledger.must_stake(AGGREGATOR, author).evidence_height)
    ledger.accept(author, Unbond(role=AGGREGATOR, amount=AGGREGATOR_STAKE))
    ledger.blocks(evidence - ledger.height)
    assert ledger.unbonding(AGGREGATOR, author)
    ledger.block()
    assert ledger.stake(AGGREGATOR, author) is None


def test_a_fraud_that_is_proven_in_the_last_block_finds_the_stake() -> None:
    """Unbonding began long ago; the evidence height is the last at which the proof counts, and it does."""
    ledger = LedgerHarness(params={"unbonding_blocks": 1})
    task = TaskHarness.start(ledger, rounds=2)
    task.commit_all(1)
    task.aggregate(1, task.poisoned_model(1))
    task.commit_all(2)
    author = task.due_aggregator(2)
    bad = task.aggregate(2, task.poisoned_model(2))
    proof = task.prove(bad)
    ledger.accept(author, Unbond(role=AGGREGATOR, amount=AGGREGATOR_STAKE))
    ledger.accept(STRANGER, task.prove(1))
    task.aggregate(1)
    finish(task, 2)
    evidence = ledger.attempt(bad).evidence_height  # type: ignore[union-attr]
    ledger.blocks(evidence - 1 - ledger.height)
    burned = ledger.state.supply.burned
    ledger.accept(STRANGER, proof)
    assert ledger.height == evidence
    assert ledger.state.supply.burned == burned + AGGREGATOR_STAKE * 199 // 200  # the proposer has the rest
    assert ledger.must_stake(AGGREGATOR, author).excluded


def test_entries_release_one_by_one() -> None:
    ledger = LedgerHarness()
    ledger.register_participants()
    for amount in (1, 2, 3):
        ledger.accept(CLIENTS[0], Unbond(role=CLIENT, amount=amount))
    ledger.blocks(UNBONDING - 3)
    left = []
    for _ in range(4):
        left.append(sum(entry.amount for entry in ledger.unbonding(CLIENT, CLIENTS[0])))
        ledger.block()
    assert left == [6, 5, 3, 0]
    assert ledger.must_stake(CLIENT, CLIENTS[0]).amount == CLIENT_STAKE - 6


def test_an_account_is_forgotten_with_its_last_entry() -> None:
    ledger = LedgerHarness()
    ledger.register_participants()
    ledger.accept(CLIENTS[0], Unbond(role=CLIENT, amount=1))
    ledger.accept(CLIENTS[0], Unbond(role=CLIENT, amount=CLIENT_STAKE - 1))
    ledger.blocks(UNBONDING - 1)
    assert ledger.must_stake(CLIENT, CLIENTS[0]).amount == 0
    ledger.block()
    assert ledger.stake(CLIENT, CLIENTS[0]) is None


def test_an_excluded_account_is_never_forgotten() -> None:
    task = TaskHarness.start(LedgerHarness(params={"fraud_slash_percent": 10}))
    task.commit_all(1)
    bad = task.aggregate(1, task.poisoned_model(1))
    task.ledger.accept(STRANGER, task.prove(bad))
    task.ledger.accept(AGGREGATORS[0], Unbond(role=AGGREGATOR, amount=AGGREGATOR_STAKE * 9 // 10))
    task.ledger.blocks(150)
    stake = task.ledger.must_stake(AGGREGATOR, AGGREGATORS[0])
    assert (stake.amount, stake.excluded) == (0, True)
    assert task.ledger.unbonding(AGGREGATOR, AGGREGATORS[0]) == []


def test_a_validators_unbonding_is_slashed_for_what_it_did_before() -> None:
    ledger = LedgerHarness()
    ledger.accept(VALIDATORS[0], Unbond(role=VALIDATOR, amount=VALIDATOR_STAKE))
    ledger.blocks(UNBONDING - 2)
    burned = ledger.state.supply.burned
    ledger.block(misbehavior=[ledger.equivocation(0)])
    assert [entry.amount for entry in ledger.unbonding(VALIDATOR, VALIDATORS[0])] == [VALIDATOR_STAKE // 2]
    assert ledger.state.supply.burned == burned + VALIDATOR_STAKE // 2


def test_a_validator_that_left_is_forgotten() -> None:
    ledger = LedgerHarness()
    ledger.accept(VALIDATORS[0], Unbond(role=VALIDATOR, amount=VALIDATOR_STAKE))
    ledger.blocks(UNBONDING - 1)
    assert ledger.validator(VALIDATORS[0]) is not None
    ledger.block()
    assert ledger.validator(VALIDATORS[0]) is None
    assert ledger.stake(VALIDATOR, VALIDATORS[0]) is None


def test_many_releases_in_one_block_take_linear_time() -> None:
    """Not a measurement: with 20,000 of them, a scan of all for each would take minutes, and every node with it."""
    ledger = LedgerHarness()
    stores = {name: dict(values) for name, values in ledger.stores.items()}
    stores["unbonding"] = {}
    for i in range(20_000):
        address = i.to_bytes(20, "big")
        stake = state_pb2.Stake(role=CLIENT, address=address, unbondings=1)
        entry = state_pb2.Unbonding(role=CLIENT, address=address, release_height=1)
        stores["stakes"] |= {stake_key(CLIENT, address): stake.SerializeToString(deterministic=True)}
        stores["unbonding"][unbonding_key(1, CLIENT, address)] = entry.SerializeToString(deterministic=True)
    results = ledger_module.apply_block(stores, Block(height=1, hash=b"", proposer_address=b""))
    assert len(results.changes["stakes"]) == len(results.changes["unbonding"]) == 20_000
