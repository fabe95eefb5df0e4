"""A proof is announced before it is shown, where there is time; and it is shown whatever became of that."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offchain.interfaces import TransactionResult
from offchain.roles.announcing import (
    COURTESY_BLOCKS,
    announce,
    compute_rank,
    compute_show_height,
    get_last_height,
)
from optfl.announcements import COUNTED_BLOCKS, PAID_BLOCKS, compute_announcement, hash_proof
from optfl.errors import TooManyAnnouncements
from optfl.wire import state_pb2
from optfl.wire.transaction_pb2 import OutputProof, SubmitFraudProof
from support.roles import CHAIN_ID, FakeLedger, World, make_key

ME, OTHER = make_key("validator0").address, make_key("validator1").address
PROOF = SubmitFraudProof(task_id=1, attempt_id=1)


def make(height: int, *provers: bytes, **fields: int) -> tuple[state_pb2.TaskView, state_pb2.Attempt]:
    world = World()
    attempt = world.make_attempt(world.add_model(world.compute_model()), **fields)
    view = world.make_view(height, attempt=attempt)
    view.rounds[0].window_close_height = attempt.window_close_height
    for prover in provers:
        view.announcements.add(attempt_id=1, prover=prover)
    return view, attempt


def run(ledger: FakeLedger, view: state_pb2.TaskView, attempt: state_pb2.Attempt) -> bool:
    return asyncio.run(announce(ledger, view, attempt, PROOF))


def test_it_is_announced_in_the_name_of_the_prover() -> None:
    ledger = FakeLedger(ME)
    assert run(ledger, *make(12))
    (body,) = ledger.submitted
    assert body.announce_proof.commitment == compute_announcement(CHAIN_ID, ME, hash_proof(PROOF))
    assert (body.announce_proof.task_id, body.announce_proof.attempt_id) == (1, 1)


def test_once_also_after_a_crash() -> None:
    ledger = FakeLedger(ME)
    assert not run(ledger, *make(13, ME))
    assert not ledger.submitted


@pytest.mark.parametrize(("height", "announced"), [(15, True), (16, False), (20, False)])
def test_not_when_the_window_is_about_to_close(height: int, announced: bool) -> None:
    """It closes at 20: the announcement in 16, the proof in 19, and a block to spare."""
    ledger = FakeLedger(ME)
    assert run(ledger, *make(height)) == announced
    assert bool(ledger.submitted) == announced


def test_what_is_void_has_its_evidence_height() -> None:
    view, attempt = make(18, status=state_pb2.ATTEMPT_STATUS_VOID, evidence_height=500)
    assert get_last_height(view, attempt) == 20
    view.rounds[0].attempt_id = 2
    assert get_last_height(view, attempt) == 500


def test_a_refusal_keeps_no_proof_back() -> None:
    ledger = FakeLedger(ME, refuse=lambda _: TransactionResult(TooManyAnnouncements.code, "full", 1, b""))
    assert not run(ledger, *make(12))
    assert ledger.kinds == ["announce_proof"]


def announced(
    height: int, heights: dict[bytes, int], proof: SubmitFraudProof = PROOF, **fields: int
) -> tuple[state_pb2.TaskView, state_pb2.Attempt]:
    """As it is seen at `height`, with announcements of `proof` by account."""
    view, attempt = make(height, **fields)
    for prover, at in heights.items():
        commitment = compute_announcement(CHAIN_ID, prover, hash_proof(proof))
        view.announcements.add(
            attempt_id=1, prover=prover, announcement=state_pb2.Announcement(commitment=commitment, height=at)
        )
    return view, attempt


def show_height(view: state_pb2.TaskView, attempt: state_pb2.Attempt, me: bytes = ME) -> int:
    return compute_show_height(FakeLedger(me), view, attempt, PROOF)


def test_what_is_not_announced_is_shown_at_once() -> None:
    assert show_height(*announced(12, {})) == 12
    assert show_height(*announced(12, {OTHER: 12})) == 12


@given(st.integers(12, 40), st.integers(0, 5))
def test_the_block_behind_the_show_height_pays_who_shows_it(height: int, later: int) -> None:
    """The oldest announcement is old enough in it, and its own."""
    view, attempt = announced(height, {OTHER: height, ME: height + later}, window_close_height=200)
    shown = show_height(view, attempt) + 1
    assert shown >= max(height + PAID_BLOCKS, height + later + COUNTED_BLOCKS)


def test_one_after_the_other_in_an_order_that_differs_from_attempt_to_attempt() -> None:
    view, attempt = announced(12, {}, window_close_height=100)
    provers = [*view.validators, make_key("client0").address]
    view, attempt = announced(12, dict.fromkeys(provers, 12), window_close_height=100)
    heights = {prover: show_height(view, attempt, prover) for prover in provers}
    assert sorted(heights.values()) == [14 + COURTESY_BLOCKS * i for i in range(len(provers))]
    assert max(heights, key=lambda prover: heights[prover]) == provers[-1]  # who has no power comes last
    ranks = {validator: compute_rank(view, attempt, validator) for validator in view.validators}
    assert sorted(ranks, key=lambda v: heights[v]) == sorted(ranks, key=lambda v: ranks[v])


def test_nobody_waits_for_announcements_of_other_proofs() -> None:
    """Junk that the author of a lie sends in time holds nobody up."""
    view, attempt = announced(12, {ME: 12}, window_close_height=100)
    alone = show_height(view, attempt)
    other, _ = announced(12, {OTHER: 9}, SubmitFraudProof(task_id=1, attempt_id=1, output=OutputProof(chunk=7)))
    view.announcements.extend(other.announcements)
    assert show_height(view, attempt) == alone


@pytest.mark.parametrize("close", [14, 15, 18, 22])
def test_it_is_shown_before_the_window_closes_however_many_have_announced_it(close: int) -> None:
    view, attempt = announced(12, {}, window_close_height=close)
    provers = [make_key(f"validator{i}").address for i in range(100)]
    view, attempt = announced(12, dict.fromkeys(provers, 12), window_close_height=close)
    del view.validators[:]
    view.validators.extend(provers)
    assert max(show_height(view, attempt, prover) for prover in provers) <= close - 2
