"""CancelTask: no new rounds; what is open is carried to its end and paid, the rest of the escrow goes back."""

from __future__ import annotations

import pytest

from optfl import errors
from optfl.wire import state_pb2
from optfl.wire.transaction_pb2 import CancelTask
from support.ledger import (
    BALANCE,
    CLIENTS,
    FEE,
    REPLICA,
    REPLICAS,
    REQUESTER,
    STRANGER,
    LedgerHarness,
    TaskHarness,
)

CANCEL = CancelTask(task_id=1)
ROUND_COST = 1000 + 5 * 100 + 50 + 40


def test_before_its_start_it_ends_at_once_and_all_goes_back() -> None:
    task = TaskHarness(LedgerHarness())
    task.create()
    task.ledger.accept(REQUESTER, CANCEL)
    assert (task.task.status, task.task.escrow) == (state_pb2.TASK_STATUS_ABORTED, 0)
    assert task.ledger.balance(REQUESTER) == BALANCE - 2 * FEE
    assert list(task.ledger.state.chain.live_tasks) == []


def test_R6_open_rounds_are_carried_to_their_end_and_paid() -> None:
    """Otherwise a requester could take the updates and leave."""
    task = TaskHarness.start()
    task.run_round(1)
    task.ledger.accept(REQUESTER, CANCEL)
    assert task.task.status == state_pb2.TASK_STATUS_RUNNING
    task.run_round(2)
    task.ledger.blocks(1)
    assert task.task.head_round == 2
    client = task.ledger.balance(CLIENTS[0])
    task.ledger.blocks(10)
    assert (task.task.status, task.task.settled_round) == (state_pb2.TASK_STATUS_ABORTED, 2)
    assert task.ledger.balance(CLIENTS[0]) == client + 200
    assert task.ledger.balance(REQUESTER) == BALANCE - 3 * FEE - 2 * (ROUND_COST - 40)  # no replica answered an audit
    assert task.ledger.must_stake(REPLICA, REPLICAS[0]).open_tasks == 0


def test_a_cancelled_task_takes_its_last_rounds_transactions() -> None:
    task = TaskHarness.start()
    task.ledger.accept(REQUESTER, CANCEL)
    task.run_round(1)
    task.ledger.blocks(8)
    assert (task.task.status, task.task.settled_round) == (state_pb2.TASK_STATUS_ABORTED, 1)


def test_a_round_that_is_reverted_after_it_is_redone() -> None:
    task = TaskHarness.start()
    task.commit_all(1)
    bad = task.aggregate(1, task.poisoned_model(1))
    task.ledger.accept(REQUESTER, CANCEL)
    task.ledger.accept(STRANGER, task.prove(bad))
    assert task.round(1).status == state_pb2.ROUND_STATUS_AGGREGATING
    task.aggregate(1)
    task.ledger.blocks(8)
    assert (task.task.status, task.task.settled_round) == (state_pb2.TASK_STATUS_ABORTED, 1)


def test_cancelled_in_its_last_round_it_is_completed() -> None:
    task = TaskHarness.start(rounds=1)
    task.ledger.accept(REQUESTER, CANCEL)
    task.run_round(1)
    task.ledger.blocks(8)
    assert task.task.status == state_pb2.TASK_STATUS_COMPLETED


def test_only_the_requester_cancels() -> None:
    task = TaskHarness.start()
    task.ledger.reject(errors.NotRequester, STRANGER, CANCEL)
    task.ledger.reject(errors.NotRequester, CLIENTS[0], CANCEL)


@pytest.mark.parametrize("task_id", [0, 2, 2**64 - 1])
def test_unknown_task_is_refused(task_id: int) -> None:
    TaskHarness.start().ledger.reject(errors.UnknownTask, REQUESTER, CancelTask(task_id=task_id))


def test_a_task_is_cancelled_once() -> None:
    task = TaskHarness.start()
    task.ledger.accept(REQUESTER, CANCEL)
    task.ledger.reject(errors.WrongTaskStatus, REQUESTER, CANCEL)


def test_a_task_that_has_ended_is_not_cancelled() -> None:
    task = TaskHarness(LedgerHarness())
    task.create()
    first = task.ledger.sign(REQUESTER, CANCEL)
    task.ledger.reject(errors.WrongTaskStatus, REQUESTER, CANCEL, after=[first])
    task.ledger.reject(errors.WrongTaskStatus, REQUESTER, CANCEL)


def test_a_completed_task_is_not_cancelled() -> None:
    task = TaskHarness.start(rounds=1)
    task.run_round(1)
    task.ledger.blocks(6)
    assert task.task.status == state_pb2.TASK_STATUS_COMPLETED
    task.ledger.reject(errors.WrongTaskStatus, REQUESTER, CANCEL)
