"""Bytes and transactions by the rate of disputes: counted in blocks and at transports."""

from __future__ import annotations

import pytest

from benchmarks.communication import MEASURES, build_cases, show
from benchmarks.federations import measure

ROUNDS, V = 4, 4


def test_without_disputes_all_cases_are_the_same_rounds() -> None:
    proofs, votes, causeless, _ = (measure(case) for case in build_cases(0.0, ROUNDS, V))
    assert proofs.requests == causeless.requests
    assert MEASURES["of disputes"](votes) == MEASURES["of disputes"](proofs) == 0
    assert MEASURES["attempts"](proofs) == 1


def test_a_vote_is_a_challenge_and_two_transactions_of_each_validator() -> None:
    causeless = measure(build_cases(0.5, ROUNDS, V)[2])
    assert MEASURES["of disputes"](causeless) == 0.5 * (1 + 2 * V)
    assert MEASURES["attempts"](causeless) == 1


def test_a_proof_is_one_transaction_and_its_round_is_redone(capsys: pytest.CaptureFixture[str]) -> None:
    proven = measure(build_cases(0.5, ROUNDS, V)[0])
    assert len(proven.convicted) == 2
    assert MEASURES["of disputes"](proven) == 0.5
    assert MEASURES["attempts"](proven) >= 1.5
    show([proven])
    assert "lies, by proof" in capsys.readouterr().out
