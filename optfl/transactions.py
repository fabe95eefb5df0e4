"""Transactions as bytes: sign, encode, decode; everything that can be said of one without any state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from google.protobuf.message import DecodeError

from optfl import errors, keys
from optfl.wire import transaction_pb2

_Message = TypeVar("_Message", transaction_pb2.Transaction, transaction_pb2.Body)

MAX_TRANSACTION_BYTES = 1 << 20  # CometBFT's default limit too (`max_tx_bytes` of the mempool)
REVEAL_BYTES = 58  # of every reveal: an address, a value of a hash chain, and their tags and lengths


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

    Raises TransactionTooLarge, MalformedTransaction, NonCanonicalEncoding, MisplacedReveal, UnknownKind, BadSignature.
    """
    if len(data) > MAX_TRANSACTION_BYTES:
        raise errors.TransactionTooLarge(f"{len(data)} bytes; at most {MAX_TRANSACTION_BYTES}")
    envelope = _decode_canonical(transaction_pb2.Transaction, data)
    if envelope.HasField("beacon_reveal"):
        raise errors.MisplacedReveal("a reveal is the first transaction of its own proposer's block, or nothing")
    body = _decode_canonical(transaction_pb2.Body, envelope.body)
    kind = body.WhichOneof("kind")
    if kind is None:
        raise errors.UnknownKind("the body names no kind of transaction; encode one of the kinds of transaction.proto")
    if not keys.verify(envelope.public_key, keys.TRANSACTION_DOMAIN, envelope.body, envelope.signature):
        raise errors.BadSignature(
            "sign the exact bytes of the body, behind the transaction domain, with the sender's key"
        )
    return SignedTransaction(body, kind, keys.address_of(envelope.public_key), envelope.public_key, len(data))


def encode_reveal(operator: bytes, preimage: bytes) -> bytes:
    """The unsigned transaction that a proposer's node puts first into its own proposal."""
    reveal = transaction_pb2.BeaconReveal(operator=operator, preimage=preimage)
    return transaction_pb2.Transaction(beacon_reveal=reveal).SerializeToString(deterministic=True)


def decode_reveal(data: bytes) -> transaction_pb2.BeaconReveal | None:
    """The reveal that `data` is, in its only encoding, or None: whatever else it is, it is judged as a transaction."""
    if len(data) != REVEAL_BYTES:
        return None
    try:
        reveal = transaction_pb2.Transaction.FromString(data).beacon_reveal
    except DecodeError:
        return None
    return reveal if encode_reveal(reveal.operator, reveal.preimage) == data else None


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
