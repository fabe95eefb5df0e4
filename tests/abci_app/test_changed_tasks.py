"""Which tasks a block's events name as changed. That none is missing or too many, the harness checks at every block."""

from __future__ import annotations

from optfl.wire.transaction_pb2 import ROLE_VALIDATOR, AddStake
from support.ledger import CLIENTS, VALIDATOR_STAKE, VALIDATORS, LedgerHarness, TaskHarness


def get_changed(task: TaskHarness, *transactions: bytes) -> list[str]:
    events = task.ledger.block(*transactions).events
    return [dict(event.attributes)["task"] for event in events if event.kind == "task_changed"]


def test_a_block_that_does_nothing_changes_no_task() -> None:
    assert get_changed(TaskHarness.start()) == []


def test_a_commitment_is_no_change_but_the_last_one_which_freezes_the_round() -> None:
    task = TaskHarness.start()
    *others, last = (task.ledger.sign(client, task.commit_update(client, 1)) for client in CLIENTS)
    assert get_changed(task, *others) == []
    assert get_changed(task, last) == ["1"]


def test_a_validators_power_may_be_seen_in_any_task() -> None:
    task = TaskHarness.start()
    more = AddStake(role=ROLE_VALIDATOR, amount=VALIDATOR_STAKE)
    assert get_changed(task, task.ledger.sign(VALIDATORS[0], more)) == ["all"]


def test_without_a_task_there_is_nothing_to_tell() -> None:
    assert LedgerHarness().block().events == []
