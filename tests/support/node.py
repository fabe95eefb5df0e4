"""One real CometBFT node over the counter: processes of its own, on loopback, in a folder of the test."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar

from abci_app.state_machine import Block
from optfl_cli.cometbft import find_cometbft
from optfl_cli.ports import is_unix_open
from optfl_cli.processes import ProcessGroup
from support.ports import find_free_port

ROOT = Path(__file__).parents[2]
CHAIN_ID = "counter-chain"
BOUND_SECONDS = 30.0

T = TypeVar("T")


class RpcError(Exception):
    """The node answered with an error."""


def find_binary() -> Path:
    """CometBFT as OPTFL_COMETBFT names it, or as it is installed."""
    given = os.environ.get("OPTFL_COMETBFT")
    return Path(given) if given else find_cometbft()


def call(port: int, method: str, **parameters: str) -> Any:
    """A GET of CometBFT's RPC, or of its light client's. Raises RpcError, and OSError when nobody is there."""
    url = f"http://127.0.0.1:{port}/{method}?{urllib.parse.urlencode(parameters)}"
    try:
        with urllib.request.urlopen(url, timeout=BOUND_SECONDS) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        answer = json.load(error)
    if "error" in answer:
        raise RpcError(answer["error"])
    return answer["result"]


def wait_until(condition: Callable[[], T | None]) -> T:
    """The first true value of `condition`, which may raise OSError or RpcError before; TimeoutError if it never is."""
    deadline = time.monotonic() + BOUND_SECONDS
    failure: Exception | None = None
    while time.monotonic() < deadline:
        try:
            value = condition()
        except (OSError, RpcError) as error:
            failure = error
        else:
            if value:
                return value
        time.sleep(0.02)  # a remote condition, which nobody can wait for
    raise TimeoutError("the condition did not come true") from failure


class Node:
    """A CometBFT and its ledger, each to be started, ended and killed on its own. Leaving the `with` ends both."""

    def __init__(self, folder: Path, genesis: dict[str, int]) -> None:
        self.folder = folder
        self.genesis = genesis
        self.rpc_port = find_free_port()
        self.database = folder / "ledger.db"
        self.processes = ProcessGroup()
        self._binary = find_binary()
        self._home = folder / "cometbft"
        self._socket = folder / "abci.sock"
        subprocess.run([self._binary, "init", "--home", self._home], check=True, capture_output=True)
        self._edit("config.toml", r"(?m)^timeout_commit = .*", 'timeout_commit = "20ms"')
        self._edit("genesis.json", r'"chain_id": .*', f'"chain_id": "{CHAIN_ID}",')
        self._edit("genesis.json", r'"app_hash": ""', f'"app_hash": "", "app_state": {json.dumps(genesis)}')

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.processes.stop_all()

    def start_ledger(self, crash_at: str = "") -> None:
        self.processes.start(
            "ledger",
            [sys.executable, "-m", "support.counter_app", self.database, f"unix://{self._socket}"],
            self.folder / "ledger.log",
            env={"CRASH_AT": crash_at, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
            ready=lambda: is_unix_open(self._socket),
        )
        self.processes.wait_ready("ledger")  # CometBFT would wait seconds before it tried again

    def start_cometbft(self, fail_index: int | None = None) -> None:
        """With `fail_index`, CometBFT ends itself at that one of its fail points (libs/fail)."""
        self.processes.start(
            "cometbft",
            [
                self._binary,
                "start",
                *("--home", self._home),
                *("--proxy_app", f"unix://{self._socket}"),
                *("--rpc.laddr", f"tcp://127.0.0.1:{self.rpc_port}"),
                *("--p2p.laddr", f"tcp://127.0.0.1:{find_free_port()}"),
            ],
            self.folder / "cometbft.log",
            tier=1,
            env={} if fail_index is None else {"FAIL_TEST_INDEX": str(fail_index)},
        )

    def start_light_client(self) -> int:
        """A stock `cometbft light` that trusts this node's first header; returns its port."""
        port = find_free_port()
        header = self.call("commit", height="1")["signed_header"]
        rpc = f"tcp://127.0.0.1:{self.rpc_port}"
        self.processes.start(
            "light",
            [
                self._binary,
                *("light", CHAIN_ID),
                *("--primary", rpc),
                *("--witnesses", rpc),
                *("--height", "1"),
                *("--hash", header["commit"]["block_id"]["hash"]),
                *("--home-dir", self.folder / "light"),
                *("--laddr", f"tcp://127.0.0.1:{port}"),
            ],
            self.folder / "light.log",
            tier=2,
        )
        wait_until(lambda: call(port, "status"))
        return port

    def wait_end(self, *names: str) -> list[int]:
        """Wait until these processes have ended by themselves; returns their exit codes."""
        for name in names:
            child = self.processes.children[name]
            child.stopping = True  # expected, so not reported as a failure
            if not child.ended.wait(BOUND_SECONDS):
                raise TimeoutError(f"{name} is still running")
        return [self.processes.children[name].process.returncode for name in names]

    def call(self, method: str, **parameters: str) -> Any:
        return call(self.rpc_port, method, **parameters)

    def get_height(self) -> int:
        return int(self.call("status")["sync_info"]["latest_block_height"])

    def wait_height(self, height: int) -> None:
        wait_until(lambda: self.get_height() >= height)

    def broadcast(self, tx: bytes) -> dict[str, Any]:
        """Give `tx` to the mempool as soon as the node takes it, and do not wait for a block."""
        return wait_until(lambda: self.call("broadcast_tx_sync", tx=f'"{tx.decode()}"') or None)

    def get_block(self, height: int) -> tuple[Block, bytes]:
        """The block, and the app hash of the state before it."""
        answer = self.call("block", height=str(height))
        header = answer["block"]["header"]
        block = Block(
            height=height,
            hash=bytes.fromhex(answer["block_id"]["hash"]),
            proposer_address=bytes.fromhex(header["proposer_address"]),
            transactions=tuple(base64.b64decode(tx) for tx in answer["block"]["data"]["txs"]),
        )
        return block, bytes.fromhex(header["app_hash"])

    def _edit(self, name: str, pattern: str, replacement: str) -> None:
        path = self._home / "config" / name
        text, edits = re.subn(pattern, lambda _: replacement, path.read_text())
        if edits != 1:
            raise ValueError(f"{name} has {edits} places like {pattern}")
        path.write_text(text)
