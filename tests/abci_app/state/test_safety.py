"""S_t: how much of a task's work can be relied on; below S_min no new round starts, and nothing else waits."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abci_app.state import State, safety
from abci_app.state.keyspace import stake_key
from abci_app.state.safety import SAFETY_WINDOW, is_safe, record_outcome
from optfl.tasks import fill_defaults
from optfl.wire import state_pb2, transaction_pb2
from optfl.wire.transaction_pb2 import Readmit
from support.ledger import AGGREGATOR, AGGREGATORS, REQUESTER, STRANGER, LedgerHarness, TaskHarness

MINIMUM = LedgerHarness().state.params.min_aggregator_stake


def make_task(aggregators: int, out: int, outcomes: int, **parameters: Any) -> tuple[State, state_pb2.Task]:
    """A task in which the last `out` of N are not eligible."""
    state = LedgerHarness().state
    addresses = [bytes([i]) * 20 for i in range(aggregators)]
    for i, address in enumerate(addresses):
        late = 1000 if i >= aggregators - out else 0
        stake = state_pb2.Stake(role=AGGREGATOR, address=address, amount=MINIMUM, excluded_until_height=late)
        state.stakes.put(stake_key(AGGREGATOR, address), stake)
    return state, state_pb2.Task(
        outcomes=outcomes, parameters=transaction_pb2.TaskParameters(aggregators=addresses, **parameters)
    )


def test_only_the_last_32_outcomes_count() -> None:
    task = state_pb2.Task()
    for _ in range(100):
        record_outcome(task, faulty=True)
    assert task.outcomes == 2**SAFETY_WINDOW - 1
    record_outcome(task, faulty=False)
    assert (task.outcomes & 1, task.outcomes.bit_count()) == (0, SAFETY_WINDOW - 1)
    for _ in range(SAFETY_WINDOW - 1):
        record_outcome(task, faulty=False)
    assert task.outcomes == 0


@given(st.integers(1, 12), st.integers(0, 12), st.integers(0, 2**SAFETY_WINDOW - 1), st.integers(0, 100))
def test_it_is_the_papers_formula_over_the_last_attempts(n: int, out: int, outcomes: int, minimum: int) -> None:
    """S_t = (N - |E_t|)/N · settled/(settled + faulty), in exact fractions.  # seed 001, section G"""
    out = min(out, n)
    state, task = make_task(n, out, outcomes, min_safety_percent=minimum)
    level = Fraction(n - out, n) * Fraction(SAFETY_WINDOW - outcomes.bit_count(), SAFETY_WINDOW)
    assert is_safe(state, task) == (level >= Fraction(minimum, 100))


def test_the_papers_example() -> None:
    """N = 10, one excluded, 8 of 10 rounds: 0.72 for the paper; here 30 of the last 32: 0.84375."""
    for minimum, safe in ((84, True), (85, False)):
        state, task = make_task(10, 1, 0b11, min_safety_percent=minimum)
        assert is_safe(state, task) == safe


@given(st.integers(2, 256))
def test_R7_one_fault_never_pauses_a_task_at_defaults(n: int) -> None:
    """Not even with two aggregators, at its first turn: S_1 would be 0 if attempts were counted from the start."""
    parameters = transaction_pb2.TaskParameters()
    fill_defaults(parameters)
    assert parameters.min_safety_percent > 0
    level = Fraction(n - 1, n) * Fraction(SAFETY_WINDOW - 1, SAFETY_WINDOW)
    assert level >= Fraction(parameters.min_safety_percent, 100)


def test_without_a_threshold_everything_is_safe() -> None:
    state, task = make_task(3, 3, 2**SAFETY_WINDOW - 1, min_safety_percent=0)
    assert is_safe(state, task)


LATE_ONCE = Fraction(2, 3) * Fraction(31, 32)  # one of three is out, one of 32 outcomes was a fault: 64.58 %


def late_once(minimum: int, **overrides: Any) -> TaskHarness:
    """Round 1's first aggregator was late, its second one has submitted."""
    task = TaskHarness.start(
        min_safety_percent=minimum, **{"pause_blocks": 20, "min_window_blocks": 8, "training_blocks": 50, **overrides}
    )
    task.commit_all(1)
    task.ledger.blocks(5)
    assert task.round(1).turn == 1
    task.aggregate(1)
    return task


@pytest.mark.parametrize(("minimum", "goes_on"), [(64, True), (65, False)])
def test_R7_both_sides_of_the_threshold(minimum: int, goes_on: bool) -> None:
    assert (Fraction(minimum, 100) <= LATE_ONCE) == goes_on
    assert (late_once(minimum).task.head_round == 2) == goes_on


def test_R7_only_new_rounds_are_held_back() -> None:
    """What is open settles and is paid; a proof still convicts; the task is running all the time."""
    task = late_once(65)
    assert task.task.unsafe_height == task.ledger.height - 1  # since the turn was missed
    task.ledger.blocks(task.round(1).window_close_height - task.ledger.height)
    assert (task.task.status, task.task.settled_round) == (state_pb2.TASK_STATUS_RUNNING, 1)
    assert task.task.head_round == 1


def test_R7_training_goes_on_under_the_head_and_its_turns_are_given() -> None:
    """The level falls while round 2 trains: round 2 is carried to its end, round 3 waits."""
    task = TaskHarness.start(min_safety_percent=65, pause_blocks=100, min_window_blocks=8, training_blocks=50)
    task.run_round(1)
    task.commit_all(2)
    task.ledger.blocks(5)
    assert task.round(2).turn == 1
    task.aggregate(2)
    task.ledger.blocks(3)
    assert task.task.head_round == 2


def test_R7_it_recovers_when_who_was_late_is_back() -> None:
    task = late_once(65, pause_blocks=100)
    until = task.ledger.must_stake(AGGREGATOR, AGGREGATORS[0]).excluded_until_height
    task.ledger.blocks(until - task.ledger.height)
    assert task.task.head_round == 1
    results = task.ledger.block(task.ledger.sign(AGGREGATORS[0], Readmit(role=AGGREGATOR)))
    assert "safety_restored" in [event.kind for event in results.events]
    assert (task.task.head_round, task.task.unsafe_height) == (2, 0)


@pytest.mark.parametrize(("blocks", "cancelled"), [(19, False), (20, True)])  # after the level fell
def test_R7_a_task_that_does_not_recover_is_cancelled(blocks: int, cancelled: bool) -> None:
    """No escrow and no stake is locked for ever: with its open rounds it ends."""
    task = late_once(65)
    escrow = task.task.escrow
    before = task.ledger.balance(REQUESTER)
    task.ledger.blocks(blocks - 1)
    assert task.task.cancelled == cancelled
    task.ledger.blocks(2 * cancelled)
    ended = state_pb2.TASK_STATUS_ABORTED if cancelled else state_pb2.TASK_STATUS_RUNNING
    assert task.task.status == ended
    if cancelled:
        paid = 1000 + 500 + 50  # round 1, without audits
        assert task.ledger.balance(REQUESTER) == before + escrow - paid
        assert all(task.ledger.must_stake(AGGREGATOR, a).committed == 0 for a in AGGREGATORS)


def test_R7_void_rounds_count_in_neither() -> None:
    """One lie voids three rounds: one fault, not four."""
    task = TaskHarness.start(rounds=8, min_window_blocks=30, min_safety_percent=60)
    for number in (1, 2, 3, 4):
        task.commit_all(number)
        task.aggregate(number, task.poisoned_model(number) if number == 1 else None)
    task.ledger.accept(STRANGER, task.prove(1))
    assert (task.task.outcomes, task.task.head_round) == (1, 1)
    task.aggregate(1)
    assert task.task.head_round == 2  # 2/3 · 31/32 is enough


def test_a_settled_attempt_is_a_success_and_a_dropped_round_is_none() -> None:
    task = TaskHarness.start(training_blocks=3)
    task.commit_all(1)
    task.ledger.blocks(5)
    assert task.task.outcomes == 0b1
    task.aggregate(1)
    task.ledger.blocks(12)  # round 1 settles; rounds without commits are dropped and settle too
    assert task.task.settled_round > 1
    assert task.task.outcomes == 0b10


def test_a_lie_that_is_shown_after_the_tasks_end_changes_nothing_of_it() -> None:
    """A task that has ended is a record; the author is punished all the same."""
    task = TaskHarness.start(LedgerHarness(params={"evidence_blocks": 200}), rounds=2, training_blocks=3)
    for number in (1, 2):
        task.commit_all(number)
        task.aggregate(number, task.poisoned_model(number))
    proof = task.prove(2)
    task.ledger.accept(STRANGER, task.prove(1))  # round 2 is void with it
    task.aggregate(1)
    while task.task.status == state_pb2.TASK_STATUS_RUNNING:
        task.ledger.block()
    ended = task.task
    assert task.task.settled_round == 2
    task.ledger.accept(STRANGER, proof)
    assert task.ledger.must_stake(AGGREGATOR, AGGREGATORS[1]).excluded
    assert task.task == ended


def test_the_window_fits_its_field() -> None:
    assert SAFETY_WINDOW <= 64
    assert safety._WINDOW_MASK.bit_count() == SAFETY_WINDOW


def test_pbft_has_no_aggregators_to_lose_only_faults_to_count() -> None:
    """Its validators are whoever the chain has; of the last 32 outcomes half must be good at S_min 50 %."""
    pbft = {"mode": transaction_pb2.MODE_PBFT, "min_safety_percent": 50}
    for aggregators, out in ((0, 0), (3, 3)):
        assert is_safe(*make_task(aggregators, out, (1 << 16) - 1, **pbft))
        assert not is_safe(*make_task(aggregators, out, (1 << 17) - 1, **pbft))
