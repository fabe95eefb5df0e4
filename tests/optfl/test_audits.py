"""Storage audits: what the beacon draws, told by hand; every chunk of every blob can be drawn."""

from __future__ import annotations

import hashlib
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from optfl.audits import MODEL_BLOB, TRACE_BLOB, compute_audit, compute_demanded_chunk
from optfl.wire.state_pb2 import Demand

BEACON = hashlib.sha256(b"beacon").digest()


@given(
    st.binary(min_size=32, max_size=32), st.integers(0, 2**64 - 1), st.integers(1, 2**32 - 1), st.integers(0, 63),
    st.integers(0, 1000), st.integers(1, 1 << 23),
)  # fmt: skip
def test_the_draw_is_what_the_protocol_says(
    beacon: bytes, task_id: int, attempt_id: int, replica: int, inputs: int, chunks: int
) -> None:
    numbers = task_id.to_bytes(8, "big") + attempt_id.to_bytes(4, "big") + replica.to_bytes(4, "big")
    x = int.from_bytes(hashlib.sha256(b"optfl/audit/v1" + beacon + numbers).digest(), "big")
    blob, chunk = x % (inputs + 1), x // (inputs + 1) % chunks
    expected = (MODEL_BLOB if blob == inputs else blob, chunk)
    assert compute_audit(beacon, task_id, attempt_id, replica, inputs, chunks) == expected
    assert chunk < chunks


def test_every_chunk_of_every_blob_is_drawn_about_equally_often() -> None:
    drawn = Counter(compute_audit(BEACON, 1, attempt, 0, inputs=4, chunks=4) for attempt in range(1, 4001))
    assert {blob for blob, _ in drawn} == {0, 1, 2, 3, MODEL_BLOB}
    assert len(drawn) == 5 * 4
    assert all(150 < count < 250 for count in drawn.values())


def test_everything_that_names_the_audit_changes_the_draw() -> None:
    """No replica can hold only what another has to show, nor only what it had to show before."""
    many = {"inputs": 1000, "chunks": 1 << 23}
    draws = [
        compute_audit(BEACON, 1, 1, 0, **many),
        compute_audit(BEACON, 1, 1, 1, **many),
        compute_audit(BEACON, 1, 2, 0, **many),
        compute_audit(BEACON, 2, 1, 0, **many),
        compute_audit(bytes(32), 1, 1, 0, **many),
    ]
    assert len(set(draws)) == len(draws)


def test_an_attempt_without_inputs_has_only_its_model() -> None:
    assert compute_audit(BEACON, 1, 1, 0, inputs=0, chunks=1) == (MODEL_BLOB, 0)


def test_a_trace_is_drawn_like_any_blob_with_its_own_chunks() -> None:
    drawn = Counter(compute_audit(BEACON, 1, i, 0, inputs=2, chunks=4, trace_chunks=9) for i in range(1, 4001))
    assert {blob for blob, _ in drawn} == {0, 1, MODEL_BLOB, TRACE_BLOB}
    assert {chunk for blob, chunk in drawn if blob == TRACE_BLOB} == set(range(9))
    assert {chunk for blob, chunk in drawn if blob == MODEL_BLOB} == set(range(4))


@given(
    st.binary(min_size=32, max_size=32), st.binary(min_size=20, max_size=20), st.integers(0, 2**64 - 1),
    st.lists(st.integers(0, 2**32 - 1), min_size=5, max_size=5), st.integers(1, 1 << 23),
)  # fmt: skip
def test_what_a_holder_shows_is_what_the_protocol_says(
    beacon: bytes, operator: bytes, task_id: int, numbers: list[int], chunks: int
) -> None:
    number, parent, attempt, turn, blob = numbers
    demand = Demand(
        task_id=task_id, round=number, parent_attempt=parent, attempt_id=attempt, turn=turn, blob=blob, beacon=beacon
    )
    packed = task_id.to_bytes(8, "big") + b"".join(n.to_bytes(4, "big") for n in numbers)
    x = int.from_bytes(hashlib.sha256(b"optfl/demand/v1" + beacon + packed + operator).digest(), "big")
    assert compute_demanded_chunk(demand, operator, chunks) == x % chunks
