"""One-step fraud proofs: open the K input chunks, the base chunk and the claimed chunk; re-execute; compare.

A proof is judged on the record of the attempt that it names and on nothing else (amendment A1), so that nothing that
happens later can turn an honest aggregate into a fraud (red team R1).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from optfl import tasks
from optfl.aggregation import aggregate_chunk
from optfl.rules import parse_rule
from optfl.vectors import ChunkedVector, Opening, Shape, VectorError, verify_opening
from optfl.wire import state_pb2, transaction_pb2


class ProofError(ValueError):
    """The proof does not open the vectors that the attempt names: it shows nothing, neither guilt nor innocence."""


def build_output_proof(
    chunk: int, updates: Sequence[ChunkedVector], base: ChunkedVector, claimed: ChunkedVector
) -> transaction_pb2.OutputProof:
    """Proof about `chunk` of `claimed`; `updates` in the order of the attempt's inputs."""
    return encode_output_proof(
        chunk, [update.opening(chunk) for update in updates], base.opening(chunk), claimed.opening(chunk)
    )


def encode_output_proof(
    chunk: int, updates: Sequence[Opening], base: Opening, claimed: Opening
) -> transaction_pb2.OutputProof:
    """Proof about `chunk` by its openings alone: whoever samples chunks never has the whole vectors."""
    return transaction_pb2.OutputProof(
        chunk=chunk,
        updates=[_encode_opening(update) for update in updates],
        base=_encode_opening(base),
        claimed=_encode_opening(claimed),
    )


def is_fraud(
    parameters: transaction_pb2.TaskParameters, attempt: state_pb2.Attempt, proof: transaction_pb2.OutputProof
) -> bool:
    """Whether the claimed chunk differs from what the rule makes of the inputs; bit for bit, no tolerance.

    Raises ProofError if an opening does not verify against the attempt's record.
    """
    if len(proof.updates) != len(attempt.inputs):
        raise ProofError(f"{len(proof.updates)} updates are opened, but the attempt has {len(attempt.inputs)} inputs")
    update_shape, model_shape = tasks.update_shape(parameters), tasks.model_shape(parameters)
    updates = [
        _open(update_shape, given.update_root, proof.chunk, opening, f"update {i}")
        for i, (given, opening) in enumerate(zip(attempt.inputs, proof.updates, strict=True))
    ]
    base = _open(model_shape, attempt.base_root, proof.chunk, proof.base, "the base")
    claimed = _open(model_shape, attempt.model_root, proof.chunk, proof.claimed, "the claimed model")
    weights = [given.weight for given in attempt.inputs]
    expected = aggregate_chunk(parse_rule(attempt.rule), base, np.stack(updates), weights)
    return not np.array_equal(expected, claimed)


def _encode_opening(opening: Opening) -> transaction_pb2.Opening:
    return transaction_pb2.Opening(data=bytes(opening.data), path=opening.path)


def _open(shape: Shape, root: bytes, chunk: int, opening: transaction_pb2.Opening, what: str) -> np.ndarray:
    try:
        return verify_opening(shape, root, chunk, Opening(opening.data, tuple(opening.path)))
    except VectorError as error:
        raise ProofError(f"chunk {chunk} of {what} does not open: {error}") from None
