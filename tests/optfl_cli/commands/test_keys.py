"""`optfl keys`: make, show, list."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from offchain.adapters.keystore import read_key
from optfl_cli.main import main


def test_a_new_key_is_shown_and_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "new", str(tmp_path / "a.json")]) == 0
    key = read_key(tmp_path / "a.json")
    assert capsys.readouterr().out == f"address {key.address.hex()} in {tmp_path / 'a.json'}\n"
    assert main(["keys", "show", str(tmp_path / "a.json"), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown == {"address": key.address.hex(), "public_key": key.public_key.hex(), "encrypted": False}
    assert main(["keys", "list", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"name": "a", **shown}]
    assert main(["keys", "list", str(tmp_path)]) == 0
    assert key.address.hex() in capsys.readouterr().out


def test_a_key_is_not_made_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "new", str(tmp_path / "a.json")]) == 0
    assert main(["keys", "new", str(tmp_path / "a.json")]) == 1
    assert "exists already and is not overwritten; choose another name" in capsys.readouterr().err


def test_a_key_is_encrypted_with_a_passphrase_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "passphrase").write_text("word\n")
    path = tmp_path / "a.json"
    assert main(["keys", "new", str(path), "--passphrase-file", str(tmp_path / "passphrase")]) == 0
    assert read_key(path, "word").address


def test_what_cannot_be_read_is_left_out_of_the_list_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "b.json").write_text("{}")
    assert main(["keys", "list", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert "left out: " in captured.err
    assert "chmod 600" in captured.err
    assert ": none" in captured.out


def test_showing_what_is_not_there_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "show", str(tmp_path / "a.json")]) == 1
    assert capsys.readouterr().err.startswith("error: there is no ")
