"""How long an aggregate takes: `python -m benchmarks.aggregation`. With `--json`, one object a line for each rule.

Ours is all that an aggregator computes of a round: the trace, the weights that it decides, the model. Peers compute the
same rule in floating point (`benchmarks.peers`) from updates that lie in memory as contiguous float32, and ours from
int16. `limit` is `np.copyto` of the same int16 updates into a warm destination, on one thread: no rule can be much
faster than that. All take turns in one process, with as many threads, and of each the best time counts.

`ratio_to_limit`: seconds / limit_seconds. `ratio_to_best_peer`: how many times as long the fastest peer takes.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

import click
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.setting import PAPER_CLIENTS, PAPER_LENGTH

_SLOW_SECONDS = 1.0  # of a peer: it gets fewer turns
_SLOW_TURNS = 2


@dataclass(frozen=True)
class Line:
    """What is printed of a rule."""

    rule: str
    k: int
    d: int
    dtype: str
    threads: int
    seconds: float
    limit_seconds: float
    ratio_to_limit: float
    peers: dict[str, float | None]
    ratio_to_best_peer: float | None
    parameters: str  # the rule as a task has it
    scaled: dict[str, int]  # peers that got one of so many coordinates, and whose time is multiplied
    failed: dict[str, str]  # peers that did not get to an end


def measure_rules(
    updates: int,
    length: int,
    threads: int,
    turns: int,
    names: Sequence[str] = (),
    report: Callable[[str], None] = print,
) -> Iterator[Line]:
    """One line a rule, as soon as it is there."""
    import threadpoolctl
    import torch

    from benchmarks.peers import make_cases
    from offchain.kernels.aggregate import aggregate, warm_up
    from optfl.rules import RoundFacts, parse_rule

    random = np.random.default_rng(1)
    weights = random.integers(300, 900, updates)
    facts = RoundFacts(tuple(weights.tolist()), b"beacon")
    base = np.zeros(length, dtype=np.int32)
    floats = np.empty((updates, length), dtype=np.float32)
    for row in floats:
        row[:] = np.rint(random.standard_normal(length, dtype=np.float32) * np.float32(1000))
    values = floats.astype(np.int16)
    copied = values.copy()
    warm_up()
    with ExitStack() as stack:
        stack.enter_context(threadpoolctl.threadpool_limits(threads))
        torch.set_num_threads(threads)
        tensors = torch.from_numpy(floats)
        cases = make_cases(updates, weights.astype(np.float32))
        if unknown := set(names) - {case.name for case in cases}:
            raise click.UsageError(f"no rule {min(unknown)!r}; use {', '.join(case.name for case in cases)}")
        for case in cases:
            if names and case.name not in names:
                continue
            rule = parse_rule(case.rule)
            part = np.ascontiguousarray(floats[:, :: case.byzfl_part])
            contenders: dict[str, Callable[[], object]] = {
                "limit": lambda: np.copyto(copied, values),
                "ours": lambda: aggregate(rule, base, list(values), facts, threads),  # noqa: B023
            }
            for name, peer, vectors in (
                ("numpy", case.numpy, floats),
                ("torch", case.torch, tensors),
                ("byzfl on numpy", case.byzfl, part),
                ("byzfl on torch", case.byzfl, torch.from_numpy(part)),
            ):
                if peer is not None:
                    contenders[name] = lambda peer=peer, vectors=vectors: peer(vectors)  # type: ignore[misc]
            best, failed = take_turns(contenders, turns)
            scaled = {"byzfl": case.byzfl_part} if case.byzfl and case.byzfl_part > 1 else {}
            on_either = [best[name] for name in ("byzfl on numpy", "byzfl on torch") if name in best]
            peers = {
                "numpy": best.get("numpy"),
                "torch": best.get("torch"),
                "byzfl": min(on_either) * case.byzfl_part if on_either else None,
            }
            fastest = min((seconds for seconds in peers.values() if seconds is not None), default=None)
            yield Line(
                rule=case.name,
                k=updates,
                d=length,
                dtype="int16",
                threads=threads,
                seconds=best["ours"],
                limit_seconds=best["limit"],
                ratio_to_limit=best["ours"] / best["limit"],
                peers=peers,
                ratio_to_best_peer=None if fastest is None else fastest / best["ours"],
                parameters=case.rule,
                scaled=scaled,
                failed=failed,
            )


def take_turns(contenders: dict[str, Callable[[], object]], turns: int) -> tuple[dict[str, float], dict[str, str]]:
    """The best time of each that gets to an end, and what the others said."""
    best: dict[str, float] = {}
    failed: dict[str, str] = {}
    for turn in range(turns):
        for name, run in contenders.items():
            if name in failed or (turn >= _SLOW_TURNS and best[name] > _SLOW_SECONDS):
                continue
            started = time.perf_counter()
            try:
                run()
            except (MemoryError, RuntimeError, ValueError) as error:  # a peer's: what it cannot do is a result
                if name in ("limit", "ours"):
                    raise
                failed[name] = f"{type(error).__name__}: {error}"
                continue
            seconds = time.perf_counter() - started
            best[name] = min(seconds, best.get(name, seconds))
    return best, failed


def _print_table(lines: Sequence[Line]) -> None:
    first = lines[0]
    title = f"K = {first.k}, D = {first.d:,}, int16, {first.threads} threads; copy {1000 * first.limit_seconds:.1f} ms"
    table = Table(title=title, box=box.MARKDOWN)
    table.add_column("rule")
    for column in ("ours, ms", "× the copy", "NumPy, ms", "torch, ms", "ByzFL, ms", "best peer / ours"):
        table.add_column(column, justify="right")
    for line in lines:
        peers = [
            "–" if seconds is None else f"{1000 * seconds:,.0f}" + "*" * (name in line.scaled)
            for name, seconds in line.peers.items()
        ]
        ratio = "–" if line.ratio_to_best_peer is None else f"{line.ratio_to_best_peer:.1f}"
        table.add_row(line.parameters, f"{1000 * line.seconds:,.1f}", f"{line.ratio_to_limit:.1f}", *peers, ratio)
    Console(width=140).print(table)
    if any(line.scaled for line in lines):
        print("* from a part of the coordinates: it would not fit into memory")


def _settle_environment(threads: int) -> None:
    """Start again, if need be, with as many BLAS threads, and without settings that make OpenBLAS slow here.

    Both are read when NumPy is loaded.
    """
    wanted = {"OPENBLAS_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    unwanted = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
    environment = {name: value for name, value in os.environ.items() if name not in unwanted} | wanted
    if environment != dict(os.environ):
        arguments = [sys.executable, "-m", "benchmarks.aggregation", *sys.argv[1:]]
        os.execve(sys.executable, arguments, environment)  # noqa: S606  # ourselves


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, an object a line.")
@click.option("--quick", is_flag=True, help="K = 12, D = 20,000: a few seconds, no figures to quote.")
@click.option("--updates", type=click.IntRange(1), default=PAPER_CLIENTS, show_default=True)
@click.option("--length", type=click.IntRange(1), default=PAPER_LENGTH, show_default=True)
@click.option("--threads", type=click.IntRange(1), default=len(os.sched_getaffinity(0)), show_default="all cores")
@click.option("--turns", type=click.IntRange(1), default=7, show_default=True, help="Of which the best counts.")
@click.option("--rule", "rules", multiple=True, help="Only this one; may be given several times.")
def command(
    as_json: bool, quick: bool, updates: int, length: int, threads: int, turns: int, rules: tuple[str, ...]
) -> None:
    """Measure every rule against NumPy, torch and ByzFL."""
    if quick:
        updates, length, turns = 12, 20_000, 1
    lines = []
    for line in measure_rules(updates, length, threads, turns, rules):
        lines.append(line)
        if as_json:
            print(json.dumps(asdict(line)), flush=True)
    if not as_json:
        _print_table(lines)


def _find_threads(arguments: Sequence[str]) -> int:
    """`--threads`, before anything is loaded that reads the environment."""
    context: Any = command.make_context("aggregation", list(arguments), resilient_parsing=True)
    return int(context.params["threads"] or len(os.sched_getaffinity(0)))


if __name__ == "__main__":
    _settle_environment(_find_threads(sys.argv[1:]))
    command()
