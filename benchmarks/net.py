"""One run: the processes of a setting, from their start to the end of the last round."""

from __future__ import annotations

import asyncio
import base64
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.cpu import CpuSampler
from benchmarks.figures import OF_BLOCKS, WATCHERS, Figures, LedgerCount, RunFailed, compute_figures
from benchmarks.setting import AGGREGATORS, NODES, REPLICAS, Setting
from benchmarks.trace import read_traces
from benchmarks.worker import Account, Work
from benchmarks.workload import FRACTION_BITS, MAX_WEIGHT
from offchain.adapters.gateway import Gateway
from optfl import errors
from optfl.transactions import decode_transaction
from optfl_cli.localnet import Localnet, init_localnet
from optfl_cli.ports import find_free_ports, is_port_free
from optfl_cli.processes import ProcessDied, ProcessGroup
from optfl_cli.roles import ReplicaConfig, TaskConfig
from optfl_cli.toml_files import format_dataclass

ROOT = Path(__file__).parents[1]

BALANCE = 1_000_000_000
STAKES = {"aggregator": 20_000_000, "replica": 2_000_000, "client": 200_000}
RUN_SECONDS = 3600.0
_CHUNK_VALUES = 2048
_POLL_SECONDS = 0.2
_DECISION_MS = 100  # what four nodes need for a block, about
_GOSSIPS_A_BLOCK = 15

# One thread a library: there are more processes than cores, and aggregations have their own setting.
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}

# Blocks. Deadlines are far away: a busy machine must not change who takes part. A window gives every watcher its time,
# and holds nobody up.
_PARAMETERS: dict[str, int] = {
    "training_blocks": 10_000,
    "aggregation_blocks": 2_000,
    "min_window_blocks": 25,
    "window_factor_percent": 100,
    "max_attempts": AGGREGATORS,
    "pause_blocks": 100,
    "bandwidth_bytes_per_second": 1 << 30,
    "aggregator_reward": 50_000,
    "client_reward": 1_000,
    "validator_reward": 20_000,
    "replica_reward": 8_000,
}


def run(setting: Setting, home: Path) -> Figures:
    """Run `setting` in the empty folder `home` to its end. Raises RunFailed, UserError."""
    (home / "traces").mkdir(parents=True)
    return _run_plain(setting, home) if setting.mode == "plain" else _run_ledger(setting, home)


def _run_plain(setting: Setting, home: Path) -> Figures:
    (port,) = find_free_ports(1)
    clients = [Account(f"client{i}", i, "", "", 0) for i in range(setting.clients)]
    workers = {"server": _work(setting, home, "server", "server", [], port=port)}
    workers |= {
        f"clients{i}": _work(setting, home, f"clients{i}", "client", part, port=port)
        for i, part in enumerate(_divide(clients, setting.processes))
    }
    with ProcessGroup() as group, group.handle_signals():
        for name, work in workers.items():
            _start_worker(group, home, name, work, "benchmarks.plain")
            if name == "server":
                group.wait_until(lambda: _is_listening(port), "the server")
        kinds = {_pid(group, name): "server" if name == "server" else "clients" for name in workers}
        with CpuSampler(kinds) as sampler:
            _wait_for_end(group, set(workers), set(workers))
    return compute_figures(setting, read_traces(home / "traces"), sampler.samples, LedgerCount({}, 0))


def _run_ledger(setting: Setting, home: Path) -> Figures:
    roles = {"aggregator": AGGREGATORS, "replica": REPLICAS, "client": setting.clients}
    names = ["requester", *(f"{role}{i}" for role, count in roles.items() for i in range(count))]
    net = init_localnet(
        home / "net",
        nodes=NODES,
        accounts=dict.fromkeys(names, BALANCE),
        params={"block_time_ms": setting.block_ms},
        consensus={
            "timeout_commit": f"{setting.block_ms - _DECISION_MS}ms",
            # Nodes look for what others lack this often: as rarely for longer blocks as the localnet's do for its own.
            "peer_gossip_sleep_duration": f"{setting.block_ms // _GOSSIPS_A_BLOCK}ms",
        },
    )
    with ProcessGroup() as group, group.handle_signals():
        net.start(group)
        endpoints = tuple(f"tcp/127.0.0.1:{port}" for port in find_free_ports(REPLICAS + AGGREGATORS + NODES))
        replicas, peers = endpoints[:REPLICAS], endpoints[REPLICAS:]
        workers = _plan_workers(setting, home, net, replicas, peers)
        kinds = {child.process.pid: "ledger" for child in group.children.values()}
        for i, endpoint in enumerate(replicas):
            replica = ReplicaConfig(
                key=net.key_path(f"replica{i}"),
                node=net.nodes[i % NODES].rpc_url,
                listen=endpoint,
                store=home / f"store{i}",
                stake=STAKES["replica"],
                replicas=list(replicas),
                peers=list(peers),
            )
            _start_command(group, home, f"replica{i}", ["replica"], replica)
            kinds[_pid(group, f"replica{i}")] = "replicas"
        for name, work in workers.items():
            _start_worker(group, home, name, work, "benchmarks.worker")
            kinds[_pid(group, name)] = WATCHERS if work.kind == "watcher" else f"{work.kind}s"
        requester = TaskConfig(
            key=net.key_path("requester"),
            node=net.nodes[0].rpc_url,
            replicas=list(replicas),
            model="benchmarks.workload:make_model",
            model_options={"length": setting.length},
            parameters=_build_parameters(setting, net),
        )
        _start_command(group, home, "requester", ["task", "create"], requester)
        with CpuSampler(kinds) as sampler:
            _wait_for_end(group, set(workers), {*workers, "requester"})
        ledger = asyncio.run(_count_ledger(net.nodes[0].rpc_url))
    return compute_figures(setting, read_traces(home / "traces"), sampler.samples, ledger)


def _plan_workers(
    setting: Setting, home: Path, net: Localnet, replicas: tuple[str, ...], peers: tuple[str, ...]
) -> dict[str, Work]:
    """`peers` are where the aggregators listen, then the validators."""

    def account(kind: str, number: int, key: str = "", listen: str | None = None) -> Account:
        return Account(
            name=f"{kind}{number}",
            number=number,
            key=str(net.key_path(key or f"{kind}{number}")),
            node=net.nodes[number % NODES].rpc_url,
            stake=STAKES.get(kind, 0),
            listen=listen,
        )

    groups = {
        f"clients{i}": ("client", part)
        for i, part in enumerate(
            _divide([account("client", number) for number in range(setting.clients)], setting.processes)
        )
    }
    groups |= {
        f"aggregator{i}": ("aggregator", [account("aggregator", i, listen=peers[i])]) for i in range(AGGREGATORS)
    }
    # Validators sign as their nodes' operators. They watch; in mode pbft all of them compute every round.
    kind, count = ("member", NODES) if setting.mode == "pbft" else ("watcher", setting.watchers)
    groups |= {f"{kind}{i}": (kind, [account(kind, i, f"node{i}", peers[AGGREGATORS + i])]) for i in range(count)}
    return {
        name: _work(setting, home, name, kind, accounts, replicas=replicas, peers=() if kind == "client" else peers)
        for name, (kind, accounts) in groups.items()
    }


def _build_parameters(setting: Setting, net: Localnet) -> dict[str, Any]:
    counts = {"aggregators": AGGREGATORS, "clients": setting.clients, "replicas": REPLICAS}
    participants = {
        name: [str(net.key_path(f"{name.removesuffix('s')}{i}")) for i in range(count)]
        for name, count in counts.items()
    }
    return {
        "name": f"benchmark, {setting.mode}",
        "mode": setting.mode,
        "rule": setting.rule,
        "chunk_values": _CHUNK_VALUES,
        "fraction_bits": FRACTION_BITS,
        "rounds": setting.total_rounds,
        "clients_per_round": setting.clients,
        "min_updates": setting.clients,
        "max_weight": MAX_WEIGHT,
        **_PARAMETERS,
        **participants,
    }


async def _count_ledger(url: str) -> LedgerCount:
    """What stands in the blocks of the whole run."""
    kinds: Counter[str] = Counter()
    size_bytes = 0
    async with Gateway(url) as gateway:
        for height in range(1, (await gateway.get_status()).height + 1):
            for encoded in (await gateway.get_block(height))["block"]["data"]["txs"] or ():
                transaction = base64.b64decode(encoded)
                size_bytes += len(transaction)
                kinds[_get_kind(transaction)] += 1
    return LedgerCount(kinds, size_bytes)


def _get_kind(transaction: bytes) -> str:
    try:
        return decode_transaction(transaction).kind
    except errors.Rejection:
        return OF_BLOCKS  # unsigned: what a proposer adds to its own block


def _work(setting: Setting, home: Path, name: str, kind: str, accounts: list[Account], **where: Any) -> Work:
    return Work(setting, kind, accounts, str(home / "traces" / f"{name}.jsonl"), **where)


def _divide(accounts: Sequence[Account], parts: int) -> Iterable[list[Account]]:
    return [part for i in range(parts) if (part := list(accounts[i::parts]))]


def _start_worker(group: ProcessGroup, home: Path, name: str, work: Work, module: str) -> None:
    path = home / f"{name}.json"
    work.write(path)
    command: list[str | Path] = [sys.executable, "-m", module, path]
    group.start(name, command, home / "logs" / f"{name}.log", tier=2, env=_ENVIRONMENT, cwd=ROOT)


def _start_command(
    group: ProcessGroup, home: Path, name: str, command: list[str], config: ReplicaConfig | TaskConfig
) -> None:
    path = home / f"{name}.toml"
    path.write_text(format_dataclass(config), encoding="utf-8")
    arguments: list[str | Path] = [sys.executable, "-m", "optfl_cli", *command, "--config", path]
    group.start(name, arguments, home / "logs" / f"{name}.log", tier=2, env=_ENVIRONMENT, cwd=ROOT)


def _pid(group: ProcessGroup, name: str) -> int:
    return group.children[name].process.pid


def _is_listening(port: int) -> bool:
    return not is_port_free("127.0.0.1", port)


def _wait_for_end(group: ProcessGroup, waited_for: set[str], may_end: set[str]) -> None:
    """Return once all of `waited_for` have ended well. Raises ProcessDied, RunFailed."""
    deadline = time.monotonic() + RUN_SECONDS
    while not all(group.children[name].ended.is_set() for name in waited_for):
        try:
            group.wait(_POLL_SECONDS)
        except ProcessDied as death:
            if death.returncode != 0 or death.name not in may_end:
                raise
        if group.stop_signal is not None:
            raise RunFailed("interrupted; all processes have ended")
        if time.monotonic() > deadline:
            raise RunFailed(f"the run took more than {RUN_SECONDS:.0f} s; use smaller sizes")
    for name in waited_for:
        if (code := group.children[name].process.returncode) != 0:
            raise RunFailed(f"{name} ended with exit code {code}; read its log")
