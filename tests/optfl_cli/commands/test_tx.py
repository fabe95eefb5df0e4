"""`optfl tx`: what is refused before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from offchain.adapters.keystore import write_key
from optfl.keys import SigningKey
from optfl_cli.main import main


@pytest.mark.parametrize("anchor", ["zz", "0", "0x00"])
def test_A9_an_anchor_is_hexadecimal(tmp_path: Path, capsys: pytest.CaptureFixture[str], anchor: str) -> None:
    key = tmp_path / "operator.json"
    write_key(key, SigningKey.from_seed(bytes(32)))
    assert main(["tx", "register-beacon", "--anchor", anchor, "--key", str(key)]) == 1
    error = capsys.readouterr().err
    assert "is not hexadecimal; `optfl node renew-beacon` told it" in error
    assert error.count("\n") == 1
