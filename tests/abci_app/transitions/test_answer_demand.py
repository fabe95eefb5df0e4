"""AnswerDemand: validators with power say that they serve a blob; once each, while it is undecided."""

from __future__ import annotations

from typing import Any

import pytest

from optfl import errors
from optfl.audits import compute_demanded_chunk
from optfl.tasks import MODEL_BLOB
from optfl.wire import state_pb2
from optfl.wire.transaction_pb2 import Opening, Unbond
from support.demands import answer, answer_all, demand, get_demand
from support.ledger import (
    AGGREGATORS,
    CLIENTS,
    REQUESTER,
    STRANGER,
    VALIDATOR,
    VALIDATORS,
    TaskHarness,
    consensus_key,
    register_validator,
)


@pytest.fixture
def task() -> TaskHarness:
    """The first two updates of a round that is being aggregated are demanded."""
    harness = TaskHarness.start(training_blocks=100, demand_blocks=10)
    harness.commit_all(1)
    harness.ledger.accept(harness.due_aggregator(1), demand(harness, 1, 0, 1))
    return harness


def holders(task: TaskHarness, blob: int, attempt_id: int = 0) -> list[bytes]:
    return [holder.operator for holder in get_demand(task, 1, blob, attempt_id).holders]


def test_it_is_noted_of_the_blobs_that_are_named(task: TaskHarness) -> None:
    result = task.ledger.accept(VALIDATORS[0], answer(task, 1, 1))
    assert (holders(task, 0), holders(task, 1)) == ([], [VALIDATORS[0].address])
    assert [event.kind for event in result.events] == ["demand_answered"]


def test_holders_ascend_whatever_the_order_of_answers(task: TaskHarness) -> None:
    ordered = sorted(VALIDATORS, key=lambda v: v.address)
    senders = (ordered[2], ordered[0], ordered[3], ordered[1])
    task.ledger.block(*(task.ledger.sign(v, answer(task, 1, 0, by=v)) for v in senders))
    assert holders(task, 0) == [v.address for v in ordered]


def test_only_validators(task: TaskHarness) -> None:
    for sender in (STRANGER, CLIENTS[0], AGGREGATORS[0], REQUESTER):
        task.ledger.reject(errors.NotVoter, sender, answer(task, 1, 0))


def test_only_with_voting_power(task: TaskHarness) -> None:
    """Not before its first power, and not after its last."""
    joined = task.ledger.sign(STRANGER, register_validator(STRANGER, consensus_key("stranger")))
    task.ledger.reject(errors.NotVoter, STRANGER, answer(task, 1, 0), after=[joined], sequence=1)
    task.ledger.accept(STRANGER, answer(task, 1, 0, by=STRANGER))
    task.ledger.accept(VALIDATORS[3], Unbond(role=VALIDATOR, amount=100_000))
    task.ledger.reject(errors.NotVoter, VALIDATORS[3], answer(task, 1, 0, by=VALIDATORS[3]))


def test_not_twice_but_what_is_new_of_it(task: TaskHarness) -> None:
    task.ledger.accept(VALIDATORS[0], answer(task, 1, 0))
    task.ledger.reject(errors.AlreadyAnswered, VALIDATORS[0], answer(task, 1, 0))
    task.ledger.accept(VALIDATORS[0], answer(task, 1, 0, 1))
    assert holders(task, 0) == holders(task, 1) == [VALIDATORS[0].address]
    task.ledger.reject(errors.AlreadyAnswered, VALIDATORS[0], answer(task, 1, 0, 1))


def test_what_nobody_demands(task: TaskHarness) -> None:
    for message in (
        answer(task, 1, 2),
        answer(task, 1, 0, task_id=1, round=2),
        answer(task, 1, 0, parent_attempt=1),
        answer(task, 1, 0, attempt_id=1),
        answer(task, 1, attempt_id=1, model=True),
        answer(task, 1, 2**32 - 2),
    ):
        task.ledger.reject(errors.UnknownDemand, VALIDATORS[0], message)
    task.ledger.reject(errors.UnknownTask, VALIDATORS[0], answer(task, 1, 0, task_id=2))
    other = TaskHarness(task.ledger)
    other.create()
    task.ledger.reject(errors.UnknownDemand, VALIDATORS[0], answer(task, 1, 0, task_id=other.task_id))


@pytest.mark.parametrize("late", [False, True])
def test_both_sides_of_the_deadline(task: TaskHarness, late: bool) -> None:
    """An answer in the closing block counts."""
    task.ledger.blocks(10 - 1 + late)
    message = answer(task, 1, 0)
    if late:
        task.ledger.reject(errors.UnknownDemand, VALIDATORS[0], message)
        return
    answer_all(task, 2, message)
    assert get_demand(task, 1, 0).status == state_pb2.DEMAND_STATUS_HELD
    assert get_demand(task, 1, 1).status == state_pb2.DEMAND_STATUS_MISSING


def test_L1_a_minority_of_proposers_cannot_keep_answers_out(task: TaskHarness) -> None:
    for _ in range(20):
        task.ledger.block(proposer=2)
    answers = [task.ledger.sign(v, answer(task, 1, 0, 1, by=v)) for v in VALIDATORS[:2]]
    assert [r.code for r in task.ledger.block(*answers, proposer=3).results] == [0, 0]
    assert get_demand(task, 1, 0).status == state_pb2.DEMAND_STATUS_HELD


def test_after_it_is_held_answers_still_decide_about_the_bond(task: TaskHarness) -> None:
    answer_all(task, 2, answer(task, 1, 0))
    assert get_demand(task, 1, 0).status == state_pb2.DEMAND_STATUS_HELD
    assert get_demand(task, 1, 0).bond.amount == 500
    task.ledger.accept(VALIDATORS[2], answer(task, 1, 0, by=VALIDATORS[2]))
    assert get_demand(task, 1, 0).bond.amount == 0
    task.ledger.reject(
        errors.UnknownDemand, VALIDATORS[3], answer(task, 1, 0, by=VALIDATORS[3])
    )  # nothing is left to decide


def test_one_that_was_decided_meanwhile_keeps_no_other_out(task: TaskHarness) -> None:
    answer_all(task, 3, answer(task, 1, 0))
    task.ledger.accept(VALIDATORS[3], answer(task, 1, 0, 1, by=VALIDATORS[3]))
    assert (len(holders(task, 0)), holders(task, 1)) == (3, [VALIDATORS[3].address])


def test_of_an_attempt() -> None:
    task = TaskHarness.start(training_blocks=100)
    task.run_round(1)
    task.ledger.accept(STRANGER, demand(task, 1, 3, attempt_id=1, model=True))
    task.ledger.accept(VALIDATORS[0], answer(task, 1, 3, attempt_id=1, model=True))
    assert holders(task, 3, 1) == holders(task, MODEL_BLOB, 1) == [VALIDATORS[0].address]
    task.ledger.reject(errors.UnknownDemand, VALIDATORS[1], answer(task, 1, 3, by=VALIDATORS[1]))  # not of the turn


@pytest.mark.parametrize("inputs", [[], [1, 0], [0, 0]])
def test_malformed(task: TaskHarness, inputs: list[int]) -> None:
    task.ledger.reject(errors.InvalidField, VALIDATORS[0], answer(task, 1, inputs=inputs))


@pytest.mark.parametrize("blob", [0, MODEL_BLOB])
def test_who_has_nothing_has_nothing_to_show(blob: int) -> None:
    """Zeros, another blob's chunk, another chunk, and the chunk that was drawn for another validator."""
    task = TaskHarness.start(training_blocks=100, demand_blocks=20)
    task.run_round(1)
    names: dict[str, Any] = {"attempt_id": 1, "model": blob == MODEL_BLOB}
    inputs = [] if blob == MODEL_BLOB else [blob]
    task.ledger.accept(STRANGER, demand(task, 1, *inputs, **names))
    found = get_demand(task, 1, blob, 1)
    message = answer(task, 1, *inputs, **names)
    vector = next(v for v in (*task.updates.values(), *task.models.values()) if v.root == found.root)
    drawn = compute_demanded_chunk(found, VALIDATORS[0].address, 4)
    other = next(v for v in VALIDATORS if compute_demanded_chunk(found, v.address, 4) != drawn)
    false = [
        Opening(data=bytes(len(message.openings[0].data))),
        Opening(),
        Opening(data=task.models[0].chunk_bytes(drawn), path=task.models[0].opening(drawn).path),
        Opening(data=vector.chunk_bytes(drawn ^ 1), path=vector.opening(drawn ^ 1).path),
        answer(task, 1, *inputs, by=other, **names).openings[0],
    ]
    for opening in false:
        message.openings[0].CopyFrom(opening)
        task.ledger.reject(errors.BadAudit, VALIDATORS[0], message)
    task.ledger.accept(VALIDATORS[0], answer(task, 1, *inputs, **names))


def test_one_false_chunk_and_nothing_of_it_counts(task: TaskHarness) -> None:
    message = answer(task, 1, 0, 1)
    message.openings[1].data = bytes(len(message.openings[1].data))
    task.ledger.reject(errors.BadAudit, VALIDATORS[0], message)
    assert holders(task, 0) == holders(task, 1) == []


@pytest.mark.parametrize("count", [0, 1, 3])
def test_an_opening_for_each_blob(task: TaskHarness, count: int) -> None:
    message = answer(task, 1, 0, 1)
    first = Opening.FromString(message.openings[0].SerializeToString())
    del message.openings[:]
    message.openings.extend([first] * count)
    task.ledger.reject(errors.InvalidField, VALIDATORS[0], message)
