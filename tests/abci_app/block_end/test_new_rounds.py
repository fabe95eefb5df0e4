"""New rounds: the next one trains as soon as the head has a model, up to the task's last, up to a limit."""

from __future__ import annotations

import itertools

import pytest

from abci_app.block_end.new_rounds import MAX_LIVE_ROUNDS
from abci_app.block_end.settlement import MAX_SETTLED_ROUNDS
from optfl.wire import state_pb2
from optfl.wire.transaction_pb2 import Unbond
from support.ledger import CLIENT, CLIENT_STAKE, CLIENTS, STRANGER, LedgerHarness, TaskHarness


def test_the_next_round_starts_in_the_block_of_the_submission() -> None:
    task = TaskHarness.start()
    task.commit_all(1)
    results = task.ledger.block(task.ledger.sign(task.due_aggregator(1), task.submit_aggregate(1)))
    assert "round_started" in [event.kind for event in results.events]
    assert (task.round(2).start_height, task.round(2).status) == (
        task.ledger.height,
        state_pb2.ROUND_STATUS_TRAINING,
    )


def test_a_rounds_beacon_is_that_of_its_block() -> None:
    task = TaskHarness.start()
    assert task.round(1).beacon == task.ledger.state.chain.beacon


def test_nothing_follows_the_last_round() -> None:
    task = TaskHarness.start(rounds=2)
    for number in (1, 2):
        task.run_round(number)
    assert task.task.head_round == 2
    task.ledger.blocks(3)
    assert task.task.head_round == 2


def test_a_round_after_a_settled_head_starts_from_its_digest() -> None:
    """The head settles in the block in which its window closes; with nothing live the last digest is the base."""
    task = TaskHarness.start()
    task.ledger.blocks(5)  # round 1 is dropped, round 2 trains
    task.ledger.blocks(12)  # so are the following ones, and settle
    number = task.task.head_round
    assert task.round(number).base_root == task.models[0].root


def test_rounds_that_wait_for_settlement_are_limited() -> None:
    """Without clients every block drops a round; behind one long window they would pile up, at nobody's cost, for as
    long as the task's author likes, and every block would walk them all."""
    free = {"aggregator_reward": 0, "client_reward": 0, "validator_reward": 0, "replica_reward": 0}
    task = TaskHarness.start(
        LedgerHarness(), rounds=100_000, min_window_blocks=MAX_LIVE_ROUNDS + 20, training_blocks=1, **free
    )
    task.run_round(1)
    task.ledger.block(*(task.ledger.sign(c, Unbond(role=CLIENT, amount=CLIENT_STAKE)) for c in CLIENTS))
    task.ledger.blocks(MAX_LIVE_ROUNDS + 10)
    assert (task.task.settled_round, task.task.head_round) == (0, MAX_LIVE_ROUNDS)
    assert len(task.ledger.state.attempts.all_keys()) == MAX_LIVE_ROUNDS
    task.ledger.blocks(12 + MAX_LIVE_ROUNDS // MAX_SETTLED_ROUNDS)
    assert task.task.settled_round >= MAX_LIVE_ROUNDS
    assert task.task.head_round > MAX_LIVE_ROUNDS


@pytest.mark.parametrize("min_window_blocks", [6, 50])
def test_R5_rounds_do_not_start_faster_than_the_task_says(min_window_blocks: int) -> None:
    """What one late lie can void is bounded by it. Whether the head is settled by then makes no difference."""
    task = TaskHarness.start(min_round_blocks=12, min_window_blocks=min_window_blocks, training_blocks=50)
    starts = []
    for number in (1, 2, 3):
        starts.append(task.round(number).start_height)
        task.run_round(number)
        while task.task.head_round == number:
            task.ledger.block()
    assert [b - a for a, b in itertools.pairwise(starts)] == [12, 12]


def test_a_round_that_takes_longer_than_the_least_is_followed_at_once() -> None:
    task = TaskHarness.start(min_round_blocks=4, training_blocks=50)
    task.ledger.blocks(6)
    task.run_round(1)
    assert task.round(2).start_height == task.ledger.height


def test_after_a_revert_the_pace_counts_from_the_round_that_is_redone() -> None:
    task = TaskHarness.start(min_round_blocks=5, min_window_blocks=30, training_blocks=50)
    task.commit_all(1)
    bad = task.aggregate(1, task.poisoned_model(1))
    task.ledger.blocks(4)
    assert task.task.head_round == 2
    task.ledger.accept(STRANGER, task.prove(bad))
    assert task.task.head_start_height == task.round(1).start_height
    task.aggregate(1)
    assert task.round(2).start_height == task.ledger.height
