"""Work on ranges of coordinates, in threads: kernels release the GIL."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

Task = Callable[[int, int], None]


def count_threads(threads: int | None) -> int:
    """As many as were asked for, by default one for each core this process may use. ValueError for less than one."""
    if threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if threads < 1:
        raise ValueError(f"{threads} threads; use at least 1")
    return threads


def run_in_ranges(task: Task, length: int, step: int, threads: int) -> None:
    """`task(start, stop)` of `length` values in ranges of `step`, the last maybe shorter; raises what a task raises."""
    starts = iter(range(0, length, step))

    def work() -> None:
        for start in starts:  # each of them is taken by one thread
            task(start, min(start + step, length))

    workers = min(threads, -(-length // step))
    if workers <= 1:
        work()
        return
    with ThreadPoolExecutor(workers) as pool:
        for worker in [pool.submit(work) for _ in range(workers)]:
            worker.result()
