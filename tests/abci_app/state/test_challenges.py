"""Challenges: what opening one records, and whose stakes it holds back."""

from __future__ import annotations

import pytest

from abci_app.state import State
from abci_app.state.challenges import has_live_challenge, hold_stake, open_challenge
from abci_app.state.keyspace import stake_key
from optfl.wire import state_pb2
from support.ledger import VALIDATOR, VALIDATORS, TaskHarness
from support.votes import get_attempt

OPERATOR = VALIDATORS[0].address


def with_attempt() -> tuple[TaskHarness, State]:
    """A task whose attempt 1 is open, and its state to write to."""
    task = TaskHarness.start()
    task.run_round(1)
    return task, task.ledger.state


def test_the_ledger_opens_one_without_a_bond() -> None:
    task, state = with_attempt()
    attempt = get_attempt(task, 1)
    assert not has_live_challenge(state, attempt)
    open_challenge(state, task.task, attempt, 50)
    [challenge] = [c for _, c in state.challenges.items()]
    assert (challenge.open_height, challenge.commit_deadline_height, list(challenge.bonds)) == (50, 54, [])
    assert has_live_challenge(state, attempt)


def test_who_has_no_power_is_not_called() -> None:
    task, state = with_attempt()
    gone = state.validators[OPERATOR]
    gone.power = 0
    state.validators.put(OPERATOR, gone)
    open_challenge(state, task.task, get_attempt(task, 1), 50)
    [challenge] = [c for _, c in state.challenges.items()]
    assert [voter.operator for voter in challenge.voters] == sorted(v.address for v in VALIDATORS[1:])


def test_a_decided_one_is_not_live() -> None:
    task, state = with_attempt()
    attempt = get_attempt(task, 1)
    open_challenge(state, task.task, attempt, 50)
    [(key, challenge)] = list(state.challenges.items())
    challenge.status = state_pb2.CHALLENGE_STATUS_DECIDED
    state.challenges.put(key, challenge)
    assert not has_live_challenge(state, attempt)


@pytest.mark.parametrize(("held", "height", "expected"), [(0, 5, 5), (5, 5, 5), (9, 5, 9)])
def test_L6_a_stake_is_held_for_the_longest_of_its_reasons(held: int, height: int, expected: int) -> None:
    state = State({})
    key = stake_key(VALIDATOR, OPERATOR)
    state.stakes.put(key, state_pb2.Stake(role=VALIDATOR, address=OPERATOR, amount=1, evidence_height=held))
    hold_stake(state, VALIDATOR, OPERATOR, height)
    assert state.stakes[key].evidence_height == expected


def test_a_stake_that_is_gone_is_not_made() -> None:
    state = State({})
    hold_stake(state, VALIDATOR, OPERATOR, 5)
    assert state.stakes.all_keys() == []
