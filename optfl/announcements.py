"""Announced proofs: what binds a fraud proof to its prover before anybody else can have seen it (A10, red team F7).

A proof in the mempool is public, and a proposer can put a copy of its own first. The copy convicts like the original,
but nobody can have announced it in an earlier block who did not have it then.
"""

from __future__ import annotations

import hashlib

from optfl.keys import encode_account
from optfl.wire import transaction_pb2

ANNOUNCEMENT_DOMAIN = b"optfl/announcement/v1"


def compute_announcement(chain_id: str, prover: bytes, proof: transaction_pb2.SubmitFraudProof) -> bytes:
    """SHA-256(domain ‖ u16 length of chain ‖ chain ‖ prover ‖ encoded proof), which names task and attempt (L8)."""
    of_prover = encode_account(chain_id, prover)
    return hashlib.sha256(ANNOUNCEMENT_DOMAIN + of_prover + proof.SerializeToString(deterministic=True)).digest()
