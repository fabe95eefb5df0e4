"""Convictions: slash, exclude, revert to the lowest convicted round, and share out what was taken."""

from __future__ import annotations

import pytest

from abci_app.state.keyspace import attempt_key, round_key
from optfl import errors
from optfl.wire import state_pb2
from optfl.wire.transaction_pb2 import AddStake, RegisterRole, Unbond
from support.ledger import (
    AGGREGATOR,
    AGGREGATOR_STAKE,
    AGGREGATORS,
    BALANCE,
    CLIENT,
    CLIENT_STAKE,
    CLIENTS,
    FEE,
    REQUESTER,
    STRANGER,
    VALIDATORS,
    LedgerHarness,
    TaskHarness,
)


def pipeline(bad: set[int], rounds: int, **overrides: object) -> TaskHarness:
    """A task with rounds 1 to `rounds` open, those in `bad` wrong; round `rounds` + 1 trains."""
    task = TaskHarness.start(rounds=8, min_window_blocks=30, **overrides)
    for number in range(1, rounds + 1):
        task.commit_all(number)
        task.aggregate(number, task.poisoned_model(number) if number in bad else None)
    return task


def conviction(task: TaskHarness, attempt_id: int) -> state_pb2.Conviction:
    return task.ledger.state.disputes[attempt_key(task.task_id, attempt_id)]


def statuses(task: TaskHarness) -> list[int]:
    return [attempt.status for _, attempt in task.ledger.state.attempts.items()]


OPEN, VOID, CONVICTED = (
    state_pb2.ATTEMPT_STATUS_OPEN,
    state_pb2.ATTEMPT_STATUS_VOID,
    state_pb2.ATTEMPT_STATUS_CONVICTED,
)


def test_training_never_waits_for_a_dispute() -> None:
    """Invariant 6: r+1 trains while r is open, and so on."""
    task = pipeline(set(), 3)
    assert (task.task.settled_round, task.task.head_round) == (0, 4)
    assert [task.round(n).parent_attempt for n in (1, 2, 3, 4)] == [0, 1, 2, 3]


def test_later_rounds_are_void_and_earlier_ones_stay() -> None:
    task = pipeline({2}, 4)
    task.ledger.accept(STRANGER, task.prove(2))
    assert statuses(task) == [OPEN, CONVICTED, VOID, VOID]
    assert task.task.head_round == 2
    assert [task.ledger.round(n) is None for n in (1, 2, 3, 4, 5)] == [False, False, True, True, True]
    assert task.round(1).status == state_pb2.ROUND_STATUS_OPEN


def test_the_next_aggregator_redoes_the_round_from_the_same_updates() -> None:
    task = pipeline({2}, 3)
    old = task.ledger.attempt(2)
    selected = list(task.round(2).selected)
    task.ledger.accept(STRANGER, task.prove(2))
    current = task.round(2)
    assert old is not None
    assert current.status == state_pb2.ROUND_STATUS_AGGREGATING
    assert (current.turn, current.committed, list(current.selected)) == (1, 5, selected)
    assert current.aggregator not in (old.aggregator, b"")
    assert (current.turn_start_height, current.aggregation_deadline_height) == (
        task.ledger.height,
        task.ledger.height + 5,
    )
    redone = task.ledger.attempt(task.aggregate(2))
    assert redone is not None
    assert list(redone.inputs) == list(old.inputs)
    assert (redone.base_root, redone.turn, redone.parent_attempt) == (old.base_root, 1, old.parent_attempt)
    assert task.round(3).base_root == redone.model_root


def test_commitments_of_void_rounds_are_gone_and_those_of_the_redone_one_stay() -> None:
    task = pipeline({1}, 3)
    task.ledger.accept(STRANGER, task.prove(1))
    keys = task.ledger.state.commitments.all_keys()
    assert {key[:12] for key in keys} == {round_key(1, 1)}
    assert len(keys) == 5


def test_of_several_convictions_in_a_block_the_lowest_round_is_reverted_to() -> None:
    task = pipeline({2, 4}, 4)
    task.ledger.block(
        task.ledger.sign(STRANGER, task.prove(4)), task.ledger.sign(VALIDATORS[0], task.prove(2)), proposer=1
    )
    assert statuses(task) == [OPEN, CONVICTED, VOID, CONVICTED]
    assert (task.task.head_round, task.round(2).turn) == (2, 1)
    assert all(task.ledger.must_stake(AGGREGATOR, a).excluded for a in (AGGREGATORS[1], AGGREGATORS[0]))
    assert task.due_aggregator(2) is AGGREGATORS[2]


def test_of_several_convictions_in_a_block_one_pays_the_clients_once() -> None:
    """What the clients of void rounds lost is lost once, whoever else was convicted beside."""
    task = pipeline({1, 2}, 3)
    before = [task.ledger.balance(c) for c in CLIENTS]
    task.ledger.block(task.ledger.sign(STRANGER, task.prove(1)), task.ledger.sign(REQUESTER, task.prove(2)))
    assert [task.ledger.balance(c) for c in CLIENTS] == [b + 2 * 100 for b in before]  # of rounds 2 and 3
    first, second = conviction(task, 1), conviction(task, 2)
    assert (first.reverted, first.compensation, first.voided_rounds) == (True, 1000, 3)
    assert (second.reverted, second.compensation, second.voided_rounds) == (False, 0, 0)


def test_two_tasks_revert_apart_in_one_block() -> None:
    ledger = LedgerHarness()
    first = TaskHarness.start(ledger, min_window_blocks=20)
    second = TaskHarness(ledger)
    second.create(min_window_blocks=20, aggregators=[a.address for a in reversed(AGGREGATORS)])
    ledger.accept(REQUESTER, second.start_task())
    for task in (first, second):
        task.commit_all(1)
        task.aggregate(1, task.poisoned_model(1))
    ledger.block(ledger.sign(STRANGER, first.prove(1)), ledger.sign(VALIDATORS[0], second.prove(1)))
    assert (first.round(1).turn, second.round(1).turn) == (1, 1)
    assert (conviction(first, 1).reverted, conviction(second, 1).reverted) == (True, True)


def test_the_culprit_loses_its_stake_and_is_excluded_for_good() -> None:
    task = pipeline({1}, 1)
    task.ledger.accept(STRANGER, task.prove(1))
    stake = task.ledger.must_stake(AGGREGATOR, AGGREGATORS[0])
    assert (stake.amount, stake.excluded) == (0, True)
    due = []
    for number in (1, 2, 3, 4, 5):
        if number > 1:
            task.commit_all(number)
        due.append(task.due_aggregator(number))
        task.aggregate(number)
    assert AGGREGATORS[0] not in due


def test_what_is_unbonding_is_slashed_too() -> None:
    task = pipeline({1}, 1)
    task.ledger.accept(AGGREGATORS[0], Unbond(role=AGGREGATOR, amount=60_000))
    task.ledger.accept(AGGREGATORS[0], Unbond(role=AGGREGATOR, amount=40_000))
    task.ledger.accept(STRANGER, task.prove(1))
    assert [entry.amount for entry in task.ledger.unbonding(AGGREGATOR, AGGREGATORS[0])] == [0, 0]
    assert conviction(task, 1).slashed == AGGREGATOR_STAKE


def test_other_roles_of_the_culprit_are_untouched() -> None:
    task = pipeline({1}, 1)
    task.ledger.accept(AGGREGATORS[0], RegisterRole(role=CLIENT, stake=500))
    task.ledger.accept(STRANGER, task.prove(1))
    stake = task.ledger.must_stake(CLIENT, AGGREGATORS[0])
    assert (stake.amount, stake.excluded) == (500, False)


@pytest.mark.parametrize(("percent", "taken"), [(0, 0), (1, 2_000), (33, 66_000), (50, 100_000), (100, 200_000)])
def test_a_slash_is_shared_out_to_the_last_token(percent: int, taken: int) -> None:
    """A10: 10 % to the prover, at most 40 % to the clients of void rounds, the rest is burned."""
    ledger = LedgerHarness(params={"fraud_slash_percent": percent})
    task = TaskHarness.start(ledger, min_window_blocks=20)
    for number in (1, 2):
        task.commit_all(number)
        task.aggregate(number, task.poisoned_model(number) if number == 1 else None)
    task.commit_all(3)
    clients = [ledger.balance(c) for c in CLIENTS]
    burned = ledger.state.supply.burned
    task.ledger.accept(STRANGER, task.prove(1))
    record = conviction(task, 1)
    reward, each = taken // 10, min(100, taken * 40 // 100 // 10)  # 5 clients of 2 rounds
    assert (record.slashed, record.reporter_reward, record.compensation) == (taken, reward, 10 * each)
    assert record.burned == taken - reward - 10 * each
    assert record.burned * 2 >= taken
    assert ledger.balance(STRANGER) == BALANCE - FEE + reward
    assert [ledger.balance(c) for c in CLIENTS] == [before + 2 * each for before in clients]
    assert ledger.state.supply.burned == burned + record.burned


def test_clients_of_the_redone_round_are_paid_by_its_settlement_not_by_the_slash() -> None:
    task = pipeline({1}, 1)
    task.ledger.accept(STRANGER, task.prove(1))
    record = conviction(task, 1)
    assert (record.compensation, record.voided_rounds) == (0, 1)  # round 2 had no commit yet
    assert record.burned == AGGREGATOR_STAKE - AGGREGATOR_STAKE // 10


def test_the_record_of_a_conviction_is_kept_for_good() -> None:
    task = pipeline({2}, 3)
    attempt = task.ledger.attempt(2)
    assert attempt is not None
    task.ledger.accept(STRANGER, task.prove(2))
    record = conviction(task, 2)
    assert (record.round, record.aggregator, record.prover) == (2, AGGREGATORS[1].address, STRANGER.address)
    assert (record.proof_kind, record.submit_height, record.convicted_height) == (
        "output",
        attempt.submit_height,
        task.ledger.height,
    )
    assert (record.voided_rounds, record.reverted) == (2, True)
    task.ledger.blocks(70)
    assert task.ledger.attempt(2) is None
    assert conviction(task, 2) == record


def test_after_the_last_attempt_the_round_is_dropped_without_fault() -> None:
    """A4: G_r = G_{r-1}, the round is open for settlement, and training goes on from the base."""
    task = TaskHarness.start(max_attempts=2)
    task.commit_all(1)
    for _ in range(2):
        bad = task.aggregate(1, task.poisoned_model(1))
        task.ledger.accept(STRANGER, task.prove(bad))
    current = task.round(1)
    assert (current.status, current.aggregator) == (state_pb2.ROUND_STATUS_OPEN, b"")
    assert task.round(2).base_root == task.models[0].root
    task.ledger.blocks(2)
    digest = task.ledger.state.digests[round_key(1, 1)]
    assert (digest.model_root, digest.aggregator, digest.updates) == (task.models[0].root, b"", 5)


def test_R8_when_all_are_excluded_the_task_pauses_and_is_aborted() -> None:
    """Seed 001's Algorithm 1 would look for an aggregator for ever, inside FinalizeBlock."""
    task = TaskHarness.start(max_attempts=10, pause_blocks=10)
    task.commit_all(1)
    for _ in range(3):
        bad = task.aggregate(1, task.poisoned_model(1))
        task.ledger.accept(STRANGER, task.prove(bad))
    assert (task.task.status, task.round(1).aggregator) == (state_pb2.TASK_STATUS_PAUSED, b"")
    paused = task.task.paused_height
    escrow, before = task.task.escrow, task.ledger.balance(REQUESTER)
    task.ledger.blocks(paused + 9 - task.ledger.height)
    assert task.task.status == state_pb2.TASK_STATUS_PAUSED
    task.ledger.block()
    assert (task.task.status, task.task.escrow) == (state_pb2.TASK_STATUS_ABORTED, 0)
    assert task.ledger.balance(REQUESTER) == before + escrow
    assert all(task.ledger.must_stake(CLIENT, c).open_tasks == 0 for c in CLIENTS)
    assert task.ledger.state.rounds.all_keys() == task.ledger.state.commitments.all_keys() == []
    assert [task.ledger.must_stake(CLIENT, c).amount for c in CLIENTS] == [CLIENT_STAKE] * 5


def test_R4_deadlines_of_void_rounds_do_not_fire() -> None:
    """Round 3's turn would be missed in the very block that makes the round void: nobody is late."""
    task = pipeline({1}, 2)
    task.commit_all(3)
    deadline = task.round(3).aggregation_deadline_height
    task.ledger.blocks(deadline - 1 - task.ledger.height)
    results = task.ledger.block(task.ledger.sign(STRANGER, task.prove(1)))
    assert task.ledger.height == deadline
    assert "turn_missed" not in [event.kind for event in results.events]
    assert task.task.head_round == 1
    events = [event.kind for _ in range(4) for event in task.ledger.block().events]
    assert "turn_missed" not in events
    assert task.round(1).turn == 1


def test_R4_a_submission_for_a_void_round_changes_nothing() -> None:
    task = pipeline({1}, 2)
    task.commit_all(3)
    submission, due = task.submit_aggregate(3), task.due_aggregator(3)
    task.ledger.accept(STRANGER, task.prove(1))
    task.ledger.reject(errors.UnknownRound, due, submission)


def test_R4_a_conviction_comes_before_the_submission_of_its_own_block_takes_effect() -> None:
    """The submission is accepted, then its round is void with all others: its attempt is void too, not live."""
    task = pipeline({1}, 2)
    task.commit_all(3)
    submission = task.ledger.sign(task.due_aggregator(3), task.submit_aggregate(3))
    results = task.ledger.block(submission, task.ledger.sign(STRANGER, task.prove(1))).results
    assert [result.code for result in results] == [0, 0]
    assert statuses(task) == [CONVICTED, VOID, VOID]
    assert task.task.head_round == 1


@pytest.mark.parametrize("comes_back", [False, True])
def test_a_revert_under_a_paused_head_asks_anew_for_an_aggregator(comes_back: bool) -> None:
    """The paused round is void; the one reverted to is given to who is eligible now, or pauses the task again."""
    task = TaskHarness.start(min_window_blocks=30, pause_blocks=50, aggregators=[a.address for a in AGGREGATORS[:2]])
    task.commit_all(1)
    bad = task.aggregate(1, task.poisoned_model(1))
    for account in AGGREGATORS[:2]:
        task.ledger.accept(account, Unbond(role=AGGREGATOR, amount=AGGREGATOR_STAKE))
    task.commit_all(2)
    assert (task.task.status, task.task.head_round) == (state_pb2.TASK_STATUS_PAUSED, 2)
    task.ledger.blocks(3)
    back = [task.ledger.sign(AGGREGATORS[1], AddStake(role=AGGREGATOR, amount=AGGREGATOR_STAKE))] * comes_back
    task.ledger.block(task.ledger.sign(STRANGER, task.prove(bad)), *back)
    status = state_pb2.TASK_STATUS_RUNNING if comes_back else state_pb2.TASK_STATUS_PAUSED
    assert (task.task.status, task.task.head_round) == (status, 1)
    if comes_back:
        assert task.due_aggregator(1) is AGGREGATORS[1]
    else:
        assert task.task.paused_height == task.ledger.height


def test_a_revert_under_a_paused_head_may_drop_the_round_and_training_goes_on() -> None:
    """No turn is left for round 1: it is open without fault, and the task runs although nobody is eligible."""
    task = TaskHarness.start(
        min_window_blocks=30, pause_blocks=50, max_attempts=1, aggregators=[AGGREGATORS[0].address]
    )
    task.commit_all(1)
    bad = task.aggregate(1, task.poisoned_model(1))
    task.ledger.accept(AGGREGATORS[0], Unbond(role=AGGREGATOR, amount=AGGREGATOR_STAKE))
    task.commit_all(2)
    assert task.task.status == state_pb2.TASK_STATUS_PAUSED
    task.ledger.accept(STRANGER, task.prove(bad))
    assert (task.task.status, task.task.head_round) == (state_pb2.TASK_STATUS_RUNNING, 2)
    assert task.round(2).status == state_pb2.ROUND_STATUS_TRAINING
