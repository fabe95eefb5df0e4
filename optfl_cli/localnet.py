"""A net made in one place: several validator nodes, by default on loopback, and funded accounts for the roles.

HOME/localnet.toml     chain, nodes and key files     HOME/node0/ …   one home for each node, see `optfl_cli.node`
HOME/keys/node0.json … the validators' operators      HOME/keys/requester.json, aggregator0.json …
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from abci_app.beacon_file import ChainSecret
from offchain.adapters.keystore import KeystoreError, write_key
from optfl.beacon import LENGTH, HashChain
from optfl.keys import SigningKey
from optfl_cli.cometbft import find_cometbft
from optfl_cli.config import load_config
from optfl_cli.errors import UserError
from optfl_cli.genesis import GenesisValidator, build_genesis
from optfl_cli.node import Changes, Node, build_config, init_node, load_node, node_id
from optfl_cli.ports import find_free_ports, is_port_free
from optfl_cli.processes import ProcessDied, ProcessGroup
from optfl_cli.toml_files import TomlValue, format_dataclass

MAX_NODES = 32
DEFAULT_BALANCE = 1_000_000_000
DEFAULT_STAKE = 10_000_000

# Four nodes decide a block in about 0.26 s, on an eighth to a fifth of a core. A node that is down costs
# `timeout_propose` at each of its turns, but one that is merely slow, on a busy machine, should not be taken for that.
CONSENSUS: dict[str, TomlValue] = {
    "timeout_propose": "1s",
    "timeout_propose_delta": "500ms",
    "timeout_prevote": "300ms",
    "timeout_prevote_delta": "300ms",
    "timeout_precommit": "300ms",
    "timeout_precommit_delta": "300ms",
    "timeout_commit": "200ms",
    "peer_gossip_sleep_duration": "20ms",
}
P2P: dict[str, TomlValue] = {
    "flush_throttle_timeout": "10ms",  # the default of 100 ms, meant for real networks, doubles a block's time
    "addr_book_strict": False,
    "allow_duplicate_ip": True,
    "pex": False,  # every node knows all others
}
BLOCK_TIME_MS = 300

# CometBFT's own, of a node that has a host to itself.
RPC_PORT = 26657
P2P_PORT = 26656

_STATUS_SECONDS = 5.0
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_LOOPBACK = "127.0.0.1"
_ALL_ADDRESSES = "0.0.0.0"  # noqa: S104  # of a host that the operator gave to its node


@dataclass(frozen=True)
class LocalnetConfig:
    """`localnet.toml`. Paths are relative to its folder."""

    chain_id: str
    nodes: list[Path]
    keys: Path


@dataclass(frozen=True)
class Localnet:
    """A net that has been initialised."""

    home: Path
    chain_id: str
    nodes: tuple[Node, ...]
    keys: Path

    def key_path(self, name: str) -> Path:
        """Key file of an account by its name, e.g. "requester" or "node0"."""
        return self.keys / f"{name}.json"

    def start(self, group: ProcessGroup) -> None:
        """Start all nodes and return when all have the first block, or a stop is requested; raises UserError.

        Applications are of tier 0 in `group`, CometBFT's processes of tier 1.
        """
        binary = find_cometbft()
        if len({node.rpc_port for node in self.nodes}) < len(self.nodes):
            raise UserError(f"the nodes in {self.home} have a host each; run `optfl node start` on every one of them")
        for node in self.nodes:
            node.check_ports()
            node.check_genesis()
        addresses = [node.choose_app_address() for node in self.nodes]
        for node, address in zip(self.nodes, addresses, strict=True):
            node.start_app(group, address)
        group.wait_ready()
        if group.stop_signal is not None:
            return
        # Nodes that share a machine share its cores: a Go runtime that has several wakes one thread after another.
        cores = max(1, (os.cpu_count() or 1) // len(self.nodes))
        for node, address in zip(self.nodes, addresses, strict=True):
            node.start_cometbft(group, address, binary, cores=cores)
        group.wait_ready()
        group.wait_until(lambda: all(get_height(node.rpc_url) for node in self.nodes), "the first block")


def init_localnet(
    home: Path,
    *,
    nodes: int = 4,
    accounts: Mapping[str, int] | None = None,
    seed: str | None = None,
    chain_id: str | None = None,
    stake: int = DEFAULT_STAKE,
    params: Mapping[str, int] | None = None,
    consensus: Mapping[str, TomlValue] | None = None,
    first_port: int | None = None,
    hosts: Sequence[str] = (),
) -> Localnet:
    """Make keys, genesis and configs of a net; raises UserError.

    `accounts` are balances by name, beside the operators ("node0" …). With a `seed` all keys follow from it: the same
    net again, for tests, of which everybody who knows the seed has the keys. `params` replace the ledger's in genesis,
    `consensus` the timeouts of CometBFT's config. The nodes are on loopback, at free ports or at those from
    `first_port` on; with `hosts` each is on one of its own, and listens there for everyone.
    """
    home = home.absolute()
    if (home / "localnet.toml").exists():
        raise UserError(f"{home} holds a net already; choose another folder, or remove this one if it can go")
    if not 1 <= nodes <= MAX_NODES:
        raise UserError(f"a local net has 1 to {MAX_NODES} nodes, not {nodes}")
    chain_id = chain_id or f"optfl-local-{_make_key(seed, 'chain').address.hex()[:8]}"
    if malformed := [name for name in (*(accounts or {}), *hosts) if not _NAME.fullmatch(name)]:
        raise UserError(f"{malformed[0]!r} is no name of an account or host; use letters, digits, '.', '-' and '_'")
    names = [f"node{i}" for i in range(nodes)]
    consensus_keys = [_make_key(seed, f"{name}/consensus") for name in names]
    node_keys = [_make_key(seed, f"{name}/p2p") for name in names]
    balances = dict.fromkeys(names, DEFAULT_BALANCE) | dict(accounts or {})
    keys = {name: _make_key(seed, f"{name}/account") for name in balances}
    beacons = [ChainSecret(_make_key(seed, f"{name}/beacon").seed, LENGTH) for name in names]
    genesis = build_genesis(
        chain_id,
        [
            GenesisValidator(name, keys[name].public_key, consensus_key.public_key, stake, HashChain(*beacon).anchor)
            for name, consensus_key, beacon in zip(names, consensus_keys, beacons, strict=True)
        ],
        {keys[name].address: balance for name, balance in balances.items()},
        {"block_time_ms": BLOCK_TIME_MS, **(params or {})},
    )
    places = _choose_places(nodes, first_port, hosts)
    peers = [f"{node_id(key)}@{place.host}:{place.p2p_port}" for key, place in zip(node_keys, places, strict=True)]
    for i, name in enumerate(names):
        others = peers[:i] + peers[i + 1 :]
        init_node(
            home / name,
            name=name,
            genesis=genesis,
            consensus_key=consensus_keys[i],
            node_key=node_keys[i],
            beacon=beacons[i],
            changes=_build_config(name, places[i], others, {**CONSENSUS, **(consensus or {})}),
        )
    config = LocalnetConfig(chain_id=chain_id, nodes=[Path(name) for name in names], keys=Path("keys"))
    try:
        for name, key in keys.items():
            write_key(home / config.keys / f"{name}.json", key)
    except KeystoreError as error:
        raise UserError(str(error)) from None
    comment = "A net of `optfl localnet init`; `optfl localnet start` runs it."
    (home / "localnet.toml").write_text(format_dataclass(config, comment), encoding="utf-8")
    return load_localnet(home)


def load_localnet(home: Path) -> Localnet:
    """Read a net that has been initialised; raises UserError."""
    home = home.absolute()
    if not (home / "localnet.toml").is_file():
        raise UserError(f"no local net in {home}; make one with `optfl localnet init --home {home}`")
    config = load_config(home / "localnet.toml", LocalnetConfig)
    return Localnet(home, config.chain_id, tuple(load_node(path) for path in config.nodes), config.keys)


def run_localnet(home: Path, report: Callable[[str], None]) -> None:
    """Run a net until SIGINT, SIGTERM or SIGHUP, or until too few nodes are left to decide a block (UserError)."""
    net = load_localnet(home)
    with ProcessGroup() as group, group.handle_signals():
        net.start(group)
        running = {node.name: node for node in net.nodes}
        if group.stop_signal is None:
            report(f"{net.chain_id}: {len(running)} nodes; keys in {net.keys}; Ctrl-C ends them all")
            for node in net.nodes:
                report(f"  {node.name}  {node.rpc_url}  logs in {node.home / 'logs'}")
        while group.stop_signal is None:
            try:
                group.wait(_STATUS_SECONDS)
            except ProcessDied as death:
                report(str(death))
                lost = next(node for node in running.values() if death.name in (node.app_name, node.cometbft_name))
                group.stop(lost.cometbft_name, lost.app_name)
                del running[lost.name]
                if 3 * len(running) <= 2 * len(net.nodes):
                    raise UserError(f"{len(running)} of {len(net.nodes)} nodes are too few to decide blocks") from None
                report(f"{lost.name} is down; the others go on. Bring it back: optfl node start --home {lost.home}")
            else:
                report(_describe_heights(list(running.values())))


def get_height(rpc_url: str) -> int | None:
    """Height of a node, None if it does not answer. Blocks: for status lines and tests, not for roles."""
    parts = urllib.parse.urlsplit(rpc_url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=2)
    try:
        connection.request("GET", "/abci_info")
        response = json.loads(connection.getresponse().read())["result"]["response"]
        return int(response.get("last_block_height", 0))
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return None
    finally:
        connection.close()


def _describe_heights(nodes: Sequence[Node]) -> str:
    heights = [(node.name, get_height(node.rpc_url)) for node in nodes]
    return "height " + "  ".join(f"{name}: {'no answer' if height is None else height}" for name, height in heights)


def _make_key(seed: str | None, name: str) -> SigningKey:
    if seed is None:
        return SigningKey.generate()
    return SigningKey.from_seed(hashlib.sha256(f"optfl/localnet/v1/{seed}/{name}".encode()).digest())


@dataclass(frozen=True)
class _Place:
    """Where others find a node, and at which addresses it listens."""

    host: str
    listen: str
    rpc_port: int
    p2p_port: int


def _choose_places(nodes: int, first_port: int | None, hosts: Sequence[str]) -> list[_Place]:
    if hosts:
        if len(set(hosts)) != nodes:
            raise UserError(f"{len(set(hosts))} different hosts for {nodes} nodes; name one for each")
        return [_Place(host, _ALL_ADDRESSES, RPC_PORT, P2P_PORT) for host in hosts]
    ports = find_free_ports(2 * nodes) if first_port is None else _check_ports(first_port, 2 * nodes)
    return [_Place(_LOOPBACK, _LOOPBACK, *pair) for pair in zip(ports[:nodes], ports[nodes:], strict=True)]


def _check_ports(first: int, count: int) -> list[int]:
    if not 1 <= first <= 65536 - count:
        raise UserError(f"{count} ports from {first} on do not exist; the last is 65535")
    taken = [port for port in range(first, first + count) if not is_port_free(_LOOPBACK, port)]
    if taken:
        raise UserError(f"port {taken[0]} is taken: end the program that listens on it, or choose another first port")
    return list(range(first, first + count))


def _build_config(name: str, place: _Place, peers: Sequence[str], consensus: Mapping[str, TomlValue]) -> Changes:
    changes = build_config(name, place.rpc_port, place.listen, place.p2p_port, peers, rpc_host=place.listen)
    changes["p2p"] |= P2P
    changes["consensus"] |= consensus
    return changes
