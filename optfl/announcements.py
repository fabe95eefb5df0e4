"""Announced proofs: what binds a fraud proof to its prover before anybody else can have seen it (A10, red team F7).

A proof in the mempool is public, and a proposer can put a copy of its own first. The copy convicts like the original,
but nobody can have announced it before who did not have it then. All validators who have are paid alike, so there is no
race, and nobody gains by keeping others' announcements out.
"""

from __future__ import annotations

import hashlib

from optfl.keys import encode_account
from optfl.wire import transaction_pb2

ANNOUNCEMENT_DOMAIN = b"optfl/announcement/v1"
PAID_BLOCKS = 3  # from the oldest announcement of a proof to the proof: before, nobody is paid, so none is shown
COUNTED_BLOCKS = 2  # from any: one proposer alone can keep nobody else out, nor a proof until its copy counts


def hash_proof(proof: transaction_pb2.SubmitFraudProof) -> bytes:
    """SHA-256 of the encoded proof, which names task and attempt (L8)."""
    return hashlib.sha256(proof.SerializeToString(deterministic=True)).digest()


def compute_announcement(chain_id: str, prover: bytes, proof_hash: bytes) -> bytes:
    """SHA-256(domain ‖ u16 length of chain ‖ chain ‖ prover ‖ proof's hash): many are held against one proof."""
    return hashlib.sha256(ANNOUNCEMENT_DOMAIN + encode_account(chain_id, prover) + proof_hash).digest()
