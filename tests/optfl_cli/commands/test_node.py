"""`optfl node init`: what it refuses before it makes anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from optfl_cli.main import main


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--peer", "nonsense"], "--peer nonsense is not like ID@HOST:PORT; `optfl node init` told the ID"),
        (["--peer", f"{'a' * 40}@host"], "is not like ID@HOST:PORT"),
        (["--stake", "5"], "no chain can begin like this: app_state.validators makes 0 validators of at least 1"),
        (["--balance", "-5"], "no chain can begin like this: app_state.accounts[0].balance is -5"),
        (["--chain-id", "x" * 51], "a chain id has at most 50 characters"),
        (["--genesis", "nothing.json"], "cannot read nothing.json: No such file or directory"),
    ],
)
def test_what_cannot_be_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main(["node", "init", "--home", str(tmp_path / "node"), *options]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "node").exists()


def test_A9_a_renewal_needs_a_node_and_a_length(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["node", "renew-beacon", "--home", str(tmp_path)]) == 1
    assert "no node in" in capsys.readouterr().err
    assert main(["node", "renew-beacon", "--home", str(tmp_path), "--reveals", "0"]) == 2


def test_a_port_that_is_none_is_a_usage_error(tmp_path: Path) -> None:
    assert main(["node", "init", "--home", str(tmp_path / "node"), "--rpc-port", "99999"]) == 2
