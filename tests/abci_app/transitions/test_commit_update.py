"""CommitUpdate: a selected client binds its stored update to the round, once, in time, from the right base."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from abci_app.state.rounds import get_commitments
from optfl import errors, tasks
from optfl.certificates import Statement, build_certificate, sign_receipt
from optfl.vectors import ChunkedVector, Shape
from optfl.wire import receipt_pb2, state_pb2
from optfl.wire.transaction_pb2 import CommitUpdate
from support.ledger import CLIENTS, REPLICAS, REQUESTER, STRANGER, LedgerHarness, TaskHarness

TRAINING, AGGREGATING = state_pb2.ROUND_STATUS_TRAINING, state_pb2.ROUND_STATUS_AGGREGATING


@pytest.fixture
def task() -> TaskHarness:
    return TaskHarness.start()


def test_a_commitment_is_on_record(task: TaskHarness) -> None:
    message = task.commit_update(CLIENTS[0], 1, weight=7)
    task.ledger.accept(CLIENTS[0], message)
    [commitment] = get_commitments(task.ledger.state, task.round(1))
    assert (commitment.client, commitment.update_root, commitment.weight, commitment.height) == (
        CLIENTS[0].address,
        message.update_root,
        7,
        task.ledger.height,
    )
    assert commitment.certificate == message.certificate
    assert task.round(1).committed == 1


def test_the_round_freezes_with_the_last_commitment() -> None:
    task = TaskHarness.start(training_blocks=20)
    for client in CLIENTS:
        assert task.round(1).status == TRAINING
        task.ledger.accept(client, task.commit_update(client, 1))
    assert (task.round(1).status, task.round(1).freeze_height) == (AGGREGATING, task.ledger.height)


def test_I9_the_deadlines_own_block_is_in_time(task: TaskHarness) -> None:
    """Commits are applied before the block's end freezes the round, and the aggregator's clock starts there."""
    deadline = task.round(1).training_deadline_height
    task.ledger.blocks(deadline - 1 - task.ledger.height)
    commits = [task.ledger.sign(c, task.commit_update(c, 1)) for c in CLIENTS[:3]]
    late = task.commit_update(CLIENTS[3], 1)
    assert [result.code for result in task.ledger.block(*commits).results] == [0, 0, 0]
    assert task.ledger.height == deadline
    current = task.round(1)
    assert (current.status, current.freeze_height, current.turn_start_height) == (AGGREGATING, deadline, deadline)
    task.ledger.reject(errors.WrongRoundStatus, CLIENTS[3], late)


@pytest.mark.parametrize("task_id", [0, 2, 2**64 - 1])
def test_unknown_task_is_refused(task: TaskHarness, task_id: int) -> None:
    task.ledger.reject(errors.UnknownTask, CLIENTS[0], task.commit_update(CLIENTS[0], 1, task_id=task_id))


def test_a_task_that_has_not_started_takes_none() -> None:
    task = TaskHarness(LedgerHarness())
    task.create()
    message = CommitUpdate(task_id=1, round=1, base_root=bytes(32), update_root=bytes(32), weight=1)
    task.ledger.reject(errors.WrongTaskStatus, CLIENTS[0], message)


def test_a_task_that_has_ended_takes_none() -> None:
    task = TaskHarness.start(rounds=1)
    late = task.commit_update(CLIENTS[0], 1)
    task.run_round(1)
    task.ledger.blocks(8)
    task.ledger.reject(errors.WrongTaskStatus, CLIENTS[0], late)


@pytest.mark.parametrize("number", [0, 2, 2**32 - 1])
def test_unknown_round_is_refused(task: TaskHarness, number: int) -> None:
    task.ledger.reject(errors.UnknownRound, CLIENTS[0], task.commit_update(CLIENTS[0], 1, round=number))


def test_a_settled_round_takes_none(task: TaskHarness) -> None:
    late = task.commit_update(CLIENTS[0], 1)
    task.run_round(1)
    task.ledger.blocks(8)
    task.ledger.reject(errors.UnknownRound, CLIENTS[0], late)


def test_an_open_round_takes_none(task: TaskHarness) -> None:
    task.ledger.block(*(task.ledger.sign(c, task.commit_update(c, 1)) for c in CLIENTS[:4]))
    task.ledger.blocks(5)
    message = task.commit_update(CLIENTS[4], 1)
    task.aggregate(1)
    task.ledger.reject(errors.WrongRoundStatus, CLIENTS[4], message)


def test_I10_another_lineage_or_base_is_stale(task: TaskHarness) -> None:
    task.ledger.reject(errors.StaleBase, CLIENTS[0], task.commit_update(CLIENTS[0], 1, parent_attempt=1))
    task.ledger.reject(errors.StaleBase, CLIENTS[0], task.commit_update(CLIENTS[0], 1, base_root=bytes(32)))
    task.ledger.accept(CLIENTS[0], task.commit_update(CLIENTS[0], 1))


def test_I10_after_a_rollback_the_old_lineage_is_stale_even_with_the_same_model(task: TaskHarness) -> None:
    """The redo may well yield the very same model: what a commit was trained from is named by its attempt, too."""
    task.commit_all(1)
    bad = task.aggregate(1, task.poisoned_model(1))
    stale = task.commit_update(CLIENTS[0], 2)
    task.ledger.accept(STRANGER, task.prove(bad))
    task.ledger.reject(errors.UnknownRound, CLIENTS[0], stale)
    task.aggregate(1)
    task.ledger.reject(errors.StaleBase, CLIENTS[0], stale)
    stale.base_root = task.round(2).base_root
    task.ledger.reject(errors.StaleBase, CLIENTS[0], stale)
    task.ledger.accept(CLIENTS[0], task.commit_update(CLIENTS[0], 2))


def test_who_is_not_selected_is_refused() -> None:
    task = TaskHarness.start(clients_per_round=3)
    [left_out, *_] = [c for c in CLIENTS if c.address not in task.round(1).selected]
    for sender in (left_out, STRANGER, REQUESTER):
        task.ledger.reject(errors.NotSelected, sender, task.commit_update(sender, 1))


def test_a_client_commits_once(task: TaskHarness) -> None:
    first = task.ledger.sign(CLIENTS[0], task.commit_update(CLIENTS[0], 1))
    task.ledger.reject(errors.AlreadyCommitted, CLIENTS[0], task.commit_update(CLIENTS[0], 1), after=[first])
    task.ledger.reject(errors.AlreadyCommitted, CLIENTS[0], task.commit_update(CLIENTS[0], 1, weight=5))


@pytest.mark.parametrize(("weight", "accepted"), [(0, False), (1, True), (10, True), (11, False), (2**64 - 1, False)])
def test_I7_weights_are_1_to_the_tasks_most(weight: int, accepted: bool) -> None:
    """0 would divide by 0; 2^20 among hundreds would be the whole average."""
    task = TaskHarness.start(max_weight=10)
    message = task.commit_update(CLIENTS[0], 1, weight=weight)
    if accepted:
        task.ledger.accept(CLIENTS[0], message)
    else:
        task.ledger.reject(errors.InvalidWeight, CLIENTS[0], message)


@pytest.mark.parametrize("field", ["base_root", "update_root"])
@pytest.mark.parametrize("size", [0, 31, 33])
def test_roots_have_32_bytes(task: TaskHarness, field: str, size: int) -> None:
    message = task.commit_update(CLIENTS[0], 1, **{field: bytes(size)})
    task.ledger.reject(errors.InvalidField, CLIENTS[0], message)


def test_empty_message_is_refused(task: TaskHarness) -> None:
    task.ledger.reject(errors.InvalidField, CLIENTS[0], CommitUpdate())


def test_missing_certificate_is_refused(task: TaskHarness) -> None:
    message = task.commit_update(CLIENTS[0], 1)
    message.ClearField("certificate")
    task.ledger.reject(errors.RetentionTooShort, CLIENTS[0], message)


def test_I5_both_sides_of_the_retention(task: TaskHarness) -> None:
    vector = task.update(CLIENTS[0], 1)
    needed = task.ledger.height + 1 + task.task.retention_blocks
    short = task.certify(CLIENTS[0], 1, vector, retain_until_height=needed - 1)
    task.ledger.reject(errors.RetentionTooShort, CLIENTS[0], task.commit_update(CLIENTS[0], 1, certificate=short))
    exact = task.certify(CLIENTS[0], 1, vector, retain_until_height=needed + 1)
    task.ledger.accept(CLIENTS[0], task.commit_update(CLIENTS[0], 1, certificate=exact))


@pytest.mark.parametrize("signers", [[], REPLICAS[:2], [*REPLICAS[:2], REPLICAS[1]]], ids=["none", "two", "one twice"])
def test_fewer_than_a_quorum_do_not_certify(task: TaskHarness, signers: list[Any]) -> None:
    certificate = task.certify(CLIENTS[0], 1, task.update(CLIENTS[0], 1), signers)
    message = task.commit_update(CLIENTS[0], 1, certificate=certificate)
    task.ledger.reject(errors.BadCertificate, CLIENTS[0], message)


def test_any_quorum_certifies(task: TaskHarness) -> None:
    for client, signers in zip(CLIENTS, itertools.combinations(REPLICAS, 3), strict=False):
        certificate = task.certify(client, 1, task.update(client, 1), signers)
        task.ledger.accept(client, task.commit_update(client, 1, certificate=certificate))


def test_I4_anothers_certificate_is_no_certificate(task: TaskHarness) -> None:
    """Out of the mempool, the id and its certificate: to be paid without training."""
    stolen = task.commit_update(CLIENTS[1], 1)
    task.ledger.reject(errors.BadCertificate, CLIENTS[0], stolen)
    task.ledger.accept(CLIENTS[1], stolen)


def test_I4_last_rounds_certificate_is_no_certificate(task: TaskHarness) -> None:
    """Yesterday's update, paid for ever."""
    task.run_round(1)
    yesterday = task.update(CLIENTS[0], 1)
    for number in (1, 2):
        certificate = task.certify(CLIENTS[0], number, yesterday)
        message = task.commit_update(CLIENTS[0], 2, update_root=yesterday.root, certificate=certificate)
        if number == 1:
            task.ledger.reject(errors.BadCertificate, CLIENTS[0], message)
        else:
            task.ledger.accept(CLIENTS[0], message)  # stored anew for this round: its content is its own affair


def test_I4_equal_content_of_two_owners_is_tolerated(task: TaskHarness) -> None:
    """Were duplicates rejected, a copier who lands first would evict the victim."""
    vector = task.update(CLIENTS[0], 1)
    for client in CLIENTS[:2]:
        certificate = task.certify(client, 1, vector)
        task.ledger.accept(client, task.commit_update(client, 1, update_root=vector.root, certificate=certificate))


def test_I3_a_vector_of_another_shape_is_no_update(task: TaskHarness) -> None:
    """Half the length, int32, one single chunk: certified as such, but not what the task's ids are made of."""
    for shape in (Shape("int16", 50, 32), Shape("int32", 100, 32), Shape("int16", 100, 128), Shape("int16", 100, 16)):
        vector = ChunkedVector(shape, np.zeros(shape.length, dtype=shape.dtype))
        certificate = task.certify(CLIENTS[0], 1, vector)
        message = task.commit_update(CLIENTS[0], 1, update_root=vector.root, certificate=certificate)
        task.ledger.reject(errors.BadCertificate, CLIENTS[0], message)


def make_certificate(task: TaskHarness, **overrides: Any) -> receipt_pb2.Certificate:
    vector = task.update(CLIENTS[0], 1)
    fields = {
        "chain_id": "test-chain",
        "task_id": 1,
        "round": 1,
        "owner": CLIENTS[0].address,
        "vector_id": vector.id,
        "size_bytes": tasks.update_shape(task.parameters).size_bytes,
        "retain_until_height": 1000,
    }
    statement = Statement(**{**fields, **overrides})
    return build_certificate(1000, [(i, sign_receipt(REPLICAS[i], statement)) for i in range(3)])


@pytest.mark.parametrize(
    "overrides",
    [{"chain_id": "other-chain"}, {"task_id": 2}, {"round": 2}, {"size_bytes": 199}, {"retain_until_height": 999}],
    ids=["chain", "task", "round", "size", "height"],
)
def test_L8_receipts_of_something_else_are_no_certificate(task: TaskHarness, overrides: dict[str, Any]) -> None:
    task.ledger.accept(CLIENTS[1], task.commit_update(CLIENTS[1], 1))
    message = task.commit_update(CLIENTS[0], 1, certificate=make_certificate(task, **overrides))
    task.ledger.reject(errors.BadCertificate, CLIENTS[0], message)
    message = task.commit_update(CLIENTS[0], 1, certificate=make_certificate(task))
    task.ledger.accept(CLIENTS[0], message)


@pytest.mark.parametrize("index", [4, 2**32 - 1])
def test_a_receipt_of_no_replica_is_refused(task: TaskHarness, index: int) -> None:
    message = task.commit_update(CLIENTS[0], 1)
    message.certificate.signatures[2].replica = index
    task.ledger.reject(errors.BadCertificate, CLIENTS[0], message)


def test_L8_another_tasks_round_takes_no_commit_of_this_one(task: TaskHarness) -> None:
    """Two tasks of the same everything, both in round 1: nothing of one serves the other."""
    second = TaskHarness(task.ledger)
    second.launch()
    message = task.commit_update(CLIENTS[0], 1, task_id=2)
    task.ledger.reject(errors.BadCertificate, CLIENTS[0], message)


def test_I8_inputs_stand_in_selection_order_whoever_commits_first() -> None:
    """Ties break by this order: were it that of the commits, the proposer would decide them."""
    task = TaskHarness.start(training_blocks=20)
    selected = list(task.round(1).selected)
    by_address = {c.address: c for c in CLIENTS}
    for client in (by_address[address] for address in reversed(selected)):
        task.ledger.accept(client, task.commit_update(client, 1))
    attempt = task.ledger.attempt(task.aggregate(1))
    assert attempt is not None
    assert [given.client for given in attempt.inputs] == selected


def test_I9_without_all_commits_the_committed_ones_are_the_inputs(task: TaskHarness) -> None:
    committed = CLIENTS[1:4]
    task.ledger.block(*(task.ledger.sign(c, task.commit_update(c, 1)) for c in committed))
    task.ledger.blocks(5)
    attempt = task.ledger.attempt(task.aggregate(1))
    assert attempt is not None
    expected = [a for a in task.round(1).selected if a in {c.address for c in committed}]
    assert [given.client for given in attempt.inputs] == expected
