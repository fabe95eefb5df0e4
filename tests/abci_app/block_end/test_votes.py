"""Votes from phase to phase, and what each verdict does to the attempt, the bonds and the pay."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abci_app.state.keyspace import attempt_key, stake_key
from optfl import errors
from optfl.keys import SigningKey
from optfl.vectors import ChunkedVector
from optfl.wire import state_pb2
from optfl.wire.transaction_pb2 import AddStake, Sketch, Vote
from support.ledger import (
    AGGREGATOR,
    BALANCE,
    CLIENTS,
    FEE,
    PARAMS,
    STRANGER,
    VALIDATOR,
    VALIDATOR_STAKE,
    VALIDATORS,
    LedgerHarness,
    TaskHarness,
)
from support.votes import (
    ABSTAIN,
    FLOAT_TASK,
    await_seed,
    challenge,
    commit_all,
    commit_vote,
    find_challenge,
    get_attempt,
    get_challenge,
    is_voting,
    make_model,
    offset_votes,
    open_challenge,
    reveal_all,
    reveal_vote,
    run_vote,
    sketch_of,
    start_float_task,
    votes_for,
)
from support.watches import attest_all, await_draw, open_watch

BOND = 2_000
COMMITTING, REVEALING, DECIDED = (
    state_pb2.CHALLENGE_STATUS_COMMITTING,
    state_pb2.CHALLENGE_STATUS_REVEALING,
    state_pb2.CHALLENGE_STATUS_DECIDED,
)
UPHELD, REJECTED, NO_QUORUM, MOOT = (
    state_pb2.VERDICT_UPHELD,
    state_pb2.VERDICT_REJECTED,
    state_pb2.VERDICT_NO_QUORUM,
    state_pb2.VERDICT_MOOT,
)
OPEN, VOID, CONVICTED = (
    state_pb2.ATTEMPT_STATUS_OPEN,
    state_pb2.ATTEMPT_STATUS_VOID,
    state_pb2.ATTEMPT_STATUS_CONVICTED,
)
OTHER = b"\7" * 32
FAR = 1000  # beyond θ
LONG: dict[str, Any] = {"min_window_blocks": 40, "training_blocks": 40}  # nothing else happens meanwhile


def challenged(*challengers: SigningKey, **overrides: Any) -> TaskHarness:
    """An exact task whose attempt 1 is right, and challenged."""
    task = TaskHarness.start(**{**LONG, **overrides})
    task.run_round(1)
    challenge(task, 1, *challengers)
    return task


def float_challenged(*challengers: SigningKey, **overrides: Any) -> TaskHarness:
    task = start_float_task(**{**LONG, **overrides})
    challenge(task, 1, *challengers)
    return task


def claimed_root(task: TaskHarness) -> bytes:
    return get_attempt(task, 1).model_root


def verdict(task: TaskHarness, attempt_id: int = 1) -> int:
    return get_challenge(task, attempt_id).verdict


def status(task: TaskHarness, attempt_id: int) -> int:
    return get_attempt(task, attempt_id).status


def agreed(task: TaskHarness, attempt_id: int = 1) -> list[SigningKey]:
    operators = {v.operator for v in get_challenge(task, attempt_id).voters if v.agreed}
    return [v for v in VALIDATORS if v.address in operators]


def unpaid(task: TaskHarness, number: int = 1) -> set[bytes]:
    return set(task.round(number).unpaid_validators)


def cost(task: TaskHarness, account: SigningKey = STRANGER) -> int:
    """What a challenger is out of, but for its fee."""
    return BALANCE - FEE - task.ledger.balance(account)


def burned_by(task: TaskHarness, votes: Any, attempt_id: int = 1) -> int:
    before = task.ledger.state.supply.burned
    run_vote(task, attempt_id, votes)
    return task.ledger.state.supply.burned - before


# Phases.


def test_reveals_begin_as_soon_as_all_have_committed() -> None:
    task = challenged()
    commit_all(task, 1, votes_for(OTHER, OTHER, OTHER))
    assert get_challenge(task, 1).status == COMMITTING
    commit_all(task, 1, {VALIDATORS[3]: ABSTAIN})
    found = get_challenge(task, 1)
    assert (found.status, found.reveal_start_height) == (REVEALING, task.ledger.height)
    assert found.reveal_deadline_height == task.ledger.height + 3


def test_or_at_the_deadline() -> None:
    task = challenged()
    deadline = get_challenge(task, 1).commit_deadline_height
    while task.ledger.height < deadline - 1:
        task.ledger.block()
        assert get_challenge(task, 1).status == COMMITTING
    results = task.ledger.block()
    assert (get_challenge(task, 1).status, get_challenge(task, 1).reveal_start_height) == (REVEALING, deadline)
    assert [event.kind for event in results.events if event.kind.startswith("reveal")] == ["reveals_started"]


def test_L6_however_long_the_commitments_took_voters_stakes_are_held_past_the_verdict() -> None:
    task = challenged()
    for _ in range(PARAMS["evidence_blocks"] + 10):
        task.ledger.block(proposer=0)  # too few proposers to end the phase
    while get_challenge(task, 1).status == COMMITTING:
        task.ledger.block()
    held = get_challenge(task, 1).reveal_deadline_height + PARAMS["evidence_blocks"]
    assert [task.ledger.must_stake(VALIDATOR, v).evidence_height for v in VALIDATORS] == [held] * 4


def test_the_verdict_comes_as_soon_as_all_who_committed_have_revealed() -> None:
    task = challenged()
    votes = votes_for(OTHER, OTHER, OTHER)
    results = run_vote(task, 1, votes)
    found = get_challenge(task, 1)
    assert (found.status, found.decided_height) == (DECIDED, task.ledger.height)
    assert task.ledger.height < found.reveal_deadline_height
    decided = next(event for event in results.events if event.kind == "challenge_decided")
    assert dict(decided.attributes)["verdict"] == "upheld"


def test_or_at_the_deadline_with_what_was_revealed() -> None:
    task = challenged()
    votes = votes_for(OTHER, OTHER, OTHER, OTHER)
    commit_all(task, 1, votes)
    reveal_all(task, 1, votes_for(OTHER, OTHER, OTHER))
    deadline = get_challenge(task, 1).reveal_deadline_height
    while task.ledger.height < deadline - 1:
        task.ledger.block()
        assert get_challenge(task, 1).status == REVEALING
    task.ledger.block()
    assert (verdict(task), agreed(task)) == (UPHELD, VALIDATORS[:3])


def test_V2_a_quorum_of_responses_does_not_end_the_vote() -> None:
    """2f+1 responses, f of them lies, leave no quorum: the honest one that is still to come decides."""
    task = challenged()
    votes = votes_for(OTHER, OTHER, claimed_root(task), OTHER)
    commit_all(task, 1, votes)
    reveal_all(task, 1, {v: votes[v] for v in VALIDATORS[:3]})
    assert get_challenge(task, 1).status == REVEALING
    reveal_all(task, 1, {VALIDATORS[3]: votes[VALIDATORS[3]]})
    assert verdict(task) == UPHELD


def test_nobody_votes() -> None:
    task = challenged()
    while is_voting(task, 1):
        task.ledger.block()
    assert (verdict(task), agreed(task), status(task, 1)) == (NO_QUORUM, [], OPEN)


def test_a_decided_vote_stays_decided() -> None:
    task = challenged()
    root = claimed_root(task)
    run_vote(task, 1, votes_for(root, root, root, root))
    before = get_challenge(task, 1)
    task.ledger.blocks(5)
    assert get_challenge(task, 1) == before


def test_two_votes_go_on_side_by_side() -> None:
    task = challenged()
    task.run_round(2)
    challenge(task, 2, CLIENTS[0])
    run_vote(task, 1, votes_for(*[claimed_root(task)] * 4))
    assert (verdict(task), is_voting(task, 2)) == (REJECTED, True)
    run_vote(task, 2, votes_for(OTHER, OTHER, OTHER, OTHER))
    assert (verdict(task), verdict(task, 2)) == (REJECTED, UPHELD)
    assert (status(task, 1), status(task, 2), task.task.head_round) == (OPEN, VOID, 2)


# Exact tasks.


def test_upheld_voids_the_attempt_and_slashes_nobody() -> None:
    task = challenged()
    culprit = task.due_aggregator(1)
    stake = task.ledger.must_stake(AGGREGATOR, culprit).amount
    task.run_round(2)
    run_vote(task, 1, votes_for(OTHER, OTHER, OTHER, claimed_root(task)))
    assert (verdict(task), status(task, 1), status(task, 2)) == (UPHELD, VOID, VOID)
    found = task.ledger.must_stake(AGGREGATOR, culprit)
    assert (found.amount, found.excluded, found.excluded_until_height) == (stake, False, 0)
    assert task.ledger.state.disputes.all_keys() == []
    current = task.round(1)
    assert (current.status, current.turn, task.task.head_round) == (state_pb2.ROUND_STATUS_AGGREGATING, 1, 1)


def test_V4_a_cartel_of_validators_takes_no_honest_stake() -> None:
    """All of them vote against a right attempt: the round is redone, and the aggregator keeps what it has."""
    task = challenged()
    honest = task.due_aggregator(1)
    stake = task.ledger.must_stake(AGGREGATOR, honest).amount
    run_vote(task, 1, votes_for(OTHER, OTHER, OTHER, OTHER))
    assert task.ledger.must_stake(AGGREGATOR, honest).amount == stake
    assert not task.ledger.must_stake(AGGREGATOR, honest).excluded


def test_a_proof_still_convicts_what_a_vote_voided() -> None:
    task = TaskHarness.start(**LONG)
    task.commit_all(1)
    task.aggregate(1, task.poisoned_model(1))
    proof = task.prove(1)
    challenge(task, 1)
    run_vote(task, 1, votes_for(OTHER, OTHER, OTHER, OTHER))
    assert status(task, 1) == VOID
    task.ledger.accept(CLIENTS[0], proof)
    assert status(task, 1) == CONVICTED


def test_rejected_the_attempt_stands() -> None:
    task = challenged(min_window_blocks=8)
    root = claimed_root(task)
    run_vote(task, 1, votes_for(root, root, root, OTHER))
    assert (verdict(task), agreed(task), status(task, 1)) == (REJECTED, VALIDATORS[:3], OPEN)
    while task.task.settled_round == 0:
        task.ledger.block()
    assert task.ledger.state.digests.get(attempt_key(1, 1)) is not None
    assert find_challenge(task, 1) is None  # forgotten with the attempt


def test_V5_no_quorum_in_an_exact_task_leaves_the_attempt_as_it_is() -> None:
    """f silent and one honest crash: whoever is honest can still prove a fraud."""
    task = challenged(min_window_blocks=8)
    root = claimed_root(task)
    run_vote(task, 1, votes_for(root, root, None, None))
    assert (verdict(task), status(task, 1), task.round(1).undecided_votes) == (NO_QUORUM, OPEN, 0)
    while task.task.settled_round == 0:
        task.ledger.block()


def test_V1_power_counts_and_not_heads() -> None:
    """Three of four, with too little stake between them."""
    ledger = LedgerHarness()
    ledger.accept(VALIDATORS[3], AddStake(role=VALIDATOR, amount=VALIDATOR_STAKE))
    task = TaskHarness.start(ledger, **LONG)
    task.run_round(1)
    challenge(task, 1)
    assert sorted(v.power for v in get_challenge(task, 1).voters) == [100, 100, 100, 200]
    run_vote(task, 1, votes_for(OTHER, OTHER, OTHER))
    assert verdict(task) == NO_QUORUM  # 300 of 500


# Bonds.


def test_upheld_returns_every_bond() -> None:
    task = challenged(STRANGER, CLIENTS[0])
    client = task.ledger.balance(CLIENTS[0])
    assert burned_by(task, votes_for(OTHER, OTHER, OTHER, None)) == 0
    assert (cost(task), task.ledger.balance(CLIENTS[0])) == (0, client + BOND)
    assert [(bond.address, bond.amount) for bond in get_challenge(task, 1).bonds] == [
        (STRANGER.address, 0),
        (CLIENTS[0].address, 0),
    ]


def test_rejected_pays_half_of_the_bonds_to_those_who_agreed() -> None:
    task = challenged(STRANGER, CLIENTS[0])
    root = claimed_root(task)
    votes = votes_for(root, root, root, OTHER)
    commit_all(task, 1, votes)
    before = [task.ledger.balance(v) for v in VALIDATORS]
    burned = task.ledger.state.supply.burned
    txs = [task.ledger.sign(v, reveal_vote(task, 1, v, vote)) for v, vote in votes.items()]
    results = task.ledger.block(*txs, proposer=0)  # which takes the fees
    assert [result.code for result in results.results] == [0] * 4
    after = [task.ledger.balance(v) for v in VALIDATORS]
    assert verdict(task) == REJECTED
    assert [b - a + FEE for a, b in zip(before, after, strict=True)] == [4 * FEE + 666, 666, 666, 0]
    assert task.ledger.state.supply.burned == burned + 2 * BOND - 3 * 666
    assert cost(task) == BOND


def test_no_quorum_returns_half() -> None:
    task = challenged()
    assert burned_by(task, votes_for(OTHER, claimed_root(task), None, None)) == BOND // 2
    assert cost(task) == BOND // 2


@pytest.mark.parametrize("bond", [561, 1_003, 2_001])
def test_what_a_division_leaves_over_is_burned(bond: int) -> None:
    for roots in ([OTHER, None, None, None], [None, None, None, None]):
        task = challenged(challenge_bond=bond)
        assert burned_by(task, votes_for(*roots)) == bond - bond // 2
        assert cost(task) == bond - bond // 2
    task = challenged(challenge_bond=bond)
    root = claimed_root(task)
    assert burned_by(task, votes_for(root, root, root, None)) == bond - bond // 2 + bond // 2 % 3


# Pay.


def test_V3_silence_abstention_and_minority_lose_their_pay_and_nothing_else() -> None:
    task = challenged(min_window_blocks=20)
    attest_all(task, 1)
    root = claimed_root(task)
    stakes = [task.ledger.must_stake(VALIDATOR, v).amount for v in VALIDATORS]
    votes = {**votes_for(root, root, root), VALIDATORS[3]: ABSTAIN}
    run_vote(task, 1, votes)
    assert unpaid(task) == {VALIDATORS[3].address}
    assert [task.ledger.must_stake(VALIDATOR, v).amount for v in VALIDATORS] == stakes
    events: list[dict[str, str]] = []
    await_draw(task, 1)
    shown = [task.ledger.sign(v, open_watch(task, 1, v)) for v in VALIDATORS]
    results = task.ledger.block(*shown)
    events += [dict(e.attributes) for e in results.events if e.kind == "reward_paid"]
    while task.task.settled_round == 0:
        results = task.ledger.block()
        events += [dict(e.attributes) for e in results.events if e.kind == "reward_paid"]
    paid = {e["account"]: int(e["amount"]) for e in events if e["role"] == "validator"}
    assert paid == {v.address.hex(): 50 // 3 for v in VALIDATORS[:3]}


@pytest.mark.parametrize(
    ("last", "expected"),
    [(OTHER, {3}), (None, {3})],
    ids=["minority", "silent"],
)
def test_who_is_not_paid(last: bytes | None, expected: set[int]) -> None:
    task = challenged()
    root = claimed_root(task)
    run_vote(task, 1, votes_for(root, root, root, last))
    assert unpaid(task) == {VALIDATORS[i].address for i in expected}


def test_without_a_quorum_whoever_judged_is_paid() -> None:
    task = challenged()
    votes = {**votes_for(OTHER, claimed_root(task)), VALIDATORS[2]: ABSTAIN}
    run_vote(task, 1, votes)
    assert unpaid(task) == {v.address for v in VALIDATORS[2:]}


def test_who_was_silent_in_either_vote_of_a_round_is_not_paid() -> None:
    task = challenged()
    run_vote(task, 1, votes_for(OTHER, OTHER, OTHER, None))
    assert unpaid(task) == {VALIDATORS[3].address}
    task.aggregate(1)
    challenge(task, 2, CLIENTS[0])
    root = get_attempt(task, 2).model_root
    run_vote(task, 2, votes_for(None, root, root, root))
    assert unpaid(task) == {VALIDATORS[0].address, VALIDATORS[3].address}
    assert list(task.round(1).unpaid_validators) == sorted(unpaid(task))


# Proven meanwhile.


def test_a_proof_makes_the_vote_moot_at_once() -> None:
    task = TaskHarness.start(**LONG)
    task.commit_all(1)
    task.aggregate(1, task.poisoned_model(1))
    challenge(task, 1)
    commit_all(task, 1, votes_for(OTHER, OTHER))
    proof = task.prove(1)
    burned = task.ledger.state.supply.burned
    task.ledger.accept(CLIENTS[0], proof)
    assert (verdict(task), status(task, 1)) == (MOOT, CONVICTED)
    assert cost(task) == 0
    slashed = next(c for _, c in task.ledger.state.disputes.items())
    assert task.ledger.state.supply.burned == burned + slashed.burned
    assert unpaid(task) == set()


def test_L7_a_proof_in_the_block_that_decides_convicts_once() -> None:
    task = TaskHarness.start(**LONG)
    task.commit_all(1)
    task.aggregate(1, task.poisoned_model(1))
    challenge(task, 1)
    votes = votes_for(OTHER, OTHER, OTHER, OTHER)
    commit_all(task, 1, votes)
    txs = [task.ledger.sign(v, reveal_vote(task, 1, v, vote)) for v, vote in votes.items()]
    task.ledger.block(*txs, task.ledger.sign(CLIENTS[0], task.prove(1)))
    assert (verdict(task), status(task, 1)) == (MOOT, CONVICTED)
    assert len(task.ledger.state.disputes.all_keys()) == 1


# Float tasks.


def test_float_upheld_convicts_for_good() -> None:
    task = float_challenged(STRANGER, CLIENTS[0])
    culprit = task.due_aggregator(1)
    stake = task.ledger.must_stake(AGGREGATOR, culprit).amount
    client = task.ledger.balance(CLIENTS[0])
    run_vote(task, 1, offset_votes(task, 1, FAR, FAR + 5, FAR - 5, 0))
    assert (verdict(task), agreed(task), status(task, 1)) == (UPHELD, VALIDATORS[:3], CONVICTED)
    found = task.ledger.must_stake(AGGREGATOR, culprit)
    assert (found.amount, found.excluded) == (0, True)
    record = task.ledger.state.disputes[attempt_key(1, 1)]
    assert (record.proof_kind, record.prover, record.slashed) == ("vote", STRANGER.address, stake)
    assert [(r.account, r.amount) for r in record.rewards] == [(STRANGER.address, stake * 9 // 100)]
    assert record.reporter_reward == stake * 9 // 100
    assert cost(task) == -record.reporter_reward  # its bond is back; whoever joined has its own back and no more
    assert task.ledger.balance(CLIENTS[0]) == client + BOND
    assert (task.round(1).turn, unpaid(task)) == (1, {VALIDATORS[3].address})


@pytest.mark.parametrize(("offset", "expected"), [(200, REJECTED), (201, UPHELD), (-200, REJECTED), (-201, UPHELD)])
def test_at_theta_innocent_just_above_it_guilty(offset: int, expected: int) -> None:
    task = float_challenged()
    run_vote(task, 1, offset_votes(task, 1, offset, offset, offset, offset))
    assert verdict(task) == expected


def test_float_rejected_the_attempt_stands() -> None:
    task = float_challenged(min_window_blocks=12)
    run_vote(task, 1, offset_votes(task, 1, 10, -20, FAR, FAR))
    assert (verdict(task), agreed(task), status(task, 1)) == (REJECTED, VALIDATORS[:2], OPEN)
    while task.task.settled_round == 0:
        task.ledger.block()


def test_V3_an_honest_float_result_in_the_minority_loses_no_stake() -> None:
    task = float_challenged()
    run_vote(task, 1, offset_votes(task, 1, FAR, FAR, FAR, FAR + 150))
    assert (verdict(task), agreed(task)) == (UPHELD, VALIDATORS[:3])
    assert task.ledger.must_stake(VALIDATOR, VALIDATORS[3]).amount == VALIDATOR_STAKE


def undecided(**overrides: Any) -> TaskHarness:
    """A float task whose first attempt was voted on without a quorum."""
    task = float_challenged(**overrides)
    run_vote(task, 1, offset_votes(task, 1, FAR, 3 * FAR, None, None))
    return task


def test_V5_float_no_quorum_is_redone_without_fault() -> None:
    task = undecided()
    assert (verdict(task), status(task, 1)) == (NO_QUORUM, VOID)
    current = task.round(1)
    assert (current.undecided_votes, current.turn, current.status) == (1, 1, state_pb2.ROUND_STATUS_AGGREGATING)
    first = get_attempt(task, 1).aggregator
    stake = task.ledger.state.stakes[stake_key(AGGREGATOR, first)]
    assert (stake.amount, stake.excluded, stake.excluded_until_height, stake.faults) == (200_000, False, 0, 0)
    assert current.aggregator != first
    assert cost(task) == BOND // 2
    assert unpaid(task) == {v.address for v in VALIDATORS[2:]}


def redone(**overrides: Any) -> TaskHarness:
    """And was redone: the ledger itself has put attempt 2 to a vote."""
    task = undecided(**overrides)
    task.aggregate(1, make_model(task, 2))
    return task


def test_V5_then_the_ledger_itself_asks_at_once() -> None:
    task = redone()
    found = get_challenge(task, 2)
    assert (found.open_height, found.commit_deadline_height) == (task.ledger.height, task.ledger.height + 4)
    assert (list(found.bonds), found.status, len(found.voters)) == ([], COMMITTING, 4)


def test_V8_the_projection_waits_for_proposers_of_more_than_a_third() -> None:
    """The time to commit begins with it. Of four equal proposers two have to have been there since the model was."""
    task = redone()
    opened = task.ledger.height
    for _ in range(2):
        assert get_challenge(task, 2).seed == b""
        vote = commit_vote(task, 2, VALIDATORS[0], Vote(sketch=Sketch(values=[0] * 256)))
        task.ledger.reject(errors.WrongVotePhase, VALIDATORS[0], vote)
    found = get_challenge(task, 2)
    assert (found.seed, found.commit_deadline_height) == (task.ledger.state.chain.beacon, opened + 2 + 4)


def test_V5_and_nothing_is_built_on_it_before_the_verdict() -> None:
    task = redone()
    task.ledger.blocks(2)
    assert task.task.head_round == 1
    run_vote(task, 2, offset_votes(task, 2, 10, 20, 30, 40))
    assert (verdict(task, 2), status(task, 2)) == (REJECTED, OPEN)
    assert task.task.head_round == 2  # opened in the block of the verdict


def test_nobody_joins_the_ledgers_own_vote() -> None:
    """There is no bond to lose in it, and a reward must not be free."""
    task = redone()
    task.ledger.reject(errors.AlreadyChallenged, STRANGER, open_challenge(task, 2))


def test_the_ledgers_own_vote_convicts_without_a_prover() -> None:
    task = redone()
    culprit = task.due_aggregator(1)
    run_vote(task, 2, offset_votes(task, 2, FAR, FAR, FAR, FAR))
    assert (verdict(task, 2), status(task, 2)) == (UPHELD, CONVICTED)
    record = task.ledger.state.disputes[attempt_key(1, 2)]
    assert (record.aggregator, record.prover, record.reporter_reward) == (culprit.address, b"", 0)
    assert record.burned == record.slashed - record.compensation
    assert b"" not in task.ledger.state.accounts


def test_V5_every_further_attempt_is_voted_on_too() -> None:
    task = redone()
    run_vote(task, 2, offset_votes(task, 2, FAR, FAR, FAR, FAR))
    task.aggregate(1, make_model(task, 3))
    assert (list(get_challenge(task, 3).bonds), get_challenge(task, 3).status) == ([], COMMITTING)
    run_vote(task, 3, offset_votes(task, 3, 0, 0, 0, 0))
    assert (verdict(task, 3), task.task.head_round) == (REJECTED, 2)


def test_V5_a_second_time_without_a_quorum_drops_the_round() -> None:
    task = redone()
    second = get_attempt(task, 2).aggregator
    run_vote(task, 2, offset_votes(task, 2, FAR, 3 * FAR, None, None))
    assert (verdict(task, 2), status(task, 2)) == (NO_QUORUM, VOID)
    dropped = get_attempt(task, 3)
    assert (dropped.aggregator, dropped.model_root, dropped.status) == (b"", dropped.base_root, OPEN)
    assert task.ledger.state.stakes[stake_key(AGGREGATOR, second)].amount == 200_000
    assert find_challenge(task, 3) is None
    task.ledger.block()
    assert task.task.head_round == 2
    while task.task.settled_round == 0:
        task.ledger.block()


def test_other_rounds_go_on_as_before() -> None:
    """`pbft` is for the round that was undecided, not for the task."""
    task = redone()
    run_vote(task, 2, offset_votes(task, 2, 0, 0, 0, 0))
    task.commit_all(2)
    task.aggregate(2, make_model(task, 9))
    assert task.task.head_round == 3
    assert find_challenge(task, 3) is None


def test_a_float_attempt_cannot_be_proven_wrong() -> None:
    task = start_float_task()
    task.ledger.reject(errors.NotProvable, STRANGER, task.prove(1))


# Rounds that are void meanwhile (R3, R10).


def test_R3_R10_a_vote_on_a_void_attempt_goes_on_and_convicts() -> None:
    task = start_float_task(**LONG)
    task.commit_all(2)
    task.aggregate(2, make_model(task, 7))
    challenge(task, 1)
    votes = offset_votes(task, 1, FAR, FAR, FAR, FAR)
    commit_all(task, 1, votes)
    challenge(task, 2, CLIENTS[0])
    later = offset_votes(task, 2, FAR, FAR, FAR, FAR)
    commit_all(task, 2, later)
    reveal_all(task, 1, votes)
    assert (status(task, 1), status(task, 2)) == (CONVICTED, VOID)
    current = task.round(1)
    balance = task.ledger.balance(CLIENTS[0])
    reveal_all(task, 2, later)
    assert (verdict(task, 2), status(task, 2)) == (UPHELD, CONVICTED)
    record = task.ledger.state.disputes[attempt_key(1, 2)]
    assert (record.reverted, record.voided_rounds) == (False, 0)
    assert task.ledger.balance(CLIENTS[0]) == balance + BOND + record.reporter_reward
    assert set(task.round(1).unpaid_validators) == set(current.unpaid_validators)


def test_R10_without_a_quorum_nothing_of_a_void_attempt_is_redone() -> None:
    task = start_float_task(**LONG)
    task.commit_all(2)
    task.aggregate(2, make_model(task, 7))
    challenge(task, 1)
    votes = offset_votes(task, 1, FAR, FAR, FAR, FAR)
    commit_all(task, 1, votes)
    challenge(task, 2, CLIENTS[0])
    commit_all(task, 2, offset_votes(task, 2, FAR, 3 * FAR, None, None))
    reveal_all(task, 1, votes)
    while get_challenge(task, 2).status == COMMITTING:
        task.ledger.block()
    before = task.round(1)
    reveal_all(task, 2, offset_votes(task, 2, FAR, 3 * FAR, None, None))
    assert (verdict(task, 2), status(task, 2)) == (NO_QUORUM, VOID)
    after = task.round(1)
    assert (after.undecided_votes, after.attempt_id, after.turn) == (0, before.attempt_id, before.turn)


def test_in_an_exact_task_the_vote_on_a_void_attempt_only_returns_the_bond() -> None:
    task = TaskHarness.start(**LONG)
    task.commit_all(1)
    task.aggregate(1, task.poisoned_model(1))
    task.commit_all(2)
    task.aggregate(2)
    challenge(task, 2)
    proof = task.prove(1)
    task.ledger.accept(CLIENTS[0], proof)
    assert status(task, 2) == VOID
    run_vote(task, 2, votes_for(OTHER, OTHER, OTHER, OTHER))
    assert (verdict(task, 2), status(task, 2), cost(task)) == (UPHELD, VOID, 0)
    assert task.round(1).turn == 1


def test_the_record_of_a_void_attempt_stays_until_its_verdict() -> None:
    """Longer than its evidence height, if proposers are few: there must be somebody to convict."""
    task = start_float_task(**LONG)
    task.commit_all(2)
    task.aggregate(2, make_model(task, 7))
    challenge(task, 1)
    votes = offset_votes(task, 1, FAR, FAR, FAR, FAR)
    commit_all(task, 1, votes)
    challenge(task, 2, CLIENTS[0])
    later = offset_votes(task, 2, FAR, FAR, FAR, None)
    commit_all(task, 2, later)
    reveal_all(task, 1, votes)
    evidence = get_attempt(task, 2).evidence_height
    while task.ledger.height < evidence + PARAMS["evidence_blocks"]:
        task.ledger.block(proposer=0)
    culprit = get_attempt(task, 2).aggregator
    assert task.ledger.state.stakes[stake_key(AGGREGATOR, culprit)].evidence_height == task.ledger.height
    assert is_voting(task, 2)
    while get_challenge(task, 2).status == COMMITTING:
        task.ledger.block()
    reveal_all(task, 2, later)
    assert attempt_key(1, 2) in task.ledger.state.disputes


def test_a_task_that_ends_waits_for_a_vote() -> None:
    """Nobody aggregates any more, and the task ends with its open rounds; the first one is still voted on."""
    task = float_challenged(vote_commit_blocks=60, pause_blocks=3)
    votes = offset_votes(task, 1, FAR, FAR, FAR, None)
    commit_all(task, 1, votes)
    task.commit_all(2)
    while not task.task.cancelled:
        task.ledger.block()
    while get_challenge(task, 1).status == COMMITTING:
        task.ledger.block()
    reveal_all(task, 1, votes)
    while is_voting(task, 1):
        task.ledger.block()
    assert (verdict(task), status(task, 1), cost(task)) == (UPHELD, CONVICTED, -17_820)


# Of any votes.


EXACT_BASE = challenged()


@settings(max_examples=40)
@given(st.lists(st.sampled_from(["own", "other", "third", "abstain", "silent", "unrevealed"]), min_size=4, max_size=4))
def test_whatever_is_voted_tokens_and_stakes_add_up(choices: list[str]) -> None:
    """The harness checks every invariant after every block; no validator ever loses stake."""
    task = copy.deepcopy(EXACT_BASE)
    root = claimed_root(task)
    by_choice = {"own": Vote(root=root), "other": Vote(root=OTHER), "third": Vote(root=bytes(32)), "abstain": ABSTAIN}
    votes = {
        v: by_choice.get(choice, Vote(root=root))
        for v, choice in zip(VALIDATORS, choices, strict=True)
        if choice != "silent"
    }
    commit_all(task, 1, votes)
    while get_challenge(task, 1).status == COMMITTING:
        task.ledger.block()
    shown = {v: vote for v, vote in votes.items() if choices[VALIDATORS.index(v)] != "unrevealed"}
    reveal_all(task, 1, shown)
    while is_voting(task, 1):
        task.ledger.block()
    counts = {choice: choices.count(choice) for choice in ("own", "other", "third")}
    expected = REJECTED if counts["own"] >= 3 else UPHELD if max(counts["other"], counts["third"]) >= 3 else NO_QUORUM
    assert verdict(task) == expected
    assert all(task.ledger.must_stake(VALIDATOR, v).amount == VALIDATOR_STAKE for v in VALIDATORS)
    assert cost(task) == {REJECTED: BOND, UPHELD: 0, NO_QUORUM: BOND // 2}[expected]


@pytest.mark.parametrize("arithmetic", [{}, FLOAT_TASK], ids=["exact", "float"])
@pytest.mark.parametrize("seed", range(6))
def test_V3_nobody_honest_is_ever_hurt(seed: int, arithmetic: dict[str, Any]) -> None:
    """Many rounds of a task with one liar among four validators, who may also be silent, and with liars among the
    aggregators: only liars are slashed, a lie that was voted on by all never settles, and training goes on."""
    rng = random.Random(seed)
    task = TaskHarness.start(
        LedgerHarness({"exclusion_blocks": 1}), rounds=30, training_blocks=60, min_window_blocks=8, **arithmetic
    )
    liars: set[int] = set()  # attempts
    for _ in range(14):
        if task.task.status != state_pb2.TASK_STATUS_RUNNING:
            break  # every aggregator has lied
        learn_dropped(task)
        head = task.round(task.task.head_round)
        if head.status == state_pb2.ROUND_STATUS_TRAINING:
            task.commit_all(head.round)
        attempt_id = task.task.next_attempt_id
        noise = rng.randint(-30, 30) if arithmetic else 0
        honest = task.honest_model(head.round)
        offset = rng.choice([0, 0, 5_000])
        task.aggregate(head.round, shifted(honest, offset + noise))
        if offset:
            liars.add(attempt_id)
        if not is_voting(task, attempt_id):  # the ledger itself asks now and then
            challenge(task, attempt_id)
        everybody = rng.random() < 0.7
        votes = {}
        for voter in VALIDATORS[:3]:
            if everybody or rng.random() < 0.5:
                own = shifted(honest, rng.randint(-30, 30) if arithmetic else 0)
                votes[voter] = cast(task, attempt_id, own)
        if rng.random() < 0.8:
            lie = shifted(honest, rng.choice([0, 150, 250, 5_000, -5_000]))
            votes[VALIDATORS[3]] = rng.choice([ABSTAIN, cast(task, attempt_id, lie)])
        run_vote(task, attempt_id, votes)
        settled = [d.attempt_id for _, d in task.ledger.state.digests.items()]
        assert not everybody or attempt_id not in liars or attempt_id not in settled
    assert {record.attempt_id for _, record in task.ledger.state.disputes.items()} <= liars
    assert all(task.ledger.must_stake(VALIDATOR, v).amount == VALIDATOR_STAKE for v in VALIDATORS)
    for stake in [s for _, s in task.ledger.state.stakes.items(bytes([AGGREGATOR]))]:
        culprits = {r.aggregator for _, r in task.ledger.state.disputes.items()}
        assert stake.excluded == (stake.address in culprits)


def learn_dropped(task: TaskHarness) -> None:
    """The model of a dropped round is its base."""
    for attempt in [a for _, a in task.ledger.state.attempts.items()]:
        if attempt.attempt_id not in task.models:
            task.models[attempt.attempt_id] = next(m for m in task.models.values() if m.root == attempt.model_root)


def shifted(model: ChunkedVector, offset: int) -> ChunkedVector:
    values = model.values.copy()
    values[0] += offset
    return ChunkedVector(model.shape, values)


def cast(task: TaskHarness, attempt_id: int, own: ChunkedVector) -> Vote:
    if task.parameters.arithmetic:
        await_seed(task, attempt_id)
        return sketch_of(task, attempt_id, own)
    return Vote(root=own.root)
