"""The `optfl` command itself: quick to answer, and one line for what a user can put right."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from optfl_cli.errors import UserError
from optfl_cli.main import COMMANDS, Entry, main

ROOT = Path(__file__).parents[2]


def put_command(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make `optfl fail` a command that raises `error`."""

    @click.command()
    def command() -> None:
        raise error

    monkeypatch.setitem(COMMANDS, "fail", Entry("optfl_cli.fail", "Fails."))
    monkeypatch.setattr("importlib.import_module", lambda name: type("fail", (), {"command": command}))


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    listed = capsys.readouterr().out
    assert all(f"  {name} " in listed for name in COMMANDS)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from optfl_cli.main import main; main(['--help']); "
        "print(sorted({m.partition('.')[0] for m in sys.modules} & "
        "{'aiohttp', 'numba', 'numpy', 'offchain', 'rich', 'torch', 'zenoh'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_a_help_of_its_own(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert isinstance(importlib.import_module(COMMANDS[name].module).command, click.Command)
    assert main([name, "--help"]) == 0
    assert f"Usage: optfl {name}" in capsys.readouterr().out


def test_an_unknown_command_or_option_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nonsense"]) == 2
    assert main(["keys", "show", "--nonsense"]) == 2
    error = capsys.readouterr().err
    assert "No such command 'nonsense'" in error
    assert "Traceback" not in error


def test_what_a_user_can_put_right_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put_command(monkeypatch, UserError("the moon is down; wait for it"))
    assert main(["fail"]) == 1
    assert capsys.readouterr().err == "error: the moon is down; wait for it\n"


def test_ctrl_c_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    put_command(monkeypatch, KeyboardInterrupt())
    assert main(["fail"]) == 130


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    put_command(monkeypatch, ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        main(["fail"])
