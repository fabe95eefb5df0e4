"""The worked example of docs/protocol.md is what the code computes: a change of the protocol cannot skip the docs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_documented_values_are_those_of_the_code() -> None:
    command = [sys.executable, str(ROOT / "docs" / "worked_example.py")]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert printed.strip() in (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
