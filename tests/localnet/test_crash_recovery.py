"""A real CometBFT node over a small ledger: whatever dies, and wherever, the restart replays to the same app hashes."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.counter_app import CRASH_POINTS, compute_app_hashes
from support.node import Node

pytestmark = pytest.mark.localnet

GENESIS = {"alice": 0}
FAIL_POINTS = 10  # two blocks' worth of a first run; the same points in replays


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with Node(tmp_path, GENESIS) as node:
        yield node


def check_chain(node: Node) -> list[bytes]:
    """Every header has the app hash that an independent replay gives; returns the transactions of the chain."""
    height = node.get_height()
    blocks, app_hashes = zip(*(node.get_block(at) for at in range(1, height + 1)), strict=True)
    assert list(app_hashes[1:]) == compute_app_hashes(blocks, json.dumps(GENESIS).encode())[:-1]
    return [tx for block in blocks for tx in block.transactions]


def test_a_ledger_killed_around_finalize_and_commit_replays(node: Node) -> None:
    """A block kills the ledger, its replay kills it again at the same point, and the third time it counts, once."""
    for count, point in enumerate(CRASH_POINTS, start=1):
        tx = f"alice:{count}"
        node.start_ledger(crash_at=f"{point} {tx}")
        node.start_cometbft()
        assert node.broadcast(tx.encode())["code"] == 0
        assert node.wait_end("ledger", "cometbft")[0] == -signal.SIGKILL, point
        if point != "after_commit":  # there, nothing is left to replay
            node.start_ledger(crash_at=f"{point} {tx}")
            node.start_cometbft()
            assert node.wait_end("ledger", "cometbft")[0] == -signal.SIGKILL, f"replay, {point}"
    node.start_ledger()
    node.start_cometbft()
    last = f"alice:{len(CRASH_POINTS) + 1}".encode()
    assert node.broadcast(last)["code"] == 0
    node.wait_height(node.get_height() + 2)
    assert check_chain(node) == [b"alice:%d" % count for count in range(1, len(CRASH_POINTS) + 2)]


def test_a_cometbft_that_ends_at_its_fail_points_replays(node: Node) -> None:
    """The ledger lives on, with whatever it had finalized and not committed, and sees the handshake again."""
    node.start_ledger()
    for index in range(FAIL_POINTS):
        node.start_cometbft(fail_index=index)
        assert node.wait_end("cometbft") == [1], f"fail point {index}"
    node.start_cometbft()
    assert node.broadcast(b"alice:1")["code"] == 0
    node.wait_height(node.get_height() + 2)
    assert check_chain(node) == [b"alice:1"]


def test_a_lost_database_is_replayed_from_the_blocks(node: Node) -> None:
    """What the error of a damaged database tells the operator to do."""
    node.start_ledger()
    node.start_cometbft()
    assert node.broadcast(b"alice:1")["code"] == 0
    node.wait_height(node.get_height() + 3)
    node.processes.stop("cometbft")
    node.processes.stop("ledger")
    assert node.processes.children["ledger"].process.returncode == 0
    node.database.unlink()
    node.start_ledger()
    node.start_cometbft()
    assert node.broadcast(b"alice:2")["code"] == 0
    node.wait_height(node.get_height() + 2)
    assert check_chain(node) == [b"alice:1", b"alice:2"]


def test_a_bug_stops_the_node_loudly(node: Node) -> None:
    node.start_ledger()
    node.start_cometbft()
    assert node.broadcast(b"bug:1")["code"] == 0
    ledger_code, _ = node.wait_end("ledger", "cometbft")
    assert ledger_code == 1
    assert "ZeroDivisionError: a bug of the state machine" in (node.folder / "ledger.log").read_text()
    assert "a bug of the state machine" in (node.folder / "cometbft.log").read_text()
