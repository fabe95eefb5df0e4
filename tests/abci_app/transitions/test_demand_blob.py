"""DemandBlob: by whose turn it is, of updates; by anyone, of an attempt in its first window; each blob once, bonded."""

from __future__ import annotations

from typing import Any

import pytest

from optfl import errors
from optfl.tasks import MODEL_BLOB
from optfl.wire import state_pb2
from optfl.wire.transaction_pb2 import MODE_PBFT, MODE_QUORUM, DemandBlob, Transfer, Unbond
from support.demands import answer, answer_all, demand, find_demand, get_demand
from support.ledger import (
    AGGREGATOR,
    AGGREGATOR_STAKE,
    AGGREGATORS,
    BALANCE,
    CLIENTS,
    FEE,
    REPLICAS,
    REQUESTER,
    STRANGER,
    VALIDATOR,
    VALIDATORS,
    LedgerHarness,
    TaskHarness,
)

BOND = 500


def frozen(**overrides: Any) -> TaskHarness:
    """A task whose first round is being aggregated; nothing else happens by itself."""
    task = TaskHarness.start(**{"training_blocks": 100, **overrides})
    task.commit_all(1)
    return task


def opened(**overrides: Any) -> TaskHarness:
    """A task whose first round has an attempt in its window."""
    task = frozen(**overrides)
    task.aggregate(1)
    return task


# Of a round that is being aggregated.


def test_a_demand_is_kept_with_its_bond_and_its_deadline() -> None:
    task = frozen()
    due = task.due_aggregator(1)
    task.ledger.accept(due, demand(task, 1, 2))
    height = task.ledger.height
    assert get_demand(task, 1, 2) == state_pb2.Demand(
        task_id=1,
        round=1,
        parent_attempt=0,
        attempt_id=0,
        turn=0,
        blob=2,
        root=task.update(next(c for c in CLIENTS if c.address == task.round(1).selected[2]), 1).root,
        bond=state_pb2.Bond(address=due.address, amount=BOND),
        open_height=height,
        deadline_height=height + 4,
        status=state_pb2.DEMAND_STATUS_OPEN,
        beacon=task.ledger.state.chain.beacon,
    )
    assert task.ledger.balance(due) == BALANCE - 200_000 - 3 * FEE - BOND  # registered, joined, demanded


def test_each_blob_costs_a_bond() -> None:
    task = frozen()
    due = task.due_aggregator(1)
    before = task.ledger.balance(due)
    result = task.ledger.accept(due, demand(task, 1, 0, 1, 2, 3, 4))
    assert task.ledger.balance(due) == before - FEE - 5 * BOND
    assert dict(result.events[0].attributes)["blobs"] == "5"


def test_only_whose_turn_it_is() -> None:
    """Also not the client itself, nor a validator, nor who comes next."""
    task = frozen()
    for sender in (STRANGER, CLIENTS[0], VALIDATORS[0], REQUESTER, *AGGREGATORS[1:]):
        task.ledger.reject(errors.BadDemand, sender, demand(task, 1, 0))


def test_not_who_was_convicted_since_its_turn_began() -> None:
    """A lie of it was shown in another task: its turn has passed on."""
    ledger = LedgerHarness()
    first = TaskHarness.start(ledger, training_blocks=100, min_window_blocks=30)
    second = TaskHarness(ledger)
    second.create(training_blocks=100)
    second.join_all()
    ledger.accept(REQUESTER, second.start_task())
    first.commit_all(1)
    bad = first.aggregate(1, first.poisoned_model(1))
    second.commit_all(1)
    due = second.due_aggregator(1)
    assert due is AGGREGATORS[0]
    ledger.accept(STRANGER, first.prove(bad))
    ledger.reject(errors.BadDemand, due, demand(second, 1, 0))


@pytest.mark.parametrize("late", [False, True])
def test_both_sides_of_the_turns_end(late: bool) -> None:
    """What stands in the closing block counts: the turn is not over then."""
    task = frozen()
    due = task.due_aggregator(1)
    task.ledger.blocks(5 - 1 + late)
    if late:
        assert task.round(1).turn == 1
        task.ledger.reject(errors.BadDemand, due, demand(task, 1, 0))
        return
    task.ledger.accept(due, demand(task, 1, 0))
    assert (task.round(1).turn, task.due_aggregator(1)) == (0, due)


def test_not_before_the_freeze_nor_after_the_aggregate() -> None:
    task = TaskHarness.start()
    task.ledger.reject(errors.WrongRoundStatus, AGGREGATORS[0], demand(task, 1, 0))
    task.commit_all(1)
    task.aggregate(1)
    task.ledger.reject(errors.WrongRoundStatus, AGGREGATORS[0], demand(task, 1, 0))


def test_one_batch_after_the_other() -> None:
    """Overlapping ones would hold the deadline up for as long as there are updates."""
    task = frozen()
    due = task.due_aggregator(1)
    task.ledger.accept(due, demand(task, 1, 0))
    task.ledger.reject(errors.BadDemand, due, demand(task, 1, 1))
    answer_all(task, 2, answer(task, 1, 0))
    task.ledger.accept(due, demand(task, 1, 1))


def test_no_blob_twice_in_a_turn() -> None:
    task = frozen()
    due = task.due_aggregator(1)
    task.ledger.accept(due, demand(task, 1, 0))
    answer_all(task, 2, answer(task, 1, 0))
    task.ledger.reject(errors.AlreadyDemanded, due, demand(task, 1, 0))
    task.ledger.accept(due, demand(task, 1, 0, 1))  # what is new of it
    assert get_demand(task, 1, 0).status == state_pb2.DEMAND_STATUS_HELD
    assert get_demand(task, 1, 1).status == state_pb2.DEMAND_STATUS_OPEN


def test_again_in_the_next_turn() -> None:
    task = frozen()
    task.ledger.accept(task.due_aggregator(1), demand(task, 1, 0))
    answer_all(task, 2, answer(task, 1, 0))
    task.ledger.blocks(5)
    assert task.round(1).turn == 1
    assert find_demand(task, 1, 0) is None
    task.ledger.accept(task.due_aggregator(1), demand(task, 1, 0))


def test_a_turn_is_restarted_three_times_at_most() -> None:
    task = frozen()
    due = task.due_aggregator(1)
    for index in range(3):
        task.ledger.accept(due, demand(task, 1, index))
        answer_all(task, 2, answer(task, 1, index))
        assert task.round(1).restarts == index + 1
    task.ledger.reject(errors.BadDemand, due, demand(task, 1, 3))


def test_an_update_that_is_not_there_or_was_struck() -> None:
    task = TaskHarness.start()
    task.ledger.block(*(task.ledger.sign(c, task.commit_update(c, 1)) for c in CLIENTS[:4]))
    task.ledger.blocks(5)
    absent = list(task.round(1).selected).index(CLIENTS[4].address)
    due = task.due_aggregator(1)
    for index in (absent, 5, 2**32 - 2):
        task.ledger.reject(errors.BadDemand, due, demand(task, 1, index))
    present = (absent + 1) % 5
    task.ledger.accept(due, demand(task, 1, present))
    task.ledger.blocks(4)
    task.ledger.reject(errors.BadDemand, due, demand(task, 1, present))


@pytest.mark.parametrize(("mode", "members"), [(MODE_QUORUM, AGGREGATORS), (MODE_PBFT, VALIDATORS)])
def test_in_the_modes_of_many_signers_any_member(mode: int, members: list[Any]) -> None:
    for member in members[:2]:
        task = frozen(mode=mode)
        others = VALIDATORS if members is AGGREGATORS else AGGREGATORS
        for sender in (STRANGER, CLIENTS[0], others[0]):
            task.ledger.reject(errors.BadDemand, sender, demand(task, 1, 0))
        task.ledger.accept(member, demand(task, 1, 0))
        answer_all(task, 2, answer(task, 1, 0))
        assert task.round(1).restarts == 1


def test_not_a_member_that_is_excluded() -> None:
    task = frozen(mode=MODE_QUORUM, max_attempts=20)
    task.ledger.accept(AGGREGATORS[2], Unbond(role=AGGREGATOR, amount=AGGREGATOR_STAKE))
    task.ledger.reject(errors.BadDemand, AGGREGATORS[2], demand(task, 1, 0))
    task.ledger.accept(AGGREGATORS[1], demand(task, 1, 0))


def test_not_while_the_task_is_paused() -> None:
    """Quorum: one of three aggregators is not enough to make a model."""
    task = TaskHarness.start(mode=MODE_QUORUM, training_blocks=100, pause_blocks=50)
    for account in AGGREGATORS[1:]:
        task.ledger.accept(account, Unbond(role=AGGREGATOR, amount=AGGREGATOR_STAKE))
    task.commit_all(1)
    assert task.task.status == state_pb2.TASK_STATUS_PAUSED
    task.ledger.reject(errors.WrongTaskStatus, AGGREGATORS[0], demand(task, 1, 0))


@pytest.mark.parametrize(("mode", "members"), [(MODE_QUORUM, AGGREGATORS), (MODE_PBFT, VALIDATORS)])
def test_of_a_certified_attempt_until_it_can_settle(mode: int, members: list[Any]) -> None:
    """It has no window but A8's: until more than a third of power has proposed since."""
    task = frozen(mode=mode)
    task.certify_round(1, members[:3])
    task.ledger.block(proposer=0)
    task.ledger.accept(STRANGER, demand(task, 1, attempt_id=1, model=True))
    task.ledger.blocks(4)
    assert task.ledger.attempt(1).status == state_pb2.ATTEMPT_STATUS_VOID  # type: ignore[union-attr]
    for member in members:
        role = AGGREGATOR if members is AGGREGATORS else VALIDATOR
        assert task.ledger.must_stake(role, member).faults == 0


# Of an attempt.


def test_anyone_demands_the_model_and_the_inputs_of_an_open_attempt() -> None:
    task = opened()
    task.ledger.accept(STRANGER, demand(task, 1, 0, 4, attempt_id=1, model=True))
    attempt = task.ledger.attempt(1)
    assert attempt is not None
    assert get_demand(task, 1, MODEL_BLOB, 1).root == attempt.model_root
    assert [get_demand(task, 1, i, 1).root for i in (0, 4)] == [attempt.inputs[i].update_root for i in (0, 4)]


@pytest.mark.parametrize("sender", [VALIDATORS[1], REPLICAS[0], REQUESTER, AGGREGATORS[0], CLIENTS[3]])
def test_whoever_that_is(sender: Any) -> None:
    task = opened()
    task.ledger.accept(sender, demand(task, 1, attempt_id=1, model=True))


@pytest.mark.parametrize("late", [False, True])
def test_both_sides_of_its_window(late: bool) -> None:
    """Round 2 has to wait for round 1, so its attempt stays open for longer than its window."""
    task = frozen(min_window_blocks=6, window_factor_percent=500)
    task.ledger.blocks(4)
    task.aggregate(1)  # a window of 25 blocks
    task.run_round(2)
    task.ledger.blocks(6 - 1 + late)
    assert task.round(2).window_close_height == task.ledger.height + (1 - late)
    message = demand(task, 2, attempt_id=2, model=True)
    if late:
        task.ledger.reject(errors.WindowOver, STRANGER, message)
    else:
        task.ledger.accept(STRANGER, message)


def test_L1_a_window_of_one_proposer_is_not_over() -> None:
    task = opened()
    for _ in range(20):
        task.ledger.block(proposer=0)
    message = task.ledger.sign(STRANGER, demand(task, 1, attempt_id=1, model=True))
    assert task.ledger.block(message, proposer=1).results[0].code == 0  # the block that would have closed it
    assert task.round(1).status == state_pb2.ROUND_STATUS_OPEN


def test_a_window_that_a_demand_has_prolonged_takes_no_more_of_them() -> None:
    """Or K + 1 blobs would put a settlement off for K + 1 windows."""
    task = opened()
    close = task.round(1).window_close_height
    task.ledger.blocks(close - 1 - task.ledger.height)
    task.ledger.accept(STRANGER, demand(task, 1, attempt_id=1, model=True))
    answer_all(task, 2, answer(task, 1, attempt_id=1, model=True))
    assert task.round(1).window_close_height == task.ledger.height + 6
    task.ledger.reject(errors.WindowOver, STRANGER, demand(task, 1, 0, attempt_id=1))


def test_no_blob_twice_of_an_attempt_but_what_is_new() -> None:
    task = opened()
    task.ledger.accept(STRANGER, demand(task, 1, 0, attempt_id=1))
    task.ledger.reject(errors.AlreadyDemanded, CLIENTS[0], demand(task, 1, 0, attempt_id=1))
    before = task.ledger.balance(CLIENTS[0])
    task.ledger.accept(CLIENTS[0], demand(task, 1, 0, 1, attempt_id=1))  # another's demand keeps nobody out
    assert task.ledger.balance(CLIENTS[0]) == before - FEE - BOND
    assert get_demand(task, 1, 0, 1).bond.address == STRANGER.address


def test_a_blob_demanded_in_the_turn_can_be_demanded_of_the_attempt() -> None:
    task = frozen()
    task.ledger.accept(task.due_aggregator(1), demand(task, 1, 0))
    task.aggregate(1)
    task.ledger.accept(STRANGER, demand(task, 1, 0, attempt_id=1))


def test_no_more_updates_at_once_than_validators_can_fetch_in_time() -> None:
    """Two attempts, five updates each: five are looked for at a time. What there is no room for costs no bond."""
    task = opened(min_window_blocks=20, demand_blocks=15)
    task.run_round(2)
    task.ledger.accept(STRANGER, demand(task, 1, 0, 1, 2, attempt_id=1))
    before = task.ledger.balance(STRANGER)
    task.ledger.accept(STRANGER, demand(task, 2, 1, 3, 4, attempt_id=2), fee=1000)
    assert task.ledger.balance(STRANGER) == before - 1000 - 2 * BOND
    assert [find_demand(task, 2, i, 2) is not None for i in (1, 3, 4)] == [True, True, False]
    task.ledger.reject(errors.BadDemand, STRANGER, demand(task, 2, 4, attempt_id=2))
    answer_all(task, 2, answer(task, 1, 1, attempt_id=1))
    task.ledger.accept(STRANGER, demand(task, 2, 4, attempt_id=2))


def test_what_a_turn_lacks_takes_no_room_of_attempts() -> None:
    task = opened(min_window_blocks=20, demand_blocks=15)
    task.commit_all(2)
    task.ledger.accept(task.due_aggregator(2), demand(task, 2, 0, 1, 2, 3, 4))
    task.ledger.accept(STRANGER, demand(task, 1, 0, 1, 2, 3, 4, attempt_id=1))
    assert len(task.ledger.state.demands.all_keys()) == 10


def test_a_model_waits_for_no_updates() -> None:
    """Whoever hides a model could demand updates all the time, to keep others from demanding it."""
    task = opened(demand_blocks=15)
    task.ledger.accept(AGGREGATORS[0], demand(task, 1, 0, 1, 2, 3, 4, attempt_id=1))
    task.run_round(2)
    task.ledger.accept(STRANGER, demand(task, 2, 0, 1, attempt_id=2, model=True))
    assert [d.blob for _, d in task.ledger.state.demands.items() if d.attempt_id == 2] == [MODEL_BLOB]


def test_not_of_a_round_that_was_dropped() -> None:
    task = TaskHarness.start()
    task.ledger.blocks(5)
    assert task.round(1).attempt_id == 1
    task.ledger.reject(errors.BadDemand, STRANGER, demand(task, 1, attempt_id=1, model=True))


def test_not_of_an_attempt_that_is_not_the_rounds_open_one() -> None:
    task = frozen()
    bad = task.aggregate(1, task.poisoned_model(1))
    task.ledger.accept(STRANGER, task.prove(bad))
    task.ledger.reject(errors.WrongRoundStatus, STRANGER, demand(task, 1, attempt_id=bad, model=True))
    task.aggregate(1)
    for attempt_id in (bad, 3, 2**32 - 1):
        task.ledger.reject(errors.UnknownAttempt, STRANGER, demand(task, 1, attempt_id=attempt_id, model=True))
    task.ledger.accept(STRANGER, demand(task, 1, attempt_id=2, model=True))


# Of whatever scope.


@pytest.mark.parametrize(
    "overrides",
    [
        {},
        {"inputs": [1, 0]},
        {"inputs": [1, 1]},
        {"inputs": range(1001)},
        {"inputs": [0], "model": True},  # a turn has no model
    ],
)
def test_malformed(overrides: dict[str, Any]) -> None:
    task = frozen()
    task.ledger.reject(errors.InvalidField, task.due_aggregator(1), demand(task, 1, **{"inputs": [], **overrides}))


def test_another_tasks_ids() -> None:
    task = frozen()
    due = task.due_aggregator(1)
    task.ledger.reject(errors.UnknownTask, due, demand(task, 1, 0, task_id=2))
    task.ledger.reject(errors.UnknownRound, due, demand(task, 1, 0, round=2))
    task.ledger.reject(errors.StaleBase, due, demand(task, 1, 0, parent_attempt=1))
    other = TaskHarness(task.ledger)
    other.create(training_blocks=100)
    task.ledger.reject(errors.WrongTaskStatus, due, demand(task, 1, 0, task_id=other.task_id))


def test_who_cannot_put_up_the_bonds() -> None:
    task = opened()
    left = task.ledger.balance(STRANGER) - 2 * FEE - 3 * BOND + 1
    task.ledger.accept(STRANGER, Transfer(recipient=REQUESTER.address, amount=left))
    task.ledger.reject(errors.InsufficientBalance, STRANGER, demand(task, 1, 0, 1, attempt_id=1, model=True), fee=FEE)


def test_not_of_a_task_that_has_ended() -> None:
    task = TaskHarness.start(rounds=1)
    parent = task.round(1).parent_attempt
    task.run_round(1)
    task.ledger.blocks(10)
    message = DemandBlob(task_id=1, round=1, parent_attempt=parent, attempt_id=1, model=True)
    task.ledger.reject(errors.UnknownRound, STRANGER, message)
