"""`python -m abci_app` as an operator meets it: one clear line for what is wrong, a clean end, the real ledger."""

from __future__ import annotations

import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from abci_app.store import Store
from abci_app.wire import abci_pb2
from abci_app.wire.abci_pb2 import Request
from support.abci_peer import BOUND_SECONDS, Peer

ROOT = Path(__file__).parents[2]


def command(home: Path, address: str) -> list[str]:
    return [sys.executable, "-m", "abci_app", "--home", str(home), "--address", address]


def run(home: Path, address: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command(home, address), *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=BOUND_SECONDS,
        check=False,
    )


@contextmanager
def running(folder: Path) -> Iterator[tuple[subprocess.Popen[str], Peer]]:
    """The real ledger's process, listening, and a connection to it."""
    path = folder / "abci.sock"
    with subprocess.Popen(
        command(folder, f"unix://{path}"), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert "at height 0 and listens at unix://" in process.stdout.readline()
            peer = Peer(socket.AF_UNIX, str(path))
            yield process, peer
            peer.close()
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    with running(tmp_path) as (process, peer):
        answer = peer.call(Request(info=abci_pb2.RequestInfo()))
        assert (answer.info.last_block_height, answer.info.app_version) == (0, 1)
        process.send_signal(number)
        assert process.wait(BOUND_SECONDS) == 0
        assert peer.receive() is None
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert not (tmp_path / "abci.sock").exists()
    Store(tmp_path / "ledger.db").close()


def test_a_bad_genesis_file_is_one_line(tmp_path: Path) -> None:
    with running(tmp_path) as (process, peer):
        request = abci_pb2.RequestInitChain(app_state_bytes=b"{}", chain_id="c", initial_height=1)
        answer = peer.call(Request(init_chain=request))
        assert answer.WhichOneof("value") == "exception"
        assert process.wait(BOUND_SECONDS) == 1
        assert process.stderr is not None
        (line,) = process.stderr.read().splitlines()
        assert line.startswith("error: ")


def test_a_bad_address_is_one_line(tmp_path: Path) -> None:
    done = run(tmp_path, "127.0.0.1:26658")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error: 127.0.0.1:26658 is not an address; use unix:///path/to/socket or tcp://127.0.0.1:26658"
    ]


def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run(tmp_path, f"tcp://127.0.0.1:{taken.getsockname()[1]}")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "in use by another process; stop that one, or choose another --address" in line


@pytest.mark.parametrize(
    ("mode", "message"),
    [(None, "cannot read"), (0o600, "is no file of kind"), (0o644, "can be read by others than its owner; run: chmod")],
)
def test_A9_an_unusable_beacon_file_is_one_line(tmp_path: Path, mode: int | None, message: str) -> None:
    path = tmp_path / "beacon.json"
    if mode is not None:
        path.write_text("{}")
        path.chmod(mode)
    done = run(tmp_path, f"unix://{tmp_path}/abci.sock", "--beacon", str(path))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert str(path) in line


def test_a_locked_home_is_one_line(tmp_path: Path) -> None:
    store = Store(tmp_path / "ledger.db")
    done = run(tmp_path, f"unix://{tmp_path}/abci.sock")
    store.close()
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "in use by another process; stop that one, or choose another home" in line


def test_a_foreign_database_is_one_line(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "ledger.db")
    database.execute("CREATE TABLE songs (title TEXT)")
    database.close()
    done = run(tmp_path, f"unix://{tmp_path}/abci.sock")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "is not a ledger's database; choose another home" in line
