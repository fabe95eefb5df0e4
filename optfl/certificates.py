"""Availability certificates: what replicas sign about blobs, and when enough of them have.

seed 002's PoA&I needs f_s+1 of 2f_s+1 signatures. A quorum here is 2f_s+1 of 3f_s+1, so that f_s+1 *honest* replicas
hold the blob (amendment A4).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from optfl import keys
from optfl.wire import receipt_pb2


class CertificateError(ValueError):
    """The certificate does not show that a quorum of the task's replicas stores the blob."""


@dataclass(frozen=True)
class Statement:
    """What every receipt of a certificate says; receipts differ in the replica alone."""

    chain_id: str
    task_id: int
    round: int
    owner: bytes
    vector_id: bytes
    size_bytes: int
    retain_until_height: int


def quorum_of(replicas: int) -> int:
    """Receipts that certify a blob: 2f+1 with f = ⌊(n-1)/3⌋ faulty replicas."""
    return 2 * ((replicas - 1) // 3) + 1


def encode_receipt(statement: Statement, replica: bytes) -> bytes:
    """The bytes that the replica with address `replica` signs, in keys.RECEIPT_DOMAIN."""
    return receipt_pb2.Receipt(
        chain_id=statement.chain_id,
        task_id=statement.task_id,
        round=statement.round,
        owner=statement.owner,
        vector_id=statement.vector_id,
        size_bytes=statement.size_bytes,
        retain_until_height=statement.retain_until_height,
        replica=replica,
    ).SerializeToString(deterministic=True)


def sign_receipt(key: keys.SigningKey, statement: Statement) -> bytes:
    return key.sign(keys.RECEIPT_DOMAIN, encode_receipt(statement, key.address))


def verify_receipt(public_key: bytes, statement: Statement, signature: bytes) -> bool:
    message = encode_receipt(statement, keys.address_of(public_key))
    return keys.verify(public_key, keys.RECEIPT_DOMAIN, message, signature)


def build_certificate(retain_until_height: int, signatures: Iterable[tuple[int, bytes]]) -> receipt_pb2.Certificate:
    """Certificate of (replica index, signature) pairs, in the canonical order: ascending indices."""
    return receipt_pb2.Certificate(
        retain_until_height=retain_until_height,
        signatures=[receipt_pb2.ReceiptSignature(replica=i, signature=s) for i, s in sorted(signatures)],
    )


def check_certificate(
    certificate: receipt_pb2.Certificate, statement: Statement, replica_keys: Sequence[bytes], quorum: int
) -> None:
    """Raise CertificateError unless `quorum` distinct replicas (public keys in the task's order) signed `statement`."""
    if certificate.retain_until_height != statement.retain_until_height:
        raise CertificateError("the certificate promises another retention height than its receipts state")
    indices = [signature.replica for signature in certificate.signatures]
    if any(later <= earlier for earlier, later in itertools.pairwise(indices)):
        raise CertificateError("the replica indices of a certificate must ascend, each once")
    if len(indices) < quorum:
        raise CertificateError(f"{len(indices)} receipts where a quorum is {quorum}")
    if indices[-1] >= len(replica_keys):
        raise CertificateError(f"replica index {indices[-1]}, but the task has {len(replica_keys)} replicas")
    for signature in certificate.signatures:
        if not verify_receipt(replica_keys[signature.replica], statement, signature.signature):
            raise CertificateError(f"the receipt of replica {signature.replica} is not its signature over this blob")
