"""Modes quorum and pbft: equal models are signed once, collected, checked, and submitted by one member or the next."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from offchain.adapters.memory import MemoryJournal
from offchain.interfaces import BlobUnavailable, SignedDigest
from offchain.roles.certifying import Certifier, compute_member_rank
from offchain.roles.computing import ModelComputer, inline
from offchain.roles.signing import Signer
from optfl.aggregation import Aggregation
from optfl.ballots import sign_ballot, verify_ballot
from optfl.rules import RoundFacts, Rule
from optfl.wire import state_pb2, transaction_pb2
from support.roles import CHAIN_ID, FakeBallots, FakeLedger, World, compute, make_key

Model = npt.NDArray[np.int32]
KEYS = [make_key(f"member{i}") for i in range(5)]


class Committee:
    """Members of one task, each with a ledger of its own that takes everything."""

    def __init__(self, mode: transaction_pb2.Mode = transaction_pb2.MODE_QUORUM, powers: Sequence[int] = (1,) * 5):
        self.world = World(mode=mode)
        self.board: dict[tuple[bytes, bytes], SignedDigest] = {}
        self.powers = powers
        self.keys = KEYS[: len(powers)]
        self.ledgers = [FakeLedger(key.address) for key in self.keys]
        self.journals = [MemoryJournal() for _ in self.keys]
        self.errors = [0] * len(self.keys)  # what each adds to the model
        self.members = [self.make_member(i) for i in range(len(self.keys))]
        aggregator = transaction_pb2.ROLE_AGGREGATOR
        stakes = {k.address: [state_pb2.Stake(role=aggregator, address=k.address)] for k in self.keys}
        for ledger in self.ledgers:
            ledger.stakes = stakes

    def make_member(self, i: int) -> Certifier:
        signer = Signer(self.keys[i], self.journals[i], FakeBallots(self.keys[i].address, self.board))

        def aggregate(
            rule: Rule, base: Model, updates: Sequence[npt.NDArray[np.int16]], facts: RoundFacts
        ) -> Aggregation:
            made = compute(rule, base, updates, facts)
            return made._replace(model=made.model + self.errors[i])

        return Certifier(self.ledgers[i], self.world.blobs, signer, ModelComputer(aggregate), inline)

    def make_view(self, height: int, current: state_pb2.Round | None = None) -> state_pb2.TaskView:
        view = self.world.make_view(height, current=current)
        for key, power in sorted(zip(self.keys, self.powers, strict=True), key=lambda pair: pair[0].address):
            view.members.add(address=key.address, public_key=key.public_key, power=power)
        return view

    def act(self, *members: int, height: int = 12, current: state_pb2.Round | None = None) -> None:
        for i in members:
            asyncio.run(self.members[i].act(self.make_view(height, current)))

    def find_order(self) -> list[int]:
        """Members by the blocks that they leave to others."""
        view, current = self.make_view(12), self.world.make_round()
        ranks = {compute_member_rank(view, current, key.address): i for i, key in enumerate(self.keys)}
        return [ranks[rank] for rank in range(len(self.keys))]

    @property
    def submitted(self) -> list[transaction_pb2.SubmitCertifiedAggregate]:
        return [body.submit_certified_aggregate for ledger in self.ledgers for body in ledger.submitted]


def test_f_plus_one_equal_signatures_are_submitted_by_the_first_in_rank() -> None:
    committee = Committee()
    first, second, third, *_ = committee.find_order()
    committee.act(second, third)
    assert not committee.submitted, "two of five are no quorum"
    committee.act(first)
    (message,) = committee.submitted
    assert [given.member for given in message.signatures] == sorted(
        committee.keys[i].address for i in (first, second, third)
    )
    model = committee.world.add_model(committee.world.compute_model())
    assert message.model_root == model.root
    ballot = transaction_pb2.Ballot(
        chain_id=CHAIN_ID, task_id=1, round=1, kind=transaction_pb2.BALLOT_KIND_AGGREGATE, digest=model.root
    )
    public = {key.address: key.public_key for key in committee.keys}
    assert all(verify_ballot(public[given.member], ballot, given.signature) for given in message.signatures)


def test_the_next_in_rank_submits_where_the_first_does_not() -> None:
    committee = Committee()
    _, second, third, fourth, _ = committee.find_order()
    committee.act(second, third, fourth, height=12)
    committee.act(second, third, fourth, height=12)
    assert not committee.submitted
    committee.act(second, third, fourth, height=13)
    assert len(committee.submitted) == 1
    assert committee.ledgers[second].submitted


def test_others_models_are_not_counted_with_ours() -> None:
    committee = Committee()
    first, second, third, fourth, _ = committee.find_order()
    committee.errors[second] = committee.errors[third] = 1
    committee.act(second, third, fourth, first)
    assert not committee.submitted
    committee.errors[4] = 0
    committee.act(*committee.find_order()[4:], first)
    (message,) = committee.submitted
    assert len(message.signatures) == 3


@pytest.mark.parametrize(("power_of_the_liar", "submitted"), [(1, True), (2, False)])
def test_pbft_needs_more_than_two_thirds_of_the_power(power_of_the_liar: int, submitted: bool) -> None:
    """4 of 5 suffice; 4 of 6, two thirds exactly, do not."""
    committee = Committee(transaction_pb2.MODE_PBFT, powers=(4, power_of_the_liar))
    committee.errors[1] = 1
    for height in (12, 13, 14):
        committee.act(0, 1, height=height)
    assert bool(committee.submitted) is submitted


def test_a_model_is_computed_and_journalled_once() -> None:
    committee = Committee()
    committee.act(0)
    committee.act(0, height=13)
    assert committee.members[0].cost.aggregations == 1
    assert (
        committee.journals[0].get("aggregate/1/1/0/0/0")
        == committee.world.add_model(committee.world.compute_model()).root
    )


def test_after_a_crash_the_journalled_root_is_signed_again() -> None:
    """Float arithmetic may make another model in the next life: two signatures would cost the stake."""
    committee = Committee()
    committee.act(0)
    (before,) = committee.board.values()
    committee.members[0], committee.errors[0] = committee.make_member(0), 1
    committee.act(0)
    (after,) = committee.board.values()
    assert after == before


def test_a_restarted_turn_is_another_question() -> None:
    committee = Committee()
    committee.act(0)
    committee.act(0, current=committee.world.make_round(restarts=1))
    assert len(committee.board) == 2
    assert committee.members[0].cost.aggregations == 2


def test_who_signs_two_models_is_reported_once() -> None:
    committee = Committee()
    committee.act(0, 1)
    (key,) = [key for key in committee.board if key[0] == committee.keys[1].address]
    question = transaction_pb2.Ballot(
        chain_id=CHAIN_ID, task_id=1, round=1, kind=transaction_pb2.BALLOT_KIND_AGGREGATE, digest=b"x" * 32
    )
    committee.act(0)
    committee.board[key] = SignedDigest(key[0], question.digest, sign_ballot(committee.keys[1], question))
    committee.act(0)
    committee.act(0, height=13)
    (body,) = committee.ledgers[0].submitted
    evidence = body.submit_equivocation
    assert evidence.member == committee.keys[1].address
    for ballot, signature in (
        (evidence.first, evidence.first_signature),
        (evidence.second, evidence.second_signature),
    ):
        assert verify_ballot(committee.keys[1].public_key, ballot, signature)
    assert evidence.first.digest != evidence.second.digest


def test_forged_ballots_do_not_count() -> None:
    committee = Committee()
    first, second, third, *_ = committee.find_order()
    committee.act(second, third)
    for key, answer in list(committee.board.items()):
        committee.board[key] = answer._replace(signature=b"f" * 64)
    committee.act(first)
    assert not committee.submitted


def test_excluded_aggregators_are_left_out() -> None:
    committee = Committee()
    first, second, third, fourth, _ = committee.find_order()
    stakes = committee.ledgers[0].stakes
    stakes[committee.keys[second].address][0].excluded_until_height = 99
    committee.act(second, third, first)
    assert not committee.submitted
    committee.act(fourth, first)
    (message,) = committee.submitted
    assert committee.keys[second].address not in [given.member for given in message.signatures]


def test_a_missing_update_is_demanded_by_a_member() -> None:
    committee = Committee()
    committee.world.blobs.lost = {committee.world.updates[1].id}
    for height in (30, 31):
        with pytest.raises(BlobUnavailable):
            committee.act(0, height=height)
    assert committee.ledgers[0].kinds == ["demand_blob"]


def test_whoever_is_no_member_signs_nothing() -> None:
    committee = Committee(powers=(1, 1, 1))
    view = committee.make_view(12)
    del view.members[:]
    asyncio.run(committee.members[0].act(view))
    assert not committee.board
