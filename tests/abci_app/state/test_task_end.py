"""The end of a task, whatever its way there: open rounds void, escrow back, stakes let go."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from abci_app.state.keyspace import task_key
from optfl.wire import state_pb2
from optfl.wire.transaction_pb2 import CancelTask, Unbond
from support.ledger import (
    AGGREGATOR,
    AGGREGATOR_STAKE,
    AGGREGATORS,
    CLIENT,
    CLIENTS,
    REPLICA,
    REPLICAS,
    REQUESTER,
    LedgerHarness,
    TaskHarness,
)


def completed() -> TaskHarness:
    task = TaskHarness.start(rounds=1)
    task.run_round(1)
    task.ledger.blocks(6)
    return task


def cancelled() -> TaskHarness:
    task = TaskHarness.start()
    task.run_round(1)
    task.ledger.accept(REQUESTER, CancelTask(task_id=1))
    task.run_round(2)
    task.ledger.blocks(6)
    return task


def aborted() -> TaskHarness:
    task = TaskHarness.start(pause_blocks=2, min_window_blocks=30)
    task.run_round(1)
    for account in AGGREGATORS:
        task.ledger.accept(account, Unbond(role=AGGREGATOR, amount=AGGREGATOR_STAKE))
    task.commit_all(2)
    while task.task.status != state_pb2.TASK_STATUS_ABORTED:
        task.ledger.block()
    return task


def never_started() -> TaskHarness:
    task = TaskHarness(LedgerHarness())
    task.ledger.register_participants()
    task.create()
    task.ledger.accept(REQUESTER, CancelTask(task_id=1))
    return task


@pytest.mark.parametrize("make", [completed, cancelled, aborted, never_started])
def test_nothing_is_left_of_a_task_but_its_record(make: Callable[[], TaskHarness]) -> None:
    task = make()
    state, ended = task.ledger.state, task.task
    expected = state_pb2.TASK_STATUS_COMPLETED if make is completed else state_pb2.TASK_STATUS_ABORTED
    assert (ended.status, ended.escrow, ended.ended_height) == (expected, 0, task.ledger.height)
    assert ended.head_round == ended.settled_round
    assert list(state.chain.live_tasks) == []
    assert state.rounds.all_keys(task_key(1)) == state.commitments.all_keys(task_key(1)) == []
    assert all(a.status != state_pb2.ATTEMPT_STATUS_OPEN for _, a in state.attempts.items())
    for role, accounts in ((AGGREGATOR, AGGREGATORS), (REPLICA, REPLICAS), (CLIENT, CLIENTS)):
        assert all(task.ledger.must_stake(role, account).open_tasks == 0 for account in accounts)


def test_accounts_in_two_tasks_are_let_go_by_each() -> None:
    ledger = LedgerHarness()
    first = TaskHarness.start(ledger, rounds=1)
    second = TaskHarness(ledger)
    second.launch()
    assert ledger.must_stake(AGGREGATOR, AGGREGATORS[0]).open_tasks == 2
    assert ledger.must_stake(AGGREGATOR, AGGREGATORS[0]).committed == 200_000
    assert ledger.must_stake(REPLICA, REPLICAS[0]).open_tasks == 2
    first.run_round(1)
    ledger.blocks(6)
    assert first.task.status == state_pb2.TASK_STATUS_COMPLETED
    assert ledger.must_stake(AGGREGATOR, AGGREGATORS[0]).open_tasks == 1
    assert ledger.must_stake(AGGREGATOR, AGGREGATORS[0]).committed == 100_000
    assert ledger.must_stake(REPLICA, REPLICAS[0]).open_tasks == 1
