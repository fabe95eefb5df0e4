"""What everyone derives from a task's parameters: shapes, sums, windows, bounds."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optfl import tasks
from optfl.certificates import quorum_of
from optfl.fraud import build_output_proof
from optfl.keys import SigningKey
from optfl.transactions import sign_transaction
from optfl.vectors import ChunkedVector
from optfl.wire import state_pb2, transaction_pb2

KEY = SigningKey.from_seed(bytes(32))


def parameters(**fields: Any) -> transaction_pb2.TaskParameters:
    return transaction_pb2.TaskParameters(**{"length": 100, "chunk_values": 32, **fields})


def test_shapes_come_from_the_task() -> None:
    """A3: an update is int16, a model int32, both cut alike."""
    update, model = tasks.update_shape(parameters()), tasks.model_shape(parameters())
    assert (update.dtype, update.length, update.chunk_values, update.size_bytes) == ("int16", 100, 32, 200)
    assert (model.dtype, model.length, model.chunk_values, model.size_bytes) == ("int32", 100, 32, 400)


def test_replica_quorum_is_that_of_the_listed_replicas() -> None:
    assert tasks.replica_quorum(parameters(replicas=[bytes([i]) for i in range(7)])) == quorum_of(7) == 5


def test_escrow_covers_every_round_in_full() -> None:
    given_ = parameters(
        rounds=3, clients_per_round=5, aggregator_reward=1000, client_reward=100, validator_reward=50, replica_reward=40
    )
    assert tasks.compute_round_cost(given_) == 1000 + 5 * 100 + 50 + 40
    assert tasks.compute_escrow(given_) == 3 * 1590


@pytest.mark.parametrize(
    ("aggregate_blocks", "window"),
    [(0, 6), (1, 6), (4, 6), (5, 8), (7, 11), (8, 12), (9, 12), (1000, 12)],
)
def test_window_is_the_greater_of_the_least_and_alpha_times_the_time_taken(aggregate_blocks: int, window: int) -> None:
    """T = max(T_min, α·T_aggregate), rounded up, the time capped by the deadline.  # seed 001, section E"""
    given_ = parameters(min_window_blocks=6, window_factor_percent=150, aggregation_blocks=8)
    assert tasks.compute_window_blocks(given_, aggregate_blocks) == window


def test_window_without_a_factor_is_the_least_one() -> None:
    assert tasks.compute_window_blocks(parameters(min_window_blocks=6, aggregation_blocks=8), 8) == 6


@pytest.mark.parametrize(
    ("bandwidth", "block_time_ms", "blocks"),
    [
        (10**9, 1000, 3),  # the fetch takes no time to speak of, but a begun block counts
        (1800, 1000, 4),  # 5 updates of 200 bytes and 2 models of 400: one second, twice
        (1799, 1000, 5),
        (1800, 100, 22),
        (1, 1, 2 * 1_800_000 + 2),
    ],
)
def test_L1_least_window_covers_fetching_and_re_executing(bandwidth: int, block_time_ms: int, blocks: int) -> None:
    given_ = parameters(clients_per_round=5, bandwidth_bytes_per_second=bandwidth)
    assert tasks.compute_min_window_blocks(given_, block_time_ms) == blocks


@given(
    st.integers(1, 1000), st.integers(1, 1000), st.integers(1, 100), st.integers(0, 10_000), st.integers(1, 20),
    st.integers(0, 1000),
)  # fmt: skip
def test_I5_retention_outlasts_every_height_of_evidence(
    training: int, aggregation: int, min_window: int, factor: int, attempts: int, evidence: int
) -> None:
    """A round's update is frozen at most `training` after its commit; then come all turns, each with its window."""
    given_ = parameters(
        training_blocks=training,
        aggregation_blocks=aggregation,
        min_window_blocks=min_window,
        window_factor_percent=factor,
        max_attempts=attempts,
    )
    longest = max(min_window, -(-aggregation * factor // 100))
    assert tasks.compute_retention_blocks(given_, evidence) >= training + attempts * (aggregation + longest) + evidence


def test_inputs_hash_binds_every_input_and_their_order() -> None:
    one = state_pb2.Input(client=b"a" * 20, update_root=bytes(32), weight=1)
    other = state_pb2.Input(client=b"b" * 20, update_root=bytes(32), weight=2)
    encoded = [i.SerializeToString(deterministic=True) for i in (one, other)]
    by_hand = b"".join(len(e).to_bytes(4, "big") + e for e in encoded)
    assert tasks.compute_inputs_hash([one, other]) == hashlib.sha256(by_hand).digest()
    assert tasks.compute_inputs_hash([other, one]) != tasks.compute_inputs_hash([one, other])
    assert tasks.compute_inputs_hash([]) == hashlib.sha256(b"").digest()


@settings(max_examples=40)
@given(st.integers(1, 700), st.sampled_from([16, 32, 128, 1024]), st.integers(1, 40), st.data())
def test_F2_no_proof_is_larger_than_computed(length: int, chunk_values: int, clients: int, data: st.DataObject) -> None:
    """A real proof, signed, with every number as large as its field holds."""
    given_ = parameters(length=length, chunk_values=chunk_values, clients_per_round=clients)
    update = ChunkedVector(tasks.update_shape(given_), np.full(length, 7, np.int16))
    model = ChunkedVector(tasks.model_shape(given_), np.full(length, 7, np.int32))
    chunk = data.draw(st.integers(0, update.shape.chunks - 1))
    proof = transaction_pb2.SubmitFraudProof(
        task_id=2**64 - 1,
        attempt_id=2**32 - 1,
        output=build_output_proof(chunk, [update] * clients, model, model),
    )
    largest = 2**64 - 1
    body = transaction_pb2.Body(
        chain_id="x" * 50, sequence=largest, fee=largest, expiry_height=largest, submit_fraud_proof=proof
    )
    assert len(sign_transaction(KEY, body)) <= tasks.compute_proof_bytes(given_)
