"""Availability certificates: a quorum of the task's replicas, each over exactly this blob of this owner."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optfl.certificates import (
    CertificateError,
    Statement,
    build_certificate,
    check_certificate,
    encode_receipt,
    quorum_of,
    sign_receipt,
    verify_receipt,
)
from optfl.keys import SigningKey
from optfl.wire import receipt_pb2

REPLICAS = [SigningKey.from_seed(bytes([i]) * 32) for i in range(4)]
PUBLIC_KEYS = [replica.public_key for replica in REPLICAS]
QUORUM = quorum_of(len(REPLICAS))
STATEMENT = Statement(
    chain_id="chain",
    task_id=1,
    round=2,
    owner=bytes(20),
    vector_id=bytes(32),
    size_bytes=200,
    retain_until_height=100,
)
OTHERS: dict[str, Any] = {
    "chain_id": "other",
    "task_id": 2,
    "round": 3,
    "owner": b"o" * 20,
    "vector_id": b"v" * 32,
    "size_bytes": 201,
    "retain_until_height": 101,
}


def certify(indices: list[int], statement: Statement = STATEMENT) -> receipt_pb2.Certificate:
    return build_certificate(
        statement.retain_until_height, [(i, sign_receipt(REPLICAS[i], statement)) for i in indices]
    )


@pytest.mark.parametrize(
    ("replicas", "quorum"), [(1, 1), (2, 1), (3, 1), (4, 3), (5, 3), (6, 3), (7, 5), (10, 7), (64, 43)]
)
def test_quorum_is_2f_plus_1_of_3f_plus_1(replicas: int, quorum: int) -> None:
    assert quorum_of(replicas) == quorum


@given(st.integers(1, 1000))
def test_a_quorum_has_f_plus_1_honest_holders_and_can_be_had_without_f(replicas: int) -> None:
    """A4: with f faulty ones, f+1 of the signers are honest, and the honest ones suffice to sign."""
    faulty = (replicas - 1) // 3
    assert quorum_of(replicas) - faulty >= faulty + 1
    assert replicas - faulty >= quorum_of(replicas)


@pytest.mark.parametrize("indices", [[0, 1, 2], [1, 2, 3], [0, 1, 2, 3]])
def test_any_quorum_certifies(indices: list[int]) -> None:
    check_certificate(certify(indices), STATEMENT, PUBLIC_KEYS, QUORUM)


def test_certificates_are_built_in_canonical_order() -> None:
    assert certify([2, 0, 1]) == certify([0, 1, 2])


@pytest.mark.parametrize("indices", [[], [0], [0, 3]])
def test_fewer_than_a_quorum_do_not(indices: list[int]) -> None:
    with pytest.raises(CertificateError, match="a quorum is 3"):
        check_certificate(certify(indices), STATEMENT, PUBLIC_KEYS, QUORUM)


def test_a_replica_counts_once() -> None:
    with pytest.raises(CertificateError, match="ascend"):
        check_certificate(certify([0, 0, 1]), STATEMENT, PUBLIC_KEYS, QUORUM)


def test_descending_indices_are_refused() -> None:
    certificate = certify([0, 1, 2])
    signatures = list(reversed(certificate.signatures))
    del certificate.signatures[:]
    certificate.signatures.extend(signatures)
    with pytest.raises(CertificateError, match="ascend"):
        check_certificate(certificate, STATEMENT, PUBLIC_KEYS, QUORUM)


@pytest.mark.parametrize("index", [4, 2**32 - 1])
def test_a_replica_that_the_task_has_not_is_refused(index: int) -> None:
    certificate = certify([0, 1, 2])
    certificate.signatures[2].replica = index
    with pytest.raises(CertificateError, match="has 4 replicas"):
        check_certificate(certificate, STATEMENT, PUBLIC_KEYS, QUORUM)


def test_a_signature_under_another_index_is_refused() -> None:
    certificate = certify([0, 1, 2])
    certificate.signatures[2].replica = 3
    with pytest.raises(CertificateError, match="replica 3"):
        check_certificate(certificate, STATEMENT, PUBLIC_KEYS, QUORUM)


def test_one_bad_signature_spoils_a_certificate_even_beyond_the_quorum() -> None:
    """All that stands in a certificate is true, so that nobody can pad one with garbage."""
    certificate = certify([0, 1, 2, 3])
    certificate.signatures[3].signature = bytes(64)
    with pytest.raises(CertificateError, match="replica 3"):
        check_certificate(certificate, STATEMENT, PUBLIC_KEYS, QUORUM)


def test_a_certificate_promises_what_its_receipts_do() -> None:
    certificate = certify([0, 1, 2])
    certificate.retain_until_height += 1
    with pytest.raises(CertificateError, match="retention"):
        check_certificate(certificate, STATEMENT, PUBLIC_KEYS, QUORUM)


@pytest.mark.parametrize("field", OTHERS)
def test_I4_a_receipt_binds_every_field_of_its_statement(field: str) -> None:
    other = dataclasses.replace(STATEMENT, **{field: OTHERS[field]})
    with pytest.raises(CertificateError):
        check_certificate(certify([0, 1, 2], other), STATEMENT, PUBLIC_KEYS, QUORUM)
    assert encode_receipt(other, REPLICAS[0].address) != encode_receipt(STATEMENT, REPLICAS[0].address)


def test_a_receipt_names_its_replica() -> None:
    signature = sign_receipt(REPLICAS[0], STATEMENT)
    assert verify_receipt(PUBLIC_KEYS[0], STATEMENT, signature)
    assert not verify_receipt(PUBLIC_KEYS[1], STATEMENT, signature)
