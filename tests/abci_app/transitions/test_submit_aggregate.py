"""SubmitAggregate: only the aggregator whose turn it is, in its turn, with a model that is stored."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from optfl import errors
from optfl.vectors import ChunkedVector, Shape
from optfl.wire import state_pb2
from optfl.wire.transaction_pb2 import SubmitAggregate, Unbond
from support.ledger import (
    AGGREGATOR,
    AGGREGATORS,
    CLIENTS,
    REPLICAS,
    STRANGER,
    LedgerHarness,
    TaskHarness,
    key,
)


def frozen(**overrides: Any) -> TaskHarness:
    """A task whose first round is frozen."""
    task = TaskHarness.start(**overrides)
    task.commit_all(1)
    return task


@pytest.fixture
def task() -> TaskHarness:
    return frozen()


def test_A1_the_attempts_record_holds_all_that_it_will_be_judged_on(task: TaskHarness) -> None:
    current, due = task.round(1), task.due_aggregator(1)
    message = task.submit_aggregate(1)
    task.ledger.accept(due, message)
    attempt = task.ledger.attempt(1)
    assert attempt is not None
    inputs = [
        state_pb2.Input(client=a, update_root=task.update(c, 1).root, weight=1)
        for a in current.selected
        for c in CLIENTS
        if c.address == a
    ]
    chain = task.ledger.state.chain
    assert attempt == state_pb2.Attempt(
        task_id=1,
        attempt_id=1,
        round=1,
        parent_attempt=0,
        turn=0,
        aggregator=due.address,
        base_root=task.models[0].root,
        inputs=inputs,
        rule="median()",
        model_root=message.model_root,
        certificate=message.certificate,
        beacon=chain.beacon,
        round_beacon=current.beacon,
        freeze_height=current.freeze_height,
        submit_height=chain.height,
        window_close_height=chain.height + 6,
        # Its window, what may prolong it, and the evidence.
        evidence_height=chain.height + 6 + (4 + 6 + 4 + 2 * 3) + 20,
        status=state_pb2.ATTEMPT_STATUS_OPEN,
        status_height=chain.height,
        model_retain_until_height=message.certificate.retain_until_height,
    )


def test_the_window_opens_and_the_next_round_trains_from_the_new_model(task: TaskHarness) -> None:
    message = task.submit_aggregate(1)
    task.ledger.accept(task.due_aggregator(1), message)
    current = task.round(1)
    assert (current.status, current.attempt_id) == (state_pb2.ROUND_STATUS_OPEN, 1)
    assert (current.window_open_height, current.window_close_height) == (task.ledger.height, task.ledger.height + 6)
    following = task.round(2)
    assert (following.status, following.parent_attempt) == (state_pb2.ROUND_STATUS_TRAINING, 1)
    assert following.base_root == message.model_root


@pytest.mark.parametrize(("waited", "window"), [(0, 6), (2, 6), (3, 8), (4, 10)])
def test_the_window_grows_with_the_time_that_the_aggregation_took(task: TaskHarness, waited: int, window: int) -> None:
    """T = max(T_min, α·T_aggregate) with T_min = 6 and α = 2; T_aggregate counts from the freeze.  # seed 001, E"""
    task.ledger.blocks(waited)
    task.aggregate(1)
    assert task.round(1).window_close_height == task.ledger.height + window


def test_T_aggregate_is_capped_by_the_deadline(task: TaskHarness) -> None:
    """Two turns were missed before: what that took is not the third aggregator's time."""
    task.ledger.blocks(12)
    assert task.round(1).turn == 2
    task.aggregate(1)
    assert task.round(1).window_close_height == task.ledger.height + 10


def test_the_stake_is_held_until_the_evidence_height(task: TaskHarness) -> None:
    due = task.due_aggregator(1)
    attempt = task.ledger.attempt(task.aggregate(1))
    assert attempt is not None
    assert task.ledger.must_stake(AGGREGATOR, due).evidence_height == attempt.evidence_height


def test_only_the_aggregator_whose_turn_it_is(task: TaskHarness) -> None:
    message = task.submit_aggregate(1)
    due = task.due_aggregator(1)
    for sender in (*(a for a in AGGREGATORS if a is not due), STRANGER, CLIENTS[0]):
        task.ledger.reject(errors.NotYourTurn, sender, message)
    task.ledger.accept(due, message)


def test_a_missed_turn_is_over(task: TaskHarness) -> None:
    late = task.submit_aggregate(1)
    due = task.due_aggregator(1)
    task.ledger.blocks(5)
    assert task.round(1).turn == 1
    task.ledger.reject(errors.NotYourTurn, due, late)


def test_another_turn_than_the_current_one_is_refused(task: TaskHarness) -> None:
    """An aggregator that was handed the round back must say which of its turns it means."""
    for turn in (1, 2, 2**32 - 1):
        task.ledger.reject(errors.NotYourTurn, task.due_aggregator(1), task.submit_aggregate(1, turn=turn))


def test_both_sides_of_the_deadline() -> None:
    in_time, late = frozen(), frozen()
    deadline = in_time.round(1).aggregation_deadline_height
    for task in (in_time, late):
        task.ledger.blocks(deadline - 1 - task.ledger.height)
    in_time.aggregate(1)
    assert in_time.ledger.height == deadline
    message, due = late.submit_aggregate(1), late.due_aggregator(1)
    late.ledger.block()
    late.ledger.reject(errors.NotYourTurn, due, message)


def test_a_round_has_one_open_attempt(task: TaskHarness) -> None:
    due = task.due_aggregator(1)
    first = task.ledger.sign(due, task.submit_aggregate(1))
    task.ledger.reject(errors.WrongRoundStatus, due, task.submit_aggregate(1), after=[first])
    task.ledger.reject(errors.WrongRoundStatus, due, task.submit_aggregate(1, task.models[1]))


def test_training_is_not_aggregating() -> None:
    task = TaskHarness.start()
    certificate = task.certify(AGGREGATORS[0], 1, task.models[0])
    message = SubmitAggregate(task_id=1, round=1, model_root=task.models[0].root, certificate=certificate)
    task.ledger.reject(errors.WrongRoundStatus, AGGREGATORS[0], message)


def test_the_block_of_the_last_commit_is_still_training() -> None:
    task = TaskHarness.start()
    commits = [task.ledger.sign(c, task.commit_update(c, 1)) for c in CLIENTS]
    message = SubmitAggregate(task_id=1, round=1, model_root=bytes(32))
    task.ledger.reject(errors.WrongRoundStatus, AGGREGATORS[0], message, after=commits)


@pytest.mark.parametrize("task_id", [0, 2, 2**64 - 1])
def test_unknown_task_is_refused(task: TaskHarness, task_id: int) -> None:
    task.ledger.reject(errors.UnknownTask, task.due_aggregator(1), task.submit_aggregate(1, task_id=task_id))


@pytest.mark.parametrize("number", [0, 2, 2**32 - 1])
def test_unknown_round_is_refused(task: TaskHarness, number: int) -> None:
    task.ledger.reject(errors.UnknownRound, task.due_aggregator(1), task.submit_aggregate(1, round=number))


def test_another_lineage_is_stale(task: TaskHarness) -> None:
    task.ledger.reject(errors.StaleBase, task.due_aggregator(1), task.submit_aggregate(1, parent_attempt=1))


@pytest.mark.parametrize("size", [0, 31, 33])
def test_root_of_another_length_is_refused(task: TaskHarness, size: int) -> None:
    message = task.submit_aggregate(1, model_root=bytes(size))
    task.ledger.reject(errors.InvalidField, task.due_aggregator(1), message)


def test_empty_message_is_refused(task: TaskHarness) -> None:
    task.ledger.reject(errors.InvalidField, task.due_aggregator(1), SubmitAggregate())


def test_without_a_quorum_of_replicas_there_is_no_attempt(task: TaskHarness) -> None:
    """I2: an id that nobody can open could never be proven wrong."""
    due, model = task.due_aggregator(1), task.honest_model(1)
    two = task.certify(due, 1, model, REPLICAS[:2])
    sybil = task.certify(due, 1, model)
    sybil.signatures[2].signature = key("sybil").sign(b"", b"")
    for certificate in (two, sybil):
        message = task.submit_aggregate(1, certificate=certificate)
        task.ledger.reject(errors.BadCertificate, due, message)


def test_I4_certificates_of_another_owner_or_round_are_none(task: TaskHarness) -> None:
    due, model = task.due_aggregator(1), task.honest_model(1)
    for owner, number in ((STRANGER, 1), (due, 2), (due, 0)):
        message = task.submit_aggregate(1, certificate=task.certify(owner, number, model))
        task.ledger.reject(errors.BadCertificate, due, message)


def test_I3_a_vector_of_another_shape_is_no_model(task: TaskHarness) -> None:
    due = task.due_aggregator(1)
    for shape in (Shape("int16", 100, 32), Shape("int32", 99, 32), Shape("int32", 100, 128)):
        vector = ChunkedVector(shape, np.zeros(shape.length, dtype=shape.dtype))
        certificate = task.certify(due, 1, vector)
        message = task.submit_aggregate(1, model_root=vector.root, certificate=certificate)
        task.ledger.reject(errors.BadCertificate, due, message)


def test_missing_certificate_is_refused(task: TaskHarness) -> None:
    message = task.submit_aggregate(1)
    message.ClearField("certificate")
    task.ledger.reject(errors.RetentionTooShort, task.due_aggregator(1), message)


def test_I5_both_sides_of_the_retention(task: TaskHarness) -> None:
    due, model = task.due_aggregator(1), task.honest_model(1)
    needed = task.ledger.height + 1 + task.task.retention_blocks
    short = task.certify(due, 1, model, retain_until_height=needed - 1)
    task.ledger.reject(errors.RetentionTooShort, due, task.submit_aggregate(1, certificate=short))
    exact = task.certify(due, 1, model, retain_until_height=needed + 1)
    task.ledger.accept(due, task.submit_aggregate(1, certificate=exact))


def test_a_paused_task_takes_none() -> None:
    """Nobody is eligible, so it is nobody's turn."""
    task = TaskHarness.start(aggregators=[AGGREGATORS[0].address])
    task.commit_all(1)
    bad = task.aggregate(1, task.poisoned_model(1))
    task.ledger.accept(STRANGER, task.prove(bad))
    assert task.task.status == state_pb2.TASK_STATUS_PAUSED
    message = SubmitAggregate(task_id=1, round=1, turn=1, model_root=bytes(32))
    task.ledger.reject(errors.WrongTaskStatus, AGGREGATORS[0], message)


def test_R3_who_was_convicted_since_its_turn_began_submits_nothing() -> None:
    """Its stake is gone, so the next fraud would be free. Its turn passes on at once, and it is not late beside."""
    task = frozen()
    first = task.aggregate(1, task.poisoned_model(1))
    task.commit_all(2)
    second_due = task.due_aggregator(2)
    second = task.aggregate(2, task.poisoned_model(2))
    proof = task.prove(second)
    task.ledger.accept(STRANGER, task.prove(first))  # round 1 is reverted, round 2 void
    assert task.due_aggregator(1) is second_due
    submission = task.submit_aggregate(1)
    task.ledger.accept(STRANGER, proof)
    culprit = task.ledger.must_stake(AGGREGATOR, second_due)
    assert (culprit.excluded, culprit.faults, culprit.excluded_until_height) == (True, 0, 0)
    assert task.round(1).turn == 2
    assert task.due_aggregator(1) not in (second_due, AGGREGATORS[0])
    task.ledger.reject(errors.NotYourTurn, second_due, submission)
    task.aggregate(1)


def test_an_aggregator_that_is_leaving_still_has_its_turn() -> None:
    """What it unbonds stays slashable for as long as the task names it."""
    task = frozen()
    due = task.due_aggregator(1)
    task.ledger.accept(due, Unbond(role=AGGREGATOR, amount=200_000))
    bad = task.aggregate(1, task.poisoned_model(1))
    task.ledger.accept(STRANGER, task.prove(bad))
    assert [entry.amount for entry in task.ledger.unbonding(AGGREGATOR, due)] == [0]
    assert task.ledger.state.supply.burned > 150_000


def test_a_ledger_with_several_tasks_keeps_them_apart() -> None:
    ledger = LedgerHarness()
    first = TaskHarness.start(ledger)
    second = TaskHarness(ledger)
    second.launch()
    first.commit_all(1)
    second.commit_all(1)
    due = first.due_aggregator(1)
    ledger.reject(errors.BadCertificate, due, first.submit_aggregate(1, task_id=2))
    first.aggregate(1)
    assert second.round(1).status == state_pb2.ROUND_STATUS_AGGREGATING
