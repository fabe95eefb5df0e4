"""One-step fraud proofs: open a few chunks that the attempt's record names, re-execute one step on them, compare.

Three kinds follow a claim from its inputs to its model. *step*: one entry of the trace is not the one before it plus
the inner product of two blocks. *weights*: the trace's last row decides otherwise. *output*: a chunk of the model is
not what the rule, so decided, makes of the inputs. Rules without totals need the last alone.

A proof is judged on the record of the attempt that it names and on nothing else (amendment A1), so that nothing that
happens later can turn an honest aggregate into a fraud (red team R1).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from optfl import tasks, traces
from optfl.aggregation import aggregate_chunk, derive_weights
from optfl.rules import parse_rule
from optfl.rules.gram import TotalsKind, count_totals, is_total
from optfl.vectors import ChunkedVector, Opening, Shape, VectorError, verify_opening, verify_range_opening
from optfl.wire import state_pb2, transaction_pb2

_JUDGED: dict[bytes, bool] = {}
"""What `is_fraud` said last, by the hash of all that it depends on: it says the same again."""
_MAX_JUDGED = 256

Proof = transaction_pb2.OutputProof | transaction_pb2.StepProof | transaction_pb2.WeightsProof


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


def build_step_proof(
    kind: TotalsKind, entry: traces.Entry, updates: Sequence[ChunkedVector], trace: ChunkedVector
) -> transaction_pb2.StepProof:
    """Proof that `entry` of the claimed `trace`, with totals of this kind, is no step from the row before it."""
    after = traces.find_entry(kind, entry, len(updates)) // trace.shape.chunk_values
    proof = transaction_pb2.StepProof(row=entry.row, j=entry.j, k=entry.k, after=_encode_opening(trace.opening(after)))
    if entry.row > 0:
        before = traces.find_entry(kind, entry._replace(row=entry.row - 1), len(updates)) // trace.shape.chunk_values
        proof.before.CopyFrom(_encode_opening(trace.opening(before)))
    chunks = _block_chunks(updates[0].shape, entry.row)
    proof.update_j.CopyFrom(_encode_opening(updates[entry.j].range_opening(chunks)))
    if entry.j != entry.k:
        proof.update_k.CopyFrom(_encode_opening(updates[entry.k].range_opening(chunks)))
    return proof


def build_weights_proof(kind: TotalsKind, trace: ChunkedVector, updates: int) -> transaction_pb2.WeightsProof:
    """Proof that the last row of the claimed `trace` decides otherwise than the attempt says."""
    totals = _encode_opening(trace.range_opening(_last_row_chunks(kind, trace.shape, updates)))
    return transaction_pb2.WeightsProof(totals=totals)


def wrap_proof(attempt: state_pb2.Attempt, proof: Proof) -> transaction_pb2.SubmitFraudProof:
    """The transaction that shows `proof` of an attempt."""
    message = transaction_pb2.SubmitFraudProof(task_id=attempt.task_id, attempt_id=attempt.attempt_id)
    match proof:
        case transaction_pb2.OutputProof():
            message.output.CopyFrom(proof)
        case transaction_pb2.StepProof():
            message.step.CopyFrom(proof)
        case transaction_pb2.WeightsProof():
            message.weights.CopyFrom(proof)
    return message


def unwrap_proof(message: transaction_pb2.SubmitFraudProof) -> Proof:
    """The proof in a transaction that has one."""
    proof: Proof = getattr(message, message.WhichOneof("proof") or "output")
    return proof


def is_fraud(parameters: transaction_pb2.TaskParameters, attempt: state_pb2.Attempt, proof: Proof) -> bool:
    """Whether the step that the proof opens was done wrong; bit for bit, no tolerance.

    Raises ProofError if an opening does not verify against the attempt's record, or it has no such step.
    """
    # One proof is judged on its way into the mempool, into a proposal and into a block; copies of it as often.
    digest = hashlib.sha256()
    for part in (parameters, attempt, proof):
        encoded = part.SerializeToString(deterministic=True)
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    key = digest.digest()
    if key not in _JUDGED:
        _JUDGED[key] = _is_fraud(parameters, attempt, proof)
        if len(_JUDGED) > _MAX_JUDGED:
            _JUDGED.pop(next(iter(_JUDGED)), None)
    return _JUDGED[key]


def forget_judgements() -> None:
    """Judge every proof anew: for whoever changes or times how they are judged."""
    _JUDGED.clear()


def _is_fraud(parameters: transaction_pb2.TaskParameters, attempt: state_pb2.Attempt, proof: Proof) -> bool:
    match proof:
        case transaction_pb2.OutputProof():
            return _is_wrong_output(parameters, attempt, proof)
        case transaction_pb2.StepProof():
            return _is_wrong_step(parameters, attempt, proof)
        case transaction_pb2.WeightsProof():
            return _are_wrong_weights(parameters, attempt, proof)


def _is_wrong_output(
    parameters: transaction_pb2.TaskParameters, attempt: state_pb2.Attempt, proof: transaction_pb2.OutputProof
) -> bool:
    if len(proof.updates) != len(attempt.inputs):
        raise ProofError(f"{len(proof.updates)} updates are opened, but the attempt has {len(attempt.inputs)} inputs")
    update_shape, model_shape = tasks.update_shape(parameters), tasks.model_shape(parameters)
    opened = [
        _open(update_shape, given.update_root, proof.chunk, opening, f"update {i}")
        for i, (given, opening) in enumerate(zip(attempt.inputs, proof.updates, strict=True))
    ]
    base = _open(model_shape, attempt.base_root, proof.chunk, proof.base, "the base")
    claimed = _open(model_shape, attempt.model_root, proof.chunk, proof.claimed, "the claimed model")
    updates = tasks.expand_update(parameters, np.stack(opened))
    facts, weights = tasks.get_facts(attempt), attempt.reduction.weights
    expected = aggregate_chunk(parse_rule(attempt.rule), base, updates, facts, weights)
    return not np.array_equal(expected, claimed)


def _is_wrong_step(
    parameters: transaction_pb2.TaskParameters, attempt: state_pb2.Attempt, proof: transaction_pb2.StepProof
) -> bool:
    kind, shape, updates = *_get_trace_shape(parameters, attempt), len(attempt.inputs)
    if not (is_total(kind, proof.j, proof.k, updates) and proof.row < traces.count_rows(parameters.length)):
        raise ProofError(f"a trace of {updates} inputs has no entry ({proof.j}, {proof.k}) in row {proof.row}")
    if proof.HasField("before") != (proof.row > 0) or proof.HasField("update_k") != (proof.j != proof.k):
        raise ProofError("open the row before where there is one, and the second update where it is another one")
    entry = traces.Entry(proof.row, proof.j, proof.k)
    root = attempt.reduction.trace_root
    after = _open_entry(kind, shape, root, entry, updates, proof.after)
    before = 0
    if proof.row > 0:
        before = _open_entry(kind, shape, root, entry._replace(row=proof.row - 1), updates, proof.before)
    update_shape = tasks.update_shape(parameters)
    chunks = _block_chunks(update_shape, proof.row)
    first = _open_range(update_shape, attempt.inputs[proof.j].update_root, chunks, proof.update_j, "the first update")
    second = first
    if proof.j != proof.k:
        root = attempt.inputs[proof.k].update_root
        second = _open_range(update_shape, root, chunks, proof.update_k, "the second update")
    first, second = (tasks.expand_update(parameters, opened).astype(np.int64) for opened in (first, second))
    # Exact: 2^17 products of at most 2^30; in Python's integers, for the claimed entries may be any.
    return after != before + int(np.dot(first, second))


def _are_wrong_weights(
    parameters: transaction_pb2.TaskParameters, attempt: state_pb2.Attempt, proof: transaction_pb2.WeightsProof
) -> bool:
    kind, shape, updates = *_get_trace_shape(parameters, attempt), len(attempt.inputs)
    chunks = _last_row_chunks(kind, shape, updates)
    opened = _open_range(shape, attempt.reduction.trace_root, chunks, proof.totals, "the trace")
    totals = traces.get_totals(kind, opened, updates)
    expected = derive_weights(parse_rule(attempt.rule), totals, tasks.get_facts(attempt))
    return expected != tuple(attempt.reduction.weights)


def _get_trace_shape(
    parameters: transaction_pb2.TaskParameters, attempt: state_pb2.Attempt
) -> tuple[TotalsKind, Shape]:
    if not attempt.HasField("reduction"):
        raise ProofError(f"attempt {attempt.attempt_id} has no trace; prove a chunk of its model wrong")
    return parse_rule(parameters.rule).totals, tasks.trace_shape(parameters, len(attempt.inputs))


def _block_chunks(update_shape: Shape, row: int) -> range:
    """The chunks of an update that `row` of a trace adds; chunk sizes are powers of two up to a block's."""
    in_block = max(traces.BLOCK_VALUES // update_shape.chunk_values, 1)
    return range(row * in_block, min((row + 1) * in_block, update_shape.chunks))


def _last_row_chunks(kind: TotalsKind, trace_shape: Shape, updates: int) -> range:
    start = trace_shape.length - count_totals(kind, updates)
    return range(start // trace_shape.chunk_values, trace_shape.chunks)


def _encode_opening(opening: Opening) -> transaction_pb2.Opening:
    return transaction_pb2.Opening(data=bytes(opening.data), path=opening.path)


def _open(shape: Shape, root: bytes, chunk: int, opening: transaction_pb2.Opening, what: str) -> np.ndarray:
    try:
        return verify_opening(shape, root, chunk, Opening(opening.data, tuple(opening.path)))
    except VectorError as error:
        raise ProofError(f"chunk {chunk} of {what} does not open: {error}") from None


def _open_range(shape: Shape, root: bytes, chunks: range, opening: transaction_pb2.Opening, what: str) -> np.ndarray:
    try:
        return verify_range_opening(shape, root, chunks, Opening(opening.data, tuple(opening.path)))
    except VectorError as error:
        raise ProofError(f"{what} does not open: {error}") from None


def _open_entry(
    kind: TotalsKind,
    shape: Shape,
    root: bytes,
    entry: traces.Entry,
    updates: int,
    opening: transaction_pb2.Opening,
) -> int:
    chunk, offset = divmod(traces.find_entry(kind, entry, updates), shape.chunk_values)
    return int(_open(shape, root, chunk, opening, f"the trace, row {entry.row},")[offset])
