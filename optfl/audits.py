"""Storage audits: which chunk of which blob a replica has to show for its share of a settled round (red team E3).

A receipt is a statement about one instant. The beacon of the block that takes an attempt draws one chunk for each
replica, which nobody could know before; who does not answer while the attempt is open is not paid, and that is all.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from optfl.tasks import MODEL_BLOB, TRACE_BLOB, model_shape, trace_shape
from optfl.wire import state_pb2, transaction_pb2

__all__ = [
    "AUDIT_DOMAIN",
    "DEMAND_DOMAIN",
    "MODEL_BLOB",
    "TRACE_BLOB",
    "AuditedChunk",
    "compute_audit",
    "compute_demanded_chunk",
    "draw_audit",
]

AUDIT_DOMAIN = b"optfl/audit/v1"
DEMAND_DOMAIN = b"optfl/demand/v1"


class AuditedChunk(NamedTuple):
    """What a replica has to open."""

    blob: int  # index into the attempt's inputs, MODEL_BLOB or TRACE_BLOB
    chunk: int


def compute_audit(
    beacon: bytes, task_id: int, attempt_id: int, replica: int, inputs: int, chunks: int, trace_chunks: int = 0
) -> AuditedChunk:
    """The chunk drawn for the task's `replica`-th replica: of `inputs` updates and the model, each of `chunks` chunks,
    and of the trace, if there is one.

    x = SHA-256(domain ‖ beacon ‖ task ‖ attempt ‖ replica); blob number x mod n, for n blobs in this order; chunk
    ⌊x / n⌋ mod its number of chunks. Anyone can recompute it.
    """
    blobs = [*range(inputs), MODEL_BLOB, *([TRACE_BLOB] if trace_chunks else [])]
    seed = task_id.to_bytes(8, "big") + attempt_id.to_bytes(4, "big") + replica.to_bytes(4, "big")
    digest = hashlib.sha256(AUDIT_DOMAIN + beacon + seed).digest()
    rest, position = divmod(int.from_bytes(digest, "big"), len(blobs))
    blob = blobs[position]
    return AuditedChunk(blob, rest % (trace_chunks if blob == TRACE_BLOB else chunks))


def draw_audit(parameters: transaction_pb2.TaskParameters, attempt: state_pb2.Attempt, replica: int) -> AuditedChunk:
    """The chunk of an attempt's blobs that is drawn for the task's `replica`-th replica."""
    inputs = len(attempt.inputs)
    trace_chunks = trace_shape(parameters, inputs).chunks if attempt.HasField("reduction") else 0
    chunks = model_shape(parameters).chunks
    return compute_audit(attempt.beacon, attempt.task_id, attempt.attempt_id, replica, inputs, chunks, trace_chunks)


def compute_demanded_chunk(demand: state_pb2.Demand, operator: bytes, chunks: int) -> int:
    """The chunk of a demanded blob, of so many, that the validator `operator` has to show to count as its holder.

    SHA-256(domain ‖ beacon of the demand ‖ the numbers of its key ‖ operator) mod chunks. Who has found nothing has
    nothing to show.
    """
    numbers = (demand.round, demand.parent_attempt, demand.attempt_id, demand.turn, demand.blob)
    seed = demand.task_id.to_bytes(8, "big") + b"".join(number.to_bytes(4, "big") for number in numbers)
    digest = hashlib.sha256(DEMAND_DOMAIN + demand.beacon + seed + operator).digest()
    return int.from_bytes(digest, "big") % chunks
