"""The envelopes: what is encoded comes back, and nothing else is taken."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offchain.storage import protocol
from offchain.storage.protocol import GetRequest, Malformed, Refusal
from optfl.vectors import Opening
from support.storage import CLIENTS, TASK_ID, make_put, make_update

PUT = make_put(CLIENTS[0], make_update(), 3)
FIELDS: dict[str, Any] = msgpack.unpackb(protocol.encode_put(PUT))


def test_a_put_request_comes_back_as_it_was() -> None:
    """All fields survive, and so the signature holds."""
    decoded = protocol.decode_put(protocol.encode_put(PUT))
    assert decoded == PUT
    assert decoded.is_signed()


@given(
    task_id=st.integers(0, 2**64 - 1),
    vector_id=st.binary(min_size=32, max_size=32),
    chunk=st.none() | st.integers(0, 2**63 - 1),
)
def test_a_get_request_comes_back_as_it_was(task_id: int, vector_id: bytes, chunk: int | None) -> None:
    request = GetRequest(task_id, vector_id, chunk)
    assert protocol.decode_get(protocol.encode_get(request)) == request


@given(data=st.binary(min_size=1, max_size=200), path=st.lists(st.binary(min_size=32, max_size=32), max_size=64))
def test_replies_come_back_as_they_were(data: bytes, path: list[bytes]) -> None:
    opening = Opening(data, tuple(path))
    assert protocol.decode_opening_reply(protocol.encode_opening_reply(opening)) == opening
    assert protocol.decode_vector_reply(protocol.encode_vector_reply(data)) == data
    assert protocol.decode_receipt_reply(protocol.encode_receipt_reply(bytes(64))) == bytes(64)


@given(question=st.binary(min_size=1, max_size=protocol.MAX_QUESTION_BYTES))
def test_ballots_and_questions_come_back_as_they_were(question: bytes) -> None:
    request = protocol.BallotRequest(question)
    assert protocol.decode_ballot_request(protocol.encode_ballot_request(request)) == request
    assert protocol.decode_ballot_reply(protocol.encode_ballot_reply(bytes(32), bytes(64))) == (bytes(32), bytes(64))


@pytest.mark.parametrize("question", [b"", bytes(protocol.MAX_QUESTION_BYTES + 1), "text"])
def test_a_question_of_another_type_or_size_is_refused(question: object) -> None:
    with pytest.raises(Malformed, match="field question must be"):
        protocol.decode_ballot_request(msgpack.packb({"question": question}))


@pytest.mark.parametrize(
    "decode",
    [
        protocol.decode_receipt_reply,
        protocol.decode_vector_reply,
        protocol.decode_opening_reply,
        protocol.decode_ballot_reply,
    ],
)
def test_a_refusal_is_raised_wherever_an_answer_is_expected(decode: Any) -> None:
    with pytest.raises(Refusal) as raised:
        decode(protocol.encode_refusal(Refusal("quota", "store one of those")))
    assert (raised.value.code, raised.value.message, raised.value.retriable) == ("quota", "store one of those", False)


def test_a_long_explanation_is_cut_and_not_refused_by_its_reader() -> None:
    with pytest.raises(Refusal):
        protocol.decode_vector_reply(protocol.encode_refusal(Refusal("malformed", "ü" * 10_000)))


@pytest.mark.parametrize("missing", FIELDS)
def test_a_missing_field_is_refused(missing: str) -> None:
    with pytest.raises(Malformed, match="its fields are"):
        protocol.decode_put(msgpack.packb({name: value for name, value in FIELDS.items() if name != missing}))


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(Malformed):
        protocol.decode_put(msgpack.packb({**FIELDS, "shape": 1}))
    with pytest.raises(Malformed, match="shape"):
        protocol.decode_get(msgpack.packb({"task_id": 1, "vector_id": bytes(32), "shape": 1}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("chain_id", b"bytes"),
        ("chain_id", "x" * 201),
        ("task_id", -1),
        ("task_id", True),
        ("task_id", 1.0),
        ("round", 2**32),
        ("kind", "picture"),
        ("kind", ["update"]),
        ("vector_id", bytes(31)),
        ("vector_id", "a" * 32),
        ("retain_until_height", 2**63),
        ("seen_height", None),
        ("public_key", bytes(33)),
        ("signature", bytes(63)),
        ("data", b""),
        ("data", {"more": "maps"}),
    ],
)
def test_a_field_of_another_type_or_range_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(Malformed, match=f"field {name} must be"):
        protocol.decode_put(msgpack.packb({**FIELDS, name: value}))


def test_a_field_that_is_there_twice_is_refused() -> None:
    """Two readers might otherwise take different ones for the truth."""
    twice = b"\x82" + msgpack.packb("task_id") + msgpack.packb(1) + msgpack.packb("task_id") + msgpack.packb(2)
    with pytest.raises(Malformed, match="twice"):
        protocol.decode_get(twice)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\xc1",
        msgpack.packb([1, 2]),
        msgpack.packb({1: 2}),
        msgpack.packb({"task_id": msgpack.ExtType(5, b"x"), "vector_id": bytes(32)}),
        protocol.encode_get(GetRequest(TASK_ID, bytes(32))) + b"\x00",
        b"\x91" * 900,
        b"\xa1\xff",
        bytes(protocol.MAX_GET_BYTES + 1),
    ],
    ids=["empty", "reserved", "array", "number-key", "extension", "trailing", "deep", "not-utf8", "too-long"],
)
def test_what_is_not_one_flat_map_is_refused(message: bytes) -> None:
    with pytest.raises(Malformed):
        protocol.decode_get(message)


@pytest.mark.parametrize("size", [1, 255, 256, 65535, 65536])
def test_data_of_every_length_is_packed_as_msgpack_does(size: int) -> None:
    data = bytes(size)
    assert protocol.encode_vector_reply(data) == msgpack.packb({"data": data})
    put = replace(PUT, data=data)
    assert protocol.encode_put(put) == msgpack.packb({name: getattr(put, name) for name in protocol._PUT})


def test_large_data_is_not_copied_out_of_its_message() -> None:
    put = replace(PUT, data=bytes(1 << 16))
    message = protocol.encode_put(put)
    decoded = protocol.decode_put(message)
    assert decoded == put
    assert isinstance(decoded.data, memoryview)
    assert decoded.data.obj is message


@st.composite
def almost_puts(draw: st.DrawFn) -> bytes:
    """Messages with what looks like large data at their end, or in their middle."""
    data = draw(st.binary(min_size=1, max_size=64))
    bait = b"\xa4data\xc6" + len(data).to_bytes(4, "big") + data
    fields = {name: draw(st.sampled_from([FIELDS[name], bait, bait[:5], {"data": data}])) for name in FIELDS}
    packed = [msgpack.packb(name) + msgpack.packb(value) for name, value in fields.items() if name != "data"]
    parts = [*packed, *[bait] * draw(st.integers(0, 2))]
    message = bytes([0x80 | min(15, len(parts))]) + b"".join(draw(st.permutations(parts)))
    return draw(st.sampled_from([message, message + b"\x00", message[:-1], message + bait]))


@given(message=almost_puts() | st.binary(max_size=300))
def test_what_is_unpacked_around_its_data_is_what_msgpack_finds(message: bytes) -> None:
    large = protocol._LARGE_BYTES
    protocol._LARGE_BYTES = 1  # type: ignore[misc]
    try:
        found = protocol._unpack_around_data(message)
    finally:
        protocol._LARGE_BYTES = large  # type: ignore[misc]
    if found is not None:
        assert found == protocol._unpack(message)


@given(message=st.binary(max_size=300))
def test_no_bytes_make_a_decoder_fail_otherwise(message: bytes) -> None:
    for decode in (protocol.decode_put, protocol.decode_get, protocol.decode_opening_reply):
        try:
            decode(message)
        except (Malformed, Refusal):
            continue


@pytest.mark.parametrize(
    "changed",
    [
        replace(PUT, chain_id="another"),
        replace(PUT, task_id=TASK_ID + 1),
        replace(PUT, round=PUT.round + 1),
        replace(PUT, kind="model"),
        replace(PUT, vector_id=bytes(32)),
        replace(PUT, retain_until_height=PUT.retain_until_height + 1),
        replace(PUT, public_key=CLIENTS[1].public_key),
        replace(PUT, data=PUT.data + b"\x00"),
    ],
    ids=["chain", "task", "round", "kind", "id", "retention", "owner", "size"],
)
def test_a_signature_holds_for_one_statement_only(changed: protocol.PutRequest) -> None:
    """Red team L8, I4: a put cannot be replayed for another chain, task, round, kind, vector or owner."""
    assert not changed.is_signed()


def test_the_seen_height_is_a_hint_outside_the_signature() -> None:
    assert replace(PUT, seen_height=9).is_signed()
