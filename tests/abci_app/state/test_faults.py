"""Being late: a small slash, all of it burned, and an exclusion for a time that doubles, and halves again with work."""

from __future__ import annotations

import pytest

from abci_app.state import State, faults
from abci_app.state.keyspace import stake_key
from optfl.wire import state_pb2
from optfl.wire.transaction_pb2 import Readmit, Unbond
from support.ledger import (
    AGGREGATOR,
    AGGREGATOR_STAKE,
    AGGREGATORS,
    STRANGER,
    LedgerHarness,
    TaskHarness,
)

EXCLUSION = 10  # blocks, of a first fault


def miss_turn(task: TaskHarness, number: int) -> None:
    """Nobody submits until the turn has passed on."""
    turn = task.round(number).turn
    while task.task.status == state_pb2.TASK_STATUS_RUNNING and task.round(number).turn == turn:
        task.ledger.block()


def test_I1_it_costs_a_little_and_a_time() -> None:
    task = TaskHarness.start()
    task.commit_all(1)
    burned = task.ledger.state.supply.burned
    miss_turn(task, 1)
    stake = task.ledger.must_stake(AGGREGATOR, AGGREGATORS[0])
    assert (stake.amount, stake.excluded, stake.faults) == (AGGREGATOR_STAKE - 2_000, False, 1)
    assert stake.excluded_until_height == task.ledger.height + EXCLUSION
    assert task.ledger.state.supply.burned == burned + 2_000


@pytest.mark.parametrize(("waited", "late"), [(4, False), (5, True)])
def test_both_sides_of_the_deadline(waited: int, late: bool) -> None:
    """What is submitted in the deadline's own block counts: only at its end is anybody late."""
    task = TaskHarness.start()
    task.commit_all(1)
    submission = task.submit_aggregate(1)
    due = task.due_aggregator(1)
    task.ledger.blocks(waited)
    assert (task.ledger.send(due, submission).code == 0) != late
    assert task.ledger.must_stake(AGGREGATOR, due).faults == late


def test_L1_nobody_is_late_while_a_minority_proposes() -> None:
    task = TaskHarness.start()
    task.commit_all(1)
    for _ in range(20):
        task.ledger.block(proposer=2)
    assert task.ledger.must_stake(AGGREGATOR, AGGREGATORS[0]).faults == 0
    task.ledger.block(proposer=3)
    assert task.ledger.must_stake(AGGREGATOR, AGGREGATORS[0]).faults == 1


def test_what_is_unbonding_is_slashed_with_the_rest() -> None:
    task = TaskHarness.start()
    task.commit_all(1)
    task.ledger.accept(AGGREGATORS[0], Unbond(role=AGGREGATOR, amount=50_000))
    miss_turn(task, 1)
    assert task.ledger.must_stake(AGGREGATOR, AGGREGATORS[0]).amount == 150_000 - 1_500
    assert [e.amount for e in task.ledger.unbonding(AGGREGATOR, AGGREGATORS[0])] == [50_000 - 500]


@pytest.mark.parametrize("percent", [0, 100])
def test_the_chain_says_how_much(percent: int) -> None:
    task = TaskHarness.start(LedgerHarness(params={"late_slash_percent": percent, "exclusion_blocks": 0}))
    task.commit_all(1)
    miss_turn(task, 1)
    stake = task.ledger.must_stake(AGGREGATOR, AGGREGATORS[0])
    assert stake.amount == AGGREGATOR_STAKE * (100 - percent) // 100
    assert stake.excluded_until_height == task.ledger.height  # until it asks


def make(count: int = 0, until: int = 0) -> State:
    ledger = LedgerHarness()
    ledger.register_participants()
    state = ledger.state
    stake = state.stakes[stake_key(AGGREGATOR, AGGREGATORS[0].address)]
    stake.faults, stake.excluded_until_height = count, until
    state.stakes.put(stake_key(AGGREGATOR, AGGREGATORS[0].address), stake)
    return state


def test_each_fault_doubles_the_exclusion_up_to_64_times() -> None:
    state = make()
    lengths = []
    for height in (1000, 10_000, 20_000, 30_000, 40_000, 50_000, 60_000, 70_000):
        faults.punish_lateness(state, AGGREGATORS[0].address, height)
        stake = state.stakes[stake_key(AGGREGATOR, AGGREGATORS[0].address)]
        lengths.append(stake.excluded_until_height - height)
    assert lengths == [EXCLUSION * 2**i for i in (0, 1, 2, 3, 4, 5, 6, 6)]


def test_a_further_fault_never_shortens_an_exclusion() -> None:
    state = make(until=5000)
    faults.punish_lateness(state, AGGREGATORS[0].address, 100)
    assert state.stakes[stake_key(AGGREGATOR, AGGREGATORS[0].address)].excluded_until_height == 5000


@pytest.mark.parametrize(("before", "after"), [(0, 0), (1, 0), (6, 5)])
def test_a_settled_attempt_takes_one_fault_off(before: int, after: int) -> None:
    state = make(before)
    faults.forgive_one(state, AGGREGATORS[0].address)
    assert state.stakes[stake_key(AGGREGATOR, AGGREGATORS[0].address)].faults == after


def test_faults_decay_with_work_that_settles() -> None:
    """Late once, back again, and after one good round a further fault counts as a first one."""
    task = TaskHarness.start(
        aggregators=[AGGREGATORS[0].address], pause_blocks=1000, rounds=10, max_attempts=10, training_blocks=100
    )
    lengths = []
    for number, misses in ((1, True), (2, True), (3, False), (4, False), (5, True)):
        task.commit_all(number)
        if misses:
            miss_turn(task, number)
            stake = task.ledger.must_stake(AGGREGATOR, AGGREGATORS[0])
            lengths.append(stake.excluded_until_height - task.ledger.height)
            task.ledger.blocks(lengths[-1])
            task.ledger.accept(AGGREGATORS[0], Readmit(role=AGGREGATOR))
        task.aggregate(number)
        while task.task.settled_round < number:
            task.ledger.block()
    # A fault, then the settled round takes it off; so it is the same each time.
    assert lengths == [EXCLUSION] * 3


def test_faults_that_come_close_together_count_together() -> None:
    task = TaskHarness.start(
        aggregators=[AGGREGATORS[0].address], pause_blocks=1000, rounds=10, max_attempts=10, training_blocks=100
    )
    task.commit_all(1)
    lengths = []
    for _ in range(3):
        miss_turn(task, 1)
        stake = task.ledger.must_stake(AGGREGATOR, AGGREGATORS[0])
        lengths.append(stake.excluded_until_height - task.ledger.height)
        task.ledger.blocks(lengths[-1])
        task.ledger.accept(AGGREGATORS[0], Readmit(role=AGGREGATOR))
    assert lengths == [EXCLUSION, 2 * EXCLUSION, 4 * EXCLUSION]
    task.aggregate(1)
    task.ledger.blocks(10)
    assert task.ledger.must_stake(AGGREGATOR, AGGREGATORS[0]).faults == 2


def test_an_exclusion_holds_in_every_task() -> None:
    ledger = LedgerHarness()
    first = TaskHarness.start(ledger, pause_blocks=1000)
    second = TaskHarness(ledger)
    second.launch(training_blocks=100)
    first.commit_all(1)
    miss_turn(first, 1)
    second.commit_all(1)
    assert second.due_aggregator(1) is AGGREGATORS[1]


def test_a_turn_that_has_begun_is_not_taken_away_by_a_fault_elsewhere() -> None:
    """It may be half done. Who is late there too is late twice."""
    for submits in (True, False):
        ledger = LedgerHarness()
        first = TaskHarness.start(ledger, pause_blocks=1000)
        second = TaskHarness(ledger)
        second.launch(aggregation_blocks=20, training_blocks=100)
        first.commit_all(1)
        second.commit_all(1)
        miss_turn(first, 1)
        assert ledger.must_stake(AGGREGATOR, AGGREGATORS[0]).excluded_until_height > ledger.height
        assert second.due_aggregator(1) is AGGREGATORS[0]
        if submits:
            second.aggregate(1)
            assert second.round(1).aggregator == AGGREGATORS[0].address
        else:
            miss_turn(second, 1)
            stake = ledger.must_stake(AGGREGATOR, AGGREGATORS[0])
            assert (stake.faults, stake.excluded_until_height) == (2, ledger.height + 2 * EXCLUSION)
            assert stake.amount == AGGREGATOR_STAKE * 99 // 100 * 99 // 100


def test_L7_who_is_convicted_in_the_middle_of_its_turn_is_not_late_beside() -> None:
    """Round 2 is void with round 1, and still a lie. Its author has the turn that redoes round 1, and loses it."""
    ledger = LedgerHarness(params={"fraud_slash_percent": 50})
    task = TaskHarness.start(ledger, min_window_blocks=30)
    for number in (1, 2):
        task.commit_all(number)
        task.aggregate(number, task.poisoned_model(number))
    proof = task.prove(2)
    ledger.accept(STRANGER, task.prove(1))
    assert task.due_aggregator(1) is AGGREGATORS[1]
    ledger.accept(STRANGER, proof)
    stake = ledger.must_stake(AGGREGATOR, AGGREGATORS[1])
    assert (stake.excluded, stake.faults, stake.amount) == (True, 0, AGGREGATOR_STAKE // 2)
    assert task.due_aggregator(1) is AGGREGATORS[2]
    assert task.task.outcomes.bit_count() == 2
