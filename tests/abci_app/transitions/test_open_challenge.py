"""OpenChallenge: with a bond, in the window, once for an attempt and an account; the validators are called to vote."""

from __future__ import annotations

from typing import Any

import pytest

from abci_app.state.challenges import MAX_CHALLENGERS
from optfl import errors
from optfl.keys import SigningKey
from optfl.wire import state_pb2
from optfl.wire.transaction_pb2 import CancelTask, OpenChallenge, Transfer
from support.ledger import (
    ACCOUNTS,
    AGGREGATOR,
    BALANCE,
    CLIENTS,
    FEE,
    PARAMS,
    REQUESTER,
    STRANGER,
    VALIDATOR,
    VALIDATORS,
    LedgerHarness,
    TaskHarness,
    consensus_key,
    key,
    register_validator,
)
from support.votes import challenge, find_challenge, get_attempt, get_challenge, open_challenge, run_vote, votes_for

BOND = 2_000


def with_attempt(ledger: LedgerHarness | None = None, **overrides: Any) -> TaskHarness:
    """A task whose first round is open, with attempt 1."""
    task = TaskHarness.start(ledger, **overrides)
    task.run_round(1)
    return task


def test_it_calls_the_validators_to_vote() -> None:
    task = with_attempt()
    result = task.ledger.accept(STRANGER, open_challenge(task, 1))
    height = task.ledger.height
    found = get_challenge(task, 1)
    assert (found.task_id, found.attempt_id, found.round) == (1, 1, 1)
    assert (found.status, found.verdict) == (state_pb2.CHALLENGE_STATUS_COMMITTING, state_pb2.VERDICT_UNSPECIFIED)
    assert (found.open_height, found.commit_deadline_height) == (height, height + 4)
    assert [(bond.address, bond.amount) for bond in found.bonds] == [(STRANGER.address, BOND)]
    assert [(voter.operator, voter.power) for voter in found.voters] == sorted((v.address, 100) for v in VALIDATORS)
    assert found.seed == task.ledger.state.chain.beacon
    assert [event.kind for event in result.events] == ["challenge_opened"]


def test_V8_the_projection_is_drawn_after_the_model_was_fixed() -> None:
    task = with_attempt()
    before = get_attempt(task, 1).beacon
    challenge(task, 1)
    assert get_challenge(task, 1).seed != before
    assert get_challenge(task, 1).seed == task.ledger.state.chain.beacon


def test_it_takes_the_bond() -> None:
    task = with_attempt()
    challenge(task, 1)
    assert task.ledger.balance(STRANGER) == BALANCE - FEE - BOND


def test_the_bond_must_be_there() -> None:
    task = with_attempt()
    spare = BALANCE - 2 * FEE - BOND
    task.ledger.accept(STRANGER, Transfer(recipient=REQUESTER.address, amount=spare + 1))
    task.ledger.reject(errors.InsufficientBalance, STRANGER, open_challenge(task, 1))
    task.ledger.accept(REQUESTER, Transfer(recipient=STRANGER.address, amount=FEE + 1))
    task.ledger.accept(STRANGER, open_challenge(task, 1))
    assert task.ledger.balance(STRANGER) == 0


@pytest.mark.parametrize("sender", [STRANGER, REQUESTER, VALIDATORS[0], CLIENTS[0]])
def test_anyone_may_challenge(sender: SigningKey) -> None:
    task = with_attempt()
    task.ledger.accept(sender, open_challenge(task, 1))


def test_even_the_author_may() -> None:
    task = with_attempt()
    task.ledger.accept(task.due_aggregator(1), open_challenge(task, 1))


# Which attempts.


@pytest.mark.parametrize("task_id", [0, 2, 2**64 - 1])
def test_the_task_must_exist(task_id: int) -> None:
    task = with_attempt()
    task.ledger.reject(errors.UnknownTask, STRANGER, OpenChallenge(task_id=task_id, attempt_id=1))


@pytest.mark.parametrize("attempt_id", [0, 2, 2**32 - 1])
def test_the_attempt_must_be_on_record(attempt_id: int) -> None:
    task = with_attempt()
    task.ledger.reject(errors.UnknownAttempt, STRANGER, open_challenge(task, attempt_id))


def test_L8_an_attempt_of_another_task_is_another_attempt() -> None:
    ledger = LedgerHarness()
    first = with_attempt(ledger)
    second = TaskHarness(ledger)
    second.create()
    assert (first.task_id, second.task_id) == (1, 2)
    ledger.reject(errors.UnknownAttempt, STRANGER, open_challenge(second, 1))
    assert find_challenge(first, 1) is None


def test_a_settled_attempt_is_off_the_record() -> None:
    task = with_attempt()
    while task.task.settled_round == 0:
        task.ledger.block()
    task.ledger.reject(errors.UnknownAttempt, STRANGER, open_challenge(task, 1))


def test_a_dropped_round_has_nobody_to_challenge() -> None:
    task = TaskHarness.start()
    while task.round(1).status == state_pb2.ROUND_STATUS_TRAINING:
        task.ledger.block()
    assert get_attempt(task, 1).aggregator == b""
    task.ledger.reject(errors.NotConvictable, STRANGER, open_challenge(task, 1))


def test_a_convicted_attempt_is_beyond_a_vote() -> None:
    task = TaskHarness.start()
    task.commit_all(1)
    task.aggregate(1, task.poisoned_model(1))
    task.ledger.accept(CLIENTS[0], task.prove(1))
    task.ledger.reject(errors.NotConvictable, STRANGER, open_challenge(task, 1))


def test_a_void_attempt_is_beyond_a_vote() -> None:
    task = TaskHarness.start()
    task.commit_all(1)
    task.aggregate(1, task.poisoned_model(1))
    task.run_round(2)
    task.ledger.accept(CLIENTS[0], task.prove(1))
    assert get_attempt(task, 2).status == state_pb2.ATTEMPT_STATUS_VOID
    task.ledger.reject(errors.NotConvictable, STRANGER, open_challenge(task, 2))


def test_a_cancelled_tasks_open_rounds_may_be_challenged() -> None:
    task = with_attempt()
    task.ledger.accept(REQUESTER, CancelTask(task_id=1))
    task.ledger.accept(STRANGER, open_challenge(task, 1))


# When.


def blocked() -> TaskHarness:
    """Attempt 2, whose window is over and which cannot settle: the vote on attempt 1 is going on."""
    task = with_attempt(vote_commit_blocks=40)
    task.run_round(2)
    challenge(task, 1)
    return task


def test_the_closing_block_still_counts() -> None:
    task = blocked()
    close = task.round(2).window_close_height
    while task.ledger.height < close - 1:
        task.ledger.block()
    task.ledger.accept(CLIENTS[0], open_challenge(task, 2))
    assert task.ledger.height == close


def test_after_the_closing_block_it_is_too_late() -> None:
    task = blocked()
    close = task.round(2).window_close_height
    while task.ledger.height < close:
        task.ledger.block()
    task.ledger.reject(errors.WindowOver, CLIENTS[0], open_challenge(task, 2))
    task.ledger.block(proposer=0)
    task.ledger.reject(errors.WindowOver, CLIENTS[0], open_challenge(task, 2))


def test_A8_the_window_stays_open_until_a_third_of_the_power_has_proposed() -> None:
    """One proposer alone leaves challenges out of its blocks; the first block of another one has room for them."""
    task = with_attempt()
    for _ in range(20):
        task.ledger.block(proposer=0)
    assert task.ledger.height > task.round(1).window_close_height + 10
    tx = task.ledger.sign(STRANGER, open_challenge(task, 1))
    assert task.ledger.block(tx, proposer=1).results[0].code == 0


def test_a_vote_keeps_its_round_from_settling() -> None:
    task = with_attempt(vote_commit_blocks=20, training_blocks=40)
    challenge(task, 1)
    close = task.round(1).window_close_height
    while (found := find_challenge(task, 1)) is not None:
        assert (task.task.settled_round, found.status == state_pb2.CHALLENGE_STATUS_DECIDED) == (0, False)
        task.ledger.block()
    assert task.ledger.height > close
    assert task.task.settled_round == 1  # it stood, and its window was over before the verdict


def test_training_does_not_wait_for_a_vote() -> None:
    task = with_attempt()
    challenge(task, 1)
    task.run_round(2)
    task.run_round(3)
    assert task.task.head_round == 4
    assert get_challenge(task, 1).status != state_pb2.CHALLENGE_STATUS_DECIDED


# More than one challenger.


def test_V6_who_doubts_it_too_joins() -> None:
    task = with_attempt()
    challenge(task, 1)
    opened = task.ledger.height
    result = task.ledger.accept(CLIENTS[0], open_challenge(task, 1))
    assert [event.kind for event in result.events] == ["challenge_joined"]
    found = get_challenge(task, 1)
    assert [bond.address for bond in found.bonds] == [STRANGER.address, CLIENTS[0].address]
    assert (found.open_height, found.commit_deadline_height) == (opened, opened + 4)
    assert task.ledger.balance(CLIENTS[0]) % FEE != 0


def test_nobody_joins_twice() -> None:
    task = with_attempt()
    challenge(task, 1)
    task.ledger.reject(errors.AlreadyChallenged, STRANGER, open_challenge(task, 1))


def test_two_in_one_block_open_and_join() -> None:
    task = with_attempt()
    challenge(task, 1, STRANGER, CLIENTS[0])
    assert len(get_challenge(task, 1).bonds) == 2
    second = task.ledger.sign(CLIENTS[1], open_challenge(task, 1))
    twice = task.ledger.sign(CLIENTS[1], open_challenge(task, 1))
    assert [r.code for r in task.ledger.block(second, twice).results] == [0, errors.AlreadyChallenged.code]


def test_there_is_room_for_sixteen() -> None:
    task = with_attempt()
    senders = [a for a in ACCOUNTS if task.ledger.balance(a) > 10 * FEE]
    assert len(senders) > MAX_CHALLENGERS == 16
    challenge(task, 1, *senders[:16])
    task.ledger.reject(errors.TooManyChallengers, senders[16], open_challenge(task, 1))


def test_nobody_joins_once_votes_are_revealed() -> None:
    """Whoever knows how it will end must not be able to bet on it."""
    task = with_attempt(min_window_blocks=30)
    challenge(task, 1)
    while get_challenge(task, 1).status == state_pb2.CHALLENGE_STATUS_COMMITTING:
        task.ledger.block()
    task.ledger.reject(errors.WrongVotePhase, CLIENTS[0], open_challenge(task, 1))


def test_V6_there_is_one_vote_on_an_attempt() -> None:
    task = with_attempt(min_window_blocks=30)
    challenge(task, 1)
    model = get_attempt(task, 1).model_root
    run_vote(task, 1, votes_for(model, model, model, model))
    task.ledger.reject(errors.AlreadyChallenged, STRANGER, open_challenge(task, 1))
    task.ledger.reject(errors.AlreadyChallenged, CLIENTS[0], open_challenge(task, 1))


# Who votes, and with what stake.


def test_V10_a_validator_that_joins_later_has_no_vote() -> None:
    task = with_attempt()
    newcomer = CLIENTS[0]
    register = register_validator(newcomer, consensus_key("newcomer"))
    results = task.ledger.block(
        task.ledger.sign(newcomer, register), task.ledger.sign(STRANGER, open_challenge(task, 1))
    )
    assert [result.code for result in results.results] == [0, 0]
    found = task.ledger.validator(newcomer)
    assert found is not None
    assert found.power == 100
    assert len(get_challenge(task, 1).voters) == 4


def test_L6_voters_stakes_are_held_past_the_verdict() -> None:
    task = with_attempt()
    challenge(task, 1)
    held = task.ledger.height + 4 + 3 + PARAMS["evidence_blocks"]
    for voter in VALIDATORS:
        assert task.ledger.must_stake(VALIDATOR, voter).evidence_height == held


def test_L6_a_longer_hold_is_not_made_shorter() -> None:
    task = with_attempt(min_window_blocks=30)
    culprit = task.due_aggregator(1)
    before = task.ledger.must_stake(AGGREGATOR, culprit).evidence_height
    challenge(task, 1)
    assert task.ledger.must_stake(AGGREGATOR, culprit).evidence_height == before


def test_it_has_to_come_from_an_account() -> None:
    task = with_attempt()
    task.ledger.reject(errors.UnknownAccount, key("nobody at all"), open_challenge(task, 1))
