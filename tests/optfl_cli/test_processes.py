"""Child processes: started, watched, ended in order, and never left behind."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from optfl_cli.errors import UserError
from optfl_cli.processes import ProcessDied, ProcessGroup

ROOT = Path(__file__).parents[2]
BOUND_SECONDS = 30.0


def python(code: str) -> list[str]:
    return [sys.executable, "-S", "-c", textwrap.dedent(code)]


SLEEPER = python("import time; print('up', flush=True); time.sleep(600)")
STUBBORN = python("""
    import signal, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("up", flush=True)
    time.sleep(600)
""")


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + BOUND_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    """Whether the process lives; one that nobody has waited for yet does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # it ended before, or just now
        return False
    return state != "Z"


def says(path: Path, text: str) -> Callable[[], bool]:
    return lambda: path.is_file() and text in path.read_text()


def test_ready_conditions_are_awaited_and_everything_is_ended(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "a.log"
    with ProcessGroup() as group:
        child = group.start("a", SLEEPER, log, ready=says(log, "up"))
        group.wait_ready()
        assert is_running(child.process.pid)
        group.check()
    assert not is_running(child.process.pid)
    assert child.process.returncode == -signal.SIGTERM


def test_an_exception_ends_the_children_too(tmp_path: Path) -> None:
    group = ProcessGroup()

    def fail() -> None:
        with group:
            group.start("a", SLEEPER, tmp_path / "a.log")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not is_running(group.children["a"].process.pid)


def test_an_unexpected_death_is_reported_once_with_the_log(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("of an earlier run\n")
    with ProcessGroup() as group:
        group.start("a", python("print('first'); print('cannot go on'); raise SystemExit(3)"), log)
        with pytest.raises(ProcessDied) as caught:
            group.wait(BOUND_SECONDS)
        assert caught.value.returncode == 3
        assert caught.value.tail == ("first", "cannot go on")
        assert str(caught.value) == f"a ended with exit code 3, its last words: cannot go on; read {log}"
        group.check()


def test_the_last_words_of_a_panic_are_its_reason(tmp_path: Path) -> None:
    script = (
        "print('panic: the disk is gone\\n\\ngoroutine 1 [running]:\\nmain.main()\\n\\tmain.go:1'); raise SystemExit(2)"
    )
    with ProcessGroup() as group:
        group.start("a", python(script), tmp_path / "a.log")
        with pytest.raises(
            ProcessDied, match="a ended with exit code 2, its last words: panic: the disk is gone; read"
        ):
            group.wait(BOUND_SECONDS)


def test_a_death_while_getting_ready_is_not_waited_out(tmp_path: Path) -> None:
    with ProcessGroup() as group:
        group.start("a", python("raise SystemExit(4)"), tmp_path / "a.log", ready=lambda: False)
        with pytest.raises(ProcessDied, match="exit code 4"):
            group.wait_ready(timeout_seconds=BOUND_SECONDS)


def test_a_kill_from_outside_is_named_by_its_signal(tmp_path: Path) -> None:
    with ProcessGroup() as group:
        child = group.start("a", SLEEPER, tmp_path / "a.log")
        os.kill(child.process.pid, signal.SIGKILL)
        with pytest.raises(ProcessDied, match="a ended with SIGKILL; read"):
            group.wait(BOUND_SECONDS)


def test_a_death_that_was_asked_for_is_none(tmp_path: Path) -> None:
    with ProcessGroup() as group:
        group.start("a", SLEEPER, tmp_path / "a.log")
        group.start("b", SLEEPER, tmp_path / "b.log")
        group.kill("a")
        group.stop("b")
        group.check()
        assert group.children["a"].process.returncode == -signal.SIGKILL
        group.start("a", SLEEPER, tmp_path / "a.log")
        with pytest.raises(ValueError, match="running already"):
            group.start("a", SLEEPER, tmp_path / "a.log")


def test_the_highest_tier_ends_first(tmp_path: Path) -> None:
    log = tmp_path / "ends.log"
    code = """
        import signal, sys, time
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(print("end of", sys.argv[1], flush=True)))
        print("up", sys.argv[1], flush=True)
        time.sleep(600)
    """
    with ProcessGroup() as group:
        for name, tier in (("app", 0), ("node", 1), ("role", 2)):
            group.start(name, [*python(code), name], log, tier=tier, ready=says(log, f"up {name}"))
        group.wait_ready()
    ends = [line for line in log.read_text().splitlines() if line.startswith("end")]
    assert ends == ["end of role", "end of node", "end of app"]


def test_who_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    with ProcessGroup(stop_seconds=0.1) as group:
        child = group.start("a", STUBBORN, log, ready=says(log, "up"))
        group.wait_ready()
    assert child.process.returncode == -signal.SIGKILL


def test_a_signal_makes_wait_return_and_the_handlers_are_put_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGHUP)
    with ProcessGroup() as group, group.handle_signals():
        group.start("a", SLEEPER, tmp_path / "a.log", ready=lambda: False)
        os.kill(os.getpid(), signal.SIGHUP)
        group.wait_ready(timeout_seconds=BOUND_SECONDS)
        assert group.wait()
        assert group.stop_signal == signal.SIGHUP
    assert signal.getsignal(signal.SIGHUP) is before


def test_a_missing_program_is_one_clear_line(tmp_path: Path) -> None:
    with ProcessGroup() as group, pytest.raises(UserError, match=r"cannot start a .*No such file"):
        group.start("a", [tmp_path / "nothing"], tmp_path / "a.log")


def test_what_never_gets_ready_is_named(tmp_path: Path) -> None:
    with ProcessGroup() as group:
        group.start("a", SLEEPER, tmp_path / "a.log", ready=lambda: False)
        with pytest.raises(UserError, match=r"a did not get ready within 0 s; read .*a\.log"):
            group.wait_ready(timeout_seconds=0.01)
        with pytest.raises(UserError, match="rain did not come within 0 s; read the logs of a"):
            group.wait_until(lambda: False, "rain", timeout_seconds=0.01)


def test_environment_is_added_to_ours(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    with ProcessGroup() as group:
        group.start("a", python("import os; print(os.environ['X'], bool(os.environ['PATH']))"), log, env={"X": "1"})
        with pytest.raises(ProcessDied):
            group.wait(BOUND_SECONDS)
    assert log.read_text() == "1 True\n"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a timer slack")
def test_a_childs_timers_may_be_late_where_that_is_said(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    with ProcessGroup() as group:
        ask = python("print(open('/proc/self/timerslack_ns').read().strip())")
        group.start("a", ask, log, timer_slack_ns=3_000_000)
        with pytest.raises(ProcessDied):
            group.wait(BOUND_SECONDS)
    assert log.read_text() == "3000000\n"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_children_die_with_a_parent_that_is_killed_and_so_do_theirs(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    leaf = f"import os, time; open({str(pids)!r}, 'a').write(f'{{os.getpid()}}\\n'); time.sleep(600)"
    group_of = """
        import sys
        from pathlib import Path
        from optfl_cli.processes import ProcessGroup
        with ProcessGroup() as group:
            group.start("child", [sys.executable, "-c", {code!r}], Path({log!r}))
            group.wait()
    """
    middle = textwrap.dedent(group_of.format(code=leaf, log=str(tmp_path / "leaf.log")))
    top = textwrap.dedent(group_of.format(code=middle, log=str(tmp_path / "middle.log")))
    with ProcessGroup() as group:
        child = group.start("top", [sys.executable, "-c", top], tmp_path / "top.log", env={"PYTHONPATH": str(ROOT)})
        wait_until(lambda: pids.is_file() and pids.read_text().endswith("\n"))
        (pid,) = map(int, pids.read_text().split())
        assert is_running(pid)
        child.stopping = True
        child.process.kill()
        wait_until(lambda: not is_running(pid))
