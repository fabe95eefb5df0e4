"""A virtual clock for asyncio: time passes only when nothing else can happen, and then at once."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class SimulationStalled(Exception):
    """Every coroutine waits, and none of them for time: nothing can happen any more."""


class _JumpingSelector(selectors.SelectSelector):
    """Reports no I/O; where a real selector would sleep, it moves the clock on."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise SimulationStalled("all roles wait for something that no timer will bring")
        self.seconds += max(timeout, 0.0)
        return []


class VirtualClockLoop(asyncio.SelectorEventLoop):
    """An event loop whose `time()` is virtual. Callbacks run in the order of their time, then of their scheduling."""

    def __init__(self) -> None:
        self._virtual = _JumpingSelector()
        super().__init__(self._virtual)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self._virtual.seconds


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end under a virtual clock of its own."""
    with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
        return runner.run(main)
