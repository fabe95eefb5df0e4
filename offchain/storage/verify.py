"""What an author or a reader checks of a replica's answer. Nothing that a replica says is taken on trust."""

from __future__ import annotations

from offchain.kernels.hashing import make_vector
from offchain.storage import protocol
from optfl.certificates import Statement, verify_receipt
from optfl.vectors import Opening, Shape, VectorError, verify_opening


class BadAnswer(Exception):
    """The answer is not what was asked for: the replica lies, or is broken."""


def check_size(size_bytes: int, max_bytes: int) -> None:
    """Raises BadAnswer: nothing of such an answer is looked at."""
    if size_bytes > max_bytes:
        raise BadAnswer(f"it sent {size_bytes} bytes where {max_bytes} are the most that can be right")


def check_receipt_reply(message: bytes, replica_key: bytes, statement: Statement) -> bytes:
    """The replica's signature over `statement`. Raises BadAnswer, or the Refusal that came instead."""
    try:
        signature = protocol.decode_receipt_reply(message)
    except protocol.Malformed as error:
        raise BadAnswer(str(error)) from error
    if not verify_receipt(replica_key, statement, signature):
        raise BadAnswer("the receipt is not the replica's signature over this vector")
    return signature


def check_vector_reply(message: bytes, shape: Shape, vector_id: bytes) -> bytes:
    """Bytes that have the id `vector_id`. Raises BadAnswer, or the Refusal that came instead."""
    try:
        vector = make_vector(shape, protocol.decode_vector_reply(message))
    except (protocol.Malformed, VectorError) as error:
        raise BadAnswer(str(error)) from error
    if vector.id != vector_id:
        raise BadAnswer(f"it sent bytes with the id {vector.id.hex()}")
    return vector.data


def check_opening_reply(message: bytes, shape: Shape, root: bytes, chunk: int) -> Opening:
    """An opening of `chunk` that leads to `root`. Raises BadAnswer, or the Refusal that came instead."""
    try:
        opening = protocol.decode_opening_reply(message)
        verify_opening(shape, root, chunk, opening)
    except (protocol.Malformed, VectorError) as error:
        raise BadAnswer(str(error)) from error
    return opening
