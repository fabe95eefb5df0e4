"""Protobuf messages as plain values, for JSON, TOML and tables: bytes are hexadecimal, enums are their short names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from optfl_cli.errors import UserError

_INTEGERS = (
    FieldDescriptor.TYPE_UINT64,
    FieldDescriptor.TYPE_UINT32,
    FieldDescriptor.TYPE_INT64,
    FieldDescriptor.TYPE_INT32,
    FieldDescriptor.TYPE_SINT64,
)


def to_plain(message: Message) -> dict[str, Any]:
    """All fields of `message`, those with default values too; of messages in it only those that are set."""
    plain: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.is_repeated:
            plain[field.name] = [_value_to_plain(field, item) for item in value]
        elif field.message_type is None or message.HasField(field.name):
            plain[field.name] = _value_to_plain(field, value)
    return plain


def fill_message(message: Message, plain: Mapping[str, Any], where: str = "") -> None:
    """Set fields of `message` from plain values; raises UserError naming the field, for instance "parameters.rule"."""
    fields = message.DESCRIPTOR.fields_by_name
    for name, value in plain.items():
        path = f"{where}{name}"
        field = fields.get(name)
        if field is None:
            raise UserError(f"unknown field {path}; use one of: {', '.join(fields)}")
        if field.is_repeated:
            if not isinstance(value, list):
                raise UserError(f"{path} is {value!r}; it must be a list")
            items = getattr(message, name)
            for i, item in enumerate(value):
                if field.message_type is not None:
                    fill_message(items.add(), _check_table(item, f"{path}[{i}]"), f"{path}[{i}].")
                else:
                    items.append(_from_plain(field, item, f"{path}[{i}]"))
        elif field.message_type is not None:
            submessage = getattr(message, name)
            submessage.SetInParent()
            fill_message(submessage, _check_table(value, path), f"{path}.")
        else:
            setattr(message, name, _from_plain(field, value, path))


def enum_names(enum: EnumDescriptor) -> dict[str, int]:
    """Numbers by short names: "aggregator" for ROLE_AGGREGATOR; the unspecified value is left out."""
    prefix = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", enum.name).upper() + "_"
    names = {value.name.removeprefix(prefix).lower(): value.number for value in enum.values}
    names.pop("unspecified", None)
    return names


def parse_hex(text: str, size_bytes: int | None, what: str) -> bytes:
    """Bytes of a hexadecimal text; raises UserError unless there are `size_bytes` (any number, if that is None)."""
    try:
        data = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raise UserError(f"{what} is {text!r}; give it in hexadecimal") from None
    if size_bytes is not None and len(data) != size_bytes:
        raise UserError(f"{what} has {len(data)} bytes; it must have {size_bytes}, {2 * size_bytes} hexadecimal digits")
    return data


def _value_to_plain(field: Any, value: Any) -> Any:
    if field.message_type is not None:
        return to_plain(value)
    if field.enum_type is not None:
        names = {number: name for name, number in enum_names(field.enum_type).items()}
        return names.get(value, value)
    return value.hex() if field.type == FieldDescriptor.TYPE_BYTES else value


def _from_plain(field: Any, value: Any, path: str) -> Any:
    if field.enum_type is not None:
        names = enum_names(field.enum_type)
        if value not in names:
            raise UserError(f"{path} is {value!r}; use one of: {', '.join(names)}")
        return names[value]
    if field.type == FieldDescriptor.TYPE_BYTES and isinstance(value, str):
        return parse_hex(value, None, path)
    if field.type == FieldDescriptor.TYPE_STRING and isinstance(value, str):
        return value
    if field.type == FieldDescriptor.TYPE_BOOL and isinstance(value, bool):
        return value
    if field.type in _INTEGERS and isinstance(value, int) and not isinstance(value, bool):
        if field.type == FieldDescriptor.TYPE_SINT64:
            if not -(1 << 63) <= value < 1 << 63:
                raise UserError(f"{path} is {value}; it must be from {-(1 << 63)} to {(1 << 63) - 1}")
            return value
        bits = 64 if field.type in (FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_INT64) else 32
        if not 0 <= value < 1 << bits:
            raise UserError(f"{path} is {value}; it must be from 0 to {(1 << bits) - 1}")
        return value
    kind = {
        FieldDescriptor.TYPE_BYTES: "hexadecimal digits in quotes",
        FieldDescriptor.TYPE_STRING: "a string",
        FieldDescriptor.TYPE_BOOL: "true or false",
    }
    raise UserError(f"{path} is {value!r}; it must be {kind.get(field.type, 'an integer')}")


def _check_table(value: Any, path: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"{path} is {value!r}; it must be a table of fields")
    return value
