"""RevealVote: what was committed to, once, while the vote takes reveals; of the kind that the task compares."""

from __future__ import annotations

from typing import Any

import pytest

from optfl import errors
from optfl.keys import SigningKey
from optfl.sketch import MAX_VALUE, ROWS
from optfl.wire import state_pb2
from optfl.wire.transaction_pb2 import ABSTAIN_REASON_UNSUPPORTED, Sketch, Vote
from support.ledger import REQUESTER, STRANGER, VALIDATORS, LedgerHarness, TaskHarness
from support.votes import (
    ABSTAIN,
    challenge,
    commit_all,
    commit_vote,
    get_challenge,
    reveal_all,
    reveal_vote,
    salt,
    start_float_task,
)

VOTE, OTHER = Vote(root=bytes(32)), Vote(root=b"\1" * 32)
REVEALING, DECIDED = state_pb2.CHALLENGE_STATUS_REVEALING, state_pb2.CHALLENGE_STATUS_DECIDED


def committed(votes: dict[SigningKey, Vote], task: TaskHarness | None = None) -> TaskHarness:
    """A challenge to which these have committed, and which takes reveals."""
    if task is None:
        task = TaskHarness.start(min_window_blocks=30)
        task.run_round(1)
    challenge(task, 1)
    commit_all(task, 1, votes)
    while get_challenge(task, 1).status != REVEALING:
        task.ledger.block()
    return task


def test_a_voter_reveals() -> None:
    task = committed({VALIDATORS[1]: VOTE, VALIDATORS[2]: VOTE})
    result = task.ledger.accept(VALIDATORS[1], reveal_vote(task, 1, VALIDATORS[1], VOTE))
    assert [event.kind for event in result.events] == ["vote_revealed"]
    voter = next(v for v in get_challenge(task, 1).voters if v.operator == VALIDATORS[1].address)
    assert voter.vote == VOTE


@pytest.mark.parametrize("vote", [ABSTAIN, Vote(abstain=ABSTAIN_REASON_UNSUPPORTED), VOTE])
def test_a_result_or_a_reason(vote: Vote) -> None:
    task = committed({VALIDATORS[0]: vote, VALIDATORS[1]: vote})
    task.ledger.accept(VALIDATORS[0], reveal_vote(task, 1, VALIDATORS[0], vote))


def test_the_votes_are_forgotten_with_the_verdict() -> None:
    task = committed({VALIDATORS[0]: VOTE})
    task.ledger.accept(VALIDATORS[0], reveal_vote(task, 1, VALIDATORS[0], VOTE))
    assert get_challenge(task, 1).status == DECIDED
    assert not any(voter.HasField("vote") for voter in get_challenge(task, 1).voters)


@pytest.mark.parametrize("sender", [STRANGER, REQUESTER])
def test_only_a_voter_reveals(sender: SigningKey) -> None:
    task = committed({VALIDATORS[0]: VOTE})
    task.ledger.reject(errors.NotVoter, sender, reveal_vote(task, 1, sender, VOTE))


def test_only_who_committed() -> None:
    task = committed({VALIDATORS[0]: VOTE})
    task.ledger.reject(errors.BadReveal, VALIDATORS[1], reveal_vote(task, 1, VALIDATORS[1], VOTE))


def test_only_once() -> None:
    task = committed({VALIDATORS[0]: VOTE, VALIDATORS[1]: VOTE})
    task.ledger.accept(VALIDATORS[0], reveal_vote(task, 1, VALIDATORS[0], VOTE))
    task.ledger.reject(errors.AlreadyVoted, VALIDATORS[0], reveal_vote(task, 1, VALIDATORS[0], VOTE))


def test_nor_twice_in_one_block() -> None:
    task = committed({VALIDATORS[0]: VOTE, VALIDATORS[1]: VOTE})
    txs = [task.ledger.sign(VALIDATORS[0], reveal_vote(task, 1, VALIDATORS[0], VOTE)) for _ in range(2)]
    assert [result.code for result in task.ledger.block(*txs).results] == [0, errors.AlreadyVoted.code]


# When.


def test_V8_not_while_commitments_are_taken() -> None:
    """Who sees a vote before it is bound to its own could copy it, or fit a lie to it."""
    task = TaskHarness.start()
    task.run_round(1)
    challenge(task, 1)
    commit_all(task, 1, {VALIDATORS[0]: VOTE})
    task.ledger.reject(errors.WrongVotePhase, VALIDATORS[0], reveal_vote(task, 1, VALIDATORS[0], VOTE))


def test_not_in_the_block_that_ends_the_commitments() -> None:
    task = TaskHarness.start()
    task.run_round(1)
    challenge(task, 1)
    commits = [task.ledger.sign(v, commit_vote(task, 1, v, VOTE)) for v in VALIDATORS]
    early = task.ledger.sign(VALIDATORS[0], reveal_vote(task, 1, VALIDATORS[0], VOTE))
    results = task.ledger.block(*commits, early).results
    assert results[-1].code == errors.WrongVotePhase.code
    assert get_challenge(task, 1).status == REVEALING
    task.ledger.accept(VALIDATORS[0], reveal_vote(task, 1, VALIDATORS[0], VOTE))


def test_up_to_and_including_the_deadline() -> None:
    task = committed({VALIDATORS[0]: VOTE})
    deadline = get_challenge(task, 1).reveal_deadline_height
    while task.ledger.height < deadline - 1:
        task.ledger.block()
    task.ledger.accept(VALIDATORS[0], reveal_vote(task, 1, VALIDATORS[0], VOTE))
    assert task.ledger.height == deadline


def test_not_after_it() -> None:
    task = committed({VALIDATORS[0]: VOTE})
    deadline = get_challenge(task, 1).reveal_deadline_height
    while task.ledger.height < deadline:
        task.ledger.block()
    task.ledger.reject(errors.WrongVotePhase, VALIDATORS[0], reveal_vote(task, 1, VALIDATORS[0], VOTE))


def test_A8_the_deadline_waits_until_a_third_of_the_power_has_proposed() -> None:
    task = committed({VALIDATORS[0]: VOTE, VALIDATORS[1]: VOTE})
    for _ in range(10):
        task.ledger.block(proposer=0)
    tx = task.ledger.sign(VALIDATORS[1], reveal_vote(task, 1, VALIDATORS[1], VOTE))
    assert task.ledger.block(tx, proposer=1).results[0].code == 0
    assert get_challenge(task, 1).status == DECIDED


# On what.


def test_the_task_must_exist() -> None:
    task = committed({VALIDATORS[0]: VOTE})
    task.ledger.reject(errors.UnknownTask, VALIDATORS[0], reveal_vote(task, 1, VALIDATORS[0], VOTE, task_id=7))


@pytest.mark.parametrize("attempt_id", [0, 2, 2**32 - 1])
def test_the_attempt_must_be_challenged(attempt_id: int) -> None:
    task = committed({VALIDATORS[0]: VOTE})
    message = reveal_vote(task, 1, VALIDATORS[0], VOTE, attempt_id=attempt_id)
    task.ledger.reject(errors.UnknownChallenge, VALIDATORS[0], message)


def test_L8_a_reveal_for_another_tasks_attempt_opens_nothing_here() -> None:
    ledger = LedgerHarness()
    first = TaskHarness.start(ledger, min_window_blocks=30)
    first.run_round(1)
    second = TaskHarness(ledger)
    second.create(min_window_blocks=30)
    second.join_all()
    ledger.accept(REQUESTER, second.start_task())
    second.run_round(1)
    committed({VALIDATORS[0]: VOTE, VALIDATORS[1]: VOTE}, first)
    committed({VALIDATORS[0]: OTHER, VALIDATORS[1]: OTHER}, second)
    ledger.reject(errors.BadReveal, VALIDATORS[0], reveal_vote(first, 1, VALIDATORS[0], VOTE, task_id=2))
    ledger.accept(VALIDATORS[0], reveal_vote(second, 1, VALIDATORS[0], OTHER))


# What.


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_salt_has_32_bytes(size: int) -> None:
    task = committed({VALIDATORS[0]: VOTE})
    message = reveal_vote(task, 1, VALIDATORS[0], VOTE, salt=bytes(size))
    task.ledger.reject(errors.InvalidField, VALIDATORS[0], message)


def test_a_vote_says_something() -> None:
    task = committed({VALIDATORS[0]: Vote()})
    task.ledger.reject(errors.BadReveal, VALIDATORS[0], reveal_vote(task, 1, VALIDATORS[0], Vote()))


@pytest.mark.parametrize("overrides", [{"vote": OTHER}, {"vote": ABSTAIN}, {"salt": salt(VALIDATORS[1])}])
def test_it_is_what_was_committed_to(overrides: dict[str, Any]) -> None:
    task = committed({VALIDATORS[0]: VOTE})
    task.ledger.reject(errors.BadReveal, VALIDATORS[0], reveal_vote(task, 1, VALIDATORS[0], VOTE, **overrides))


def test_V9_nobody_opens_anothers_commitment() -> None:
    task = committed({VALIDATORS[0]: VOTE, VALIDATORS[1]: OTHER})
    message = reveal_vote(task, 1, VALIDATORS[0], VOTE)  # as seen in the mempool
    task.ledger.reject(errors.BadReveal, VALIDATORS[1], message)


NO_EXACT_VOTES = [
    Vote(sketch=Sketch(values=[0] * ROWS)),
    Vote(root=b""),
    Vote(root=bytes(31)),
    Vote(abstain=0),  # type: ignore[arg-type]  # the default, set
    Vote(abstain=99),  # type: ignore[arg-type]  # of a later version
]


@pytest.mark.parametrize("vote", NO_EXACT_VOTES)
def test_an_exact_task_takes_roots(vote: Vote) -> None:
    task = committed({VALIDATORS[0]: vote})
    task.ledger.reject(errors.BadReveal, VALIDATORS[0], reveal_vote(task, 1, VALIDATORS[0], vote))


NO_FLOAT_VOTES = [
    VOTE,
    Vote(sketch=Sketch()),
    Vote(sketch=Sketch(values=[0] * (ROWS - 1))),
    Vote(sketch=Sketch(values=[0] * (ROWS + 1))),
    Vote(sketch=Sketch(values=[MAX_VALUE + 1] + [0] * (ROWS - 1))),
    Vote(sketch=Sketch(values=[-(2**63)] + [0] * (ROWS - 1))),
]


@pytest.mark.parametrize("vote", NO_FLOAT_VOTES)
def test_a_float_task_takes_sketches(vote: Vote) -> None:
    task = committed({VALIDATORS[0]: vote}, start_float_task(min_window_blocks=30))
    task.ledger.reject(errors.BadReveal, VALIDATORS[0], reveal_vote(task, 1, VALIDATORS[0], vote))


def test_a_float_task_takes_any_sketch_of_models() -> None:
    vote = Vote(sketch=Sketch(values=[MAX_VALUE, -MAX_VALUE] * (ROWS // 2)))
    task = committed({VALIDATORS[0]: vote, VALIDATORS[1]: ABSTAIN}, start_float_task(min_window_blocks=30))
    reveal_all(task, 1, {VALIDATORS[0]: vote, VALIDATORS[1]: ABSTAIN})
    assert get_challenge(task, 1).status == DECIDED


def test_a_vote_that_cannot_be_revealed_is_silence() -> None:
    task = committed({VALIDATORS[0]: Vote(root=bytes(31)), VALIDATORS[1]: VOTE})
    task.ledger.accept(VALIDATORS[1], reveal_vote(task, 1, VALIDATORS[1], VOTE))
    while get_challenge(task, 1).status != DECIDED:
        task.ledger.block()
    agreed = {voter.operator for voter in get_challenge(task, 1).voters if voter.agreed}
    assert agreed == {VALIDATORS[1].address}
