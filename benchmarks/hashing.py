"""Vector ids against plain SHA-256: `python -m benchmarks.hashing`. With `--json`, one object.

One update's id (`offchain.kernels.hashing`), and the ids of K updates in threads, as whoever fetches a round checks its
answers (`offchain.adapters.blobs`). Flat: `hashlib.sha256` of the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import click

from benchmarks.setting import PAPER_LENGTH
from offchain.kernels.hashing import make_vector
from optfl.vectors import Shape


@dataclass(frozen=True)
class Line:
    """What is printed."""

    k: int
    d: int
    threads: int
    flat_seconds: float  # one update
    id_seconds: float  # one update
    ratio_to_flat: float
    ids_one_thread_seconds: float  # K updates
    ids_all_threads_seconds: float  # K updates
    speedup: float


def measure(updates: int, length: int, threads: int, turns: int) -> Line:
    shape = Shape("int16", length)
    data = [os.urandom(shape.size_bytes) for _ in range(updates)]

    def compute_id(values: bytes) -> bytes:
        return make_vector(shape, values).id

    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(threads) as several:
        flat, single, on_one, on_all = take_turns(
            turns,
            lambda: hashlib.sha256(data[0]).digest(),
            lambda: compute_id(data[0]),
            lambda: list(one.map(compute_id, data)),
            lambda: list(several.map(compute_id, data)),
        )
    return Line(updates, length, threads, flat, single, single / flat, on_one, on_all, on_one / on_all)


def take_turns(turns: int, *contenders: Callable[[], object]) -> list[float]:
    """The best time of each."""
    best = [float("inf")] * len(contenders)
    for _ in range(turns):
        for index, run in enumerate(contenders):
            started = time.perf_counter()
            run()
            best[index] = min(best[index], time.perf_counter() - started)
    return best


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--updates", type=click.IntRange(1), default=100, show_default=True)
@click.option("--length", type=click.IntRange(1), default=PAPER_LENGTH, show_default=True)
@click.option("--threads", type=click.IntRange(1), default=len(os.sched_getaffinity(0)), show_default="all cores")
@click.option("--turns", type=click.IntRange(1), default=7, show_default=True, help="Of which the best counts.")
def command(as_json: bool, updates: int, length: int, threads: int, turns: int) -> None:
    """Measure what an id costs."""
    line = measure(updates, length, threads, turns)
    if as_json:
        print(json.dumps(asdict(line)))
        return
    size = 2 * line.d / 1e6
    print(
        f"one update, {size:.1f} MB: flat {1000 * line.flat_seconds:.2f} ms, id {1000 * line.id_seconds:.2f} ms", end=""
    )
    print(f" ({line.ratio_to_flat:.2f} ×)")
    print(f"{line.k} updates: {line.ids_one_thread_seconds:.3f} s on one thread, ", end="")
    print(f"{line.ids_all_threads_seconds:.3f} s on {line.threads} ({line.speedup:.2f} × as fast)")


if __name__ == "__main__":
    command()
