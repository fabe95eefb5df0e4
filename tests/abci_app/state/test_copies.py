"""Copied updates: whose an update is, in which round it may come again, and how long that is remembered."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from abci_app.state import copies
from abci_app.state.copies import compute_zero_root
from abci_app.state.keyspace import seen_update_key
from optfl import errors, tasks
from optfl.keys import SigningKey
from optfl.vectors import ChunkedVector, Shape
from optfl.wire import state_pb2
from optfl.wire.transaction_pb2 import CommitUpdate
from support.ledger import CLIENTS, STRANGER, LedgerHarness, TaskHarness

OWNER, THIEF, OTHER = CLIENTS[0], CLIENTS[1], CLIENTS[2]


def commit(task: TaskHarness, client: SigningKey, number: int, vector: ChunkedVector) -> CommitUpdate:
    """`client` commits `vector` in a round, with receipts of its own for it."""
    task.updates[vector.root] = vector
    certificate = task.certify(client, number, vector)
    return task.commit_update(client, number, update_root=vector.root, certificate=certificate)


def run_until(task: TaskHarness, number: int) -> None:
    """All rounds before `number` are run; it is in training."""
    while task.task.head_round < number:
        task.run_round(task.task.head_round)


@pytest.mark.parametrize("settled", [False, True])
def test_anothers_update_of_an_earlier_round_is_refused(settled: bool) -> None:
    task = TaskHarness.start(training_blocks=50)
    task.run_round(1)
    if settled:
        task.ledger.blocks(8)
        assert task.task.settled_round == 1
    stolen = commit(task, THIEF, 2, task.update(OWNER, 1))
    task.ledger.reject(errors.CopiedUpdate, THIEF, stolen)
    task.ledger.accept(THIEF, task.commit_update(THIEF, 2))


def test_ones_own_update_may_come_again() -> None:
    """A client whose base has not changed, since the round was dropped, may train the same again."""
    task = TaskHarness.start(training_blocks=50)
    task.run_round(1)
    task.ledger.accept(OWNER, commit(task, OWNER, 2, task.update(OWNER, 1)))


def test_I4_equal_updates_of_one_round_are_taken_whoever_comes_first() -> None:
    """A bad replica leaks an update before its round is frozen: its author must not be refused, then or later."""
    task = TaskHarness.start(training_blocks=50)
    leaked = task.update(OWNER, 1)
    task.ledger.accept(THIEF, commit(task, THIEF, 1, leaked))
    task.ledger.accept(OWNER, commit(task, OWNER, 1, leaked))
    for client in CLIENTS[2:]:
        task.ledger.accept(client, task.commit_update(client, 1))
    task.aggregate(1)
    task.ledger.accept(OWNER, commit(task, OWNER, 2, leaked))
    task.ledger.reject(errors.CopiedUpdate, OTHER, commit(task, OTHER, 2, leaked))


def revert(task: TaskHarness) -> None:
    """Round 1 is a lie, round 2 is committed on it; it is proven, and round 2 opens again on the honest model."""
    task.commit_all(1)
    task.aggregate(1, task.poisoned_model(1))
    task.commit_all(2)
    task.ledger.accept(STRANGER, task.prove(1))
    task.aggregate(1)
    assert task.round(2).status == state_pb2.ROUND_STATUS_TRAINING


def test_after_a_revert_an_honest_client_commits_what_it_had_committed_and_no_other_can() -> None:
    """The harness trains the same from any base, as a client may. What it made was readable meanwhile."""
    task = TaskHarness.start(training_blocks=50, min_window_blocks=20)
    revert(task)
    task.ledger.reject(errors.CopiedUpdate, THIEF, commit(task, THIEF, 2, task.update(OWNER, 2)))
    for client in CLIENTS:
        task.ledger.accept(client, task.commit_update(client, 2))


def test_what_a_revert_made_void_is_no_ones_in_any_other_round() -> None:
    """Round 3 was committed before round 1 fell. Its updates are copied into the new round 2."""
    task = TaskHarness.start(training_blocks=50, min_window_blocks=20, rounds=8)
    task.commit_all(1)
    task.aggregate(1, task.poisoned_model(1))
    task.run_round(2)
    task.commit_all(3)
    task.ledger.accept(STRANGER, task.prove(1))
    task.aggregate(1)
    assert task.task.head_round == 2
    task.ledger.reject(errors.CopiedUpdate, THIEF, commit(task, THIEF, 2, task.update(OWNER, 3)))
    task.commit_all(2)
    task.aggregate(2)
    task.ledger.accept(OWNER, task.commit_update(OWNER, 3))


def test_of_settled_rounds_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "KNOWN_ROUNDS", 2)
    monkeypatch.setattr("abci_app.block_end.settlement.KNOWN_ROUNDS", 2)
    task = TaskHarness.start(training_blocks=50, rounds=8)
    run_until(task, 4)
    task.ledger.blocks(10)
    assert task.task.settled_round == 3
    rounds = {int.from_bytes(key[8:12], "big") for key in task.ledger.state.seen_updates.all_keys()}
    assert rounds == {2, 3}
    task.ledger.reject(errors.CopiedUpdate, THIEF, commit(task, THIEF, 4, task.update(OWNER, 2)))
    task.ledger.accept(THIEF, commit(task, THIEF, 4, task.update(OWNER, 1)))


def test_it_is_forgotten_with_its_task_and_is_of_one_task() -> None:
    ledger = LedgerHarness()
    first = TaskHarness.start(ledger, rounds=1)
    second = TaskHarness(ledger)
    second.launch(training_blocks=50)
    first.commit_all(1)
    ledger.accept(THIEF, commit(second, THIEF, 1, first.update(OWNER, 1)))
    first.aggregate(1)
    ledger.blocks(10)
    assert first.task.status == state_pb2.TASK_STATUS_COMPLETED
    assert {key[:8] for key in ledger.state.seen_updates.all_keys()} == {bytes(7) + b"\x02"}


def test_everybody_makes_the_same_of_nothing() -> None:
    task = TaskHarness.start(training_blocks=50)
    shape = tasks.update_shape(task.parameters)
    nothing = ChunkedVector(shape, np.zeros(shape.length, dtype=np.int16))
    task.ledger.accept(THIEF, commit(task, THIEF, 1, nothing))
    for client in CLIENTS:
        if client is not THIEF:
            task.ledger.accept(client, task.commit_update(client, 1))
    task.aggregate(1)
    task.ledger.accept(OWNER, commit(task, OWNER, 2, nothing))


@given(st.integers(1, 3000), st.integers(4, 8))
def test_the_root_of_nothing_is_that_of_zeros(length: int, exponent: int) -> None:
    shape = Shape("int16", length, 1 << exponent)
    assert compute_zero_root(shape) == ChunkedVector(shape, np.zeros(length, dtype=np.int16)).root


def test_keys_sort_by_task_and_round() -> None:
    assert seen_update_key(1, 2, bytes(32))[:12] < seen_update_key(1, 3, bytes(32))[:12]
