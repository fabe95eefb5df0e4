"""What each process writes down while it works: spans of time with their phase, and counts. One JSON object a line."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

PHASES = ("train", "store", "commit", "aggregate", "publish", "watch")
WATCH = "watch"


@dataclass(frozen=True)
class Span:
    """From `start` to `end` (seconds of the machine's monotonic clock) `who` worked on `what`, in `phase`."""

    who: str
    phase: str
    what: str
    start: float
    end: float
    round: int = 0
    size_bytes: int = 0


class Trace:
    """Appends spans to a file. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")
        self._lock = threading.Lock()

    def add(self, span: Span) -> None:
        line = json.dumps(asdict(span))
        with self._lock:
            self._file.write(line + "\n")
            self._file.flush()

    @contextlib.contextmanager
    def span(self, who: str, phase: str, what: str, number: int = 0) -> Iterator[None]:
        """Write the block's span down, unless it fails."""
        start = time.monotonic()
        yield
        self.add(Span(who, phase, what, start, time.monotonic(), number))

    def count_bytes(self, who: str, phase: str, what: str, size_bytes: int) -> None:
        now = time.monotonic()
        self.add(Span(who, phase, what, now, now, size_bytes=size_bytes))


def read_traces(folder: Path) -> list[Span]:
    """All spans of all processes, by their end."""
    lines = [line for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]
    return sorted((Span(**json.loads(line)) for line in lines), key=lambda span: span.end)
