"""A proof is announced a block before it is shown, where there is time; and it is shown whatever became of that."""

from __future__ import annotations

import asyncio

import pytest

from offchain.interfaces import TransactionResult
from offchain.roles.announcing import announce, get_last_height, is_announced_by_another
from optfl.announcements import compute_announcement
from optfl.errors import TooManyAnnouncements
from optfl.wire import state_pb2
from optfl.wire.transaction_pb2 import SubmitFraudProof
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


def run(ledger: FakeLedger, view: state_pb2.TaskView, attempt: state_pb2.Attempt) -> None:
    asyncio.run(announce(ledger, view, attempt, PROOF))


def test_it_is_announced_in_the_name_of_the_prover() -> None:
    ledger = FakeLedger(ME)
    run(ledger, *make(12))
    (body,) = ledger.submitted
    assert body.announce_proof.commitment == compute_announcement(CHAIN_ID, ME, PROOF)
    assert (body.announce_proof.task_id, body.announce_proof.attempt_id) == (1, 1)


def test_once_also_after_a_crash() -> None:
    ledger = FakeLedger(ME)
    run(ledger, *make(13, ME))
    assert not ledger.submitted


@pytest.mark.parametrize(("height", "announced"), [(17, True), (18, False), (20, False)])
def test_not_when_the_window_is_about_to_close(height: int, announced: bool) -> None:
    """It closes at 20: the announcement in 18, the proof in 19, and a block to spare."""
    ledger = FakeLedger(ME)
    run(ledger, *make(height))
    assert bool(ledger.submitted) == announced


def test_what_is_void_has_its_evidence_height() -> None:
    view, attempt = make(18, status=state_pb2.ATTEMPT_STATUS_VOID, evidence_height=500)
    assert get_last_height(view, attempt) == 20
    view.rounds[0].attempt_id = 2
    assert get_last_height(view, attempt) == 500


def test_a_refusal_keeps_no_proof_back() -> None:
    ledger = FakeLedger(ME, refuse=lambda _: TransactionResult(TooManyAnnouncements.code, "full", 1, b""))
    run(ledger, *make(12))  # returns
    assert ledger.kinds == ["announce_proof"]


@pytest.mark.parametrize(("provers", "waits"), [((), False), ((OTHER,), True), ((ME,), False), ((ME, OTHER), False)])
def test_courtesy_is_for_who_has_announced_before_us(provers: tuple[bytes, ...], waits: bool) -> None:
    view, attempt = make(12, *provers)
    assert is_announced_by_another(view, attempt, ME) == waits
