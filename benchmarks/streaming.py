"""Aggregates of files against aggregates in memory: `python -m benchmarks.streaming`. With `--json`, one object a line.

K updates of D values are written to a folder, then aggregated by `offchain.kernels.streaming` and by
`offchain.kernels.aggregate`, which take turns in one process. Times are of the second turn on: files are in the page
cache. In memory, loading them first is not counted; it has a column of its own. The peak memory of files is that of
another process, which does nothing else: what the kernel says of it (resident, Python and numba included).
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import click
import numpy as np
import numpy.typing as npt
from rich import box
from rich.console import Console
from rich.table import Table

RULES = ("fedavg()", "median()", "multi_krum(f={f})", "nnm(f={f}) | trimmed_mean(f={f})")
MIB = 1 << 20

T = TypeVar("T")


@dataclass(frozen=True)
class Line:
    """What is printed of a rule."""

    rule: str
    k: int
    d: int
    input_mib: float
    stream_seconds: float
    memory_seconds: float
    load_seconds: float  # of the updates from the files, with np.load: before that
    ratio_to_memory: float
    stream_peak_mib: float
    memory_peak_mib: float  # with all updates loaded
    peak_to_input: float  # of streaming


def measure(folder: Path, rule: str, updates: int, length: int, turns: int) -> Line:
    alone, both = _run(folder, rule, updates, 1, "files"), _run(folder, rule, updates, turns, "both")
    input_mib = 2 * updates * length / MIB
    return Line(
        rule=rule,
        k=updates,
        d=length,
        input_mib=input_mib,
        stream_seconds=both["files"],
        memory_seconds=both["memory"],
        load_seconds=both["load"],
        ratio_to_memory=both["files"] / both["memory"],
        stream_peak_mib=alone["peak_mib"],
        memory_peak_mib=both["peak_mib"],
        peak_to_input=alone["peak_mib"] / input_mib,
    )


def write_round(folder: Path, updates: int, length: int) -> None:
    random = np.random.default_rng(1)
    for index in range(updates):
        values = random.standard_normal(length, dtype=np.float32) * np.float32(1000)
        np.save(folder / f"{index}.npy", values.astype(np.int16))
    np.save(folder / "base.npy", np.zeros(length, dtype=np.int32))
    os.sync()  # writing them to the disk would go on beside what is measured


def _run(folder: Path, rule: str, updates: int, turns: int, way: str) -> dict[str, float]:
    command = [
        sys.executable,
        "-m",
        "benchmarks.streaming",
        "--worker",
        way,
        str(folder),
        rule,
        str(updates),
        str(turns),
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    plain: dict[str, float] = json.loads(done.stdout)
    return plain


def _work(way: str, folder: Path, rule_text: str, updates: int, turns: int) -> None:
    """The part of a process of its own: prints the best time of each way of `turns` after the first, and its peak."""
    from offchain.kernels.aggregate import aggregate, warm_up
    from offchain.kernels.streaming import aggregate_files
    from optfl.rules import RoundFacts, parse_rule

    warm_up()
    rule, facts = parse_rule(rule_text), RoundFacts((600,) * updates, b"beacon")
    paths, base = [folder / f"{index}.npy" for index in range(updates)], folder / "base.npy"
    model = folder / "model.npy"
    seconds: dict[str, list[float]] = {"files": [], "memory": [], "load": []}

    def run(name: str, function: Callable[[], T]) -> T:
        started = time.perf_counter()
        made = function()
        seconds[name].append(time.perf_counter() - started)
        return made

    loaded: list[npt.NDArray[np.int16]] = []
    if way == "both":
        for _ in range(2):  # the second time from the page cache
            loaded = []
            loaded = run("load", lambda: [np.load(path) for path in paths])
    loaded_base = np.load(base)
    for _ in range(1 + turns):
        run("files", lambda: aggregate_files(rule, base, paths, facts, model))
        if way == "both":
            made = run("memory", lambda: aggregate(rule, loaded_base, loaded, facts).model)
            if not np.array_equal(np.load(model), made):
                raise click.ClickException(f"{rule}: files and memory gave different models")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    best = {name: min(times[1:]) for name, times in seconds.items() if times}
    print(json.dumps({**best, "peak_mib": peak / MIB}))


def _print_table(lines: Sequence[Line]) -> None:
    first = lines[0]
    table = Table(
        title=f"K = {first.k}, D = {first.d:,}: {first.input_mib:,.0f} MiB of updates in files", box=box.MARKDOWN
    )
    table.add_column("rule")
    of_time, of_memory = ("files, s", "memory, s", "loading, s", "files / memory"), ("peak, MiB", "of the input")
    for column in (*of_time, *of_memory, "in memory, MiB"):
        table.add_column(column, justify="right")
    for line in lines:
        table.add_row(
            line.rule,
            f"{line.stream_seconds:.2f}",
            f"{line.memory_seconds:.2f}",
            f"{line.load_seconds:.2f}",
            f"{line.ratio_to_memory:.2f}",
            f"{line.stream_peak_mib:,.0f}",
            f"{100 * line.peak_to_input:.0f} %",
            f"{line.memory_peak_mib:,.0f}",
        )
    Console(width=140).print(table)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, an object a line.")
@click.option("--updates", type=click.IntRange(3), default=100, show_default=True)
@click.option("--length", type=click.IntRange(1), default=10_000_000, show_default=True)
@click.option("--turns", type=click.IntRange(1), default=7, show_default=True, help="Of which the best counts.")
@click.option(
    "--folder", type=click.Path(path_type=Path), help="Where the files go for so long. [default: a temporary one]"
)
def command(as_json: bool, updates: int, length: int, turns: int, folder: Path | None) -> None:
    """Measure time and peak memory of aggregates from files and in memory."""
    lines = []
    with tempfile.TemporaryDirectory(dir=folder) as made:
        write_round(Path(made), updates, length)
        for rule in RULES:
            line = measure(Path(made), rule.format(f=updates // 5), updates, length, turns)
            lines.append(line)
            if as_json:
                print(json.dumps(asdict(line)), flush=True)
    if not as_json:
        _print_table(lines)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        _work(sys.argv[2], Path(sys.argv[3]), sys.argv[4], int(sys.argv[5]), int(sys.argv[6]))
    else:
        command()
