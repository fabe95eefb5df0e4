"""Child processes that are started together, watched together and never outlive their parent.

Each child has its own process group, so that Ctrl-C in a terminal reaches the parent alone, which then ends them in
order. On Linux a child is also killed by the kernel when its parent dies of whatever cause, SIGKILL too
(PR_SET_PDEATHSIG), and so are that child's own children if it is a parent like this one. The kernel means the
*thread* that started the child: start children from the main thread. Elsewhere than on Linux, children survive a
SIGKILL of their parent.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from optfl_cli.errors import UserError

STOP_SECONDS = 10.0  # between SIGTERM and SIGKILL
READY_SECONDS = 60.0
TAIL_LINES = 12
TAIL_BYTES = 16_384
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_POLL_SECONDS = 0.05  # ready-conditions are files and ports, which nobody can wait for
_IMPATIENCE_SECONDS = 1.0
_PR_SET_PDEATHSIG, _PR_SET_TIMERSLACK = 1, 29  # linux/prctl.h


def _find_prctl() -> Callable[[int, int], int] | None:
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.argtypes = [ctypes.c_int, ctypes.c_ulong]
    prctl.restype = ctypes.c_int
    return prctl


_prctl = _find_prctl()  # before any fork: a forked child should import and allocate as little as it can


def die_with_parent(parent: int, nice: int = 0, timer_slack_ns: int = 0) -> None:
    """Have the kernel kill this process when process `parent` dies. Runs in the child, between fork and exec."""
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)
        if timer_slack_ns:
            _prctl(_PR_SET_TIMERSLACK, timer_slack_ns)
    if nice:
        os.nice(nice)


@dataclass
class Child:
    """A started process. `stopping` tells an end that was asked for from one that was not."""

    name: str
    process: subprocess.Popen[bytes]
    log_path: Path
    log_offset: int  # where this run's output starts in the log
    tier: int
    ready: Callable[[], bool] | None
    stopping: bool = False
    ended: threading.Event = field(default_factory=threading.Event)

    def read_tail(self) -> tuple[str, ...]:
        """The last lines that this run wrote to its log, empty ones left out; up to a Go program's panic."""
        with self.log_path.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(self.log_offset, end - TAIL_BYTES))
            lines = log.read(TAIL_BYTES).decode(errors="replace").splitlines()
        lines = [line.rstrip() for line in lines if line.strip()]
        panic = next((i for i, line in enumerate(lines) if line.startswith("panic: ")), len(lines))
        return tuple(lines[: panic + 1][-TAIL_LINES:])  # what follows a panic is where, not why


class ProcessDied(UserError):
    """A child ended that nobody had told to. The message is one line, `tail` the last lines of this run's log."""

    def __init__(self, child: Child) -> None:
        self.name = child.name
        self.log_path = child.log_path
        self.tail = child.read_tail()
        self.returncode: int = child.process.returncode
        how = f"exit code {self.returncode}" if self.returncode >= 0 else _signal_name(-self.returncode)
        last = f", its last words: {self.tail[-1]}" if self.tail and self.returncode > 0 else ""
        super().__init__(f"{child.name} ended with {how}{last}; read {child.log_path}")


class ProcessGroup:
    """Named child processes with a log file each. Leaving the `with` block ends them all.

    One thread starts, waits and stops; `request_stop` may be called from a signal handler.
    """

    def __init__(self, stop_seconds: float = STOP_SECONDS) -> None:
        self.children: dict[str, Child] = {}
        self._stop_seconds = stop_seconds
        self._events: queue.SimpleQueue[Child | int] = queue.SimpleQueue()  # who ended; a signal's number
        self._stop_signal: int | None = None
        self._stop_time = 0.0
        self._hurry = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop_all()

    def start(
        self,
        name: str,
        command: Sequence[str | Path],
        log_path: Path,
        *,
        ready: Callable[[], bool] | None = None,
        tier: int = 0,
        nice: int = 0,
        timer_slack_ns: int = 0,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Child:
        """Start `command` with its output appended to `log_path`; returns at once, see `wait_ready`.

        `stop_all` ends the highest tier first and those of one tier together. `env` is added to the environment. On
        Linux, timers of the child may fire up to `timer_slack_ns` late, so that one wake-up serves several.
        """
        if name in self.children and not self.children[name].ended.is_set():
            raise ValueError(f"{name} is running already")
        parent = os.getpid()
        try:
            log_path.parent.mkdir(parents=True, exist_ok=True)
            with log_path.open("ab") as log:
                offset = log.tell()
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=None if env is None else {**os.environ, **env},
                    cwd=cwd,
                    process_group=0,
                    preexec_fn=lambda: die_with_parent(parent, nice, timer_slack_ns),  # noqa: PLW1509  # no lock
                )
        except OSError as error:
            raise UserError(
                f"cannot start {name} ({command[0]}): {error.strerror}; check the path {error.filename}"
            ) from None
        child = Child(name, process, log_path, offset, tier, ready)
        self.children[name] = child
        threading.Thread(target=self._watch, args=(child,), name=f"watch {name}", daemon=True).start()
        return child

    def wait_ready(self, *names: str, timeout_seconds: float = READY_SECONDS) -> None:
        """Wait until the ready-conditions of `names` (all children, if none) hold.

        Raises ProcessDied if a child ends meanwhile, and UserError at the timeout. Returns early when a stop is
        requested: look at `stop_signal`.
        """
        waiting = [self.children[name] for name in names or tuple(self.children)]
        deadline = time.monotonic() + timeout_seconds
        while self._stop_signal is None:
            waiting = [child for child in waiting if child.ready is not None and not child.ready()]
            if not waiting:
                return
            if time.monotonic() > deadline:
                late = ", ".join(child.name for child in waiting)
                raise UserError(f"{late} did not get ready within {timeout_seconds:.0f} s; read {waiting[0].log_path}")
            self.wait(_POLL_SECONDS)

    def wait_until(self, condition: Callable[[], bool], what: str, timeout_seconds: float = READY_SECONDS) -> None:
        """Wait until `condition` holds; raises UserError naming `what` at the timeout, else as `wait_ready`."""
        deadline = time.monotonic() + timeout_seconds
        while self._stop_signal is None and not condition():
            if time.monotonic() > deadline:
                raise UserError(f"{what} did not come within {timeout_seconds:.0f} s; read the logs of {self._names()}")
            self.wait(_POLL_SECONDS)

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Block until a stop is requested (True) or the timeout (False); ProcessDied when a child ends unasked."""
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while self._stop_signal is None:
            remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                event = self._events.get(timeout=remaining)
            except queue.Empty:
                return False
            if isinstance(event, Child) and not event.stopping:
                event.stopping = True  # reported once
                raise ProcessDied(event)
        return True

    def check(self) -> None:
        """Raise ProcessDied if a child has ended unasked since the last call."""
        self.wait(0)

    @property
    def stop_signal(self) -> int | None:
        """The signal that asked for an end, if one did."""
        return self._stop_signal

    def request_stop(self, signal_number: int = signal.SIGTERM) -> None:
        """Make `wait` return. A second request, a second later, cuts the time that children have to end."""
        now = time.monotonic()
        if self._stop_signal is None:
            self._stop_signal, self._stop_time = signal_number, now
        # Not sooner: a Ctrl-C may come twice, from the terminal and from a wrapper that passes it on.
        self._hurry = now - self._stop_time > _IMPATIENCE_SECONDS
        self._events.put(signal_number)  # SimpleQueue.put is reentrant: this runs in signal handlers

    @contextlib.contextmanager
    def handle_signals(self) -> Iterator[None]:
        """Turn SIGINT, SIGTERM and SIGHUP into `request_stop` within the block; main thread only."""

        def handle(signal_number: int, frame: FrameType | None) -> None:
            self.request_stop(signal_number)

        previous = {number: signal.signal(number, handle) for number in STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def stop(self, *names: str) -> None:
        """End these children together: SIGTERM, then SIGKILL to whoever is left after `stop_seconds`."""
        running = [self.children[name] for name in names]
        for child in running:
            child.stopping = True
            child.process.terminate()
        deadline = time.monotonic() + self._stop_seconds
        for child in running:
            while not child.ended.is_set() and not self._hurry and time.monotonic() < deadline:
                child.ended.wait(_POLL_SECONDS)  # in steps, so that a second Ctrl-C is not slept through
        for child in running:
            if not child.ended.is_set():
                child.process.kill()
        for child in running:
            child.ended.wait(self._stop_seconds)

    def kill(self, name: str) -> None:
        """End one child with SIGKILL, as a crash would."""
        child = self.children[name]
        child.stopping = True
        child.process.kill()
        child.ended.wait(self._stop_seconds)

    def stop_all(self) -> None:
        """End everything, the highest tier first."""
        alive = [child for child in self.children.values() if not child.ended.is_set()]
        for tier in sorted({child.tier for child in alive}, reverse=True):
            self.stop(*(child.name for child in reversed(alive) if child.tier == tier))

    def _names(self) -> str:
        return ", ".join(self.children)

    def _watch(self, child: Child) -> None:
        child.process.wait()
        child.ended.set()
        self._events.put(child)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
