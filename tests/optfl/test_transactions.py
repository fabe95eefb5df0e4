"""A transaction is one string of bytes: whatever else would mean the same is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optfl import errors, keys
from optfl.keys import SigningKey
from optfl.merkle import encode_uvarint
from optfl.transactions import (
    MAX_TRANSACTION_BYTES,
    REVEAL_BYTES,
    decode_reveal,
    decode_transaction,
    encode_reveal,
    sign_transaction,
)
from optfl.wire import transaction_pb2

KEY = SigningKey.from_seed(bytes(range(32)))
TRANSFER = transaction_pb2.Transfer(recipient=bytes(20), amount=5)
BODY = transaction_pb2.Body(chain_id="chain", sequence=1, fee=2, expiry_height=3, transfer=TRANSFER)
ENCODED = BODY.SerializeToString(deterministic=True)


def seal(body: bytes, key: SigningKey = KEY) -> bytes:
    """A transaction whose body is any bytes, properly signed."""
    signature = key.sign(keys.TRANSACTION_DOMAIN, body)
    return transaction_pb2.Transaction(body=body, public_key=key.public_key, signature=signature).SerializeToString(
        deterministic=True
    )


def field(number: int, payload: bytes) -> bytes:
    """A length-delimited field."""
    return encode_uvarint(number << 3 | 2) + encode_uvarint(len(payload)) + payload


def varint_field(number: int, value: bytes) -> bytes:
    """A varint field with any bytes for the varint."""
    return encode_uvarint(number << 3) + value


def test_what_is_signed_decodes_to_itself() -> None:
    data = sign_transaction(KEY, BODY)
    signed = decode_transaction(data)
    assert data == seal(ENCODED)
    assert (signed.body, signed.kind, signed.sender) == (BODY, "transfer", KEY.address)
    assert (signed.public_key, signed.size_bytes) == (KEY.public_key, len(data))


CHAIN, NUMBERS = field(1, b"chain"), varint_field(2, b"\1") + varint_field(3, b"\2") + varint_field(4, b"\3")
KIND = field(10, TRANSFER.SerializeToString())
NON_CANONICAL = {
    "unknown field": ENCODED + varint_field(99, b"\1"),
    "unknown field inside": CHAIN + NUMBERS + field(10, TRANSFER.SerializeToString() + varint_field(9, b"\1")),
    "reordered": NUMBERS + CHAIN + KIND,
    "kind first": KIND + CHAIN + NUMBERS,
    "repeated": ENCODED + CHAIN,
    "repeated kind": ENCODED + KIND,
    "two kinds": CHAIN + NUMBERS + KIND + field(22, b""),
    "overlong varint": CHAIN + varint_field(2, b"\x81\x00") + varint_field(3, b"\2") + varint_field(4, b"\3") + KIND,
    "overlong tag": b"\x8a\x00" + ENCODED[1:],
    "overlong length": b"\x0a\x85\x00chain" + NUMBERS + KIND,
    "varint of more than 64 bits": CHAIN + varint_field(2, b"\x81" + b"\x80" * 8 + b"\x7e") + KIND,
    "explicit default": CHAIN + varint_field(2, b"\0") + KIND,
    "group": ENCODED + b"\xa3\x06\xa4\x06",
}


@pytest.mark.parametrize("body", NON_CANONICAL.values(), ids=NON_CANONICAL)
def test_body_that_does_not_encode_to_itself_is_refused(body: bytes) -> None:
    with pytest.raises(errors.NonCanonicalEncoding):
        decode_transaction(seal(body))


def test_canonical_parts_are_the_canonical_body() -> None:
    """The cases above differ from the canonical bytes in what their names say, and in nothing else."""
    assert CHAIN + NUMBERS + KIND == ENCODED


@pytest.mark.parametrize("extra", [varint_field(9, b"\1"), field(3, bytes(64)), field(1, ENCODED)])
def test_envelope_that_does_not_encode_to_itself_is_refused(extra: bytes) -> None:
    with pytest.raises(errors.NonCanonicalEncoding):
        decode_transaction(seal(ENCODED) + extra)


@pytest.mark.parametrize(
    "data",
    [b"\xff", b"\x0a\x05abc", field(1, b"\xff"), field(1, field(1, b"\xff\xfe")), b"\x0b" * 200, b"\x00"],
    ids=["tag", "truncated", "truncated body", "no UTF-8", "nested groups", "field 0"],
)
def test_what_is_no_protobuf_is_refused(data: bytes) -> None:
    with pytest.raises(errors.MalformedTransaction):
        decode_transaction(data)


@pytest.mark.parametrize("body", [b"", ENCODED[: -len(KIND)], field(1, b"chain")])
def test_body_without_a_kind_is_refused(body: bytes) -> None:
    with pytest.raises(errors.UnknownKind):
        decode_transaction(seal(body))


def test_nothing_is_no_transaction() -> None:
    with pytest.raises(errors.UnknownKind):
        decode_transaction(b"")


def make(**overrides: bytes) -> bytes:
    message = transaction_pb2.Transaction.FromString(seal(ENCODED))
    for name, value in overrides.items():
        setattr(message, name, value)
    return message.SerializeToString(deterministic=True)


OTHER = SigningKey.from_seed(bytes(32))
BAD_SIGNATURES = {
    "missing": make(signature=b""),
    "short": make(signature=bytes(63)),
    "zero": make(signature=bytes(64)),
    "another key's": make(public_key=OTHER.public_key),
    "no key": make(public_key=b""),
    "long key": make(public_key=KEY.public_key + b"\0"),
    "another body": make(body=transaction_pb2.Body(fee=9, transfer=TRANSFER).SerializeToString()),
    "another domain": make(signature=KEY.sign(keys.RECEIPT_DOMAIN, ENCODED)),
    "no domain": make(signature=KEY.sign(b"", ENCODED)),
}


@pytest.mark.parametrize("data", BAD_SIGNATURES.values(), ids=BAD_SIGNATURES)
def test_bad_signature_is_refused(data: bytes) -> None:
    with pytest.raises(errors.BadSignature):
        decode_transaction(data)


def test_size_limit_is_inclusive() -> None:
    """At the limit only what is wrong with the bytes counts; one more and they are not even looked at."""
    with pytest.raises(errors.MalformedTransaction):
        decode_transaction(b"\xff" * MAX_TRANSACTION_BYTES)
    with pytest.raises(errors.TransactionTooLarge):
        decode_transaction(b"\xff" * (MAX_TRANSACTION_BYTES + 1))


@given(st.binary(max_size=300))
def test_junk_is_rejected_and_never_raises_anything_else(data: bytes) -> None:
    with pytest.raises(errors.Rejection):
        decode_transaction(data)


@given(st.data())
def test_no_bit_of_a_transaction_can_be_flipped(data: st.DataObject) -> None:
    """Every other string of the same length is refused: a transaction's hash is its signer's alone."""
    tx = bytearray(seal(ENCODED))
    bit = data.draw(st.integers(0, 8 * len(tx) - 1))
    tx[bit // 8] ^= 1 << bit % 8
    with pytest.raises(errors.Rejection):
        decode_transaction(bytes(tx))


@given(st.data())
def test_any_body_that_is_signed_decodes(data: st.DataObject) -> None:
    number = st.integers(0, 2**64 - 1)
    body = transaction_pb2.Body(
        chain_id=data.draw(st.text(max_size=20)),
        sequence=data.draw(number),
        fee=data.draw(number),
        expiry_height=data.draw(number),
        unbond=transaction_pb2.Unbond(role=data.draw(st.integers(-(2**31), 2**31 - 1)), amount=data.draw(number)),  # type: ignore[arg-type]
    )
    assert decode_transaction(sign_transaction(KEY, body)).body == body


REVEAL = encode_reveal(bytes(range(20)), bytes(range(32)))


def test_a_reveal_decodes_to_itself() -> None:
    reveal = decode_reveal(REVEAL)
    assert reveal is not None
    assert (reveal.operator, reveal.preimage, len(REVEAL)) == (bytes(range(20)), bytes(range(32)), REVEAL_BYTES)
    assert decode_reveal(sign_transaction(KEY, BODY)) is None


INNER = REVEAL[2:]
NO_REVEALS = {
    "empty": b"",
    "cut": REVEAL[:-1],
    "longer": REVEAL + b"\0",
    "unknown field": field(4, field(1, bytes(range(20))) + field(2, bytes(range(30))) + varint_field(9, b"\1")),
    "reordered": field(4, field(2, bytes(range(32))) + field(1, bytes(range(20)))),
    "another field": field(3, INNER),
    "no message": field(4, b"\xff" * len(INNER)),
}


@pytest.mark.parametrize("data", NO_REVEALS.values(), ids=NO_REVEALS)
def test_a_reveal_has_one_encoding(data: bytes) -> None:
    assert decode_reveal(data) is None


@given(st.binary(min_size=REVEAL_BYTES, max_size=REVEAL_BYTES))
def test_no_bytes_break_the_decoding_of_reveals(data: bytes) -> None:
    reveal = decode_reveal(data)
    assert reveal is None or encode_reveal(reveal.operator, reveal.preimage) == data


@pytest.mark.parametrize("data", [REVEAL, sign_transaction(KEY, BODY) + REVEAL])
def test_a_reveal_is_no_transaction_of_anybody(data: bytes) -> None:
    """Neither alone nor beside a body."""
    with pytest.raises(errors.MisplacedReveal):
        decode_transaction(data)
