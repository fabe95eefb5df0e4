"""The page of measured tables: what is replaced, and what is left alone."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from benchmarks import performance
from benchmarks.performance import PAGE, replace_outputs

TEXT = """Words.

```sh
python -m benchmarks.hashing --turns 2
```

<!-- measured -->
old
<!-- end -->

```sh
python -m benchmarks.curves --plot
```

<!-- measured -->
kept
<!-- end -->
"""


def test_what_a_command_prints_takes_the_place_of_what_it_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []

    def run(arguments: list[str], **_options: Any) -> subprocess.CompletedProcess[str]:
        called.append(arguments[1:])
        return subprocess.CompletedProcess(arguments, 0, stdout=" | new |\n/some/figure.svg\n")

    monkeypatch.setattr(performance.subprocess, "run", run)
    assert replace_outputs(TEXT, "hashing") == TEXT.replace("old", "| new |")
    assert called == [["-m", "benchmarks.hashing", "--turns", "2"]]


def test_the_page_names_every_benchmark_of_the_engine() -> None:
    found = [match["command"] for match in performance._BLOCK.finditer(PAGE.read_text())]
    assert [command.split()[2].removeprefix("benchmarks.") for command in found] == [
        "aggregation",
        "curves",
        "streaming",
        "proofs",
        "hashing",
        "first_call",
    ]
