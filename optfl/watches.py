"""Watches: a validator shows that it has read all that an attempt is made of (red team E1).

While the window is open it commits to a *keyed tree*: a Merkle tree over every chunk of every input and of the claimed
model, each hashed with the validator's own key. Nobody can make its root without all of these bytes, and another's is
of no use. Once the window is over, when nothing can be committed any more, a beacon draws one chunk for each watch, and
the validator opens it twice: in the vector that the ledger knows, and in its own tree.

What this proves is possession of the data, which is what watching costs most; not the re-execution, and not who did the
reading: validators of one owner need to read it once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from optfl import merkle, tasks
from optfl.audits import AuditedChunk
from optfl.keys import encode_account
from optfl.tasks import MODEL_BLOB
from optfl.vectors import ChunkedVector, Opening, VectorError, verify_opening
from optfl.wire import state_pb2, transaction_pb2

WATCH_DOMAIN = b"optfl/watch/v1"
DRAW_DOMAIN = b"optfl/watch-draw/v1"


class WatchError(ValueError):
    """The openings do not show that the chunk was read."""


def compute_watch_key(chain_id: str, operator: bytes, task_id: int, attempt_id: int) -> bytes:
    """SHA-256(domain ‖ u16 length of chain ‖ chain ‖ operator ‖ task ‖ attempt): makes a tree a validator's own."""
    of_operator = encode_account(chain_id, operator)
    attempt = task_id.to_bytes(8, "big") + attempt_id.to_bytes(4, "big")
    return hashlib.sha256(WATCH_DOMAIN + of_operator + attempt).digest()


def compute_leaves(key: bytes, vectors: Sequence[ChunkedVector]) -> list[bytes]:
    """Leaf hashes of the keyed tree over `vectors`: the attempt's inputs in their order, then the claimed model.

    Leaf of chunk j of vector i: SHA-256(0x00 ‖ key ‖ u32 i ‖ u32 j ‖ the chunk's bytes). One pass over all bytes.
    """
    keyed = hashlib.sha256(b"\x00" + key)
    leaves = []
    for i, vector in enumerate(vectors):
        view, step = memoryview(vector.data), vector.shape.chunk_values * vector.shape.value_bytes
        prefix = i.to_bytes(4, "big")
        for j in range(vector.shape.chunks):
            leaf = keyed.copy()
            leaf.update(prefix + j.to_bytes(4, "big"))
            leaf.update(view[j * step : (j + 1) * step])
            leaves.append(leaf.digest())
    return leaves


def draw_chunk(beacon: bytes, task_id: int, attempt_id: int, operator: bytes, inputs: int, chunks: int) -> AuditedChunk:
    """The chunk that a watch has to open: of `inputs` updates and the model, each of `chunks` chunks.

    x = SHA-256(domain ‖ beacon ‖ task ‖ attempt ‖ operator); vector number x mod (inputs + 1), the model last; chunk
    ⌊x / (inputs + 1)⌋ mod chunks.
    """
    seed = task_id.to_bytes(8, "big") + attempt_id.to_bytes(4, "big") + operator
    rest, blob = divmod(int.from_bytes(hashlib.sha256(DRAW_DOMAIN + beacon + seed).digest(), "big"), inputs + 1)
    return AuditedChunk(MODEL_BLOB if blob == inputs else blob, rest % chunks)


def check_watch(
    parameters: transaction_pb2.TaskParameters,
    attempt: state_pb2.Attempt,
    key: bytes,
    digest: bytes,
    drawn: AuditedChunk,
    opening: Opening,
    watch_path: Sequence[bytes],
) -> None:
    """Raise WatchError unless the drawn chunk opens in the attempt's vector and in the tree with root `digest`."""
    is_model = drawn.blob == MODEL_BLOB
    number = len(attempt.inputs) if is_model else drawn.blob
    shape = tasks.model_shape(parameters) if is_model else tasks.update_shape(parameters)
    root = attempt.model_root if is_model else attempt.inputs[number].update_root
    try:
        verify_opening(shape, root, drawn.chunk, opening)
    except VectorError as error:
        raise WatchError(f"chunk {drawn.chunk} of {'the model' if is_model else f'input {number}'}: {error}") from None
    place = number.to_bytes(4, "big") + drawn.chunk.to_bytes(4, "big")
    leaf = merkle.hash_leaf(key + place + opening.data)
    size = (len(attempt.inputs) + 1) * shape.chunks
    try:
        found = merkle.compute_root_from_path(leaf, number * shape.chunks + drawn.chunk, size, watch_path)
    except merkle.MerkleError as error:
        raise WatchError(f"the path in the watch's tree: {error}") from None
    if found != digest:
        raise WatchError("the chunk is not in the tree that was committed to")
