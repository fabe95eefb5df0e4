"""Readmit: back after an exclusion for a time, not before, not twice, and never from one for good."""

from __future__ import annotations

import pytest

from optfl import errors
from optfl.wire.transaction_pb2 import AddStake, Readmit, Unbond
from support.ledger import (
    AGGREGATOR,
    AGGREGATORS,
    CLIENT,
    REPLICA,
    REPLICAS,
    STRANGER,
    LedgerHarness,
    TaskHarness,
)

COME_BACK = Readmit(role=AGGREGATOR)


def late(**overrides: int) -> TaskHarness:
    """The first aggregator has missed its turn; nothing else happens by itself."""
    task = TaskHarness.start(**{"aggregation_blocks": 5, **overrides})
    task.commit_all(1)
    task.ledger.blocks(5)
    assert task.round(1).turn == 1
    return task


@pytest.fixture
def task() -> TaskHarness:
    return late()


def test_it_takes_turns_again(task: TaskHarness) -> None:
    stake = task.ledger.must_stake(AGGREGATOR, AGGREGATORS[0])
    assert stake.excluded_until_height == task.ledger.height + 10
    task.ledger.blocks(9)
    result = task.ledger.accept(AGGREGATORS[0], COME_BACK)
    assert [event.kind for event in result.events] == ["readmitted"]
    stake = task.ledger.must_stake(AGGREGATOR, AGGREGATORS[0])
    assert (stake.excluded_until_height, stake.faults) == (0, 1)  # the next exclusion is longer


@pytest.mark.parametrize("early", [1, 0])
def test_both_sides_of_its_end(task: TaskHarness, early: int) -> None:
    until = task.ledger.must_stake(AGGREGATOR, AGGREGATORS[0]).excluded_until_height
    task.ledger.blocks(until - 1 - early - task.ledger.height)
    if early:
        task.ledger.reject(errors.ExclusionNotOver, AGGREGATORS[0], COME_BACK)
    else:
        task.ledger.accept(AGGREGATORS[0], COME_BACK)


def test_it_does_not_come_back_by_itself(task: TaskHarness) -> None:
    task.ledger.blocks(40)
    assert task.ledger.must_stake(AGGREGATOR, AGGREGATORS[0]).excluded_until_height > 0


def test_not_twice(task: TaskHarness) -> None:
    task.ledger.blocks(10)
    task.ledger.accept(AGGREGATORS[0], COME_BACK)
    task.ledger.reject(errors.NotExcluded, AGGREGATORS[0], COME_BACK)


def test_not_who_was_never_excluded(task: TaskHarness) -> None:
    task.ledger.reject(errors.NotExcluded, AGGREGATORS[2], COME_BACK)
    task.ledger.reject(errors.NotExcluded, REPLICAS[0], Readmit(role=REPLICA))


def test_not_in_a_role_that_the_account_does_not_have(task: TaskHarness) -> None:
    task.ledger.reject(errors.NotRegistered, STRANGER, COME_BACK)
    task.ledger.reject(errors.NotRegistered, AGGREGATORS[0], Readmit(role=CLIENT))


@pytest.mark.parametrize("role", [0, 5, 99])
def test_not_in_a_role_that_there_is_not(role: int) -> None:
    LedgerHarness().reject(errors.InvalidField, STRANGER, Readmit(role=role))  # type: ignore[arg-type]


def test_never_after_a_conviction() -> None:
    task = TaskHarness.start()
    task.commit_all(1)
    bad = task.aggregate(1, task.poisoned_model(1))
    task.ledger.accept(STRANGER, task.prove(bad))
    task.ledger.blocks(30)
    task.ledger.reject(errors.ExcludedAccount, AGGREGATORS[0], COME_BACK)


def test_never_after_a_conviction_that_follows_an_exclusion_for_a_time() -> None:
    task = TaskHarness.start(min_window_blocks=60)
    task.commit_all(1)
    bad = task.aggregate(1, task.poisoned_model(1))
    for number in (2, 3):
        task.run_round(number)
    task.commit_all(4)
    task.ledger.blocks(5)  # its turn again: it is late
    assert task.ledger.must_stake(AGGREGATOR, AGGREGATORS[0]).excluded_until_height > 0
    task.ledger.accept(STRANGER, task.prove(bad))
    task.ledger.blocks(20)
    task.ledger.reject(errors.ExcludedAccount, AGGREGATORS[0], COME_BACK)


def test_not_with_less_than_the_minimum_stake(task: TaskHarness) -> None:
    """Nothing was left of it when the exclusion was over."""
    task.ledger.accept(AGGREGATORS[0], Unbond(role=AGGREGATOR, amount=198_000))
    task.ledger.blocks(10)
    task.ledger.reject(errors.StakeTooLow, AGGREGATORS[0], COME_BACK)
    task.ledger.accept(AGGREGATORS[0], AddStake(role=AGGREGATOR, amount=100_000))
    task.ledger.accept(AGGREGATORS[0], COME_BACK)


def test_not_with_less_than_its_tasks_require() -> None:
    """The slash for lateness took some of it: it would be back without a turn."""
    task = late(client_reward=8_000, min_round_blocks=30)
    required = task.task.required_stake
    stake = task.ledger.must_stake(AGGREGATOR, AGGREGATORS[0])
    assert stake.committed == required > 100_000
    task.ledger.accept(AGGREGATORS[0], Unbond(role=AGGREGATOR, amount=stake.amount - required + 1))
    task.ledger.blocks(10)
    task.ledger.reject(errors.StakeTooLow, AGGREGATORS[0], COME_BACK)
    task.ledger.accept(AGGREGATORS[0], AddStake(role=AGGREGATOR, amount=1))
    task.ledger.accept(AGGREGATORS[0], COME_BACK)
    assert task.ledger.must_stake(AGGREGATOR, AGGREGATORS[0]).amount == required
