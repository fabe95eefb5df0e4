"""Storage audits: which chunk of which blob a replica has to show for its share of a settled round (red team E3).

A receipt is a statement about one instant. The beacon of the block that takes an attempt draws one chunk for each
replica, which nobody could know before; who does not answer while the attempt is open is not paid, and that is all.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from optfl.tasks import MODEL_BLOB
from optfl.wire import state_pb2

__all__ = ["AUDIT_DOMAIN", "DEMAND_DOMAIN", "MODEL_BLOB", "AuditedChunk", "compute_audit", "compute_demanded_chunk"]

AUDIT_DOMAIN = b"optfl/audit/v1"
DEMAND_DOMAIN = b"optfl/demand/v1"


class AuditedChunk(NamedTuple):
    """What a replica has to open."""

    blob: int  # index into the attempt's inputs, or MODEL_BLOB
    chunk: int


def compute_audit(beacon: bytes, task_id: int, attempt_id: int, replica: int, inputs: int, chunks: int) -> AuditedChunk:
    """The chunk drawn for the task's `replica`-th replica: of `inputs` updates and the model, each of `chunks` chunks.

    x = SHA-256(domain ‖ beacon ‖ task ‖ attempt ‖ replica); blob number x mod (inputs + 1), the model last; chunk
    ⌊x / (inputs + 1)⌋ mod chunks. Anyone can recompute it.
    """
    seed = task_id.to_bytes(8, "big") + attempt_id.to_bytes(4, "big") + replica.to_bytes(4, "big")
    rest, blob = divmod(int.from_bytes(hashlib.sha256(AUDIT_DOMAIN + beacon + seed).digest(), "big"), inputs + 1)
    return AuditedChunk(MODEL_BLOB if blob == inputs else blob, rest % chunks)


def compute_demanded_chunk(demand: state_pb2.Demand, operator: bytes, chunks: int) -> int:
    """The chunk of a demanded blob, of so many, that the validator `operator` has to show to count as its holder.

    SHA-256(domain ‖ beacon of the demand ‖ the numbers of its key ‖ operator) mod chunks. Who has found nothing has
    nothing to show.
    """
    numbers = (demand.round, demand.parent_attempt, demand.attempt_id, demand.turn, demand.blob)
    seed = demand.task_id.to_bytes(8, "big") + b"".join(number.to_bytes(4, "big") for number in numbers)
    digest = hashlib.sha256(DEMAND_DOMAIN + demand.beacon + seed + operator).digest()
    return int.from_bytes(digest, "big") % chunks
