"""What travels between accounts: msgpack maps, decoded strictly, and refusals with stable codes.

Every field is known, present, of its type and within its bounds, or the whole message is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast, get_args

import msgpack  # type: ignore[import-untyped]  # ships no types

from offchain.storage.store import Kind
from optfl import keys, merkle
from optfl.certificates import Statement, encode_receipt
from optfl.vectors import MAX_VECTOR_BYTES, Data, Opening

Verb = Literal["put", "get", "ballot"]
Handle = Callable[[bytes], bytes]
"""From a request to its answer; what is wrong with a request is said in the answer. Called from several threads."""

# Every limit on what a peer can make us hold in memory.
MAX_PATH_HASHES = 64  # a vector has less than 2^64 chunks
MAX_MESSAGE_BYTES = MAX_VECTOR_BYTES + 4096
MAX_GET_BYTES = 1024
MAX_QUESTION_BYTES = 512
MAX_SMALL_ANSWER_BYTES = 4096  # a receipt, a ballot or a refusal; what is beside the data of a vector or a chunk
MAX_CHAIN_ID_BYTES = 200  # CometBFT allows 50 characters, of up to 4 bytes
MAX_EXPLANATION_CHARACTERS = 500

_LARGE_BYTES = 1 << 16  # of a message whose data is not copied out of it
_MAX_HEAD_BYTES = 4096  # of all that may stand before that data
_KEY_DATA = b"\xa4data"  # msgpack's own


class Malformed(ValueError):
    """Bytes that are not the message they should be."""


class Refusal(Exception):
    """A replica's no: a stable code for programs and a message that tells people what to do."""

    RETRIABLE: ClassVar = frozenset({"not-yet", "node-unavailable"})
    """Codes of refusals that pass by themselves."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message

    @property
    def retriable(self) -> bool:
        return self.code in self.RETRIABLE


@dataclass(frozen=True)
class PutRequest:
    """Please store `data` and sign for it. Signed by its owner over `statement`.

    `seen_height`: of the ledger where the author found itself entitled to this, or later (a hint, not signed).
    """

    chain_id: str
    task_id: int
    round: int
    kind: Kind
    vector_id: bytes
    retain_until_height: int
    seen_height: int
    public_key: bytes
    signature: bytes
    data: Data

    @property
    def owner(self) -> bytes:
        return keys.address_of(self.public_key)

    @property
    def statement(self) -> Statement:
        return Statement(
            chain_id=self.chain_id,
            task_id=self.task_id,
            round=self.round,
            owner=self.owner,
            vector_id=self.vector_id,
            size_bytes=len(self.data),
            retain_until_height=self.retain_until_height,
        )

    def is_signed(self) -> bool:
        return keys.verify(self.public_key, keys.PUT_DOMAIN, digest_put(self.statement, self.kind), self.signature)


@dataclass(frozen=True)
class GetRequest:
    """Please send a vector, or one chunk of it with its path."""

    task_id: int
    vector_id: bytes
    chunk: int | None = None


@dataclass(frozen=True)
class BallotRequest:
    """Please send your ballot on a question: an encoded Ballot without its digest."""

    question: bytes


def digest_put(statement: Statement, kind: Kind) -> bytes:
    """What the owner signs in keys.PUT_DOMAIN; it holds for every replica, and for nothing else (red team L8)."""
    return hashlib.sha256(kind.encode() + b"\x00" + encode_receipt(statement, b"")).digest()


def sign_put(key: keys.SigningKey, statement: Statement, kind: Kind, data: Data, seen_height: int) -> PutRequest:
    return PutRequest(
        chain_id=statement.chain_id,
        task_id=statement.task_id,
        round=statement.round,
        kind=kind,
        vector_id=statement.vector_id,
        retain_until_height=statement.retain_until_height,
        seen_height=seen_height,
        public_key=key.public_key,
        signature=key.sign(keys.PUT_DOMAIN, digest_put(statement, kind)),
        data=data,
    )


@dataclass(frozen=True)
class _Field:
    description: str
    is_valid: Callable[[Any], bool]


def _integer(bits: int) -> _Field:
    return _Field(f"an integer of 0 to 2^{bits} - 1", lambda value: type(value) is int and 0 <= value < 1 << bits)


def _bytes(minimum: int, maximum: int) -> _Field:
    return _Field(
        f"{minimum} to {maximum} bytes", lambda value: type(value) is bytes and minimum <= len(value) <= maximum
    )


def _text(maximum: int) -> _Field:
    return _Field(f"text of up to {maximum} bytes", lambda value: type(value) is str and len(value.encode()) <= maximum)


_Fields = Mapping[str, _Field]

_ID = _bytes(merkle.HASH_BYTES, merkle.HASH_BYTES)
_SIGNATURE = _bytes(keys.SIGNATURE_BYTES, keys.SIGNATURE_BYTES)
_DATA = _Field(
    f"1 to {MAX_VECTOR_BYTES} bytes",
    lambda value: type(value) in (bytes, memoryview) and 1 <= len(value) <= MAX_VECTOR_BYTES,
)
_PATH = _Field("a list of hashes", lambda value: type(value) is list and all(_ID.is_valid(item) for item in value))
_KIND = _Field("'update', 'model' or 'trace'", lambda value: value in get_args(Kind))
_PUT: _Fields = {
    "chain_id": _text(MAX_CHAIN_ID_BYTES),
    "task_id": _integer(64),
    "round": _integer(32),
    "kind": _KIND,
    "vector_id": _ID,
    "retain_until_height": _integer(63),
    "seen_height": _integer(63),
    "public_key": _bytes(keys.PUBLIC_KEY_BYTES, keys.PUBLIC_KEY_BYTES),
    "signature": _SIGNATURE,
    "data": _DATA,
}
_GET: _Fields = {"task_id": _integer(64), "vector_id": _ID}
_GET_CHUNK: _Fields = {**_GET, "chunk": _integer(63)}
_RECEIPT: _Fields = {"signature": _SIGNATURE}
_VECTOR: _Fields = {"data": _DATA}
_OPENING: _Fields = {"data": _DATA, "path": _PATH}
_BALLOT: _Fields = {"question": _bytes(1, MAX_QUESTION_BYTES)}
_BALLOT_REPLY: _Fields = {"digest": _ID, "signature": _SIGNATURE}
_REFUSAL: _Fields = {"refused": _text(64), "message": _text(4 * MAX_EXPLANATION_CHARACTERS)}


def encode_put(request: PutRequest) -> bytes:
    return _pack_with_data({name: getattr(request, name) for name in _PUT if name != "data"}, request.data)


def decode_put(message: bytes) -> PutRequest:
    """Raises Malformed."""
    return PutRequest(**_decode(message, MAX_MESSAGE_BYTES, _PUT))


def encode_get(request: GetRequest) -> bytes:
    return _pack({name: getattr(request, name) for name in (_GET if request.chunk is None else _GET_CHUNK)})


def decode_get(message: bytes) -> GetRequest:
    """Raises Malformed."""
    return GetRequest(**_decode(message, MAX_GET_BYTES, _GET, _GET_CHUNK))


def encode_ballot_request(request: BallotRequest) -> bytes:
    return _pack({"question": request.question})


def decode_ballot_request(message: bytes) -> BallotRequest:
    """Raises Malformed."""
    return BallotRequest(**_decode(message, MAX_GET_BYTES, _BALLOT))


def encode_receipt_reply(signature: bytes) -> bytes:
    return _pack({"signature": signature})


def encode_vector_reply(data: Data) -> bytes:
    return _pack_with_data({}, data)


def encode_opening_reply(opening: Opening) -> bytes:
    return _pack({"data": opening.data, "path": list(opening.path)})


def encode_ballot_reply(digest: bytes, signature: bytes) -> bytes:
    return _pack({"digest": digest, "signature": signature})


def encode_refusal(refusal: Refusal) -> bytes:
    return _pack({"refused": refusal.code, "message": refusal.message[:MAX_EXPLANATION_CHARACTERS]})


def decode_receipt_reply(message: bytes) -> bytes:
    """The signature. Raises Malformed; raises the Refusal if it is one."""
    return cast(bytes, _decode_reply(message, _RECEIPT)["signature"])


def decode_vector_reply(message: bytes) -> Data:
    """The vector's bytes, unchecked. Raises Malformed; raises the Refusal if it is one."""
    return cast(Data, _decode_reply(message, _VECTOR)["data"])


def decode_opening_reply(message: bytes) -> Opening:
    """The opening, unchecked. Raises Malformed; raises the Refusal if it is one."""
    fields = _decode_reply(message, _OPENING)
    return Opening(bytes(fields["data"]), tuple(fields["path"]))


def decode_ballot_reply(message: bytes) -> tuple[bytes, bytes]:
    """Digest and signature, unchecked. Raises Malformed; raises the Refusal if it is one."""
    fields = _decode_reply(message, _BALLOT_REPLY)
    return fields["digest"], fields["signature"]


def _decode_reply(message: bytes, fields: _Fields) -> dict[str, Any]:
    reply = _decode(message, MAX_MESSAGE_BYTES, fields, _REFUSAL)
    if "refused" in reply:
        raise Refusal(reply["refused"], reply["message"])
    return reply


def _pack(fields: dict[str, Any]) -> bytes:
    return cast(bytes, msgpack.packb(fields))


def _pack_with_data(fields: dict[str, Any], data: Data) -> bytes:
    """As `_pack` of `fields` and "data", which `_pack` would copy over and over while its buffer grows."""
    packer = msgpack.Packer(autoreset=False)
    packer.pack_map_header(len(fields) + 1)
    for name, value in (*fields.items(), ("data", None)):
        packer.pack(name)
        if value is not None:
            packer.pack(value)
    size = next(size for size, bound in ((1, 1 << 8), (2, 1 << 16), (4, 1 << 32)) if len(data) < bound)
    header = {1: b"\xc4", 2: b"\xc5", 4: b"\xc6"}[size] + len(data).to_bytes(size, "big")  # bin 8, 16 and 32
    return b"".join((packer.bytes(), header, data))


def _decode(message: bytes, max_bytes: int, *alternatives: _Fields) -> dict[str, Any]:
    """The fields of a message that has exactly those of one of `alternatives`."""
    if len(message) > max_bytes:
        raise Malformed(f"{len(message)} bytes; at most {max_bytes}")
    found = _unpack_around_data(message)
    if found is None:
        try:
            found = _unpack(message)
        except (msgpack.UnpackException, ValueError) as error:
            raise Malformed(f"not a msgpack map as described in docs/protocol.md: {error}") from error
    if type(found) is not dict:
        raise Malformed(f"a map is needed, not {type(found).__name__}")
    for fields in alternatives:
        if found.keys() == fields.keys():
            break
    else:
        wanted = " or ".join(", ".join(fields) for fields in alternatives)
        raise Malformed(f"its fields are {', '.join(map(str, found))}; they must be {wanted}")
    for name, field in fields.items():
        if not field.is_valid(found[name]):
            raise Malformed(f"field {name} must be {field.description}")
    return found


def _unpack(message: bytes) -> Any:
    return msgpack.unpackb(
        message,
        object_pairs_hook=_unique,
        max_map_len=len(_PUT),
        max_array_len=MAX_PATH_HASHES,
        max_ext_len=0,
    )


def _unpack_around_data(message: bytes) -> dict[str, Any] | None:
    """What `_unpack` finds in a large message that ends with its field "data", which is left where it is.

    None for any other message. The rest is unpacked with no data in its place: what stands before it decides where a
    field begins, so the message was not of this kind unless that ends with the same field, empty.
    """
    if len(message) < _LARGE_BYTES:
        return None
    key = _KEY_DATA + b"\xc6"  # bin 32
    start = message.find(key, 0, _MAX_HEAD_BYTES) + len(key)
    if start < len(key) or int.from_bytes(message[start : start + 4], "big") != len(message) - start - 4:
        return None
    try:
        found = _unpack(message[: start - 1] + b"\xc4\x00")
    except (msgpack.UnpackException, ValueError):
        return None
    if type(found) is not dict or not found or next(reversed(found.items())) != ("data", b""):
        return None
    found["data"] = memoryview(message)[start + 4 :]
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a field is there twice")
    return dict(pairs)
