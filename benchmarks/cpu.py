"""CPU time of other processes, sampled beside a run. Linux only: it is read from /proc."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.figures import CpuSample

_PERIOD_SECONDS = 0.1
_UTIME, _STIME = 11, 12  # in /proc/PID/stat, counted from behind the name


class CpuSampler:
    """Samples the processes `kinds` (kind by process id) within the `with` block."""

    def __init__(self, kinds: Mapping[int, str]) -> None:
        self.samples: list[CpuSample] = []
        self._kinds = dict(kinds)
        self._last = dict.fromkeys(kinds, 0.0)  # of a process that has ended, too
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sample CPU", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self.samples.append(self._sample())
            if self._stop.wait(_PERIOD_SECONDS):
                return

    def _sample(self) -> CpuSample:
        now = time.monotonic()
        totals = dict.fromkeys(self._kinds.values(), 0.0)
        for pid, kind in self._kinds.items():
            self._last[pid] = max(self._last[pid], read_cpu_seconds(pid))
            totals[kind] += self._last[pid]
        return CpuSample(now, totals)


def read_cpu_seconds(pid: int) -> float:
    """User and system time of a process with all its threads; 0 if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[_UTIME]) + int(fields[_STIME])) / os.sysconf("SC_CLK_TCK")
