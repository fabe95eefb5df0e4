"""AnnounceProof: one of each account and attempt, while a proof would still convict; forgotten with the attempt."""

from __future__ import annotations

from typing import Any

import pytest

from abci_app.state.keyspace import announcement_key
from abci_app.transitions import announce_proof
from optfl import errors
from optfl.wire import state_pb2
from optfl.wire.transaction_pb2 import AnnounceProof
from support.ledger import CLIENTS, STRANGER, VALIDATORS, LedgerHarness, TaskHarness
from support.votes import start_float_task

DIGEST = bytes(range(32))


def with_fraud(ledger: LedgerHarness | None = None, **overrides: Any) -> TaskHarness:
    task = TaskHarness.start(ledger, **overrides)
    task.commit_all(1)
    task.aggregate(1, task.poisoned_model(1))
    return task


def announcement(**overrides: Any) -> AnnounceProof:
    return AnnounceProof(**{"task_id": 1, "attempt_id": 1, "commitment": DIGEST, **overrides})


def find(task: TaskHarness, sender: Any = STRANGER, attempt_id: int = 1) -> state_pb2.Announcement | None:
    return task.ledger.state.announcements.get(announcement_key(1, attempt_id, sender.address))


@pytest.mark.parametrize(("sender", "validator"), [(STRANGER, False), (VALIDATORS[0], True)])
def test_it_is_noted_with_its_height(sender: Any, validator: bool) -> None:
    task = with_fraud()
    result = task.ledger.accept(sender, announcement())
    assert find(task, sender) == state_pb2.Announcement(
        commitment=DIGEST,
        height=task.ledger.height,
        validator=validator,
        proposer=VALIDATORS[task.ledger.proposer].address,
    )
    assert [event.kind for event in result.events] == ["proof_announced"]


@pytest.mark.parametrize("commitment", [b"", bytes(31), bytes(33)])
def test_a_commitment_is_a_digest(commitment: bytes) -> None:
    with_fraud().ledger.reject(errors.InvalidField, STRANGER, announcement(commitment=commitment))


@pytest.mark.parametrize("commitment", [DIGEST, bytes(32)])
def test_once(commitment: bytes) -> None:
    """Nothing that comes later, like a proof that was seen meanwhile, takes its place."""
    task = with_fraud()
    task.ledger.accept(STRANGER, announcement())
    task.ledger.reject(errors.AlreadyAnnounced, STRANGER, announcement(commitment=commitment))
    task.ledger.accept(CLIENTS[0], announcement(commitment=commitment))


def test_of_what_there_is_and_what_proofs_are_about() -> None:
    task = with_fraud()
    task.ledger.reject(errors.UnknownTask, STRANGER, announcement(task_id=2))
    task.ledger.reject(errors.UnknownAttempt, STRANGER, announcement(attempt_id=2))
    start_float_task().ledger.reject(errors.NotProvable, STRANGER, announcement())
    dropped = TaskHarness.start()
    dropped.ledger.blocks(5)
    dropped.ledger.reject(errors.NotConvictable, STRANGER, announcement())


def test_not_of_what_is_convicted() -> None:
    task = with_fraud()
    task.ledger.accept(STRANGER, task.prove(1))
    task.ledger.reject(errors.NotConvictable, STRANGER, announcement())


@pytest.mark.parametrize("late", [False, True])
def test_of_what_is_void_until_its_evidence_height(late: bool) -> None:
    task = with_fraud()
    task.commit_all(2)
    second = task.aggregate(2, task.poisoned_model(2))
    task.ledger.accept(STRANGER, task.prove(1))
    evidence_height = task.ledger.must_attempt(second).evidence_height
    task.ledger.blocks(evidence_height - 1 + late - task.ledger.height)
    message = announcement(attempt_id=second)
    if late:
        task.ledger.reject(errors.NotConvictable, STRANGER, message)
    else:
        task.ledger.accept(STRANGER, message)


def test_so_many_of_an_attempt_and_validators_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announce_proof, "MAX_ANNOUNCEMENTS", 2)
    task = with_fraud()
    for sender in (VALIDATORS[0], CLIENTS[0], CLIENTS[1], VALIDATORS[1]):
        task.ledger.accept(sender, announcement())
    task.ledger.reject(errors.TooManyAnnouncements, STRANGER, announcement())
    task.ledger.accept(VALIDATORS[2], announcement())


@pytest.mark.parametrize("proven", [False, True])
def test_it_is_forgotten_with_the_attempt(proven: bool) -> None:
    task = with_fraud()
    task.ledger.accept(STRANGER, announcement())
    if proven:
        task.ledger.accept(CLIENTS[0], task.prove(1))
        evidence_height = task.ledger.must_attempt(1).evidence_height
        task.ledger.blocks(evidence_height + 1 - task.ledger.height)
    else:
        task.ledger.blocks(task.round(1).window_close_height - task.ledger.height)
    assert task.ledger.attempt(1) is None
    assert not task.ledger.state.announcements.all_keys()
