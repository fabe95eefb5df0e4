"""Announced proofs: what the commitment binds, told by hand."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optfl.announcements import compute_announcement, hash_proof
from optfl.wire.transaction_pb2 import OutputProof, SubmitFraudProof

PROVER = bytes(range(20))


@given(st.text(max_size=50), st.binary(min_size=20, max_size=20), st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1))
def test_it_is_what_the_protocol_says(chain_id: str, prover: bytes, task_id: int, attempt_id: int) -> None:
    proof = SubmitFraudProof(task_id=task_id, attempt_id=attempt_id, output=OutputProof(chunk=3))
    chain = chain_id.encode()
    expected = hashlib.sha256(
        b"optfl/announcement/v1"
        + len(chain).to_bytes(2, "big")
        + chain
        + prover
        + hashlib.sha256(proof.SerializeToString()).digest()
    ).digest()
    assert compute_announcement(chain_id, prover, hash_proof(proof)) == expected


def test_L8_everything_that_it_names_changes_it() -> None:
    proof = SubmitFraudProof(task_id=1, attempt_id=1, output=OutputProof(chunk=1))
    others = [
        SubmitFraudProof(task_id=2, attempt_id=1, output=OutputProof(chunk=1)),
        SubmitFraudProof(task_id=1, attempt_id=2, output=OutputProof(chunk=1)),
        SubmitFraudProof(task_id=1, attempt_id=1, output=OutputProof(chunk=2)),
    ]
    made = {compute_announcement("a", PROVER, hash_proof(each)) for each in (proof, *others)}
    digest = hash_proof(proof)
    made |= {compute_announcement("b", PROVER, digest), compute_announcement("a", bytes(20), digest)}
    assert len(made) == 6


def test_only_an_account_announces() -> None:
    with pytest.raises(ValueError, match="20 bytes"):
        compute_announcement("a", b"short", bytes(32))
