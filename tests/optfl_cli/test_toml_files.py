"""Editing generated TOML in place, and writing config dataclasses."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optfl_cli.config import load_config
from optfl_cli.toml_files import TomlEditError, edit_toml, format_dataclass, format_value

TEXT = """\
# laddr = "a comment, not a value"
moniker = "old"   # kept by nobody

[rpc]
laddr = "tcp://127.0.0.1:1"
cors = ["HEAD", ]

[p2p]
laddr = "tcp://0.0.0.0:2"
laddr_external = ""
pex = true
"""


def test_values_change_in_their_section_and_all_else_stays() -> None:
    edited = edit_toml(TEXT, {"": {"moniker": "new"}, "p2p": {"laddr": "tcp://h:3", "pex": False}})
    assert tomllib.loads(edited) == {
        "moniker": "new",
        "rpc": {"laddr": "tcp://127.0.0.1:1", "cors": ["HEAD"]},
        "p2p": {"laddr": "tcp://h:3", "laddr_external": "", "pex": False},
    }
    assert [line for line in edited.splitlines() if line.startswith("#")] == ['# laddr = "a comment, not a value"']


@pytest.mark.parametrize("changes", [{"rpc": {"pex": True}}, {"": {"laddr": ""}}, {"p2pp": {"laddr": ""}}])
def test_a_key_that_is_not_there_is_an_error(changes: dict[str, dict[str, bool | str]]) -> None:
    with pytest.raises(TomlEditError, match="no key"):
        edit_toml(TEXT, changes)


def test_a_value_over_several_lines_is_an_error_not_a_broken_file() -> None:
    with pytest.raises(TomlEditError, match="several lines"):
        edit_toml('names = [\n  "a",\n]\n', {"": {"names": ["b"]}})


@given(st.text() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.lists(st.text(), max_size=3))
def test_what_is_written_is_what_is_read(value: str | bool | int | list[str]) -> None:
    assert tomllib.loads(f"x = {format_value(value)}") == {"x": value}


@given(st.text(), st.text(st.characters(exclude_characters="\r\n")))
def test_an_edit_sets_exactly_its_value(value: str, other: str) -> None:
    text = f"a = {format_value(other)}\nb = {format_value(other)}\n[s]\na = {format_value(other)}\n"
    assert tomllib.loads(edit_toml(text, {"": {"b": value}})) == {"a": other, "b": value, "s": {"a": other}}


@dataclass(frozen=True)
class Inner:
    name: str
    ratio: float = 0.5


@dataclass(frozen=True)
class Outer:
    path: Path
    inner: Inner
    count: int = 3
    on: bool = True
    nothing: str | None = None
    words: list[str] = field(default_factory=list)
    inners: list[Inner] = field(default_factory=list)


def test_a_written_dataclass_is_read_back(tmp_path: Path) -> None:
    config = Outer(
        tmp_path / "x", Inner('a "quoted" name'), 7, False, None, ["a", "ü\n"], [Inner("b"), Inner("c", 2.0)]
    )
    path = tmp_path / "config.toml"
    path.write_text(format_dataclass(config, "Written by a test.\nTwo lines."), encoding="utf-8")
    assert path.read_text(encoding="utf-8").startswith("# Written by a test.\n# Two lines.\n")
    assert load_config(path, Outer) == config
