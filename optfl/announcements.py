"""Announced proofs: what binds a fraud proof to its prover before anybody else can have seen it (A10, red team F7).

A proof in the mempool is public, and a proposer can put a copy of its own first. The copy convicts like the original,
but nobody can have announced it in an earlier block who did not have it then.
"""

from __future__ import annotations

import hashlib

from optfl.keys import ADDRESS_BYTES
from optfl.wire import transaction_pb2

ANNOUNCEMENT_DOMAIN = b"optfl/announcement/v1"


def compute_announcement(chain_id: str, prover: bytes, proof: transaction_pb2.SubmitFraudProof) -> bytes:
    """SHA-256(domain ‖ u16 length of chain ‖ chain ‖ prover ‖ encoded proof), which names task and attempt (L8)."""
    if len(prover) != ADDRESS_BYTES:
        raise ValueError(f"an address has {ADDRESS_BYTES} bytes, not {len(prover)}")
    encoded_chain_id = chain_id.encode()
    return hashlib.sha256(
        ANNOUNCEMENT_DOMAIN
        + len(encoded_chain_id).to_bytes(2, "big")
        + encoded_chain_id
        + prover
        + proof.SerializeToString(deterministic=True)
    ).digest()
