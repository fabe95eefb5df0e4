"""CommitVote: a voter, once, while the vote takes commitments, with a ballot that can be held against it."""

from __future__ import annotations

from typing import Any

import pytest

from abci_app.state_machine import TxResult
from optfl import errors
from optfl.ballots import sign_ballot
from optfl.votes import build_ballot
from optfl.wire import state_pb2
from optfl.wire.transaction_pb2 import BALLOT_KIND_AGGREGATE, CommitVote, Unbond, Vote
from support.ledger import (
    AGGREGATORS,
    CHAIN_ID,
    REQUESTER,
    STRANGER,
    VALIDATOR,
    VALIDATOR_STAKE,
    VALIDATORS,
    LedgerHarness,
    TaskHarness,
)
from support.votes import ABSTAIN, challenge, commit_all, commit_vote, get_attempt, get_challenge, votes_for

VOTE = Vote(root=bytes(32))
COMMITTING, REVEALING, DECIDED = (
    state_pb2.CHALLENGE_STATUS_COMMITTING,
    state_pb2.CHALLENGE_STATUS_REVEALING,
    state_pb2.CHALLENGE_STATUS_DECIDED,
)


def challenged(ledger: LedgerHarness | None = None, **overrides: Any) -> TaskHarness:
    """A task whose attempt 1 is challenged."""
    task = TaskHarness.start(ledger, **{"min_window_blocks": 30, **overrides})
    task.run_round(1)
    challenge(task, 1)
    return task


def committed(task: TaskHarness) -> list[bytes]:
    return [voter.operator for voter in get_challenge(task, 1).voters if voter.commitment]


def test_a_voter_commits() -> None:
    task = challenged()
    message = commit_vote(task, 1, VALIDATORS[2], VOTE)
    result = task.ledger.accept(VALIDATORS[2], message)
    assert [event.kind for event in result.events] == ["vote_committed"]
    voter = next(v for v in get_challenge(task, 1).voters if v.operator == VALIDATORS[2].address)
    assert (voter.commitment, voter.HasField("vote"), voter.agreed) == (message.commitment, False, False)
    assert committed(task) == [VALIDATORS[2].address]


@pytest.mark.parametrize("sender", [STRANGER, REQUESTER, AGGREGATORS[0]])
def test_only_a_voter_commits(sender: Any) -> None:
    task = challenged()
    task.ledger.reject(errors.NotVoter, sender, commit_vote(task, 1, sender, VOTE))


def test_V10_whoever_had_power_at_the_opening_votes_even_if_it_has_none_now() -> None:
    task = challenged(LedgerHarness({"min_validators": 1}))
    task.ledger.accept(VALIDATORS[3], Unbond(role=VALIDATOR, amount=VALIDATOR_STAKE))
    found = task.ledger.validator(VALIDATORS[3])
    assert found is not None
    assert found.power == 0
    task.ledger.accept(VALIDATORS[3], commit_vote(task, 1, VALIDATORS[3], VOTE))


def test_one_commitment_a_voter() -> None:
    task = challenged()
    task.ledger.accept(VALIDATORS[0], commit_vote(task, 1, VALIDATORS[0], VOTE))
    for vote in (VOTE, ABSTAIN):
        task.ledger.reject(errors.AlreadyVoted, VALIDATORS[0], commit_vote(task, 1, VALIDATORS[0], vote))


def test_nor_two_in_one_block() -> None:
    task = challenged()
    txs = [task.ledger.sign(VALIDATORS[0], commit_vote(task, 1, VALIDATORS[0], vote)) for vote in (VOTE, ABSTAIN)]
    assert [result.code for result in task.ledger.block(*txs).results] == [0, errors.AlreadyVoted.code]


# When.


def test_up_to_and_including_the_deadline() -> None:
    task = challenged()
    deadline = get_challenge(task, 1).commit_deadline_height
    while task.ledger.height < deadline - 1:
        task.ledger.block()
    task.ledger.accept(VALIDATORS[0], commit_vote(task, 1, VALIDATORS[0], VOTE))
    assert task.ledger.height == deadline


def test_not_after_it() -> None:
    task = challenged()
    deadline = get_challenge(task, 1).commit_deadline_height
    while task.ledger.height < deadline:
        task.ledger.block()
    task.ledger.reject(errors.WrongVotePhase, VALIDATORS[0], commit_vote(task, 1, VALIDATORS[0], VOTE))


def test_A8_the_deadline_waits_until_a_third_of_the_power_has_proposed() -> None:
    """One proposer alone cannot keep the others' votes out."""
    task = challenged()
    for _ in range(20):
        task.ledger.block(proposer=0)
    assert get_challenge(task, 1).status == COMMITTING
    tx = task.ledger.sign(VALIDATORS[1], commit_vote(task, 1, VALIDATORS[1], VOTE))
    assert task.ledger.block(tx, proposer=1).results[0].code == 0
    assert get_challenge(task, 1).status == REVEALING


def test_not_once_all_have_committed() -> None:
    task = challenged()
    commit_all(task, 1, votes_for(*[bytes(32)] * 4))
    assert get_challenge(task, 1).status == REVEALING
    task.ledger.reject(errors.WrongVotePhase, VALIDATORS[0], commit_vote(task, 1, VALIDATORS[0], VOTE))


def test_not_after_the_verdict() -> None:
    task = challenged()
    while get_challenge(task, 1).status != DECIDED:
        task.ledger.block()
    task.ledger.reject(errors.WrongVotePhase, VALIDATORS[0], commit_vote(task, 1, VALIDATORS[0], VOTE))


# On what.


def test_the_task_must_exist() -> None:
    task = challenged()
    message = commit_vote(task, 1, VALIDATORS[0], VOTE, task_id=2)
    task.ledger.reject(errors.UnknownTask, VALIDATORS[0], message)


@pytest.mark.parametrize("attempt_id", [0, 2, 3, 2**32 - 1])
def test_the_attempt_must_be_challenged(attempt_id: int) -> None:
    task = challenged()
    task.run_round(2)
    message = commit_vote(task, 1, VALIDATORS[0], VOTE, attempt_id=attempt_id)
    task.ledger.reject(errors.UnknownChallenge, VALIDATORS[0], message)


def test_L8_a_commitment_for_another_tasks_attempt_counts_nothing_here() -> None:
    """Its ballot is about that one, although the attempt has the same number."""
    ledger = LedgerHarness()
    first = challenged(ledger)
    second = TaskHarness(ledger)
    second.create(min_window_blocks=30)
    second.join_all()
    ledger.accept(REQUESTER, second.start_task())
    second.run_round(1)
    challenge(second, 1)
    message = commit_vote(first, 1, VALIDATORS[0], VOTE, task_id=2)
    ledger.reject(errors.BadBallots, VALIDATORS[0], message)
    ledger.accept(VALIDATORS[0], commit_vote(second, 1, VALIDATORS[0], VOTE))


# With what.


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_commitment_has_32_bytes(size: int) -> None:
    task = challenged()
    message = commit_vote(task, 1, VALIDATORS[0], VOTE, commitment=bytes(size))
    task.ledger.reject(errors.InvalidField, VALIDATORS[0], message)


def reject_signature(task: TaskHarness, message: CommitVote, signature: bytes) -> TxResult:
    message.signature = signature
    return task.ledger.reject(errors.BadBallots, VALIDATORS[0], message)


def test_the_ballot_must_be_signed_by_the_voter() -> None:
    task = challenged()
    message = commit_vote(task, 1, VALIDATORS[0], VOTE)
    ballot = build_ballot(CHAIN_ID, get_attempt(task, 1), message.commitment)
    reject_signature(task, message, b"")
    reject_signature(task, message, bytes(64))
    reject_signature(task, message, sign_ballot(VALIDATORS[1], ballot))
    other = build_ballot(CHAIN_ID, get_attempt(task, 1), bytes(32))
    reject_signature(task, message, sign_ballot(VALIDATORS[0], other))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("chain_id", "other"),
        ("task_id", 2),
        ("round", 2),
        ("parent_attempt", 1),
        ("turn", 1),
        ("restarts", 1),
        ("kind", BALLOT_KIND_AGGREGATE),
    ],
)
def test_L8_the_ballot_binds_all_of_it(field: str, value: Any) -> None:
    task = challenged()
    message = commit_vote(task, 1, VALIDATORS[0], VOTE)
    ballot = build_ballot(CHAIN_ID, get_attempt(task, 1), message.commitment)
    setattr(ballot, field, value)
    reject_signature(task, message, sign_ballot(VALIDATORS[0], ballot))


def test_V9_a_copied_commitment_cannot_be_revealed() -> None:
    """It is taken, since nobody can see what is in it; it binds the one who made it, so it is worth nothing."""
    task = challenged()
    copied = commit_vote(task, 1, VALIDATORS[0], VOTE).commitment
    ballot = build_ballot(CHAIN_ID, get_attempt(task, 1), copied)
    message = commit_vote(task, 1, VALIDATORS[1], VOTE, commitment=copied, signature=sign_ballot(VALIDATORS[1], ballot))
    task.ledger.accept(VALIDATORS[1], message)
