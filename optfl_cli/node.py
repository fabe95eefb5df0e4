"""A node: CometBFT and the ledger's application, side by side in one home folder.

HOME/config/   config.toml, genesis.json, node_key.json, priv_validator_key.json (CometBFT's),
               node.toml, beacon.json (ours)
HOME/data/     CometBFT's databases        HOME/app/   the ledger's        HOME/logs/   app.log, cometbft.log
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from abci_app.beacon_file import BeaconFileError, ChainSecret, encode_secrets, read_secrets
from offchain.adapters.keystore import write_secret
from optfl.beacon import VALUE_BYTES, HashChain
from optfl.keys import SigningKey
from optfl.transactions import MAX_TRANSACTION_BYTES
from optfl_cli.cometbft import check_binary, find_cometbft
from optfl_cli.config import load_config, read_toml
from optfl_cli.errors import UserError
from optfl_cli.genesis import encode_private_key, encode_public_key, read_genesis
from optfl_cli.ports import (
    MAX_UNIX_PATH_BYTES,
    find_free_ports,
    is_http_open,
    is_port_free,
    is_tcp_open,
    is_unix_open,
)
from optfl_cli.processes import Child, ProcessDied, ProcessGroup
from optfl_cli.toml_files import TomlEditError, TomlValue, edit_toml, format_dataclass

# A transaction travels as base64 in JSON, and some room is left for the rest of the request.
RPC_BODY_BYTES = 2 * MAX_TRANSACTION_BYTES
RPC_BATCH_REQUESTS = 100
BEACON_REVEALS = 1 << 20  # of a node's hash chain: 48 days of one block a second, if four validators take turns
MEMPOOL_BYTES = 64 << 20

_APP_ADDRESS = re.compile(r"unix:///.+|tcp://[^\s/:]+:[0-9]{1,5}")
_INIT_SECONDS = 60
# CometBFT looks at its own state every 0.1 ms (`updateRoundStateRoutine`), which is most of what an idle node costs. No
# step of consensus takes as little as this, by which its timers may be late.
_TIMER_SLACK_NS = 2_000_000
_CAUSE_SECONDS = 1.0
_HALT_SECONDS = 2.0
_HALT = re.compile(rb'CONSENSUS FAILURE!!!.*? err="((?:[^"\\]|\\.)*)"')

Changes = dict[str, dict[str, TomlValue]]


@dataclass(frozen=True)
class NodeConfig:
    """`config/node.toml`: what `optfl node start` needs to know beside CometBFT's own config.toml."""

    cometbft: Path | None = None  # the binary; found if it is not given
    app_address: str = ""  # unix:///… or tcp://127.0.0.1:…, where CometBFT meets the ledger; chosen if it is not given


@dataclass(frozen=True)
class Node:
    """The home of a node that has been initialised, and its two processes."""

    home: Path
    name: str
    rpc_host: str
    rpc_port: int
    p2p_host: str
    p2p_port: int
    config: NodeConfig

    @property
    def rpc_url(self) -> str:
        return f"http://{self.rpc_host}:{self.rpc_port}"

    @property
    def app_name(self) -> str:
        return f"{self.name}'s ledger"

    @property
    def cometbft_name(self) -> str:
        return f"{self.name}'s CometBFT"

    @property
    def beacon_path(self) -> Path:
        return self.home / "config" / "beacon.json"

    def choose_app_address(self) -> str:
        """A Unix socket in the home, or, where its path would be too long for one, a free port of loopback."""
        if self.config.app_address:
            return self.config.app_address
        path = self.home / "app.sock"
        if len(bytes(path)) <= MAX_UNIX_PATH_BYTES:
            return f"unix://{path}"
        return f"tcp://127.0.0.1:{find_free_ports(1)[0]}"

    def check_ports(self) -> None:
        """Raise UserError if somebody listens on a port of this node, another start of the same node for instance."""
        for section, host, port in (("rpc", self.rpc_host, self.rpc_port), ("p2p", self.p2p_host, self.p2p_port)):
            if not is_port_free(host, port):
                raise UserError(
                    f"port {port} of {self.name} is taken: end the program that listens on it, or set another port in "
                    f"[{section}] laddr of {self.home / 'config' / 'config.toml'}"
                )

    def check_genesis(self) -> None:
        """Before the first start, raise UserError if no chain can begin with this node's genesis file.

        CometBFT keeps the file that it sees first: it would not notice that a mistake was put right.
        """
        if not (self.home / "data" / "state.db").exists():
            read_genesis(self.home / "config" / "genesis.json")

    def start_app(self, group: ProcessGroup, address: str, tier: int = 0) -> None:
        """Start the ledger's application; ready when it accepts connections."""
        kind, _, where = address.partition("://")
        if kind == "unix":
            Path(where).unlink(missing_ok=True)  # left by a crash; nobody listens, or the ports were taken too

        def ready() -> bool:
            if kind == "unix":
                return is_unix_open(Path(where))
            host, _, port = where.rpartition(":")
            return is_tcp_open(host, int(port))

        command: list[str | Path] = [
            sys.executable,
            "-m",
            "abci_app",
            "--home",
            self.home / "app",
            "--address",
            address,
        ]
        if self.beacon_path.exists():
            command += ["--beacon", self.beacon_path]
        group.start(self.app_name, command, self.home / "logs" / "app.log", ready=ready, tier=tier)

    def start_cometbft(
        self, group: ProcessGroup, address: str, binary: Path, tier: int = 1, cores: int | None = None
    ) -> None:
        """Start CometBFT on a running application; ready when its RPC answers. It uses `cores`; by default, all.

        What the environment says (`GOMAXPROCS`) counts for more.
        """
        limit = {} if cores is None or "GOMAXPROCS" in os.environ else {"GOMAXPROCS": str(cores)}
        group.start(
            self.cometbft_name,
            [binary, "start", "--home", self.home, "--proxy_app", address],
            self.home / "logs" / "cometbft.log",
            ready=lambda: is_http_open(f"{self.rpc_url}/health"),
            tier=tier,
            timer_slack_ns=_TIMER_SLACK_NS,
            env=limit,
        )


def load_node(home: Path) -> Node:
    """Read the config of an initialised node; raises UserError."""
    home = home.absolute()
    config_path = home / "config" / "config.toml"
    if not config_path.is_file():
        raise UserError(f"no node in {home}; make one with `optfl node init --home {home}`")
    config = read_toml(config_path)
    rpc_host, rpc_port = _read_address(config, "rpc", config_path)
    p2p_host, p2p_port = _read_address(config, "p2p", config_path)
    consensus = config.get("consensus")
    if not isinstance(consensus, dict) or consensus.get("create_empty_blocks") is not True:
        raise UserError(
            f"{config_path}: create_empty_blocks in [consensus] is not true; set it, or deadlines and windows never end"
        )
    settings_path = home / "config" / "node.toml"
    settings = load_config(settings_path, NodeConfig) if settings_path.is_file() else NodeConfig()
    if settings.app_address and not _APP_ADDRESS.fullmatch(settings.app_address):
        raise UserError(
            f"{settings_path}: app_address is {settings.app_address!r}; use unix:///PATH or tcp://HOST:PORT"
        )
    return Node(
        home=home,
        name=str(config.get("moniker") or home.name),
        rpc_host="127.0.0.1" if rpc_host == "0.0.0.0" else rpc_host,  # noqa: S104  # the user's choice, in config.toml
        rpc_port=rpc_port,
        p2p_host=p2p_host,
        p2p_port=p2p_port,
        config=settings,
    )


def init_node(
    home: Path,
    *,
    name: str,
    genesis: str,
    consensus_key: SigningKey,
    node_key: SigningKey,
    beacon: ChainSecret,
    changes: Mapping[str, Mapping[str, TomlValue]],
) -> Node:
    """Write a node's home: secrets, genesis file and configs, the last as CometBFT makes it, with `changes`."""
    home = home.absolute()
    if (home / "config").exists():
        raise UserError(f"{home} holds a node already; choose another folder, or remove this one if it can go")
    binary = find_cometbft()
    try:
        (home / "config").mkdir(parents=True)
        (home / "data").mkdir(exist_ok=True)
        _write_keys(home, consensus_key, node_key)
        write_secret(home / "config" / "beacon.json", encode_secrets([beacon]))
        (home / "config" / "genesis.json").write_text(genesis, encoding="utf-8")
        subprocess.run(
            [binary, "init", "--home", home], capture_output=True, text=True, timeout=_INIT_SECONDS, check=True
        )
        config_path = home / "config" / "config.toml"
        config_path.write_text(edit_toml(config_path.read_text(encoding="utf-8"), changes), encoding="utf-8")
        (home / "config" / "node.toml").write_text(format_dataclass(NodeConfig(), _NODE_TOML_COMMENT), encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"cannot write {error.filename or home}: {error.strerror}; check the folder, its permissions and the disk"
        ) from None
    except subprocess.CalledProcessError as error:
        reason = (str(error.stderr) or str(error.stdout)).strip().splitlines()[-1:]
        raise UserError(f"`{binary} init` failed: {' '.join(reason)}; does {binary} work by itself?") from None
    except TomlEditError as error:
        raise UserError(f"{binary} writes a config.toml that this version does not know ({error})") from None
    return load_node(home)


def build_config(
    name: str, rpc_port: int, p2p_host: str, p2p_port: int, peers: Sequence[str] = (), rpc_host: str = "127.0.0.1"
) -> Changes:
    """What every node of ours has otherwise than CometBFT's defaults: names, addresses and limits."""
    return {
        "": {"moniker": name, "log_level": "main:info,state:info,*:error"},
        "rpc": {
            "laddr": f"tcp://{rpc_host}:{rpc_port}",
            "max_body_bytes": RPC_BODY_BYTES,
            "max_request_batch_size": RPC_BATCH_REQUESTS,
        },
        "p2p": {"laddr": f"tcp://{p2p_host}:{p2p_port}", "persistent_peers": ",".join(peers)},
        "mempool": {"max_tx_bytes": MAX_TRANSACTION_BYTES, "max_txs_bytes": MEMPOOL_BYTES},
        "consensus": {"create_empty_blocks": True},  # deadlines are heights: a chain that stands still never ends them
        "instrumentation": {"prometheus": False},
    }


def run_node(home: Path, report: Callable[[str], None]) -> None:
    """Run a node until SIGINT, SIGTERM or SIGHUP; raises UserError, after ending the other, if either process ends."""
    node = load_node(home)
    binary = check_binary(node.config.cometbft) if node.config.cometbft else find_cometbft()
    node.check_ports()
    node.check_genesis()
    address = node.choose_app_address()
    with ProcessGroup() as group, group.handle_signals():
        try:
            node.start_app(group, address)
            group.wait_ready(node.app_name)
            if group.stop_signal is None:
                node.start_cometbft(group, address, binary)
                group.wait_ready(node.cometbft_name)
            if group.stop_signal is None:
                report(f"{node.name} runs: RPC at {node.rpc_url}, logs in {node.home / 'logs'}")
            halt = HaltWatch(group.children[node.cometbft_name]) if group.stop_signal is None else None
            while halt is not None and not group.wait(_HALT_SECONDS):
                halt.check()
        except ProcessDied as death:
            raise find_cause(group, death) from None


class HaltWatch:
    """Notices that a CometBFT has halted: it logs why consensus failed, and goes on as a process that decides nothing.

    A full disk does it, and a state that differs from the other nodes'.
    """

    def __init__(self, child: Child) -> None:
        self._child = child
        self._offset = child.log_offset

    def check(self) -> None:
        """Raise UserError if the log says so since the last call."""
        with self._child.log_path.open("rb") as log:
            if log.seek(0, os.SEEK_END) < self._offset:
                self._offset = 0  # rotated by truncation
            log.seek(self._offset)
            news = log.read()
        end = news.rfind(b"\n") + 1
        self._offset += end
        if (found := _HALT.search(news[:end])) is not None:
            reason = found[1].decode(errors="replace").replace('\\"', '"')
            raise UserError(f"{self._child.name} has halted: {reason}; put that right, or read {self._child.log_path}")


def find_cause(group: ProcessGroup, death: ProcessDied) -> ProcessDied:
    """The death to report: an application that fails takes its CometBFT along, which may be seen to end first."""
    try:
        group.wait(_CAUSE_SECONDS)
    except ProcessDied as other:
        return min(death, other, key=lambda d: group.children[d.name].tier)
    return death


def renew_chain(home: Path, reveals: int) -> bytes:
    """Add a hash chain to a node's, and forget all but the last one of those before; returns the new anchor."""
    node = load_node(home)
    secret = draw_chain(reveals)
    try:
        kept = read_secrets(node.beacon_path)[-1:] if node.beacon_path.exists() else []
        fresh = node.beacon_path.with_suffix(".new")
        fresh.unlink(missing_ok=True)  # of a renewal that a crash cut short
        write_secret(fresh, encode_secrets([*kept, secret]))
        fresh.replace(node.beacon_path)
    except BeaconFileError as error:
        raise UserError(str(error)) from None
    except OSError as error:
        raise UserError(f"cannot write {node.beacon_path}: {error.strerror}; check the folder and the disk") from None
    return HashChain(*secret).anchor


def draw_chain(reveals: int) -> ChainSecret:
    return ChainSecret(os.urandom(VALUE_BYTES), reveals)


def node_id(node_key: SigningKey) -> str:
    """A node's name in CometBFT's P2P layer."""
    return node_key.address.hex()


def _read_address(config: Mapping[str, object], section: str, path: Path) -> tuple[str, int]:
    table = config.get(section)
    address = table.get("laddr") if isinstance(table, dict) else None
    try:
        parts = urllib.parse.urlsplit(str(address))
        if parts.scheme == "tcp" and parts.hostname and parts.port:
            return parts.hostname, parts.port
    except ValueError:  # not a port number
        pass
    raise UserError(f"{path}: laddr in [{section}] is {address!r}; set it to tcp://HOST:PORT")


def _write_keys(home: Path, consensus_key: SigningKey, node_key: SigningKey) -> None:
    secrets = {
        home / "config" / "priv_validator_key.json": {
            "address": consensus_key.address.hex().upper(),
            "pub_key": encode_public_key(consensus_key.public_key),
            "priv_key": encode_private_key(consensus_key.seed, consensus_key.public_key),
        },
        home / "config" / "node_key.json": {"priv_key": encode_private_key(node_key.seed, node_key.public_key)},
        home / "data" / "priv_validator_state.json": {"height": "0", "round": 0, "step": 0},
    }
    for path, document in secrets.items():
        write_secret(path, json.dumps(document, indent=2).encode())


_NODE_TOML_COMMENT = """\
For `optfl node start`, beside config.toml, which is CometBFT's own. Both may be left out:
  cometbft = "/path/to/cometbft"       the binary; otherwise beside the Python interpreter, then on the PATH
  app_address = "tcp://127.0.0.1:26658"  where CometBFT meets the ledger; otherwise a Unix socket in this folder"""
