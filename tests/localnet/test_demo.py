"""`optfl demo` as a user runs it: real nodes, real storage, torch clients; and what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.processes import find_processes

pytestmark = [pytest.mark.localnet, pytest.mark.timeout(240)]

BOUND_SECONDS = 120.0


def start_demo(folder: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "optfl_cli", "demo", "--keep", str(folder / "net"), *options]
    command += ["--report", str(folder / "report.html")]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_poisoned_model_is_convicted_and_training_recovers(tmp_path: Path) -> None:
    """A short demo with the default fraud; its last line is the outcome that the nodes tell."""
    demo = start_demo(tmp_path, "--json", "--rounds", "5", "--clients", "4", "--rule", "median()", "--seed", "2")
    out, err = demo.communicate(timeout=BOUND_SECONDS)
    assert demo.returncode == 0, err
    outcome = json.loads(out.splitlines()[-1])
    assert outcome["rounds_settled"] == 5
    assert outcome["frauds_proven"] == outcome["rollbacks"] == 1
    assert len(outcome["excluded"]) == 1
    assert outcome["blocks_to_conviction"] >= 1
    assert outcome["redone_from_same_updates"]
    assert outcome["tokens_conserved"]
    assert outcome["app_hash_agreement"]
    assert outcome["state_agreement"]
    assert outcome["final_accuracy"] > 0.8  # five rounds of four clients; chance is 0.1
    assert outcome["seconds"] > 0
    report = (tmp_path / "report.html").read_text()
    assert outcome["excluded"][0] in report
    assert not find_processes(str(tmp_path))


def test_byzantine_clients_collude_and_are_told_of(tmp_path: Path) -> None:
    """As real processes; nobody is convicted for an update. What it does to the model is looked at without a net."""
    options = ["--json", "--honest", "--rounds", "2", "--clients", "5", "--rule", "median()"]
    demo = start_demo(tmp_path, *options, "--attack", "sign_flip(factor=5)", "--byzantine-clients", "2")
    out, err = demo.communicate(timeout=BOUND_SECONDS)
    assert demo.returncode == 0, err
    outcome = json.loads(out.splitlines()[-1])
    assert outcome["rounds_settled"] == 2
    assert outcome["attack"] == "sign_flip(factor=5)"
    assert len(outcome["byzantine_clients"]) == 2
    assert outcome["frauds_proven"] == 0
    assert outcome["excluded"] == []
    logs = {path.stem: path.read_text() for path in (tmp_path / "net" / "logs").glob("client*.log")}
    assert sorted(name for name, log in logs.items() if "Byzantine" in log) == outcome["byzantine_clients"]
    report = (tmp_path / "report.html").read_text()
    assert report.count("Byzantine: sign_flip(factor=5)") == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_an_interrupted_demo(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C, a kill, even SIGKILL while clients train: all processes end, and a person reads one line."""
    demo = start_demo(tmp_path)
    last_to_start = tmp_path / "net" / "logs" / "requester.log"
    deadline = time.monotonic() + BOUND_SECONDS
    while not last_to_start.exists():
        assert demo.poll() is None, demo.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)  # a file is awaited, which nothing announces
    os.kill(demo.pid, number)
    _, err = demo.communicate(timeout=BOUND_SECONDS)
    assert demo.returncode == (-number if number == signal.SIGKILL else 1)
    if number != signal.SIGKILL:
        assert "interrupted" in err
        assert "Traceback" not in err
    while alive := find_processes(str(tmp_path)):
        assert time.monotonic() < deadline, alive
        time.sleep(0.05)  # the kernel ends orphans; nothing announces that either


def test_who_dies_before_the_task_runs_ends_the_demo_with_one_line(tmp_path: Path) -> None:
    """Everybody is needed to begin; waiting for a client that is dead would never end."""
    demo = start_demo(tmp_path)
    config = str(tmp_path / "net" / "client3.toml")
    deadline = time.monotonic() + BOUND_SECONDS
    while not (found := find_processes(config)):
        assert demo.poll() is None, demo.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)  # a process is awaited, which nothing announces
    os.kill(int(found[0].partition(":")[0]), signal.SIGKILL)
    _, err = demo.communicate(timeout=BOUND_SECONDS)
    assert demo.returncode == 1
    assert "client3 ended with SIGKILL" in err
    assert not find_processes(str(tmp_path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rounds", "0"], "--rounds is 0"),
        (["--clients", "2"], "needs at least 3 clients"),
        (["--rule", "mode()"], "--rule mode()"),
        (["--attack", "backdoor()"], "--attack backdoor()"),
        (["--byzantine-clients", "2"], "say what they do, with --attack"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, options: list[str], message: str) -> None:
    demo = start_demo(tmp_path, *options)
    out, err = demo.communicate(timeout=BOUND_SECONDS)
    assert demo.returncode == 1
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert out == ""


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "precious").touch()
    demo = start_demo(tmp_path)
    _, err = demo.communicate(timeout=BOUND_SECONDS)
    assert demo.returncode == 1
    assert "is not an empty folder" in err
    assert (tmp_path / "net" / "precious").exists()
