"""StartTask: the first model is stored, the participants are there, and from now on they are fixed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from optfl import errors, tasks
from optfl.vectors import ChunkedVector
from optfl.wire import state_pb2
from optfl.wire.transaction_pb2 import (
    MODE_PBFT,
    MODE_QUORUM,
    AddStake,
    CancelTask,
    JoinTask,
    RegisterRole,
    StartTask,
    Unbond,
)
from support.ledger import (
    AGGREGATOR,
    AGGREGATORS,
    CLIENT,
    CLIENT_STAKE,
    CLIENTS,
    PARAMS,
    REPLICA,
    REPLICAS,
    REQUESTER,
    STRANGER,
    LedgerHarness,
    TaskHarness,
)


def created(**overrides: Any) -> TaskHarness:
    """A task that waits for its start, with everybody registered and every aggregator in it."""
    task = TaskHarness(LedgerHarness())
    task.ledger.register_participants()
    task.create(**overrides)
    task.join_all()
    return task


def test_the_task_runs_and_round_1_trains() -> None:
    task = created()
    certificate = task.start_task()
    task.ledger.accept(REQUESTER, certificate)
    assert task.task.status == state_pb2.TASK_STATUS_RUNNING
    assert task.task.initial_model_certificate == certificate.certificate
    current = task.round(1)
    assert (current.status, current.parent_attempt) == (state_pb2.ROUND_STATUS_TRAINING, 0)
    assert current.base_root == task.models[0].root
    assert (current.start_height, current.training_deadline_height) == (4, 9)


def test_stakes_of_who_answers_for_something_are_held() -> None:
    """Clients answer for nothing: their stake is a ticket in the draw, and theirs to take."""
    task = created()
    task.ledger.accept(REQUESTER, task.start_task())
    for role, accounts, held in ((AGGREGATOR, AGGREGATORS, 1), (REPLICA, REPLICAS, 1), (CLIENT, CLIENTS, 0)):
        assert [task.ledger.must_stake(role, account).open_tasks for account in accounts] == [held] * len(accounts)


@pytest.mark.parametrize("task_id", [0, 2, 2**64 - 1])
def test_unknown_task_is_refused(task_id: int) -> None:
    task = created()
    task.ledger.reject(errors.UnknownTask, REQUESTER, task.start_task(task_id=task_id))


def test_only_the_requester_starts_it() -> None:
    task = created()
    task.ledger.reject(errors.NotRequester, STRANGER, task.start_task())


def test_a_task_starts_once() -> None:
    task = TaskHarness.start()
    task.ledger.reject(errors.WrongTaskStatus, REQUESTER, task.start_task())


def test_a_task_that_was_cancelled_does_not_start() -> None:
    task = created()
    task.ledger.accept(REQUESTER, CancelTask(task_id=1))
    task.ledger.reject(errors.WrongTaskStatus, REQUESTER, task.start_task())


def test_cancelled_and_started_in_one_block_it_ends_and_nobody_stays_held() -> None:
    task = created()
    cancel = task.ledger.sign(REQUESTER, CancelTask(task_id=1))
    results = task.ledger.block(cancel, task.ledger.sign(REQUESTER, task.start_task())).results
    assert results[0].code == 0
    assert task.task.status == state_pb2.TASK_STATUS_ABORTED
    assert task.ledger.must_stake(CLIENT, CLIENTS[0]).open_tasks == 0


@pytest.mark.parametrize(("listed", "role"), [("clients", CLIENT), ("replicas", REPLICA)])
def test_everybody_listed_is_registered_in_that_role(listed: str, role: int) -> None:
    task = TaskHarness(LedgerHarness())
    task.ledger.register_participants()
    own = {"clients": CLIENTS, "replicas": REPLICAS}[listed]
    task.create(**{listed: [*(a.address for a in own), STRANGER.address]})
    task.join_all()
    other = CLIENT if role != CLIENT else REPLICA
    task.ledger.accept(STRANGER, RegisterRole(role=other, stake=10_000))
    result = task.ledger.reject(errors.UnknownParticipant, REQUESTER, task.start_task())
    assert STRANGER.address.hex() in result.log
    task.ledger.accept(STRANGER, RegisterRole(role=role, stake=200_000))  # type: ignore[arg-type]
    task.ledger.accept(REQUESTER, task.start_task())


def test_turns_are_those_of_who_joined_in_the_order_of_the_list() -> None:
    """An invitation is none of the invited's business until it joins."""
    task = TaskHarness(LedgerHarness())
    task.ledger.register_participants()
    task.create(aggregators=[AGGREGATORS[2].address, STRANGER.address, AGGREGATORS[0].address, AGGREGATORS[1].address])
    for account in (AGGREGATORS[0], AGGREGATORS[2]):
        task.ledger.accept(account, JoinTask(task_id=1))
    task.ledger.accept(REQUESTER, task.start_task())
    assert list(task.parameters.aggregators) == [AGGREGATORS[2].address, AGGREGATORS[0].address]
    assert task.ledger.must_stake(AGGREGATOR, AGGREGATORS[1]).open_tasks == 0


@pytest.mark.parametrize("how", ["convicted", "late", "unbonded"])
def test_who_joined_and_is_not_eligible_any_more_gets_no_turns(how: str) -> None:
    """What it has put behind the second task stays bound until that one's end all the same."""
    ledger = LedgerHarness()
    first = TaskHarness.start(ledger, pause_blocks=1000)
    second = TaskHarness(ledger)
    second.create()
    second.join_all()
    first.commit_all(1)
    if how == "convicted":
        ledger.accept(STRANGER, first.prove(first.aggregate(1, first.poisoned_model(1))))
    elif how == "late":
        ledger.blocks(5)
    else:
        ledger.accept(AGGREGATORS[0], Unbond(role=AGGREGATOR, amount=1))
    ledger.accept(REQUESTER, second.start_task())
    assert list(second.parameters.aggregators) == [a.address for a in AGGREGATORS[1:]]
    stake = ledger.must_stake(AGGREGATOR, AGGREGATORS[0])
    assert (AGGREGATORS[0].address in second.task.joined, stake.open_tasks) == (True, 1 if how == "convicted" else 2)


def test_without_aggregators_it_does_not_start() -> None:
    task = TaskHarness(LedgerHarness())
    task.ledger.block(
        *(task.ledger.sign(r, RegisterRole(role=REPLICA, stake=10_000)) for r in REPLICAS),
        *(task.ledger.sign(c, RegisterRole(role=CLIENT, stake=1_000)) for c in CLIENTS),
    )
    task.create(aggregators=[])
    task.ledger.reject(errors.TooFewParticipants, REQUESTER, task.start_task())
    task.ledger.accept(STRANGER, RegisterRole(role=AGGREGATOR, stake=200_000))
    task.ledger.reject(errors.TooFewParticipants, REQUESTER, task.start_task())  # it was not asked
    task.ledger.accept(STRANGER, JoinTask(task_id=1))
    task.ledger.accept(REQUESTER, task.start_task())
    assert list(task.parameters.aggregators) == [STRANGER.address]


def test_without_enough_clients_it_does_not_start() -> None:
    """Who has begun to leave is not among those who fill an empty list."""
    task = created(clients=[])
    task.ledger.accept(CLIENTS[0], Unbond(role=CLIENT, amount=CLIENT_STAKE))
    task.ledger.reject(errors.TooFewParticipants, REQUESTER, task.start_task())
    task.ledger.accept(CLIENTS[0], AddStake(role=CLIENT, amount=CLIENT_STAKE))
    task.ledger.accept(REQUESTER, task.start_task())


def test_empty_lists_are_filled_with_who_registered_or_joined_and_frozen() -> None:
    task = created(clients=[], aggregators=[])
    task.ledger.accept(REQUESTER, task.start_task())
    assert list(task.parameters.clients) == sorted(c.address for c in CLIENTS)
    assert list(task.parameters.aggregators) == sorted(a.address for a in AGGREGATORS)
    assert task.task.draw_by_stake
    task.ledger.accept(STRANGER, RegisterRole(role=CLIENT, stake=1_000))
    assert STRANGER.address not in task.parameters.clients


def test_an_allow_list_is_not_drawn_by_stake() -> None:
    assert not TaskHarness.start().task.draw_by_stake


@pytest.mark.parametrize("signers", [REPLICAS[:2], REPLICAS[:0]])
def test_without_a_quorum_of_replicas_it_does_not_start(signers: list[Any]) -> None:
    task = created()
    certificate = task.certify(REQUESTER, 0, task.models[0], signers)
    task.ledger.reject(errors.BadCertificate, REQUESTER, task.start_task(certificate=certificate))


def test_A3_a_certificate_for_another_shape_is_no_certificate() -> None:
    """The same root as int16, or with other chunks: the ledger derives the id from the task's shape."""
    task = created()
    model = task.models[0]
    for shape in (
        tasks.update_shape(task.parameters),
        type(model.shape)("int32", model.shape.length, 64),
    ):
        values = np.zeros(shape.length, dtype=shape.dtype)
        certificate = task.certify(REQUESTER, 0, ChunkedVector(shape, values))
        task.ledger.reject(errors.BadCertificate, REQUESTER, task.start_task(certificate=certificate))


def test_I4_a_certificate_of_another_owner_or_round_is_no_certificate() -> None:
    task = created()
    for owner, number in ((STRANGER, 0), (REQUESTER, 1)):
        certificate = task.certify(owner, number, task.models[0])
        task.ledger.reject(errors.BadCertificate, REQUESTER, task.start_task(certificate=certificate))


def test_L8_a_certificate_of_another_task_is_no_certificate() -> None:
    task = created()
    certificate = task.start_task().certificate
    second = TaskHarness(task.ledger)
    second.create()
    second.ledger.reject(errors.BadCertificate, REQUESTER, second.start_task(certificate=certificate))


def test_missing_certificate_is_refused() -> None:
    task = created()
    task.ledger.reject(errors.RetentionTooShort, REQUESTER, StartTask(task_id=1))


def test_I5_both_sides_of_the_retention() -> None:
    task = created()
    needed = task.ledger.height + 1 + task.task.retention_blocks
    short = task.certify(REQUESTER, 0, task.models[0], retain_until_height=needed - 1)
    task.ledger.reject(errors.RetentionTooShort, REQUESTER, task.start_task(certificate=short))
    exact = task.certify(REQUESTER, 0, task.models[0], retain_until_height=needed + 1)
    task.ledger.accept(REQUESTER, task.start_task(certificate=exact))


def test_participants_who_left_before_the_start_are_missed() -> None:
    task = created()
    task.ledger.accept(CLIENTS[0], Unbond(role=CLIENT, amount=CLIENT_STAKE))
    task.ledger.blocks(PARAMS["unbonding_blocks"])
    task.ledger.reject(errors.UnknownParticipant, REQUESTER, task.start_task())


def test_pbft_needs_no_aggregators() -> None:
    """The validators make its models; in the other modes somebody must have joined."""
    for mode, rejection in ((MODE_PBFT, None), (MODE_QUORUM, errors.TooFewParticipants)):
        ledger = LedgerHarness()
        ledger.register_participants()
        task = TaskHarness(ledger)
        task.create(mode=mode, aggregators=[])
        if rejection is None:
            ledger.accept(REQUESTER, task.start_task())
            assert list(task.parameters.aggregators) == []
        else:
            ledger.reject(rejection, REQUESTER, task.start_task())


def test_L4_the_weights_of_a_draw_by_stake_are_fixed_here() -> None:
    ledger = LedgerHarness()
    ledger.register_participants()
    task = TaskHarness(ledger)
    task.create(clients=[])
    task.join_all()
    ledger.accept(CLIENTS[0], AddStake(role=CLIENT, amount=7))
    ledger.accept(REQUESTER, task.start_task())
    ledger.accept(CLIENTS[1], AddStake(role=CLIENT, amount=9))
    weights = dict(zip(task.parameters.clients, task.task.client_weights, strict=True))
    assert weights == {c.address: CLIENT_STAKE for c in CLIENTS} | {CLIENTS[0].address: CLIENT_STAKE + 7}


def test_an_allow_list_has_no_weights() -> None:
    assert list(TaskHarness.start().task.client_weights) == []
