"""Transactions as bytes: sign, encode, decode; everything that can be said of one without any state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from google.protobuf.message import DecodeError

from optfl import errors, keys
from optfl.wire import transaction_pb2

_Message = TypeVar("_Message", transaction_pb2.Transaction, transaction_pb2.Body)

MAX_TRANSACTION_BYTES = 1 << 20  # CometBFT's default limit too (`max_tx_bytes` of the mempool)


@dataclass(frozen=True)
class SignedTransaction:
    """A decoded transaction whose envelope holds: canonical, a known kind, well signed."""

    body: transaction_pb2.Body
    kind: str  # the name of the body's field, e.g. "commit_update"
    sender: bytes
    public_key: bytes
    size_bytes: int


def sign_transaction(key: keys.SigningKey, body: transaction_pb2.Body) -> bytes:
    encoded = body.SerializeToString(deterministic=True)
    return transaction_pb2.Transaction(
        body=encoded, public_key=key.public_key, signature=key.sign(keys.TRANSACTION_DOMAIN, encoded)
    ).SerializeToString(deterministic=True)


def decode_transaction(data: bytes) -> SignedTransaction:
    """Decode `data` and check the envelope, cheapest check first.

    Raises MalformedTransaction, NonCanonicalEncoding, TransactionTooLarge, UnknownKind or BadSignature.
    """
    if len(data) > MAX_TRANSACTION_BYTES:
        raise errors.TransactionTooLarge(f"{len(data)} bytes; at most {MAX_TRANSACTION_BYTES}")
    envelope = _decode_canonical(transaction_pb2.Transaction, data)
    body = _decode_canonical(transaction_pb2.Body, envelope.body)
    kind = body.WhichOneof("kind")
    if kind is None:
        raise errors.UnknownKind("the body names no kind of transaction; encode one of the kinds of transaction.proto")
    if not keys.verify(envelope.public_key, keys.TRANSACTION_DOMAIN, envelope.body, envelope.signature):
        raise errors.BadSignature(
            "sign the exact bytes of the body, behind the transaction domain, with the sender's key"
        )
    return SignedTransaction(body, kind, keys.address_of(envelope.public_key), envelope.public_key, len(data))


def _decode_canonical(message_type: type[_Message], data: bytes) -> _Message:
    try:
        message = message_type.FromString(data)
    except DecodeError:
        raise errors.MalformedTransaction(
            f"these bytes are not a protobuf {message_type.DESCRIPTOR.name}; see transaction.proto"
        ) from None
    known = message_type()
    known.CopyFrom(message)
    known.DiscardUnknownFields()
    # One meaning, one encoding: otherwise a relayer could change a transaction's hash without its signer.
    if known.SerializeToString(deterministic=True) != data:
        raise errors.NonCanonicalEncoding(
            f"the {message_type.DESCRIPTOR.name.lower()} has unknown, repeated or badly ordered fields; re-encode it"
        )
    return message
