"""Keyed trees: what they bind, told by hand; what a watch has to show, and everything that shows nothing."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optfl import tasks
from optfl.audits import AuditedChunk
from optfl.merkle import MerkleTree
from optfl.tasks import MODEL_BLOB
from optfl.vectors import ChunkedVector, Opening
from optfl.watches import WatchError, check_watch, compute_leaves, compute_watch_key, draw_chunk
from optfl.wire import state_pb2, transaction_pb2

OPERATOR, OTHER = bytes(20), bytes([1] * 20)
PARAMETERS = transaction_pb2.TaskParameters(length=70, chunk_values=16)  # 5 chunks, the last one shorter
INPUTS = [ChunkedVector(tasks.update_shape(PARAMETERS), np.arange(i, i + 70, dtype=np.int16)) for i in (0, 100, 200)]
MODEL = ChunkedVector(tasks.model_shape(PARAMETERS), np.arange(70, dtype=np.int32))
ATTEMPT = state_pb2.Attempt(
    task_id=1,
    attempt_id=2,
    inputs=[state_pb2.Input(update_root=vector.root) for vector in INPUTS],
    model_root=MODEL.root,
)
KEY = compute_watch_key("chain", OPERATOR, 1, 2)
TREE = MerkleTree(compute_leaves(KEY, [*INPUTS, MODEL]))


@given(st.text(max_size=40), st.binary(min_size=20, max_size=20), st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1))
def test_the_key_is_what_the_protocol_says(chain_id: str, operator: bytes, task_id: int, attempt_id: int) -> None:
    chain = chain_id.encode()
    expected = hashlib.sha256(
        b"optfl/watch/v1"
        + len(chain).to_bytes(2, "big")
        + chain
        + operator
        + task_id.to_bytes(8, "big")
        + attempt_id.to_bytes(4, "big")
    ).digest()
    assert compute_watch_key(chain_id, operator, task_id, attempt_id) == expected


def test_only_an_account_watches() -> None:
    with pytest.raises(ValueError, match="20 bytes"):
        compute_watch_key("chain", b"short", 1, 2)


def test_leaves_are_every_chunk_of_every_vector_in_order() -> None:
    leaves = compute_leaves(KEY, [*INPUTS, MODEL])
    expected = [
        hashlib.sha256(
            b"\x00" + KEY + i.to_bytes(4, "big") + j.to_bytes(4, "big") + bytes(vector.chunk_bytes(j))
        ).digest()
        for i, vector in enumerate([*INPUTS, MODEL])
        for j in range(5)
    ]
    assert leaves == expected


def test_everything_that_it_names_makes_another_tree() -> None:
    keys = [KEY, compute_watch_key("other", OPERATOR, 1, 2), compute_watch_key("chain", OTHER, 1, 2)]
    keys += [compute_watch_key("chain", OPERATOR, 3, 2), compute_watch_key("chain", OPERATOR, 1, 3)]
    assert len({MerkleTree(compute_leaves(key, [*INPUTS, MODEL])).root for key in keys}) == 5


@given(
    st.binary(min_size=32, max_size=32), st.binary(min_size=20, max_size=20), st.integers(0, 2**64 - 1),
    st.integers(0, 2**32 - 1), st.integers(0, 1000), st.integers(1, 1 << 23),
)  # fmt: skip
def test_the_draw_is_what_the_protocol_says(
    beacon: bytes, operator: bytes, task_id: int, attempt_id: int, inputs: int, chunks: int
) -> None:
    seed = task_id.to_bytes(8, "big") + attempt_id.to_bytes(4, "big") + operator
    x = int.from_bytes(hashlib.sha256(b"optfl/watch-draw/v1" + beacon + seed).digest(), "big")
    blob = x % (inputs + 1)
    expected = (MODEL_BLOB if blob == inputs else blob, x // (inputs + 1) % chunks)
    assert draw_chunk(beacon, task_id, attempt_id, operator, inputs, chunks) == expected


def test_every_chunk_is_drawn_about_equally_often() -> None:
    drawn = Counter(draw_chunk(i.to_bytes(32, "big"), 1, 2, OPERATOR, inputs=3, chunks=5) for i in range(4000))
    assert len(drawn) == 20
    assert all(130 < count < 280 for count in drawn.values())


def show(drawn: AuditedChunk, **changes: Any) -> None:
    number = 3 if drawn.blob == MODEL_BLOB else drawn.blob
    vector = [*INPUTS, MODEL][number]
    fields = {
        "attempt": ATTEMPT,
        "key": KEY,
        "digest": TREE.root,
        "drawn": drawn,
        "opening": vector.opening(drawn.chunk),
        "watch_path": TREE.path(5 * number + drawn.chunk),
    }
    check_watch(PARAMETERS, **{**fields, **changes})


ALL = [AuditedChunk(blob, chunk) for blob in (0, 1, 2, MODEL_BLOB) for chunk in range(5)]


@pytest.mark.parametrize("drawn", ALL)
def test_who_has_read_all_of_it_shows_any_chunk(drawn: AuditedChunk) -> None:
    show(drawn)


@pytest.mark.parametrize("drawn", ALL)
def test_who_has_read_all_but_one_chunk_does_not_show_that(drawn: AuditedChunk) -> None:
    """It can be had afterwards, for everybody can read it; it is not in the tree."""
    number = 3 if drawn.blob == MODEL_BLOB else drawn.blob
    leaves = compute_leaves(KEY, [*INPUTS, MODEL])
    leaves[5 * number + drawn.chunk] = bytes(32)
    tree = MerkleTree(leaves)
    with pytest.raises(WatchError, match="not in the tree"):
        show(drawn, digest=tree.root, watch_path=tree.path(5 * number + drawn.chunk))


def test_what_shows_nothing() -> None:
    drawn = AuditedChunk(1, 2)
    opening, path = INPUTS[1].opening(2), TREE.path(7)
    others_key = compute_watch_key("chain", OTHER, 1, 2)
    others = MerkleTree(compute_leaves(others_key, [*INPUTS, MODEL]))
    changes: list[dict[str, Any]] = [
        {"digest": bytes(32)},
        {"digest": others.root, "watch_path": others.path(7)},  # another's tree, copied
        {"key": others_key},
        {"opening": INPUTS[0].opening(2)},
        {"opening": INPUTS[1].opening(3)},
        {"opening": Opening(opening.data[:-1], opening.path)},
        {"opening": Opening(bytes(32), opening.path)},
        {"opening": Opening(opening.data, ())},
        {"watch_path": TREE.path(8)},
        {"watch_path": path[:-1]},
        {"watch_path": [*path, bytes(32)]},
        {"watch_path": [b"", *path[1:]]},
        {"watch_path": ()},
    ]
    for change in changes:
        with pytest.raises(WatchError):
            show(drawn, **change)
