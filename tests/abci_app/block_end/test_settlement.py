"""Settlement: rounds in order, paid out of the escrow to the last token; tasks that are done end."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from abci_app.state.keyspace import round_key
from optfl import tasks
from optfl.wire import state_pb2
from optfl.wire.transaction_pb2 import AddStake, Unbond
from support.demands import answer_audits
from support.ledger import (
    AGGREGATOR,
    AGGREGATORS,
    BALANCE,
    CLIENT,
    CLIENTS,
    FEE,
    REPLICA,
    REPLICAS,
    REQUESTER,
    STRANGER,
    VALIDATOR,
    VALIDATORS,
    LedgerHarness,
    TaskHarness,
)
from support.watches import attest_all, await_draw, open_watch

ROUND_COST = 1000 + 5 * 100 + 50 + 40


def balances(task: TaskHarness, accounts: list[Any]) -> list[int]:
    return [task.ledger.balance(account) for account in accounts]


def start(**overrides: Any) -> TaskHarness:
    """A task in which nothing happens by itself while a test looks at round 1."""
    return TaskHarness.start(**{"training_blocks": 100, **overrides})


def open_task(**overrides: Any) -> TaskHarness:
    task = start(**overrides)
    task.run_round(1)
    return task


def test_a_round_settles_in_the_block_in_which_its_window_closes() -> None:
    task = open_task()
    close = task.round(1).window_close_height
    task.ledger.blocks(close - 1 - task.ledger.height)
    assert task.task.settled_round == 0
    task.ledger.block()
    assert (task.task.settled_round, task.task.settled_attempt) == (1, 1)
    assert task.ledger.round(1) is None


def test_its_digest_says_what_was_settled() -> None:
    task = open_task()
    record = task.ledger.attempt(1)
    assert record is not None
    task.ledger.blocks(6)
    record.status, record.status_height = state_pb2.ATTEMPT_STATUS_SETTLED, task.ledger.height
    assert task.ledger.state.digests[round_key(1, 1)] == state_pb2.Digest(
        round=1,
        attempt_id=1,
        model_root=record.model_root,
        aggregator=record.aggregator,
        updates=5,
        settled_height=task.ledger.height,
        record_hash=hashlib.sha256(record.SerializeToString(deterministic=True)).digest(),
        inputs_hash=tasks.compute_inputs_hash(record.inputs),
    )
    assert task.ledger.state.commitments.all_keys(round_key(1, 1)) == []


def test_everybody_is_paid_out_of_the_escrow() -> None:
    """But for the replicas: they are paid for audits that they answered, and here are none."""
    task = open_task()
    attest_all(task, 1)
    await_draw(task, 1)
    shown = [task.ledger.sign(v, open_watch(task, 1, v)) for v in VALIDATORS]
    accounts = [AGGREGATORS[0], *CLIENTS, *REPLICAS]
    before = balances(task, accounts)
    validators = balances(task, VALIDATORS)
    burned = task.ledger.state.supply.burned
    task.ledger.block(*shown, proposer=-1)  # of nobody known: the fees wait
    assert [a - b for a, b in zip(balances(task, accounts), before, strict=True)] == [1000, *[100] * 5, *[0] * 4]
    assert [a - b + FEE for a, b in zip(balances(task, VALIDATORS), validators, strict=True)] == [12] * 4
    assert task.ledger.state.supply.burned == burned + 2  # 50 // 4 leaves 2
    assert task.task.escrow == 3 * ROUND_COST + 40


@pytest.mark.parametrize("answered", [1, 3, 4])
def test_E3_replicas_are_paid_for_the_audits_that_they_answered(answered: int) -> None:
    """43 // 4 is 10 each; the shares of the others stay in the escrow, what the division leaves is burned."""
    task = open_task(replica_reward=43, validator_reward=0)
    answer_audits(task, 1, answered)
    task.ledger.blocks(4)
    replicas, escrow = balances(task, REPLICAS), task.task.escrow
    burned = task.ledger.state.supply.burned
    task.ledger.block()
    assert task.task.settled_round == 1
    paid = [a - b for a, b in zip(balances(task, REPLICAS), replicas, strict=True)]
    assert paid == [10] * answered + [0] * (4 - answered)
    assert task.ledger.state.supply.burned == burned + 3
    assert escrow - task.task.escrow == 1000 + 5 * 100 + 10 * answered + 3


def test_L9_what_a_division_leaves_over_is_burned() -> None:
    """Validators by power: 100, 100, 100 and 200 of 500."""
    task = open_task(replica_reward=43, validator_reward=333)
    task.ledger.accept(VALIDATORS[3], AddStake(role=VALIDATOR, amount=100_000))
    attest_all(task, 1)
    await_draw(task, 1)
    shown = [task.ledger.sign(v, open_watch(task, 1, v)) for v in VALIDATORS]
    validators = balances(task, VALIDATORS)
    burned = task.ledger.state.supply.burned
    task.ledger.block(*shown, proposer=-1)
    paid = [a - b + FEE for a, b in zip(balances(task, VALIDATORS), validators, strict=True)]
    assert paid == [66, 66, 66, 133]
    assert task.ledger.state.supply.burned == burned + 3 + 2


def test_rewards_of_nothing_are_nothing() -> None:
    task = open_task(aggregator_reward=0, client_reward=0, validator_reward=0, replica_reward=0)
    before = balances(task, [*AGGREGATORS, *CLIENTS, *REPLICAS])
    task.ledger.blocks(6)
    assert task.task.settled_round == 1
    assert balances(task, [*AGGREGATORS, *CLIENTS, *REPLICAS]) == before


def test_only_who_committed_is_paid() -> None:
    task = TaskHarness.start()
    task.ledger.block(*(task.ledger.sign(c, task.commit_update(c, 1)) for c in CLIENTS[:3]))
    task.ledger.blocks(5)
    task.aggregate(1)
    before = balances(task, CLIENTS)
    task.ledger.blocks(7)
    assert [a - b for a, b in zip(balances(task, CLIENTS), before, strict=True)] == [100, 100, 100, 0, 0]


def test_a_dropped_round_pays_its_clients_and_no_aggregator() -> None:
    task = TaskHarness.start()
    task.ledger.block(*(task.ledger.sign(c, task.commit_update(c, 1)) for c in CLIENTS[:2]))
    before, aggregators = balances(task, CLIENTS), balances(task, AGGREGATORS)
    task.ledger.blocks(7)
    assert task.task.settled_round == 1
    assert [a - b for a, b in zip(balances(task, CLIENTS), before, strict=True)] == [100, 100, 0, 0, 0]
    assert balances(task, AGGREGATORS) == aggregators


def test_the_aggregator_that_was_reverted_is_not_paid_and_the_one_who_redid_it_is() -> None:
    task = TaskHarness.start()
    task.commit_all(1)
    bad = task.aggregate(1, task.poisoned_model(1))
    task.ledger.accept(STRANGER, task.prove(bad))
    task.aggregate(1)
    before = balances(task, AGGREGATORS)
    task.ledger.blocks(6)
    assert [a - b for a, b in zip(balances(task, AGGREGATORS), before, strict=True)] == [0, 1000, 0]


def test_R5_work_on_a_reverted_base_is_paid_by_whose_fault_it_is() -> None:
    """The escrow keeps its reward for who does it again; what the honest successor loses comes out of the slash."""
    task = TaskHarness.start()
    task.commit_all(1)
    bad = task.aggregate(1, task.poisoned_model(1))
    task.commit_all(2)
    task.aggregate(2)
    before, escrow = task.ledger.balance(AGGREGATORS[1]), task.task.escrow
    task.ledger.accept(STRANGER, task.prove(bad))
    assert task.ledger.balance(AGGREGATORS[1]) == before + 1000
    assert task.task.escrow == escrow


def test_R2_rounds_settle_strictly_in_order() -> None:
    """Round 1 took long, so its window is long; round 2's is over much earlier, and waits."""
    task = start(window_factor_percent=500)
    task.commit_all(1)
    task.ledger.blocks(4)
    task.aggregate(1)
    task.run_round(2)
    first, second = task.round(1), task.round(2)
    assert second.window_close_height < first.window_close_height - 5
    task.ledger.blocks(first.window_close_height - 1 - task.ledger.height)
    assert task.task.settled_round == 0
    task.ledger.block()
    assert task.task.settled_round == 2
    heights = [digest.settled_height for _, digest in task.ledger.state.digests.items()]
    assert heights == [task.ledger.height] * 2


def test_R2_a_conviction_of_the_slow_round_finds_the_fast_one_unsettled() -> None:
    task = start(window_factor_percent=500)
    task.commit_all(1)
    task.ledger.blocks(4)
    bad = task.aggregate(1, task.poisoned_model(1))
    task.run_round(2)
    task.ledger.blocks(task.round(1).window_close_height - 1 - task.ledger.height)
    task.ledger.accept(STRANGER, task.prove(bad))
    assert (task.task.settled_round, task.task.head_round) == (0, 1)


@pytest.mark.parametrize(("proposers", "settles"), [([0], False), ([0, 1], True), ([-1], False), ([0, -1], False)])
def test_L1_a_window_needs_proposers_of_more_than_a_third(proposers: list[int], settles: bool) -> None:
    """Four equal validators: one has a quarter, two have half."""
    task = open_task()
    for height in range(20):
        task.ledger.block(proposer=proposers[height % len(proposers)])
    assert (task.task.settled_round == 1) == settles


def test_L1_exactly_a_third_is_not_enough() -> None:
    """Powers 100, 100, 100 and 0: one proposer has exactly 1/3."""
    task = start()
    task.ledger.accept(VALIDATORS[3], Unbond(role=VALIDATOR, amount=100_000))
    task.run_round(1)
    for _ in range(20):
        task.ledger.block(proposer=0)
    assert task.task.settled_round == 0
    task.ledger.block(proposer=1)
    assert task.task.settled_round == 1


def test_L1_power_counts_not_heads() -> None:
    task = start()
    task.ledger.accept(VALIDATORS[0], AddStake(role=VALIDATOR, amount=60_000))  # 160 of 460
    task.run_round(1)
    for _ in range(5):
        task.ledger.block(proposer=0)
    assert task.task.settled_round == 0
    task.ledger.block(proposer=0)
    assert task.task.settled_round == 1


def test_L1_who_proposed_the_opening_block_has_not_proposed_since() -> None:
    """And whoever proposed before does not count at all."""
    task = start()
    task.commit_all(1)
    submission = task.ledger.sign(task.due_aggregator(1), task.submit_aggregate(1))
    task.ledger.block(submission, proposer=1)
    for _ in range(10):
        task.ledger.block(proposer=0)
    assert task.task.settled_round == 0
    task.ledger.block(proposer=1)
    assert task.task.settled_round == 1


def test_a_task_completes_with_its_last_round() -> None:
    task = TaskHarness.start(rounds=2)
    for number in (1, 2):
        task.run_round(number)
    task.ledger.blocks(6)
    ended = task.task
    assert (ended.status, ended.settled_round, ended.escrow) == (state_pb2.TASK_STATUS_COMPLETED, 2, 0)
    assert (ended.ended_height, ended.head_round) == (task.ledger.height, 2)
    assert list(task.ledger.state.chain.live_tasks) == []
    assert task.ledger.balance(REQUESTER) == BALANCE - 2 * FEE - 2 * (ROUND_COST - 40)  # no audit was answered
    for role, accounts in ((AGGREGATOR, AGGREGATORS), (REPLICA, REPLICAS), (CLIENT, CLIENTS)):
        assert all(task.ledger.must_stake(role, account).open_tasks == 0 for account in accounts)


def test_what_was_not_earned_goes_back_at_the_end() -> None:
    """Of two rounds one is dropped with two updates: of its rewards only those of these two clients are due."""
    task = TaskHarness.start(rounds=2)
    task.run_round(1)
    task.ledger.block(*(task.ledger.sign(c, task.commit_update(c, 2)) for c in CLIENTS[:2]))
    task.ledger.blocks(8)
    assert task.task.status == state_pb2.TASK_STATUS_COMPLETED
    assert task.ledger.balance(REQUESTER) == BALANCE - 2 * FEE - (ROUND_COST - 40) - 2 * 100


def test_a_settled_round_pays_whoever_left_meanwhile() -> None:
    task = open_task()
    task.ledger.accept(CLIENTS[0], Unbond(role=CLIENT, amount=1_000))
    before = task.ledger.balance(CLIENTS[0])
    task.ledger.blocks(6)
    assert task.ledger.balance(CLIENTS[0]) == before + 100


def test_tasks_settle_independently() -> None:
    ledger = LedgerHarness()
    first = TaskHarness.start(ledger, training_blocks=100)
    second = TaskHarness(ledger)
    second.launch(training_blocks=100, min_window_blocks=12)
    for task in (first, second):
        task.run_round(1)
    ledger.blocks(6)
    assert (first.task.settled_round, second.task.settled_round) == (1, 0)
