"""The first aggregate of a process: `python -m benchmarks.first_call`. With `--json`, one object a line.

A process each: one that finds nothing compiled, as after an installation without `make setup`; one that compiles
everything, as `make setup` does; one that finds all of it in numba's cache on disk; and one that has called `warm_up`
before its round comes, as roles do. Measured are importing the kernels, `warm_up`, and a median of K = 5 updates of
D = 10,000.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.table import Table

_CODE = """
import json, sys, time
started = time.perf_counter()
import numpy as np
from offchain.kernels.aggregate import aggregate, warm_up
from optfl.rules import RoundFacts, parse_rule
imported = time.perf_counter()
if sys.argv[1] == "warm":
    warm_up()
warmed = time.perf_counter()
base, updates = np.zeros(10_000, dtype=np.int32), [np.zeros(10_000, dtype=np.int16)] * 5
aggregate(parse_rule("median()"), base, updates, RoundFacts((1,) * 5))
called = time.perf_counter()
seconds = {"import": imported - started, "warm_up": warmed - imported, "call": called - warmed}
print(json.dumps({f"{part}_seconds": value for part, value in seconds.items()}))
"""

PROCESSES = (
    ("nothing compiled", "cold", "first"),
    ("nothing compiled, warmed up", "warm", "second"),
    ("compiled before", "cold", "second"),
    ("compiled before, warmed up", "warm", "second"),
)
"""What it is called, whether it warms up, and whose cache it has."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, an object a line.")
def command(as_json: bool) -> None:
    """Measure the first call in a process."""
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for name, how, cache in PROCESSES:
            environment = {**os.environ, "NUMBA_CACHE_DIR": str(Path(folder) / cache)}
            run = subprocess.run(
                [sys.executable, "-c", _CODE, how], env=environment, check=True, capture_output=True, text=True
            )
            lines.append({"process": name, **json.loads(run.stdout)})
            if as_json:
                print(json.dumps(lines[-1]), flush=True)
    if as_json:
        return
    table = Table(title="First median of a process, seconds", box=box.MARKDOWN)
    table.add_column("process")
    for column in ("import", "warm_up", "call"):
        table.add_column(column, justify="right")
    for line in lines:
        table.add_row(line["process"], *(f"{line[f'{part}_seconds']:.2f}" for part in ("import", "warm_up", "call")))
    Console(width=100).print(table)


if __name__ == "__main__":
    command()
