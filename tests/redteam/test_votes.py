"""Red team, part 4: votes (V1–V8, V10). V9, the lazy vote, is a bound: see docs/protocol.md."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from abci_app.block_end import votes as votes_step
from abci_app.state import State, challenges, tokens
from abci_app.state.keyspace import attempt_key, task_key
from abci_app.transitions import commit_vote as commit_vote_module
from abci_app.transitions import open_challenge as open_challenge_module
from optfl import errors, votes
from optfl.sketch import _draw_places, compute_sketch, is_within
from optfl.votes import Decision
from optfl.wire import state_pb2
from optfl.wire.state_pb2 import VERDICT_NO_QUORUM, VERDICT_REJECTED, VERDICT_UPHELD
from optfl.wire.transaction_pb2 import Sketch, Vote
from support import audit
from support.ledger import (
    AGGREGATOR,
    AGGREGATOR_STAKE,
    AGGREGATORS,
    CLIENTS,
    STRANGER,
    VALIDATOR,
    VALIDATOR_STAKE,
    VALIDATORS,
    TaskHarness,
    consensus_key,
    register_validator,
    task_parameters,
)
from support.votes import (
    ABSTAIN,
    FLOAT_TASK,
    challenge,
    commit_all,
    commit_vote,
    get_challenge,
    offset_votes,
    open_challenge,
    reveal_vote,
    run_vote,
    start_float_task,
    votes_for,
)

LIE = bytes([1]) * 32
OPEN, VOID = state_pb2.ATTEMPT_STATUS_OPEN, state_pb2.ATTEMPT_STATUS_VOID


def honest_attempt(**overrides: Any) -> TaskHarness:
    task = TaskHarness.start(**overrides)
    task.run_round(1)
    return task


def by_heads(voters: int) -> Any:
    """2f+1 heads, as seed 001 counts, whatever they have at stake."""
    return lambda power, total: power >= 2 * ((voters - 1) // 3) + 1


def voter(index: int, power: int, root: bytes) -> state_pb2.Voter:
    return state_pb2.Voter(operator=bytes([index]) * 20, power=power, vote=Vote(root=root))


def test_V1_two_disjoint_groups_of_2f_plus_1_both_win(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """V = 6 makes f = 1 and 2f+1 = 3. Three say this, three say that: who is counted first decides."""
    if not guarded:
        monkeypatch.setattr(votes, "_is_quorum", by_heads(6))
    honest, lie = b"\x00" * 32, b"\x01" * 32
    voters = [voter(i, 1, honest if i < 3 else lie) for i in range(6)]
    verdicts = {votes.decide(task_parameters(), claimed, voters).verdict for claimed in (honest, lie)}
    assert verdicts == ({VERDICT_NO_QUORUM} if guarded else {VERDICT_REJECTED, VERDICT_UPHELD})


def test_V1_dust_validators_hold_the_verdict(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four heads of five with a token each, against one with nearly all that is at stake."""
    if not guarded:
        monkeypatch.setattr(votes, "decide", _decide_by_heads)
    claimed, lie = b"\x00" * 32, b"\x01" * 32
    voters = [voter(0, 1000, claimed), *(voter(i, 1, lie) for i in range(1, 5))]
    verdict = votes.decide(task_parameters(), claimed, voters).verdict
    assert verdict == (VERDICT_REJECTED if guarded else VERDICT_UPHELD)


def _decide_by_heads(parameters: Any, model_root: bytes, voters: list[state_pb2.Voter]) -> Decision:
    heads = [state_pb2.Voter(operator=v.operator, power=1, vote=v.vote) for v in voters]
    return votes._decide_exact(heads, len(heads), model_root)


def test_V2_the_first_2f_plus_1_responses_decide(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alg. 3, line 1, to the letter: with one liar among the first three there is never a quorum."""
    if not guarded:
        monkeypatch.setattr(votes_step, "_has_all_revealed", _have_three_revealed)
    task = honest_attempt(vote_reveal_blocks=8, min_window_blocks=40)
    challenge(task, 1)
    root = task.models[1].root
    ballots = votes_for(LIE, root, root, root)
    commit_all(task, 1, ballots)
    for sender, vote in ballots.items():
        if get_challenge(task, 1).status == state_pb2.CHALLENGE_STATUS_REVEALING:
            task.ledger.accept(sender, reveal_vote(task, 1, sender, vote))
    assert get_challenge(task, 1).verdict == (VERDICT_REJECTED if guarded else VERDICT_NO_QUORUM)


def _have_three_revealed(record: state_pb2.Challenge) -> bool:
    return sum(v.HasField("vote") for v in record.voters) >= 3


def test_V3_honest_validators_are_slashed_for_silence(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blob never came: who abstains has done nothing wrong."""
    if not guarded:
        monkeypatch.setattr(votes_step, "_settle_bonds", _slash_the_others(votes_step._settle_bonds))
    task = honest_attempt()
    challenge(task, 1)
    root = task.models[1].root
    run_vote(task, 1, {**votes_for(root, root, root), VALIDATORS[3]: ABSTAIN})
    assert (task.ledger.must_stake(VALIDATOR, VALIDATORS[3]).amount == VALIDATOR_STAKE) == guarded


def test_V3_a_float_minority_is_slashed(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """One validator's hardware rounds differently: further than ε from the others."""
    if not guarded:
        monkeypatch.setattr(votes_step, "_settle_bonds", _slash_the_others(votes_step._settle_bonds))
    task = start_float_task()
    challenge(task, 1)
    run_vote(task, 1, offset_votes(task, 1, 0, 10, -10, 5000))
    assert (task.ledger.must_stake(VALIDATOR, VALIDATORS[3]).amount == VALIDATOR_STAKE) == guarded


def _slash_the_others(original: Any) -> Any:
    """ "All other responses are penalised", as the paper's text has it."""

    def settle(state: State, record: state_pb2.Challenge) -> None:
        original(state, record)
        for other in record.voters:
            if not other.agreed:
                tokens.burn(state, tokens.slash(state, VALIDATOR, other.operator, 10))

    return settle


def test_V4_a_cartel_takes_an_honest_stake_without_a_proof(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than 2/3 of the power say that an honest model is wrong. No proof of innocence exists."""
    if not guarded:  # a verdict slashes in exact tasks too
        monkeypatch.setattr(votes_step, "_is_float", lambda state, attempt: True)
    task = honest_attempt()
    challenge(task, 1)
    run_vote(task, 1, votes_for(LIE, LIE, LIE, LIE))
    honest = task.ledger.must_stake(AGGREGATOR, AGGREGATORS[0])
    assert (honest.amount, honest.excluded) == ((AGGREGATOR_STAKE, False) if guarded else (0, True))


def test_V5_challenges_without_a_quorum_never_end(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """f are silent and one honest crashed: redone, challenged again, redone …"""
    if not guarded:  # no quorum is always a redo
        monkeypatch.setattr(votes_step, "_judge_attempt", _always_redo)
    task = honest_attempt(max_attempts=3, min_window_blocks=40)
    challenge(task, 1)
    run_vote(task, 1, votes_for(task.models[1].root, None, None, None))
    attempt = task.ledger.attempt(1)
    assert attempt is not None
    assert attempt.status == (OPEN if guarded else VOID), "in an exact task one honest party can still prove a lie"


def _always_redo(state: Any, block: Any, record: Any, attempt: Any) -> None:
    block.voidings.append(votes_step.Voiding(attempt, "vote", silent=False))


def test_V6_one_challenge_after_another(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each costs V·K·D·2 bytes and delays settlement; the first one was rejected."""
    task = honest_attempt(min_window_blocks=40)
    challenge(task, 1)
    root = task.models[1].root
    run_vote(task, 1, votes_for(root, root, root, root))
    if not guarded:  # nothing remembers that there was a vote
        monkeypatch.setattr(open_challenge_module, "_check_join", lambda record, sender: None)
        monkeypatch.setattr(open_challenge_module, "apply", _open_again)
    again = open_challenge(task, 1)
    if guarded:
        assert task.ledger.send(CLIENTS[0], again).code == errors.AlreadyChallenged.code
        return
    with pytest.raises(AssertionError, match="a vote went back"):  # the tests' own audit
        task.ledger.send(CLIENTS[0], again)


def _open_again(state: State, call: Any, message: Any, found: Any) -> None:
    task = state.tasks[task_key(message.task_id)]
    attempt = state.attempts[attempt_key(message.task_id, message.attempt_id)]
    challenges.open_challenge(state, task, attempt, call.height)


def test_V7_the_median_convicts_whom_every_honest_vote_is_close_to(
    guarded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """V = 7, f = 2. The claim is within ε of each honest vote; the coordinate-wise median of all is not."""
    if not guarded:  # without the acquittal by a third, and with θ = ε as the paper has one distance for both
        monkeypatch.setattr(votes, "is_within", lambda values, distance: False)
    epsilon = theta = 100
    honest = [[-80, -10], [-10, -80], [-80, -10], [-75, -60], [-70, -70]]
    sketches = [*honest, [-99, -99], [-99, -99]]  # f liars, as far as they may go
    voters = [
        state_pb2.Voter(
            operator=bytes([i]) * 20,
            power=1,
            vote=Vote(sketch=Sketch(values=[*values, *([0] * 254)])),
        )
        for i, values in enumerate(sketches)
    ]
    parameters = task_parameters(**{**FLOAT_TASK, "vote_epsilon": epsilon, "vote_theta": theta})
    assert all(x * x + y * y <= epsilon**2 for x, y in honest)
    verdict = votes.decide(parameters, b"", voters).verdict
    assert verdict == (VERDICT_REJECTED if guarded else VERDICT_UPHELD)


def test_V8_the_projection_is_known_before_the_model_is_fixed(guarded: bool) -> None:
    """Who knows the projection can hide a lie in what it does not see: two changes that cancel in their row."""

    known, drawn_later = b"\x01" * 32, b"\x02" * 32
    places = _draw_places(known, 0)
    first = 0
    second = int(np.flatnonzero(places == places[first])[1])  # the same row, the same sign
    honest = np.zeros(8192, dtype=np.int32)
    lie = honest.copy()
    lie[first], lie[second] = 1_000_000, -1_000_000
    seed = drawn_later if guarded else known
    assert is_within(compute_sketch(seed, honest, lie), 1000) == (not guarded)


def test_V10_power_that_is_bought_for_the_vote(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The aggregator lied. While the vote runs a friend stakes more than all others, and acquits it."""
    task = TaskHarness.start(vote_commit_blocks=6, vote_reveal_blocks=6, min_window_blocks=40)
    task.commit_all(1)
    honest = task.honest_model(1).root
    task.aggregate(1, task.poisoned_model(1))
    challenge(task, 1)
    friend = STRANGER
    join = register_validator(friend, consensus_key("a friend's node"), stake=100 * VALIDATOR_STAKE)
    task.ledger.accept(friend, join)
    if not guarded:  # whoever has power when the vote is cast may cast one
        monkeypatch.setattr(commit_vote_module, "check_voter", _ask_the_state_of_now)
        monkeypatch.setattr(audit, "check_between", lambda before, after: None)  # it would see the voters change
    ballots = {**votes_for(honest, honest, honest, honest), friend: Vote(root=task.models[1].root)}
    results = task.ledger.block(*(task.ledger.sign(v, commit_vote(task, 1, v, b)) for v, b in ballots.items())).results
    assert results[-1].code == (errors.NotVoter.code if guarded else 0)
    while get_challenge(task, 1).status == state_pb2.CHALLENGE_STATUS_COMMITTING:
        task.ledger.block()
    task.ledger.block(*(task.ledger.sign(v, reveal_vote(task, 1, v, b)) for v, b in ballots.items()))
    while challenges.is_live(get_challenge(task, 1)):
        task.ledger.block()
    assert get_challenge(task, 1).verdict == (VERDICT_UPHELD if guarded else VERDICT_REJECTED)


def _ask_the_state_of_now(
    state: State, task_id: int, attempt_id: int, sender: bytes, status: int
) -> tuple[state_pb2.Challenge, int]:
    record = state.challenges[attempt_key(task_id, attempt_id)]
    if sender not in [v.operator for v in record.voters]:
        record.voters.append(state_pb2.Voter(operator=sender, power=state.validators[sender].power))
        record.voters.sort(key=lambda v: v.operator)
    return record, [v.operator for v in record.voters].index(sender)
