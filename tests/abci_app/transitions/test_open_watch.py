"""OpenWatch: what was drawn for the sender, in the input's tree and in its own; once, after the draw."""

from __future__ import annotations

from typing import Any

import pytest

from abci_app.state.keyspace import watch_key
from optfl import errors
from optfl.wire.transaction_pb2 import OpenWatch
from support.ledger import STRANGER, VALIDATORS, TaskHarness
from support.watches import attest, attest_all, await_draw, open_watch

FIRST, SECOND = VALIDATORS[:2]


def watched(**overrides: Any) -> TaskHarness:
    """Two validators have read round 1, and its window is over."""
    task = TaskHarness.start(training_blocks=100, vote_reveal_blocks=20, **overrides)
    task.run_round(1)
    attest_all(task, 1, [FIRST, SECOND])
    await_draw(task, 1)
    return task


def is_opened(task: TaskHarness, operator: Any) -> bool:
    return task.ledger.state.watches[watch_key(1, 1, operator.address)].opened


def test_who_has_read_it_shows_what_was_drawn() -> None:
    task = watched()
    result = task.ledger.accept(FIRST, open_watch(task, 1, FIRST))
    assert (is_opened(task, FIRST), is_opened(task, SECOND)) == (True, False)
    assert [event.kind for event in result.events] == ["watch_opened"]
    task.ledger.reject(errors.AlreadyAnswered, FIRST, open_watch(task, 1, FIRST))


def test_of_what_there_is() -> None:
    task = watched()
    message = open_watch(task, 1, FIRST)
    task.ledger.reject(errors.UnknownTask, FIRST, OpenWatch(task_id=2, attempt_id=1))
    task.ledger.reject(errors.UnknownAttempt, FIRST, OpenWatch(task_id=1, attempt_id=9))
    for sender in (STRANGER, VALIDATORS[2]):
        task.ledger.reject(errors.BadWatch, sender, message)


def test_not_before_the_draw() -> None:
    task = TaskHarness.start(training_blocks=100)
    task.run_round(1)
    task.ledger.accept(FIRST, attest(task, 1, FIRST))
    task.ledger.reject(errors.BadWatch, FIRST, open_watch(task, 1, FIRST))


def test_not_of_what_is_void() -> None:
    task = TaskHarness.start(min_window_blocks=20)
    task.commit_all(1)
    task.aggregate(1, task.poisoned_model(1))
    task.run_round(2)
    attest_all(task, 2, [FIRST])
    message = open_watch(task, 2, FIRST)
    task.ledger.accept(STRANGER, task.prove(1))
    task.ledger.reject(errors.BadWatch, FIRST, message)


def drop_path(message: OpenWatch) -> None:
    del message.watch_path[:]


def change_path(message: OpenWatch) -> None:
    message.watch_path[0] = bytes(32)


def change_data(message: OpenWatch) -> None:
    message.opening.data = bytes([message.opening.data[0] ^ 1]) + message.opening.data[1:]


def drop_opening(message: OpenWatch) -> None:
    message.ClearField("opening")


@pytest.mark.parametrize("damage", [drop_path, change_path, change_data, drop_opening])
def test_what_shows_nothing(damage: Any) -> None:
    task = watched()
    message = open_watch(task, 1, FIRST)
    damage(message)
    task.ledger.reject(errors.BadWatch, FIRST, message)
    task.ledger.accept(FIRST, open_watch(task, 1, FIRST))


def test_E1_who_copied_anothers_digest_cannot_open_it() -> None:
    """Each tree is keyed by its validator: a copy is a tree that it knows no path in."""
    task = TaskHarness.start(training_blocks=100)
    task.run_round(1)
    honest = attest(task, 1, FIRST)
    task.ledger.accept(FIRST, honest)
    task.ledger.accept(SECOND, honest)
    await_draw(task, 1)
    task.ledger.reject(errors.BadWatch, SECOND, open_watch(task, 1, SECOND))
    shown = open_watch(task, 1, FIRST)
    task.ledger.reject(errors.BadWatch, SECOND, shown)
    task.ledger.accept(FIRST, shown)
