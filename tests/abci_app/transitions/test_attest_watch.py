"""AttestWatch: validators with power, once each, before the window can close; nothing of it is paid yet."""

from __future__ import annotations

from typing import Any

import pytest

from abci_app.state.keyspace import watch_key
from optfl import errors
from optfl.wire import state_pb2
from optfl.wire.transaction_pb2 import MODE_QUORUM, AttestWatch, Unbond
from support.ledger import AGGREGATORS, CLIENTS, STRANGER, VALIDATOR, VALIDATORS, TaskHarness
from support.votes import start_float_task

DIGEST = bytes(range(32))
FIRST = VALIDATORS[0]


def watch(**overrides: Any) -> AttestWatch:
    return AttestWatch(**{"task_id": 1, "attempt_id": 1, "digest": DIGEST, **overrides})


@pytest.fixture
def task() -> TaskHarness:
    harness = TaskHarness.start(training_blocks=100)
    harness.run_round(1)
    return harness


def test_it_is_noted_and_counted(task: TaskHarness) -> None:
    result = task.ledger.accept(FIRST, watch(failed_replicas=0b1010))
    found = task.ledger.state.watches[watch_key(1, 1, FIRST.address)]
    assert found == state_pb2.Watch(digest=DIGEST, failed_replicas=0b1010, height=task.ledger.height)
    assert task.round(1).watches == 1
    assert [event.kind for event in result.events] == ["watch_attested"]


def test_of_a_float_task_as_well() -> None:
    start_float_task().ledger.accept(FIRST, watch())


@pytest.mark.parametrize("digest", [b"", bytes(31), bytes(33)])
def test_a_root_is_a_digest(task: TaskHarness, digest: bytes) -> None:
    task.ledger.reject(errors.InvalidField, FIRST, watch(digest=digest))


def test_of_what_there_is(task: TaskHarness) -> None:
    task.ledger.reject(errors.UnknownTask, FIRST, watch(task_id=2))
    task.ledger.reject(errors.UnknownAttempt, FIRST, watch(attempt_id=2))


def test_only_validators_with_power(task: TaskHarness) -> None:
    for sender in (STRANGER, CLIENTS[0], AGGREGATORS[0]):
        task.ledger.reject(errors.NotVoter, sender, watch())
    task.ledger.accept(VALIDATORS[3], Unbond(role=VALIDATOR, amount=100_000))
    task.ledger.reject(errors.NotVoter, VALIDATORS[3], watch())


def test_once(task: TaskHarness) -> None:
    """Its tree cannot be replaced by one that was made later."""
    task.ledger.accept(FIRST, watch())
    task.ledger.reject(errors.AlreadyAnswered, FIRST, watch(digest=bytes(32)))


@pytest.mark.parametrize("failed", [0, 0b1111, 0b10000, 2**64 - 1])
def test_failed_replicas_are_those_of_the_task(task: TaskHarness, failed: int) -> None:
    if failed > 0b1111:
        task.ledger.reject(errors.BadWatch, FIRST, watch(failed_replicas=failed))
    else:
        task.ledger.accept(FIRST, watch(failed_replicas=failed))


def test_not_in_the_block_that_may_close_the_window(task: TaskHarness) -> None:
    """Its proposer knows the beacon of its own block, which may be the one that draws."""
    task.ledger.blocks(task.round(1).window_close_height - 2 - task.ledger.height)
    task.ledger.accept(FIRST, watch())
    assert task.ledger.height == task.round(1).window_close_height - 1
    task.ledger.reject(errors.WindowOver, VALIDATORS[1], watch())


def test_not_later_either_where_a_window_is_held_open(task: TaskHarness) -> None:
    for _ in range(20):
        task.ledger.block(proposer=0)
    assert task.task.settled_round == 0
    task.ledger.reject(errors.WindowOver, FIRST, watch())


def test_of_what_is_dropped_void_or_certified_nobody_is_paid() -> None:
    dropped = TaskHarness.start()
    dropped.ledger.blocks(5)
    dropped.ledger.reject(errors.BadWatch, FIRST, watch())
    void = TaskHarness.start(min_window_blocks=20)
    void.commit_all(1)
    void.aggregate(1, void.poisoned_model(1))
    void.run_round(2)
    void.ledger.accept(STRANGER, void.prove(1))
    for attempt_id in (1, 2):  # convicted, void
        void.ledger.reject(errors.BadWatch, FIRST, watch(attempt_id=attempt_id))
    certified = TaskHarness.start(mode=MODE_QUORUM)
    certified.commit_all(1)
    certified.certify_round(1, AGGREGATORS[:2])
    certified.ledger.reject(errors.BadWatch, FIRST, watch())
