"""A validator's vote: journalled before it is signed, revealed as it was committed, whatever happens in between."""

from __future__ import annotations

import asyncio

import numpy as np
import numpy.typing as npt
import pytest

from offchain.adapters.memory import MemoryJournal
from offchain.interfaces import BlobUnavailable
from offchain.roles.computing import CannotCompute
from offchain.roles.signing import Signer
from offchain.roles.voting import Voter, challenge_by_vote
from optfl.ballots import verify_ballot
from optfl.sketch import compute_sketch
from optfl.votes import build_ballot, check_vote, compute_commitment
from optfl.wire import state_pb2, transaction_pb2
from support.roles import CHAIN_ID, FakeLedger, World, make_key

KEY = make_key("validator0")
COMMITTING, REVEALING = state_pb2.CHALLENGE_STATUS_COMMITTING, state_pb2.CHALLENGE_STATUS_REVEALING
Model = npt.NDArray[np.int32]


class Desk:
    """One validator, a challenge against a wrong attempt, and what the validator's next life is given."""

    def __init__(self, *, is_float: bool = False) -> None:
        arithmetic = transaction_pb2.ARITHMETIC_FLOAT if is_float else transaction_pb2.ARITHMETIC_EXACT
        self.world = World(arithmetic=arithmetic, vote_theta=10)
        self.own = self.world.compute_model()
        self.claimed = self.world.add_model(self.own + 5)
        self.attempt = self.world.make_attempt(self.claimed)
        self.journal = MemoryJournal()
        self.ledger = FakeLedger(KEY.address)
        self.result: Model | Exception = self.own

    def make_voter(self) -> Voter:
        return Voter(self.ledger, Signer(KEY, self.journal), self._recompute, self._fetch_claimed)

    async def _recompute(self, view: state_pb2.TaskView, attempt: state_pb2.Attempt) -> Model:
        if isinstance(self.result, Exception):
            raise self.result
        return self.result

    async def _fetch_claimed(self, view: state_pb2.TaskView, attempt: state_pb2.Attempt) -> Model:
        return self.claimed.values

    def make_challenge(
        self, status: state_pb2.ChallengeStatus = COMMITTING, *, commitment: bytes = b""
    ) -> state_pb2.Challenge:
        voters = [state_pb2.Voter(operator=KEY.address, power=1, commitment=commitment)]
        return state_pb2.Challenge(
            task_id=1, attempt_id=1, status=status, seed=bytes(range(32)), commit_deadline_height=20, voters=voters
        )

    def act(self, challenge: state_pb2.Challenge, height: int = 13) -> transaction_pb2.Body:
        """What a voter that has just started sends."""
        asyncio.run(self.make_voter().act(self.world.make_view(height, attempt=self.attempt), challenge))
        return self.ledger.submitted[-1]

    def commit(self, height: int = 13) -> transaction_pb2.CommitVote:
        return self.act(self.make_challenge(), height).commit_vote

    def reveal(self, commitment: bytes) -> transaction_pb2.RevealVote:
        return self.act(self.make_challenge(REVEALING, commitment=commitment)).reveal_vote


def test_an_exact_vote_is_the_root_of_the_own_result_and_reveals_what_was_committed() -> None:
    desk = Desk()
    commit = desk.commit()
    assert verify_ballot(KEY.public_key, build_ballot(CHAIN_ID, desk.attempt, commit.commitment), commit.signature)
    reveal = desk.reveal(commit.commitment)
    assert reveal.vote.root == desk.world.add_model(desk.own).root
    assert compute_commitment(CHAIN_ID, 1, 1, KEY.address, reveal.vote, reveal.salt) == commit.commitment


def test_a_float_vote_is_the_sketch_of_own_minus_claimed() -> None:
    desk = Desk(is_float=True)
    commit = desk.commit()
    vote = desk.reveal(commit.commitment).vote
    assert list(vote.sketch.values) == compute_sketch(bytes(range(32)), desk.own, desk.claimed.values)
    check_vote(desk.world.parameters, vote)


def test_a_crash_between_commit_and_reveal_changes_nothing() -> None:
    """The next life would compute something else, as float arithmetic may; it signs and reveals what the first did."""
    desk = Desk(is_float=True)
    first = desk.commit()
    desk.result = desk.own + 1
    assert desk.commit() == first, "an answer that was lost: the same ballot is sent again"
    reveal = desk.reveal(first.commitment)
    assert list(reveal.vote.sketch.values) == compute_sketch(bytes(range(32)), desk.own, desk.claimed.values)


def test_nothing_is_signed_before_it_is_journalled() -> None:
    class FullDisk(MemoryJournal):
        def put(self, name: str, value: bytes) -> None:
            raise OSError("no space left")

    desk = Desk()
    desk.journal = FullDisk()
    with pytest.raises(OSError, match="no space left"):
        desk.commit()
    assert not desk.ledger.submitted


def test_two_lives_never_sign_two_commitments() -> None:
    desk = Desk()
    voter = desk.make_voter()
    view = desk.world.make_view(13, attempt=desk.attempt)
    commit = desk.commit()
    desk.result = desk.own + 3
    asyncio.run(voter.abstain(view, desk.make_challenge()))
    asyncio.run(voter.act(view, desk.make_challenge()))
    assert {body.commit_vote.commitment for body in desk.ledger.submitted} == {commit.commitment}


def test_without_the_inputs_it_tries_until_the_end_of_the_phase_and_abstains_then() -> None:
    desk = Desk()
    desk.result = BlobUnavailable("nobody has it")
    with pytest.raises(BlobUnavailable):
        desk.commit(height=17)
    commit = desk.commit(height=18)
    assert desk.reveal(commit.commitment).vote.abstain == transaction_pb2.ABSTAIN_REASON_UNAVAILABLE


def test_an_abstention_that_was_committed_stays_one() -> None:
    desk = Desk()
    view = desk.world.make_view(18, attempt=desk.attempt)
    voter = desk.make_voter()
    assert voter.is_urgent(view, desk.make_challenge())
    asyncio.run(voter.abstain(view, desk.make_challenge()))
    commit = desk.commit(height=19)  # the result is here now, too late
    assert commit == desk.ledger.submitted[0].commit_vote
    assert desk.reveal(commit.commitment).vote.WhichOneof("choice") == "abstain"


def test_a_float_aggregator_that_is_not_here_is_an_abstention() -> None:
    desk = Desk(is_float=True)
    desk.result = CannotCompute("no float aggregator")
    commit = desk.commit()
    assert desk.reveal(commit.commitment).vote.abstain == transaction_pb2.ABSTAIN_REASON_UNSUPPORTED


def test_a_commitment_that_is_not_in_the_journal_cannot_be_revealed() -> None:
    desk = Desk()
    view = desk.world.make_view(attempt=desk.attempt)
    asyncio.run(desk.make_voter().act(view, desk.make_challenge(REVEALING, commitment=b"c" * 32)))
    assert not desk.ledger.submitted


def test_only_what_waits_for_us_is_due() -> None:
    desk = Desk()
    voter = desk.make_voter()
    assert voter.is_due(desk.make_challenge())
    assert not voter.is_due(desk.make_challenge(commitment=b"c" * 32))
    assert not voter.is_due(desk.make_challenge(REVEALING)), "no commitment of ours: nothing to reveal"
    revealing = desk.make_challenge(REVEALING, commitment=b"c" * 32)
    assert voter.is_due(revealing)
    revealing.voters[0].vote.abstain = transaction_pb2.ABSTAIN_REASON_UNAVAILABLE
    assert not voter.is_due(revealing)
    assert not voter.is_due(desk.make_challenge(state_pb2.CHALLENGE_STATUS_DECIDED, commitment=b"c" * 32))
    other = desk.make_challenge()
    other.voters[0].operator = b"o" * 20
    assert not voter.is_due(other)


def test_salts_are_secret_and_differ() -> None:
    signer, other = Signer(KEY, MemoryJournal()), Signer(make_key("other"), MemoryJournal())
    salts = [signer.derive_salt("vote/1/1"), signer.derive_salt("vote/1/2"), other.derive_salt("vote/1/1")]
    assert len(set(salts)) == 3
    assert all(len(salt) == 32 for salt in salts)


def test_anybody_can_challenge() -> None:
    ledger = FakeLedger(KEY.address)
    assert asyncio.run(challenge_by_vote(ledger, 1, 7))
    assert ledger.submitted[0].open_challenge == transaction_pb2.OpenChallenge(task_id=1, attempt_id=7)


def test_a_vote_waits_until_its_projection_is_drawn() -> None:
    desk = Desk()
    challenge = desk.make_challenge()
    assert desk.make_voter().is_due(challenge)
    challenge.seed = b""
    assert not desk.make_voter().is_due(challenge)
