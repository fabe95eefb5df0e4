"""Ballots: the question of a round, its signatures, and two answers to one question."""

from __future__ import annotations

import hashlib

import pytest

from optfl.ballots import (
    build_aggregate_question,
    compute_aggregate_digest,
    is_equivocation,
    sign_ballot,
    strip_digest,
    verify_ballot,
)
from optfl.keys import SigningKey
from optfl.wire import state_pb2, transaction_pb2

KEY = SigningKey.from_seed(bytes(32))
ROUND = state_pb2.Round(task_id=2, round=3, parent_attempt=4, turn=1, restarts=5)


def answer(digest: bytes, **overrides: object) -> transaction_pb2.Ballot:
    ballot = build_aggregate_question("a-chain", ROUND)
    ballot.digest = digest
    for field, value in overrides.items():
        setattr(ballot, field, value)
    return ballot


def test_a_rounds_question_names_the_round_by_what_makes_its_inputs_the_only_ones() -> None:
    assert build_aggregate_question("a-chain", ROUND) == transaction_pb2.Ballot(
        chain_id="a-chain",
        task_id=2,
        round=3,
        parent_attempt=4,
        turn=1,
        restarts=5,
        kind=transaction_pb2.BALLOT_KIND_AGGREGATE,
    )


def test_a_signature_is_of_one_ballot_by_one_key() -> None:
    signature = sign_ballot(KEY, answer(b"a" * 32))
    assert verify_ballot(KEY.public_key, answer(b"a" * 32), signature)
    assert not verify_ballot(KEY.public_key, answer(b"b" * 32), signature)
    assert not verify_ballot(SigningKey.from_seed(b"x" * 32).public_key, answer(b"a" * 32), signature)


def test_two_answers_to_one_question_contradict_each_other() -> None:
    assert is_equivocation(answer(b"a" * 32), answer(b"b" * 32))
    assert not is_equivocation(answer(b"a" * 32), answer(b"a" * 32))


@pytest.mark.parametrize(
    ("field", "value"),
    [("chain_id", "other"), ("task_id", 9), ("round", 9), ("parent_attempt", 9), ("turn", 9), ("restarts", 9)],
)
def test_answers_to_two_questions_do_not(field: str, value: object) -> None:
    assert not is_equivocation(answer(b"a" * 32), answer(b"b" * 32, **{field: value}))


def test_the_question_is_the_ballot_without_its_answer() -> None:
    ballot = answer(b"a" * 32)
    assert strip_digest(ballot) == build_aggregate_question("a-chain", ROUND)
    assert ballot.digest == b"a" * 32, "the ballot itself stays"


def test_what_is_signed_covers_all_that_can_be_proven_wrong() -> None:
    """Without totals it is the model's root; with them nobody can swap trace or weights behind a signature."""
    reduction = transaction_pb2.Reduction(trace_root=b"t" * 32, weights=[1, 2**64 - 1])
    digest = compute_aggregate_digest(b"m" * 32, reduction)
    encoded = b"optfl/aggregate/v1" + b"m" * 32 + b"t" * 32 + (1).to_bytes(8, "big") + b"\xff" * 8
    assert digest == hashlib.sha256(encoded).digest()
    assert compute_aggregate_digest(b"m" * 32, None) == b"m" * 32
    others = [
        compute_aggregate_digest(b"n" * 32, reduction),
        compute_aggregate_digest(b"m" * 32, transaction_pb2.Reduction(trace_root=b"u" * 32, weights=[1, 2**64 - 1])),
        compute_aggregate_digest(b"m" * 32, transaction_pb2.Reduction(trace_root=b"t" * 32, weights=[1])),
    ]
    assert len({digest, *others}) == 4
