"""Config files: what is wrong in one is a single line that names the file, the key and what to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from optfl_cli.config import load_config
from optfl_cli.errors import UserError


@dataclass(frozen=True)
class Peer:
    host: str
    port: int = 1


@dataclass(frozen=True)
class Config:
    name: str
    key: Path = Path("key.json")
    rounds: int = 3
    ratio: float = 0.5
    verbose: bool = False
    mode: Literal["full", "sample"] = "full"
    folder: Path | None = None
    words: tuple[str, ...] = ()
    first: Peer = Peer("h")
    peers: list[Peer] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.rounds == 0:
            raise ValueError("rounds is 0; use at least 1")


def load(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "config.toml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, Config)


def test_every_kind_of_field(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        """
        name = "n"
        key = "keys/a.json"
        rounds = 4
        ratio = 1
        verbose = true
        mode = "sample"
        folder = "/abs"
        words = ["a", "b"]
        [first]
        host = "x"
        [[peers]]
        host = "y"
        port = 2
        """,
    )
    assert config == Config(
        "n", tmp_path / "keys/a.json", 4, 1.0, True, "sample", Path("/abs"), ("a", "b"), Peer("x"), [Peer("y", 2)]
    )
    assert isinstance(config.ratio, float)


def test_defaults(tmp_path: Path) -> None:
    assert load(tmp_path, 'name = "n"') == Config("n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"missing key name; add it \(a string\)"),
        ("\nname = x", r"is not valid TOML: .*line 2.*; correct that line"),
        ('name = "n"\nnmae = 1', "unknown key nmae; remove it, or use one of: name, key, rounds"),
        ("name = 1", "name is 1; it must be a string"),
        ('name = "n"\nrounds = "4"', "rounds is '4'; it must be an integer"),
        ('name = "n"\nrounds = true', "rounds is True; it must be an integer"),
        ('name = "n"\nrounds = 1.5', "rounds is 1.5; it must be an integer"),
        ('name = "n"\nratio = "x"', "ratio is 'x'; it must be a number"),
        ('name = "n"\nratio = true', "ratio is True; it must be a number"),
        ('name = "n"\nverbose = 1', "verbose is 1; it must be true or false"),
        ('name = "n"\nmode = "half"', "mode is 'half'; it must be one of 'full', 'sample'"),
        ('name = "n"\nmode = []', "mode is .*; it must be one of 'full', 'sample'"),
        ('name = "n"\nfolder = 1', "folder is 1; it must be a path in quotes"),
        ('name = "n"\nwords = "a"', "words is 'a'; it must be a list, each a string"),
        ('name = "n"\nwords = ["a", 1]', r"words\[1\] is 1; it must be a string"),
        ('name = "n"\nfirst = 1', "first is 1; it must be a table with host, port"),
        ('name = "n"\n[first]', r"missing key first.host; add it \(a string\)"),
        ('name = "n"\n[first]\nhost = "h"\nprot = 1', "unknown key first.prot; remove it, or use one of: host, port"),
        ('name = "n"\n[[peers]]\nhost = "h"\nport = "1"', r"peers\[0\].port is '1'; it must be an integer"),
        ('name = "n"\nrounds = 0', "rounds is 0; use at least 1"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load(tmp_path, text)
    assert str(tmp_path / "config.toml") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read .*nothing\.toml: No such file"):
        load_config(tmp_path / "nothing.toml", Config)
    (tmp_path / "latin.toml").write_bytes(b'name = "\xff"')
    with pytest.raises(UserError, match="not UTF-8"):
        load_config(tmp_path / "latin.toml", Config)
