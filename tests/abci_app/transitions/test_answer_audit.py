"""AnswerAudit: a replica opens the chunk that was drawn for it, once, while the attempt is open."""

from __future__ import annotations

from typing import Any

import pytest

from abci_app.state.keyspace import attempt_key, audit_key
from optfl import errors, tasks
from optfl.audits import compute_audit
from optfl.wire import state_pb2
from optfl.wire.transaction_pb2 import Opening
from support.demands import answer_audit, answer_audits, get_audited
from support.ledger import (
    AGGREGATORS,
    CLIENTS,
    REPLICAS,
    REQUESTER,
    STRANGER,
    VALIDATORS,
    TaskHarness,
)


@pytest.fixture
def task() -> TaskHarness:
    """The first round's attempt is in its window."""
    harness = TaskHarness.start(training_blocks=100)
    harness.run_round(1)
    return harness


def test_an_answer_is_noted(task: TaskHarness) -> None:
    result = task.ledger.accept(REPLICAS[2], answer_audit(task, 1, 2))
    assert task.ledger.state.audits[audit_key(1, 1, 2)] == state_pb2.Audit(height=task.ledger.height)
    assert [event.kind for event in result.events] == ["audit_answered"]


def test_every_replica_has_its_own(task: TaskHarness) -> None:
    answer_audits(task, 1)
    assert task.ledger.state.audits.all_keys() == [audit_key(1, 1, i) for i in range(4)]


@pytest.mark.parametrize("beacon", range(12))
def test_whatever_was_drawn_can_be_shown(beacon: int) -> None:
    """Every attempt has a beacon of its own: updates, models, last and shorter chunks."""
    task = TaskHarness.start(training_blocks=100, length=33 + 13 * beacon)
    task.ledger.blocks(beacon)
    task.run_round(1)
    answer_audits(task, 1)


def test_only_replicas_of_the_task(task: TaskHarness) -> None:
    for sender in (STRANGER, AGGREGATORS[0], CLIENTS[0], VALIDATORS[0], REQUESTER):
        task.ledger.reject(errors.NotRegistered, sender, answer_audit(task, 1, 0))


def test_not_with_anothers_chunk(task: TaskHarness) -> None:
    attempt = task.ledger.attempt(1)
    assert attempt is not None
    drawn = [compute_audit(attempt.beacon, 1, 1, i, 5, 4) for i in range(4)]
    other = next(i for i in range(1, 4) if drawn[i] != drawn[0])
    task.ledger.reject(errors.BadAudit, REPLICAS[0], answer_audit(task, 1, other))


def test_neither_another_chunk_nor_other_bytes() -> None:
    task = TaskHarness.start(training_blocks=100, min_window_blocks=20)
    task.run_round(1)
    attempt = task.ledger.attempt(1)
    assert attempt is not None
    audit = compute_audit(attempt.beacon, 1, 1, 0, 5, 4)
    vector = get_audited(task, attempt, audit.blob)
    good = vector.opening(audit.chunk)
    other = vector.opening((audit.chunk + 1) % 4)
    wrong: list[tuple[bytes, Any]] = [
        (other.data, other.path),
        (good.data[:-1] + bytes([good.data[-1] ^ 1]), good.path),
        (good.data[:-2], good.path),
        (good.data, good.path[:-1]),
        (good.data, (*good.path, bytes(32))),
        (good.data, (*good.path[:-1], b"")),
        (b"", ()),
    ]
    for data, path in wrong:
        message = answer_audit(task, 1, 0, opening=Opening(data=data, path=path))
        task.ledger.reject(errors.BadAudit, REPLICAS[0], message)
    task.ledger.accept(REPLICAS[0], answer_audit(task, 1, 0))


def test_not_twice(task: TaskHarness) -> None:
    task.ledger.accept(REPLICAS[0], answer_audit(task, 1, 0))
    task.ledger.reject(errors.AlreadyAnswered, REPLICAS[0], answer_audit(task, 1, 0))


@pytest.mark.parametrize("late", [False, True])
def test_both_sides_of_the_windows_end(task: TaskHarness, late: bool) -> None:
    """An answer in the closing block counts, and is paid."""
    message = answer_audit(task, 1, 0)
    task.ledger.blocks(task.round(1).window_close_height - 1 + late - task.ledger.height)
    if late:
        task.ledger.reject(errors.UnknownAttempt, REPLICAS[0], message)
        return
    before = task.ledger.balance(REPLICAS[0])
    result = task.ledger.accept(REPLICAS[0], message, fee=1000)
    assert result.code == 0
    assert task.task.settled_round == 1
    assert task.ledger.balance(REPLICAS[0]) == before - 1000 + 10


def test_not_of_an_attempt_that_was_convicted() -> None:
    task = TaskHarness.start(training_blocks=100)
    task.commit_all(1)
    bad = task.aggregate(1, task.poisoned_model(1))
    message = answer_audit(task, bad, 0)
    task.ledger.accept(STRANGER, task.prove(bad))
    task.ledger.reject(errors.BadAudit, REPLICAS[0], message)


def test_not_of_an_attempt_that_is_void() -> None:
    task = TaskHarness.start(min_window_blocks=30)
    task.commit_all(1)
    bad = task.aggregate(1, task.poisoned_model(1))
    task.run_round(2)
    message = answer_audit(task, 2, 0)
    task.ledger.accept(STRANGER, task.prove(bad))
    task.ledger.reject(errors.BadAudit, REPLICAS[0], message)


def test_not_of_a_round_that_was_dropped() -> None:
    task = TaskHarness.start()
    task.ledger.blocks(5)
    attempt = task.ledger.attempt(1)
    assert attempt is not None
    task.models[1] = task.models[0]
    task.ledger.reject(errors.BadAudit, REPLICAS[0], answer_audit(task, 1, 0))


def test_another_tasks_ids(task: TaskHarness) -> None:
    task.ledger.reject(errors.UnknownTask, REPLICAS[0], answer_audit(task, 1, 0, task_id=2))
    for attempt_id in (0, 2, 2**32 - 1):
        task.ledger.reject(errors.UnknownAttempt, REPLICAS[0], answer_audit(task, 1, 0, attempt_id=attempt_id))
    other = TaskHarness(task.ledger)
    other.create(length=200)
    task.ledger.reject(errors.UnknownAttempt, REPLICAS[0], answer_audit(task, 1, 0, task_id=other.task_id))


def test_answers_are_forgotten_with_their_attempt(task: TaskHarness) -> None:
    """Settled or past its evidence height."""
    answer_audits(task, 1)
    task.ledger.blocks(6)
    assert task.ledger.state.audits.all_keys() == []
    task.commit_all(2)
    bad = task.aggregate(2, task.poisoned_model(2))
    answer_audits(task, bad)
    task.ledger.accept(STRANGER, task.prove(bad))
    attempt = task.ledger.attempt(bad)
    assert attempt is not None
    task.ledger.blocks(attempt.evidence_height - task.ledger.height)
    assert len(task.ledger.state.audits.all_keys(attempt_key(1, bad))) == 4
    task.ledger.block()
    assert task.ledger.state.audits.all_keys(attempt_key(1, bad)) == []


def test_E3_the_draw_is_of_the_block_that_takes_the_attempt(task: TaskHarness) -> None:
    """Nobody could know it when the receipts were signed, nor when the transaction was sent."""
    attempt = task.ledger.attempt(1)
    assert attempt is not None
    assert attempt.submit_height == task.ledger.height
    assert attempt.beacon == task.ledger.state.chain.beacon
    assert tasks.model_shape(task.parameters).chunks == 4
