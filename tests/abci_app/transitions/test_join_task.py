"""JoinTask: an aggregator agrees to a task's deadlines, with a part of its stake behind them. Nobody else is bound."""

from __future__ import annotations

from typing import Any

import pytest

from abci_app.transitions import join_task
from optfl import errors
from optfl.wire import state_pb2
from optfl.wire.transaction_pb2 import AddStake, CancelTask, JoinTask, RegisterRole, Unbond
from support.ledger import (
    AGGREGATOR,
    AGGREGATOR_STAKE,
    AGGREGATORS,
    CLIENTS,
    PARAMS,
    REPLICA,
    REPLICAS,
    REQUESTER,
    STRANGER,
    LedgerHarness,
    TaskHarness,
)

REQUIRED = PARAMS["min_aggregator_stake"]  # of a task that pays as little as those here
JOIN = JoinTask(task_id=1)


def created(ledger: LedgerHarness | None = None, **overrides: Any) -> TaskHarness:
    """A task that nobody has joined yet, with everybody registered."""
    task = TaskHarness(ledger or LedgerHarness())
    if ledger is None:
        task.ledger.register_participants()
    task.create(**overrides)
    return task


def test_who_joins_stands_in_the_task_and_its_stake_answers_for_it() -> None:
    task = created()
    assert task.task.required_stake == REQUIRED
    for account in AGGREGATORS:
        task.ledger.accept(account, JOIN)
        stake = task.ledger.must_stake(AGGREGATOR, account)
        assert (stake.amount, stake.open_tasks, stake.committed) == (AGGREGATOR_STAKE, 1, REQUIRED)
    assert list(task.task.joined) == sorted(account.address for account in AGGREGATORS)
    assert list(task.parameters.aggregators) == [account.address for account in AGGREGATORS]  # the order of turns


@pytest.mark.parametrize("task_id", [0, 2, 2**64 - 1])
def test_unknown_task_is_refused(task_id: int) -> None:
    created().ledger.reject(errors.UnknownTask, AGGREGATORS[0], JoinTask(task_id=task_id))


def test_a_task_that_runs_is_joined_no_more() -> None:
    """Its turns are fixed, and everybody could see whose they are."""
    task = TaskHarness.start(aggregators=[])
    task.ledger.accept(STRANGER, RegisterRole(role=AGGREGATOR, stake=REQUIRED))
    task.ledger.reject(errors.WrongTaskStatus, STRANGER, JOIN)


def test_a_task_that_has_ended_is_joined_no_more() -> None:
    task = created()
    task.ledger.accept(REQUESTER, CancelTask(task_id=1))
    task.ledger.reject(errors.WrongTaskStatus, AGGREGATORS[0], JOIN)


def test_both_sides_of_the_start_in_its_own_block() -> None:
    task = created()
    task.ledger.accept(AGGREGATORS[0], JOIN)
    before, start = task.ledger.sign(AGGREGATORS[1], JOIN), task.ledger.sign(REQUESTER, task.start_task())
    results = task.ledger.block(before, start, task.ledger.sign(AGGREGATORS[2], JOIN)).results
    assert [result.code for result in results] == [0, 0, errors.WrongTaskStatus.code]
    assert list(task.parameters.aggregators) == [a.address for a in AGGREGATORS[:2]]
    assert task.ledger.must_stake(AGGREGATOR, AGGREGATORS[2]).committed == 0


def test_joined_and_cancelled_in_one_block_nobody_stays_bound() -> None:
    task = created()
    cancel = task.ledger.sign(REQUESTER, CancelTask(task_id=1))
    task.ledger.block(cancel, task.ledger.sign(AGGREGATORS[0], JOIN))
    stake = task.ledger.must_stake(AGGREGATOR, AGGREGATORS[0])
    assert (stake.open_tasks, stake.committed) == (0, 0)


@pytest.mark.parametrize("account", [STRANGER, CLIENTS[0], REPLICAS[0], REQUESTER])
def test_only_an_aggregator_joins(account: Any) -> None:
    """A stake in another role does not answer for aggregates, and its holder was asked for something else."""
    created(aggregators=[]).ledger.reject(errors.NotRegistered, account, JOIN)


def test_only_who_is_invited_joins() -> None:
    task = created()
    task.ledger.accept(STRANGER, RegisterRole(role=AGGREGATOR, stake=AGGREGATOR_STAKE))
    task.ledger.reject(errors.NotInvited, STRANGER, JOIN)
    task.ledger.accept(AGGREGATORS[0], JOIN)


def test_a_task_that_names_nobody_is_open_to_all() -> None:
    task = created(aggregators=[])
    task.ledger.accept(STRANGER, RegisterRole(role=AGGREGATOR, stake=AGGREGATOR_STAKE))
    for account in (STRANGER, AGGREGATORS[1]):
        task.ledger.accept(account, JOIN)
    task.ledger.accept(REQUESTER, task.start_task())
    assert list(task.parameters.aggregators) == sorted([STRANGER.address, AGGREGATORS[1].address])


def test_nobody_joins_twice() -> None:
    task = created()
    task.ledger.accept(AGGREGATORS[0], JOIN)
    task.ledger.reject(errors.AlreadyJoined, AGGREGATORS[0], JOIN)
    assert task.ledger.must_stake(AGGREGATOR, AGGREGATORS[0]).committed == REQUIRED


def test_as_many_join_as_a_task_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(join_task, "MAX_AGGREGATORS", 2)
    task = created(aggregators=[])
    for account in AGGREGATORS[:2]:
        task.ledger.accept(account, JOIN)
    task.ledger.reject(errors.TaskFull, AGGREGATORS[2], JOIN)


def test_who_is_out_for_good_joins_nothing() -> None:
    first = TaskHarness.start()
    first.commit_all(1)
    first.ledger.accept(STRANGER, first.prove(first.aggregate(1, first.poisoned_model(1))))
    created(first.ledger)
    first.ledger.reject(errors.ExcludedAccount, AGGREGATORS[0], JoinTask(task_id=2))
    first.ledger.accept(AGGREGATORS[1], JoinTask(task_id=2))


def test_who_is_out_for_a_time_comes_back_first() -> None:
    first = TaskHarness.start(pause_blocks=1000)
    first.commit_all(1)
    first.ledger.blocks(5)
    late = first.ledger.must_stake(AGGREGATOR, AGGREGATORS[0])
    created(first.ledger)
    first.ledger.reject(errors.ExcludedAccount, AGGREGATORS[0], JoinTask(task_id=2))
    first.ledger.blocks(late.excluded_until_height - first.ledger.height)  # over, but not readmitted
    first.ledger.reject(errors.ExcludedAccount, AGGREGATORS[0], JoinTask(task_id=2))


def test_R5_both_sides_of_the_required_stake() -> None:
    ledger = LedgerHarness()
    ledger.register_participants()
    task = created(ledger, client_reward=20_000, aggregators=[])
    required = task.task.required_stake
    assert required > REQUIRED
    ledger.accept(STRANGER, RegisterRole(role=AGGREGATOR, stake=required - 1))
    ledger.reject(errors.StakeTooLow, STRANGER, JOIN)
    ledger.accept(STRANGER, AddStake(role=AGGREGATOR, amount=1))
    ledger.accept(STRANGER, JOIN)


def test_R5_what_is_unbonding_is_not_put_behind_anything_new() -> None:
    task = created()
    task.ledger.accept(AGGREGATORS[0], Unbond(role=AGGREGATOR, amount=AGGREGATOR_STAKE))
    task.ledger.reject(errors.StakeTooLow, AGGREGATORS[0], JOIN)


def test_R5_every_task_has_its_own_part_of_the_stake() -> None:
    """200,000 answer for two tasks of 100,000 each, and not for a third; one that ends gives its part back."""
    ledger = LedgerHarness()
    ledger.register_participants()
    for _ in range(3):
        created(ledger)
    for task_id in (1, 2):
        ledger.accept(AGGREGATORS[0], JoinTask(task_id=task_id))
    stake = ledger.must_stake(AGGREGATOR, AGGREGATORS[0])
    assert (stake.open_tasks, stake.committed) == (2, AGGREGATOR_STAKE)
    ledger.reject(errors.StakeTooLow, AGGREGATORS[0], JoinTask(task_id=3))
    ledger.accept(REQUESTER, CancelTask(task_id=1))
    ledger.accept(AGGREGATORS[0], JoinTask(task_id=3))
    assert ledger.must_stake(AGGREGATOR, AGGREGATORS[0]).committed == AGGREGATOR_STAKE


def test_an_invitation_binds_nobody() -> None:
    """Whoever did not join is never late, never slashed, and takes its stake out in the middle of the task."""
    task = created(pause_blocks=1000, rounds=2)
    task.ledger.accept(AGGREGATORS[1], JOIN)
    task.ledger.accept(REQUESTER, task.start_task())
    task.ledger.accept(AGGREGATORS[0], Unbond(role=AGGREGATOR, amount=AGGREGATOR_STAKE))
    task.commit_all(1)
    task.ledger.blocks(PARAMS["unbonding_blocks"])
    assert task.task.status == state_pb2.TASK_STATUS_PAUSED  # the only one that joined was late
    assert task.ledger.stake(AGGREGATOR, AGGREGATORS[0]) is None
    bystander = task.ledger.must_stake(AGGREGATOR, AGGREGATORS[2])
    assert (bystander.amount, bystander.faults, bystander.excluded_until_height) == (AGGREGATOR_STAKE, 0, 0)
    assert task.ledger.must_stake(AGGREGATOR, AGGREGATORS[1]).faults == 1


def test_a_replica_is_bound_by_its_name_alone() -> None:
    """It is never slashed for a task; what it has signed, others count on. An open item: see protocol.md, 23.2."""
    task = TaskHarness.start()
    assert task.ledger.must_stake(REPLICA, REPLICAS[0]).open_tasks == 1
