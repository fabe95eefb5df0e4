"""What follows from a task's parameters alone: shapes, sizes, sums and deadlines that everyone must agree on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from optfl import certificates
from optfl.vectors import Shape
from optfl.wire import state_pb2, transaction_pb2

# Room for what surrounds an opening in an encoded proof: tags and lengths of protobuf, chunk number, path entries.
_OPENING_OVERHEAD_BYTES = 32
_PATH_ENTRY_BYTES = 34
_ENVELOPE_BYTES = 512


def update_shape(parameters: transaction_pb2.TaskParameters) -> Shape:
    return Shape("int16", parameters.length, parameters.chunk_values)


def model_shape(parameters: transaction_pb2.TaskParameters) -> Shape:
    return Shape("int32", parameters.length, parameters.chunk_values)


def replica_quorum(parameters: transaction_pb2.TaskParameters) -> int:
    return certificates.quorum_of(len(parameters.replicas))


def compute_round_cost(parameters: transaction_pb2.TaskParameters) -> int:
    """Tokens that one settled round pays out at most."""
    return (
        parameters.aggregator_reward
        + parameters.client_reward * parameters.clients_per_round
        + parameters.validator_reward
        + parameters.replica_reward
    )


def compute_escrow(parameters: transaction_pb2.TaskParameters) -> int:
    return parameters.rounds * compute_round_cost(parameters)


def compute_window_blocks(parameters: transaction_pb2.TaskParameters, aggregate_blocks: int) -> int:
    """T = max(T_min, α·T_aggregate), in blocks.  # seed 001, section E"""
    capped = min(aggregate_blocks, parameters.aggregation_blocks)
    return max(parameters.min_window_blocks, -(-capped * parameters.window_factor_percent // 100))


def compute_min_window_blocks(parameters: transaction_pb2.TaskParameters, block_time_ms: int) -> int:
    """Blocks in which a watcher can fetch K updates and two models, re-execute, and get a proof included (A8, L1)."""
    fetch_bytes = parameters.clients_per_round * update_shape(parameters).size_bytes
    fetch_bytes += 2 * model_shape(parameters).size_bytes
    # Re-execution runs at memory speed and is allowed the time of the fetch; two blocks carry the proof.
    fetch_ms = 2 * -(-fetch_bytes * 1000 // parameters.bandwidth_bytes_per_second)
    return -(-fetch_ms // block_time_ms) + 2


def compute_retention_blocks(parameters: transaction_pb2.TaskParameters, evidence_blocks: int) -> int:
    """Blocks for which a blob can still be evidence, from the height at which its certificate is included (I5)."""
    window = compute_window_blocks(parameters, parameters.aggregation_blocks)
    attempts = parameters.max_attempts * (parameters.aggregation_blocks + window)
    # A model is also the base of the next round, whose commits and attempts come after its own.
    return 2 * (parameters.training_blocks + attempts) + evidence_blocks


def compute_inputs_hash(inputs: Iterable[state_pb2.Input]) -> bytes:
    """What a digest keeps of an attempt's inputs: enough to tell whether two attempts aggregated the same."""
    digest = hashlib.sha256()
    for given in inputs:
        encoded = given.SerializeToString(deterministic=True)
        digest.update(len(encoded).to_bytes(4, "big") + encoded)
    return digest.digest()


def compute_proof_bytes(parameters: transaction_pb2.TaskParameters) -> int:
    """Size that the largest output proof of such a task, as a signed transaction, cannot exceed."""
    update, model = update_shape(parameters), model_shape(parameters)
    chunk_values = min(parameters.chunk_values, parameters.length)
    path = _PATH_ENTRY_BYTES * (update.chunks - 1).bit_length() + _OPENING_OVERHEAD_BYTES
    updates = parameters.clients_per_round * (chunk_values * update.value_bytes + path)
    return updates + 2 * (chunk_values * model.value_bytes + path) + _ENVELOPE_BYTES
