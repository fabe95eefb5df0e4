"""Protobuf messages as plain values and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optfl.wire import transaction_pb2
from optfl_cli.errors import UserError
from optfl_cli.messages import enum_names, fill_message, parse_hex, to_plain

UINT64 = st.integers(0, 2**64 - 1)
BODIES = st.one_of(
    st.builds(lambda r, a: {"transfer": {"recipient": r.hex(), "amount": a}}, st.binary(max_size=20), UINT64),
    st.builds(
        lambda role, stake: {"register_role": {"role": role, "stake": stake}},
        st.sampled_from(["aggregator", "replica", "client"]),
        UINT64,
    ),
    st.builds(
        lambda name, clients: {"create_task": {"parameters": {"name": name, "clients": [c.hex() for c in clients]}}},
        st.text(),
        st.lists(st.binary(max_size=20)),
    ),
    st.builds(
        lambda signatures: {"start_task": {"task_id": 1, "certificate": {"signatures": signatures}}},
        st.lists(st.builds(lambda i: {"replica": i, "signature": "ff"}, st.integers(0, 2**32 - 1))),
    ),
)


@given(BODIES)
def test_what_is_filled_in_is_what_is_shown(plain: dict[str, dict[str, object]]) -> None:
    body = transaction_pb2.Body()
    fill_message(body, plain)
    (kind,) = plain
    assert body.WhichOneof("kind") == kind
    again = transaction_pb2.Body()
    fill_message(again, {kind: to_plain(body)[kind]})
    assert again == body
    shown = to_plain(body)[kind]
    assert all(shown[name] == value for name, value in plain[kind].items() if not isinstance(value, dict))


def test_an_empty_kind_is_set_all_the_same() -> None:
    body = transaction_pb2.Body()
    fill_message(body, {"cancel_task": {}})
    assert body.WhichOneof("kind") == "cancel_task"


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({"transfr": {}}, "unknown field transfr; use one of: chain_id"),
        ({"transfer": {"amnt": 1}}, "unknown field transfer.amnt; use one of: recipient, amount"),
        ({"transfer": 1}, "transfer is 1; it must be a table of fields"),
        ({"transfer": {"amount": "1"}}, "transfer.amount is '1'; it must be an integer"),
        ({"transfer": {"amount": True}}, "transfer.amount is True; it must be an integer"),
        ({"transfer": {"amount": -1}}, "transfer.amount is -1; it must be from 0 to 18446744073709551615"),
        ({"create_task": {"parameters": {"rounds": 2**32}}}, "rounds is 4294967296; it must be from 0 to 4294967295"),
        ({"transfer": {"recipient": "xy"}}, "transfer.recipient is 'xy'; give it in hexadecimal"),
        ({"transfer": {"recipient": 5}}, "transfer.recipient is 5; it must be hexadecimal digits in quotes"),
        ({"create_task": {"parameters": {"name": 5}}}, "create_task.parameters.name is 5; it must be a string"),
        ({"create_task": {"parameters": {"clients": "ff"}}}, "parameters.clients is 'ff'; it must be a list"),
        ({"create_task": {"parameters": {"clients": ["f"]}}}, r"parameters.clients\[0\] is 'f'; give it in hex"),
        ({"register_role": {"role": "king"}}, "role is 'king'; use one of: validator, aggregator, replica, client"),
        ({"register_role": {"role": 2}}, "register_role.role is 2; use one of"),
        ({"start_task": {"certificate": {"signatures": [1]}}}, r"signatures\[0\] is 1; it must be a table"),
    ],
)
def test_what_is_wrong_is_named(plain: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        fill_message(transaction_pb2.Body(), plain)


def test_short_names_of_enums() -> None:
    assert enum_names(transaction_pb2.Role.DESCRIPTOR) == {"validator": 1, "aggregator": 2, "replica": 3, "client": 4}


def test_an_enum_without_an_unspecified_value_has_a_name_for_zero() -> None:
    assert enum_names(transaction_pb2.Mode.DESCRIPTOR) == {"optimistic": 0, "quorum": 1, "pbft": 2}
    assert to_plain(transaction_pb2.TaskParameters())["arithmetic"] == "exact"


def test_hexadecimal_of_the_right_size() -> None:
    assert parse_hex("0xff00", 2, "it") == b"\xff\x00"
    with pytest.raises(UserError, match="it has 1 bytes; it must have 2, 4 hexadecimal digits"):
        parse_hex("ff", 2, "it")
