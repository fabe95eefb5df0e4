"""TOML as this package needs it: edit a generated file in place, and write one from a dataclass.

`tomllib` only reads. CometBFT's `config.toml` is a page of explanations with values in between, so its values are
replaced where they stand, and the result is parsed again to see that it says what was meant.
"""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

TomlValue = str | bool | int | float | Sequence["TomlValue"]

_SECTION = re.compile(r"\s*\[\s*([A-Za-z0-9_.-]+)\s*\]\s*(#.*)?$")
_ASSIGNMENT = re.compile(r"\s*([A-Za-z0-9_-]+)\s*=")


class TomlEditError(ValueError):
    """The file does not have a key that is to be changed, or not on a line of its own."""


def format_value(value: TomlValue | Path) -> str:
    """A value as TOML. Lists of plain values only; tables are `format_dataclass`'s work."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str | Path):
        # A JSON string is a TOML basic string, but that TOML wants DEL escaped.
        return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
    return "[" + ", ".join(format_value(item) for item in value) + "]"


def edit_toml(text: str, changes: Mapping[str, Mapping[str, TomlValue]]) -> str:
    """Replace values in `text`: {section: {key: value}}, section "" for what stands before the first one.

    Everything else stays as it is, comments too. Raises TomlEditError if a key is not there.
    """
    missing = {(section, key) for section, keys in changes.items() for key in keys}
    section, lines = "", []
    for line in text.removesuffix("\n").split("\n"):  # not splitlines: a string may hold other ends of lines
        if header := _SECTION.match(line):
            section = header[1]
        elif (assignment := _ASSIGNMENT.match(line)) and (section, assignment[1]) in missing:
            key = assignment[1]
            line = f"{key} = {format_value(changes[section][key])}"
            missing.discard((section, key))
        lines.append(line)
    if missing:
        raise TomlEditError("no key " + ", ".join(sorted(f"{s}.{k}".lstrip(".") for s, k in missing)))
    edited = "\n".join(lines) + "\n"
    _check_edit(edited, changes)
    return edited


def _check_edit(edited: str, changes: Mapping[str, Mapping[str, TomlValue]]) -> None:
    try:
        tree = tomllib.loads(edited)
    except tomllib.TOMLDecodeError as error:
        raise TomlEditError(f"a value spans several lines ({error})") from None
    for section, keys in changes.items():
        table: Any = tree
        for part in section.split(".") if section else ():
            table = table[part]
        for key, value in keys.items():
            if table[key] != (value if isinstance(value, str | bool | int | float) else list(value)):
                raise TomlEditError(f"{section}.{key} is set twice")


def format_dataclass(config: Any, comment: str = "") -> str:
    """A config dataclass as TOML that `optfl_cli.config.load_config` reads back; None values are left out."""
    lines = [f"# {line}" for line in comment.splitlines()] + _format_table(config, "")
    return "\n".join(lines) + "\n"


def _format_table(config: Any, path: str) -> list[str]:
    lines, tables = [], []
    for key, value in _get_items(config):
        name = f"{path}{key}"
        if value is None:
            continue
        if _is_table(value):
            tables += ["", f"[{name}]", *_format_table(value, f"{name}.")]
        elif isinstance(value, list | tuple) and value and _is_table(value[0]):
            for item in value:
                tables += ["", f"[[{name}]]", *_format_table(item, f"{name}.")]
        else:
            lines.append(f"{key} = {format_value(value)}")
    return lines + tables


def _is_table(value: Any) -> bool:
    return dataclasses.is_dataclass(value) or isinstance(value, dict)


def _get_items(table: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(table, dict):
        return table.items()
    return ((field.name, getattr(table, field.name)) for field in dataclasses.fields(table))
