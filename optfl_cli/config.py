"""Config files: TOML into a frozen dataclass, with one clear line for whatever is wrong in them.

Fields may be str, int, float, bool, Path, Literal, an optional of these, a list or tuple of these, a dataclass (a
table), a list of dataclasses (an array of tables) or a dict (a table that is passed on as it is). Relative paths count
from the file's folder. A dataclass may check itself in `__post_init__` by raising ValueError.
"""

from __future__ import annotations

import dataclasses
import tomllib
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from optfl_cli.errors import UserError

T = TypeVar("T")

_WORDS = {str: "a string", int: "an integer", float: "a number", bool: "true or false", Path: "a path in quotes"}


class _Invalid(Exception):
    """What is wrong, without the file's name."""


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a TOML file; raises UserError."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; check the path and its permissions") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text; save it as such") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path} is not valid TOML: {error}; correct that line") from None


def load_config(path: Path, config_type: type[T]) -> T:
    """Read `path` into `config_type`; raises UserError naming the file, the key and what it should be."""
    try:
        return _build_table(read_toml(path), config_type, "", path.parent)
    except _Invalid as error:
        raise UserError(f"{path}: {error}") from None


def _build_table(table: dict[str, Any], config_type: type[T], prefix: str, folder: Path) -> T:
    hints = typing.get_type_hints(config_type)
    fields = {field.name: field for field in dataclasses.fields(config_type)}  # type: ignore[arg-type]  # checked below
    for key in table:
        if key not in fields:
            raise _Invalid(f"unknown key {prefix}{key}; remove it, or use one of: {', '.join(fields)}")
    values = {key: _convert(value, hints[key], f"{prefix}{key}", folder) for key, value in table.items()}
    for name, field in fields.items():
        optional = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        if name not in values and not optional:
            raise _Invalid(f"missing key {prefix}{name}; add it ({_describe(hints[name])})")
    try:
        return config_type(**values)
    except ValueError as error:
        raise _Invalid(f"{prefix.rstrip('.') + ': ' if prefix else ''}{error}") from None


def _convert(value: Any, hint: Any, key: str, folder: Path) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        (hint,) = (argument for argument in arguments if argument is not type(None))
        return _convert(value, hint, key, folder)
    if origin is typing.Literal:
        if value in arguments:
            return value
    elif origin in (list, tuple):
        if isinstance(value, list):
            return origin(_convert(item, arguments[0], f"{key}[{i}]", folder) for i, item in enumerate(value))
    elif origin is dict:
        if isinstance(value, dict):
            return value
    elif dataclasses.is_dataclass(hint):
        if isinstance(value, dict):
            return _build_table(value, typing.cast(type[Any], hint), f"{key}.", folder)
    elif hint is Path:
        if isinstance(value, str):
            return folder / Path(value).expanduser()
    elif hint is float:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    elif isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
        return value
    raise _Invalid(f"{key} is {value!r}; it must be {_describe(hint)}")


def _describe(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _describe(next(argument for argument in arguments if argument is not type(None)))
    if origin is typing.Literal:
        return "one of " + ", ".join(repr(argument) for argument in arguments)
    if origin in (list, tuple):
        return f"a list, each {_describe(arguments[0])}"
    if origin is dict:
        return "a table"
    if dataclasses.is_dataclass(hint):
        return "a table with " + ", ".join(field.name for field in dataclasses.fields(hint))
    return _WORDS[hint]
