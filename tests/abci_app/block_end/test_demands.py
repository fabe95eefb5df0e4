"""Demands are decided by voting power; a turn gets its time back, a window is prolonged, an attempt is void."""

from __future__ import annotations

from typing import Any

import pytest

from abci_app.state.rounds import get_commitments
from optfl.tasks import MODEL_BLOB
from optfl.wire import state_pb2
from optfl.wire.transaction_pb2 import AddStake, Readmit, Unbond
from support.demands import answer, answer_all, demand, find_demand, get_demand, open_demanded
from support.ledger import (
    AGGREGATOR,
    AGGREGATOR_STAKE,
    AGGREGATORS,
    CLIENTS,
    FEE,
    STRANGER,
    VALIDATOR,
    VALIDATORS,
    LedgerHarness,
    TaskHarness,
)

HELD, MISSING, DEMANDED = (
    state_pb2.DEMAND_STATUS_HELD,
    state_pb2.DEMAND_STATUS_MISSING,
    state_pb2.DEMAND_STATUS_OPEN,
)
AGGREGATING, OPEN = state_pb2.ROUND_STATUS_AGGREGATING, state_pb2.ROUND_STATUS_OPEN
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


def bonds(task: TaskHarness) -> int:
    return sum(d.bond.amount for _, d in task.ledger.state.demands.items())


# What decides.


@pytest.mark.parametrize(("holders", "held", "lost"), [(0, False, False), (1, False, False), (2, True, False),
                                                       (3, True, True), (4, True, True)])  # fmt: skip
def test_more_than_a_third_holds_it_more_than_two_thirds_cost_the_bond(holders: int, held: bool, lost: bool) -> None:
    """Of four equal validators."""
    task = frozen()
    due = task.due_aggregator(1)
    task.ledger.accept(due, demand(task, 1, 0))
    before, burned = task.ledger.balance(due), task.ledger.state.supply.burned
    found = sum(task.ledger.balance(v) for v in VALIDATORS)
    answer_all(task, holders, answer(task, 1, 0))
    paid = holders * (BOND // 2 // holders) if lost else 0  # the fees come back to a validator, as their proposer
    assert sum(task.ledger.balance(v) for v in VALIDATORS) - found == paid
    assert get_demand(task, 1, 0).status == (HELD if held else DEMANDED)
    task.ledger.blocks(3)
    decided = get_demand(task, 1, 0)
    assert (decided.status, decided.bond.amount) == (HELD if held else MISSING, 0)
    assert task.ledger.balance(due) == before + (0 if lost else BOND)
    assert task.ledger.state.supply.burned == burned + (BOND - paid if lost else 0)


def test_exactly_a_third_is_not_enough() -> None:
    """Powers 100, 100 and 100: one of them is exactly 1/3, two are exactly 2/3."""
    task = opened()
    task.ledger.accept(VALIDATORS[3], Unbond(role=VALIDATOR, amount=100_000))
    task.ledger.accept(STRANGER, demand(task, 1, attempt_id=1, model=True))
    message = answer(task, 1, attempt_id=1, model=True)
    answer_all(task, 1, message)
    assert get_demand(task, 1, MODEL_BLOB, 1).status == DEMANDED
    task.ledger.accept(VALIDATORS[1], open_demanded(task, message, VALIDATORS[1]))
    found = get_demand(task, 1, MODEL_BLOB, 1)
    assert (found.status, found.bond.amount) == (HELD, BOND)


def test_exactly_a_third_is_missing_in_the_end() -> None:
    task = frozen()
    task.ledger.accept(VALIDATORS[3], Unbond(role=VALIDATOR, amount=100_000))
    task.ledger.accept(task.due_aggregator(1), demand(task, 1, 0))
    answer_all(task, 1, answer(task, 1, 0))
    task.ledger.blocks(3)
    assert get_demand(task, 1, 0).status == MISSING


def test_holders_count_with_the_power_that_they_have_now() -> None:
    """Stake that was moved on after an answer cannot answer a second time; nor can it be missed where it grew."""
    task = frozen(demand_blocks=10)
    task.ledger.accept(task.due_aggregator(1), demand(task, 1, 0, 1))
    task.ledger.accept(VALIDATORS[0], answer(task, 1, 0))
    task.ledger.accept(VALIDATORS[1], answer(task, 1, 1, by=VALIDATORS[1]))
    unbond = task.ledger.sign(VALIDATORS[0], Unbond(role=VALIDATOR, amount=100_000))
    grow = task.ledger.sign(VALIDATORS[1], AddStake(role=VALIDATOR, amount=60_000))
    task.ledger.block(unbond, grow)  # powers are 0, 160, 100, 100 after it
    task.ledger.accept(VALIDATORS[2], answer(task, 1, 0, by=VALIDATORS[2]))
    assert get_demand(task, 1, 0).status == DEMANDED  # 100 of 360
    assert get_demand(task, 1, 1).status == HELD  # 160 of 360


def test_each_blob_is_decided_by_itself_and_concluded_together() -> None:
    task = frozen()
    task.ledger.accept(task.due_aggregator(1), demand(task, 1, 0, 1))
    answer_all(task, 2, answer(task, 1, 0))
    assert (get_demand(task, 1, 0).status, get_demand(task, 1, 1).status) == (HELD, DEMANDED)
    assert task.round(1).restarts == 0
    task.ledger.blocks(3)
    assert get_demand(task, 1, 1).status == MISSING
    assert task.round(1).restarts == 1


def test_L1_missing_only_once_a_third_has_proposed() -> None:
    task = frozen()
    due = task.due_aggregator(1)
    task.ledger.block(task.ledger.sign(due, demand(task, 1, 0)), proposer=2)
    for _ in range(20):
        task.ledger.block(proposer=2)
    assert get_demand(task, 1, 0).status == DEMANDED
    task.ledger.block(proposer=3)
    assert get_demand(task, 1, 0).status == MISSING


# Of a turn.


def test_A4_nobody_is_late_while_a_demand_is_open() -> None:
    task = frozen(demand_blocks=20)
    due = task.due_aggregator(1)
    task.ledger.accept(due, demand(task, 1, 0))
    task.ledger.blocks(18)
    assert (task.round(1).turn, task.due_aggregator(1)) == (0, due)
    assert task.ledger.must_stake(AGGREGATOR, due).amount == AGGREGATOR_STAKE


def test_A4_a_held_update_gives_the_turn_its_time_back() -> None:
    task = frozen()
    due = task.due_aggregator(1)
    before = get_commitments(task.ledger.state, task.round(1))
    task.ledger.blocks(3)
    task.ledger.accept(due, demand(task, 1, 0))
    answer_all(task, 2, answer(task, 1, 0))
    current = task.round(1)
    assert (current.turn, current.restarts, current.turn_start_height) == (0, 1, task.ledger.height)
    assert current.aggregation_deadline_height == task.ledger.height + 5
    assert get_commitments(task.ledger.state, current) == before
    task.ledger.blocks(4)
    task.aggregate(1)
    assert task.round(1).status == OPEN


def test_A4_a_missing_update_is_struck_and_its_client_is_not_paid() -> None:
    task = frozen()
    struck = next(c for c in CLIENTS if c.address == task.round(1).selected[2])
    others = [c for c in task.round(1).selected if c != struck.address]
    task.ledger.accept(task.due_aggregator(1), demand(task, 1, 2))
    task.ledger.blocks(4)
    assert (task.round(1).committed, task.round(1).restarts) == (4, 1)
    attempt = task.ledger.attempt(task.aggregate(1))
    assert attempt is not None
    assert [given.client for given in attempt.inputs] == others
    before, other = task.ledger.balance(struck), next(c for c in CLIENTS if c.address == others[0])
    paid = task.ledger.balance(other)
    task.ledger.blocks(10)
    assert task.task.settled_round == 1
    assert (task.ledger.balance(struck), task.ledger.balance(other)) == (before, paid + 100)


def test_what_was_struck_before_is_struck_once() -> None:
    """Its demand is still on record when the next batch of the turn is concluded."""
    task = frozen()
    due = task.due_aggregator(1)
    task.ledger.accept(due, demand(task, 1, 0))
    task.ledger.blocks(4)
    task.ledger.accept(due, demand(task, 1, 1, 2))
    answer_all(task, 2, answer(task, 1, 1))
    task.ledger.blocks(3)
    assert [get_demand(task, 1, i).status for i in range(3)] == [MISSING, HELD, MISSING]
    assert (task.round(1).committed, task.round(1).restarts) == (3, 2)


def test_the_model_without_it_is_judged_without_it() -> None:
    """A1: nothing of the struck update is in the record."""
    task = frozen()
    task.ledger.accept(task.due_aggregator(1), demand(task, 1, 2))
    task.ledger.blocks(4)
    bad = task.aggregate(1, task.poisoned_model(1))
    task.ledger.accept(STRANGER, task.prove(bad))
    assert task.ledger.attempt(bad).status == state_pb2.ATTEMPT_STATUS_CONVICTED  # type: ignore[union-attr]


def test_I6_too_few_left_drop_the_round_without_fault() -> None:
    task = frozen()
    due = task.due_aggregator(1)
    task.ledger.accept(due, demand(task, 1, 0, 1, 2))
    task.ledger.blocks(4)
    current = task.round(1)
    assert (current.status, current.aggregator, current.committed) == (OPEN, b"", 2)
    stake = task.ledger.must_stake(AGGREGATOR, due)
    assert (stake.amount, stake.excluded_until_height) == (AGGREGATOR_STAKE, 0)
    assert task.round(2).base_root == task.models[0].root


def test_who_finds_the_blob_meanwhile_does_not_wait() -> None:
    """What was demanded in the turn is decided nevertheless: its bond was put up for it."""
    task = frozen()
    due = task.due_aggregator(1)
    task.ledger.accept(due, demand(task, 1, 0))
    task.aggregate(1)
    assert task.round(1).status == OPEN
    before = task.ledger.balance(due)
    answer_all(task, 3, answer(task, 1, 0))
    assert (get_demand(task, 1, 0).status, bonds(task)) == (HELD, 0)
    assert task.ledger.balance(due) == before
    assert (task.round(1).status, task.round(1).restarts) == (OPEN, 0)


def test_what_the_turn_missed_but_its_aggregator_had_stays_in() -> None:
    task = frozen()
    task.ledger.accept(task.due_aggregator(1), demand(task, 1, 0))
    task.aggregate(1)
    task.ledger.blocks(3)
    assert get_demand(task, 1, 0).status == MISSING
    assert (task.round(1).committed, task.ledger.attempt(1).status) == (5, state_pb2.ATTEMPT_STATUS_OPEN)  # type: ignore[union-attr]


def test_a_lazy_aggregator_buys_no_more_time_than_three_restarts() -> None:
    """Demanding as late as possible what validators find as late as possible, at a bond each: then it is late."""
    task = frozen()
    start, due = task.ledger.height, task.due_aggregator(1)
    for index in range(3):
        task.ledger.blocks(task.round(1).aggregation_deadline_height - 1 - task.ledger.height)
        task.ledger.accept(due, demand(task, 1, index))
        task.ledger.blocks(3)
        answer_all(task, 4, answer(task, 1, index))
        assert (task.round(1).turn, task.round(1).restarts) == (0, index + 1)
    while task.round(1).turn == 0:
        task.ledger.block()
    assert task.ledger.height - start == 3 * (5 + 4) + 5
    stake = task.ledger.must_stake(AGGREGATOR, due)
    assert stake.amount == AGGREGATOR_STAKE * 99 // 100
    assert stake.excluded_until_height > 0


def test_a_turn_that_is_missed_after_all_returns_what_was_not_decided() -> None:
    task = frozen(demand_blocks=30)
    due = task.due_aggregator(1)
    task.ledger.accept(due, demand(task, 1, 0))
    answer_all(task, 2, answer(task, 1, 0))
    before = task.ledger.balance(due)
    task.ledger.blocks(5)
    assert task.round(1).turn == 1
    assert (task.ledger.balance(due), bonds(task)) == (before + BOND, 0)


# Of an attempt.


def test_a_held_model_prolongs_the_window() -> None:
    task = opened()
    close = task.round(1).window_close_height
    task.ledger.blocks(close - 1 - task.ledger.height)
    task.ledger.accept(STRANGER, demand(task, 1, attempt_id=1, model=True))
    task.ledger.blocks(2)
    assert task.round(1).status == OPEN  # live demands hold the settlement up
    answer_all(task, 2, answer(task, 1, attempt_id=1, model=True))
    found = task.ledger.height
    assert task.round(1).window_close_height == found + 6
    task.ledger.blocks(5)
    assert task.task.settled_round == 0
    task.ledger.block()
    assert task.task.settled_round == 1


def test_R2_a_proof_convicts_in_the_prolonged_window() -> None:
    task = frozen()
    bad = task.aggregate(1, task.poisoned_model(1))
    task.ledger.blocks(5)
    task.ledger.accept(STRANGER, demand(task, 1, attempt_id=bad, model=True))
    answer_all(task, 2, answer(task, 1, attempt_id=bad, model=True))
    task.ledger.blocks(5)
    task.ledger.accept(STRANGER, task.prove(bad))
    assert task.ledger.attempt(bad).status == state_pb2.ATTEMPT_STATUS_CONVICTED  # type: ignore[union-attr]


def test_L1_a_prolonged_window_needs_proposers_of_its_own() -> None:
    task = opened()
    task.ledger.blocks(5)
    task.ledger.accept(STRANGER, demand(task, 1, attempt_id=1, model=True))
    answers = [task.ledger.sign(v, answer(task, 1, attempt_id=1, model=True, by=v)) for v in VALIDATORS[:2]]
    task.ledger.block(*answers, proposer=0)
    for _ in range(20):
        task.ledger.block(proposer=0)
    assert task.task.settled_round == 0
    task.ledger.block(proposer=1)
    assert task.task.settled_round == 1


def test_a_window_that_is_long_enough_stays_as_it_is() -> None:
    task = opened(min_window_blocks=6, window_factor_percent=10_000)
    task.commit_all(2)
    task.ledger.blocks(4)
    task.aggregate(2)  # a window of 400 blocks
    before = task.round(2)
    task.ledger.accept(STRANGER, demand(task, 2, 0, attempt_id=2, model=True))
    answer_all(task, 3, answer(task, 2, 0, attempt_id=2, model=True))
    assert task.round(2) == before


def test_I2_a_missing_model_is_void_and_its_author_counts_as_late() -> None:
    task = opened()
    author = AGGREGATORS[0]
    task.ledger.accept(STRANGER, demand(task, 1, attempt_id=1, model=True))
    before = task.ledger.balance(STRANGER)
    task.ledger.blocks(4)
    attempt, current = task.ledger.attempt(1), task.round(1)
    assert attempt is not None
    assert attempt.status == state_pb2.ATTEMPT_STATUS_VOID
    assert (current.status, current.turn, current.committed) == (AGGREGATING, 1, 5)
    stake = task.ledger.must_stake(AGGREGATOR, author)
    assert stake.amount == AGGREGATOR_STAKE * 99 // 100
    assert (stake.excluded_until_height, stake.faults) == (task.ledger.height + 10, 1)
    assert task.ledger.balance(STRANGER) == before + BOND
    assert find_demand(task, 1, MODEL_BLOB, 1) is None
    task.aggregate(1)
    task.ledger.blocks(10)
    task.ledger.accept(author, Readmit(role=AGGREGATOR))


def test_a_missing_input_is_struck_and_nobody_is_at_fault() -> None:
    """Others' replicas may have been the last to hold it."""
    task = opened()
    task.ledger.accept(STRANGER, demand(task, 1, 3, attempt_id=1))
    task.ledger.blocks(4)
    attempt, current = task.ledger.attempt(1), task.round(1)
    assert attempt is not None
    assert attempt.status == state_pb2.ATTEMPT_STATUS_VOID
    assert (current.status, current.turn, current.committed) == (AGGREGATING, 1, 4)
    stake = task.ledger.must_stake(AGGREGATOR, AGGREGATORS[0])
    assert (stake.amount, stake.excluded_until_height, stake.faults) == (AGGREGATOR_STAKE, 0, 0)
    redone = task.ledger.attempt(task.aggregate(1))
    assert redone is not None
    assert list(redone.inputs) == [i for i in attempt.inputs if i.client != current.selected[3]]


def test_model_and_inputs_missing_together() -> None:
    task = opened()
    task.ledger.accept(STRANGER, demand(task, 1, 0, 1, attempt_id=1, model=True))
    task.ledger.blocks(4)
    assert (task.round(1).turn, task.round(1).committed) == (1, 3)
    assert task.ledger.must_stake(AGGREGATOR, AGGREGATORS[0]).faults == 1


def test_an_attempt_that_loses_too_many_inputs_drops_its_round() -> None:
    task = opened()
    task.ledger.accept(STRANGER, demand(task, 1, 0, 1, 2, attempt_id=1))
    task.ledger.blocks(4)
    current = task.round(1)
    assert (current.status, current.aggregator, current.committed) == (OPEN, b"", 2)


def test_demands_of_an_attempt_are_concluded_together() -> None:
    """Two watchers, one after the other: what the first finds missing waits until it is known what else is."""
    task = opened()
    task.ledger.accept(STRANGER, demand(task, 1, 0, attempt_id=1))
    task.ledger.blocks(2)
    task.ledger.accept(CLIENTS[0], demand(task, 1, 1, attempt_id=1))
    task.ledger.block()
    assert get_demand(task, 1, 0, 1).status == MISSING
    assert (task.round(1).status, task.round(1).committed) == (OPEN, 5)
    task.ledger.blocks(3)
    assert (task.round(1).status, task.round(1).committed) == (AGGREGATING, 3)


def test_training_goes_on_while_a_blob_is_looked_for() -> None:
    task = opened(demand_blocks=30)
    task.ledger.accept(STRANGER, demand(task, 1, attempt_id=1, model=True))
    for number in (2, 3):
        task.run_round(number)
    assert task.round(4).status == state_pb2.ROUND_STATUS_TRAINING


def test_later_rounds_are_void_with_a_missing_model() -> None:
    task = opened(demand_blocks=10, min_window_blocks=12)
    task.ledger.accept(STRANGER, demand(task, 1, attempt_id=1, model=True))
    task.run_round(2)
    task.ledger.accept(CLIENTS[0], demand(task, 2, 0, attempt_id=2))
    before = task.ledger.balance(CLIENTS[0])
    task.ledger.blocks(10)
    assert (task.task.head_round, task.round(1).turn) == (1, 1)
    assert task.ledger.attempt(2).status == state_pb2.ATTEMPT_STATUS_VOID  # type: ignore[union-attr]
    assert task.ledger.state.demands.all_keys() == []  # what was open of round 2 went back undecided
    assert task.ledger.balance(CLIENTS[0]) == before + BOND + task.parameters.client_reward  # its work in round 2


# Bonds of what is over.


def test_R10_a_revert_returns_the_bonds_of_what_it_voids() -> None:
    task = frozen(min_window_blocks=30, demand_blocks=20)
    bad = task.aggregate(1, task.poisoned_model(1))
    task.run_round(2)
    task.commit_all(3)
    due = task.due_aggregator(3)
    task.ledger.accept(STRANGER, demand(task, 1, 0, attempt_id=1, model=True))
    task.ledger.accept(CLIENTS[1], demand(task, 2, 1, attempt_id=2))
    task.ledger.accept(due, demand(task, 3, 0))
    balances = [task.ledger.balance(a) for a in (STRANGER, CLIENTS[1], due)]
    task.ledger.accept(VALIDATORS[3], task.prove(bad))
    after = [task.ledger.balance(a) for a in (STRANGER, CLIENTS[1], due)]
    assert after[0] == balances[0] + 2 * BOND
    assert after[1] >= balances[1] + BOND  # and what compensates it
    assert after[2] >= balances[2] + BOND
    assert task.ledger.state.demands.all_keys() == []


def test_a_settlement_returns_the_bonds_that_are_not_decided() -> None:
    task = opened(demand_blocks=50)
    task.ledger.accept(STRANGER, demand(task, 1, attempt_id=1, model=True))
    answer_all(task, 2, answer(task, 1, attempt_id=1, model=True))
    before = task.ledger.balance(STRANGER)
    task.ledger.blocks(6)
    assert task.task.settled_round == 1
    assert task.ledger.balance(STRANGER) == before + BOND


def test_the_end_of_a_task_returns_all_bonds() -> None:
    task = TaskHarness.start(
        LedgerHarness(), aggregators=[a.address for a in AGGREGATORS[:2]], pause_blocks=3, min_window_blocks=30,
        demand_blocks=30,
    )  # fmt: skip
    task.run_round(1)
    for account in AGGREGATORS[:2]:
        task.ledger.accept(account, Unbond(role=AGGREGATOR, amount=AGGREGATOR_STAKE))
    task.commit_all(2)
    assert task.task.status == state_pb2.TASK_STATUS_PAUSED
    before = task.ledger.balance(STRANGER)
    task.ledger.accept(STRANGER, demand(task, 1, attempt_id=1, model=True))  # its rounds go on while it is paused
    while task.task.status != state_pb2.TASK_STATUS_ABORTED:
        task.ledger.block()
    assert task.ledger.balance(STRANGER) == before - FEE
    assert task.ledger.state.demands.all_keys() == []


# Of the base.


def build_on_a_base_that_is_demanded(**overrides: Any) -> TaskHarness:
    """Round 2 is being aggregated while validators look for the model that it builds on."""
    task = opened(**{"min_window_blocks": 30, "demand_blocks": 8, **overrides})
    task.commit_all(2)
    task.ledger.accept(AGGREGATORS[1], demand(task, 1, attempt_id=1, model=True))
    return task


def test_nobody_is_late_whose_base_is_looked_for() -> None:
    task = build_on_a_base_that_is_demanded()
    task.ledger.blocks(6)
    assert (task.round(2).turn, task.due_aggregator(2)) == (0, AGGREGATORS[1])
    answer_all(task, 2, answer(task, 1, attempt_id=1, model=True))
    current = task.round(2)
    assert (current.turn, current.restarts, current.turn_start_height) == (0, 0, task.ledger.height)
    task.ledger.blocks(4)
    assert task.round(2).turn == 0
    task.ledger.block()
    assert task.round(2).turn == 1
    assert task.ledger.must_stake(AGGREGATOR, AGGREGATORS[1]).faults == 1


def test_a_base_that_is_missing_is_its_authors_fault_alone() -> None:
    task = build_on_a_base_that_is_demanded()
    task.ledger.blocks(8)
    assert task.task.head_round == 1
    assert [task.ledger.must_stake(AGGREGATOR, a).faults for a in AGGREGATORS] == [1, 0, 0]


def test_a_base_behind_a_dropped_round() -> None:
    task = opened(min_window_blocks=60, demand_blocks=8, training_blocks=3)
    task.ledger.blocks(3)
    assert task.round(2).aggregator == b""
    task.commit_all(3)
    due = task.due_aggregator(3)
    task.ledger.accept(due, demand(task, 1, attempt_id=1, model=True))
    task.ledger.blocks(6)
    assert task.round(3).turn == 0
    answer_all(task, 2, answer(task, 1, attempt_id=1, model=True))
    assert task.round(3).turn_start_height == task.ledger.height


def test_another_rounds_base_holds_nobody_up() -> None:
    """Round 3 builds on round 2: that round 1's model is looked for, or found, is not its aggregator's excuse."""
    task = opened(min_window_blocks=60, demand_blocks=30)
    task.run_round(2)
    task.commit_all(3)
    before = task.round(3)
    task.ledger.accept(STRANGER, demand(task, 1, attempt_id=1, model=True))
    answer_all(task, 2, answer(task, 1, attempt_id=1, model=True))
    assert task.round(3) == before
    task.ledger.blocks(3)
    assert task.round(3).turn == 1


def test_a_model_that_is_looked_for_is_not_the_next_rounds_excuse() -> None:
    task = opened(min_window_blocks=60, demand_blocks=30)
    task.run_round(2)
    task.commit_all(3)
    task.ledger.accept(STRANGER, demand(task, 1, attempt_id=1, model=True))
    task.ledger.blocks(5)
    assert task.round(3).turn == 1
