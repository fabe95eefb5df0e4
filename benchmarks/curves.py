"""How time grows: `python -m benchmarks.curves`. With `--json`, an object a line; `--plot` draws docs/figures.

Seconds of an aggregate against K (10 to 1000, at D = 10^5) and against D (10^4 to 10^8, at K = 10), all that an
aggregator computes. The slope is that of the least-squares line through the logarithms of the upper half of a curve:
1 for time in proportion, 2 for its square.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.plots import save_plot

RULES = {
    "fedavg": "fedavg()",
    "median": "median()",
    "meamed": "meamed(f={f})",
    "multi_krum": "multi_krum(f={f})",
    "geometric_median": "geometric_median(steps=3)",
    "nnm | median": "nnm(f={f}) | median()",
}
MANY_UPDATES = (10, 20, 50, 100, 200, 500, 1000)
OF_LENGTH = 100_000
LONG_VECTORS = (10**4, 10**5, 10**6, 10**7, 10**8)
OF_UPDATES = 10
_ENOUGH_SECONDS = 1.0  # in turns of one point
_MAX_TURNS = 9


@dataclass(frozen=True)
class Point:
    """One time on a curve."""

    curve: str  # "K" or "D": what varies
    rule: str
    k: int
    d: int
    threads: int
    seconds: float

    @property
    def x(self) -> int:
        return self.k if self.curve == "K" else self.d


def measure(
    curve: str, sizes: Sequence[tuple[int, int]], threads: int, rules: Sequence[str] = tuple(RULES)
) -> Iterator[Point]:
    """Each rule at each (K, D). Vectors repeat a stretch of noise, each from another start: they need not be random."""
    from offchain.kernels.aggregate import aggregate, warm_up
    from optfl.rules import RoundFacts, parse_rule

    warm_up()
    noise = (np.random.default_rng(1).standard_normal(1 << 20, dtype=np.float32) * np.float32(1000)).astype(np.int16)
    for updates, length in sizes:
        base = np.zeros(length, dtype=np.int32)
        vectors = [np.resize(np.roll(noise, -997 * index), length) for index in range(updates)]
        facts = RoundFacts((600,) * updates, b"beacon")
        for name in rules:
            rule = parse_rule(RULES[name].format(f=updates // 5))
            run: Callable[[], Any] = lambda: aggregate(rule, base, vectors, facts, threads)  # noqa: B023, E731
            yield Point(curve, name, updates, length, threads, take_best(run))


def take_best(run: Callable[[], object]) -> float:
    """The best of turns that together take about a second."""
    best, spent = math.inf, 0.0
    for _ in range(_MAX_TURNS):
        started = time.perf_counter()
        run()
        seconds = time.perf_counter() - started
        best, spent = min(best, seconds), spent + seconds
        if spent > _ENOUGH_SECONDS:
            break
    return best


def compute_slope(points: Sequence[Point]) -> float:
    """Of the logarithms, over the upper half of the points."""
    upper = sorted(points, key=lambda point: point.x)[-(len(points) // 2 + 1) :]
    x, y = np.log([point.x for point in upper]), np.log([point.seconds for point in upper])
    return float(np.polyfit(x, y, 1)[0])


def plot(points: Sequence[Point]) -> Iterator[Path]:
    for curve, fixed, label in (
        ("K", f"D = {OF_LENGTH:,}", "K, updates of a round"),
        ("D", f"K = {OF_UPDATES}", "D, values of a vector"),
    ):
        chosen = [point for point in points if point.curve == curve]

        def draw(axes: Any, chosen: Sequence[Point] = chosen, fixed: str = fixed, label: str = label) -> None:
            for name in dict.fromkeys(point.rule for point in chosen):
                line = [point for point in chosen if point.rule == name]
                axes.plot([p.x for p in line], [p.seconds for p in line], marker="o", markersize=3, label=name)
            axes.set(xscale="log", yscale="log", xlabel=label, ylabel=f"seconds of an aggregate, {fixed}")
            axes.legend(frameon=False)

        yield save_plot(f"aggregation_by_{curve.lower()}", draw)


def _print_tables(points: Sequence[Point]) -> None:
    for curve in ("K", "D"):
        chosen = [point for point in points if point.curve == curve]
        if not chosen:
            continue
        sizes = sorted({point.x for point in chosen})
        fixed = f"D = {chosen[0].d:,}" if curve == "K" else f"K = {chosen[0].k}"
        table = Table(
            title=f"Milliseconds of an aggregate by {curve}, {fixed}, {chosen[0].threads} threads", box=box.MARKDOWN
        )
        table.add_column("rule")
        for column in (*(f"{size:,}" for size in sizes), "slope"):
            table.add_column(column, justify="right")
        for name in dict.fromkeys(point.rule for point in chosen):
            line = {point.x: point for point in chosen if point.rule == name}
            times = [f"{1000 * line[size].seconds:,.1f}" for size in sizes]
            table.add_row(name, *times, f"{compute_slope(list(line.values())):.2f}")
        Console(width=120).print(table)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, an object a line.")
@click.option("--plot", "is_plotted", is_flag=True, help="Draw docs/figures/aggregation_by_{k,d}.svg.")
@click.option("--from", "source", type=click.Path(exists=True, path_type=Path), help="Take the times from this JSON.")
@click.option("--threads", type=click.IntRange(1), default=len(os.sched_getaffinity(0)), show_default="all cores")
@click.option("--quick", is_flag=True, help="A few small sizes, in seconds.")
def command(as_json: bool, is_plotted: bool, source: Path | None, threads: int, quick: bool) -> None:
    """Measure how time grows with K and with D."""
    points = []
    for point in _read(source) if source else _measure_both(threads, quick=quick):
        points.append(point)
        if as_json:
            print(json.dumps(asdict(point)), flush=True)
    if is_plotted:
        for path in plot(points):
            print(path)
    if not as_json:
        _print_tables(points)


def _measure_both(threads: int, *, quick: bool) -> Iterator[Point]:
    many, long = (MANY_UPDATES[:3], LONG_VECTORS[:2]) if quick else (MANY_UPDATES, LONG_VECTORS)
    yield from measure("K", [(updates, OF_LENGTH) for updates in many], threads)
    yield from measure("D", [(OF_UPDATES, length) for length in long], threads)


def _read(source: Path) -> Iterator[Point]:
    for line in source.read_text().splitlines():
        yield Point(**json.loads(line))


if __name__ == "__main__":
    command()
