"""A real net on which two tasks run side by side, with players of which some deviate, and a chronicle of both."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from offchain.adapters.gateway import Gateway
from offchain.adapters.keystore import read_public_part
from offchain.interfaces import LedgerUnavailable
from optfl import tasks
from optfl.wire import state_pb2, transaction_pb2
from optfl_cli.cometbft import find_cometbft
from optfl_cli.localnet import init_localnet
from optfl_cli.ports import find_free_ports
from optfl_cli.processes import ProcessDied, ProcessGroup
from optfl_cli.roles import ReplicaConfig, TaskConfig
from optfl_cli.toml_files import format_dataclass
from support import trainer
from support.players import Part, Player

TESTS = Path(__file__).parents[1]
BOUND_SECONDS = 180.0
MAX_HEIGHT = 1 << 62
EXACT, FLOAT = 1, 2  # the tasks
LONELY_NODE = 2  # that nobody uses but the validator beside it

T = TypeVar("T")

_NODES = _REPLICAS = _CLIENTS = 4
_AGGREGATORS = 4  # of each task
_BALANCE = 1_000_000_000
_PARAMETERS: dict[str, Any] = {
    "rule": "median()",
    "chunk_values": 16,
    "fraction_bits": trainer.FRACTION_BITS,
    "clients_per_round": _CLIENTS,
    "min_updates": _CLIENTS - 1,
    "max_weight": 1000,
    "training_blocks": 60,
    "aggregation_blocks": 30,
    "min_window_blocks": 15,
    "window_factor_percent": 100,
    "max_attempts": 4,
    "pause_blocks": 200,
    "bandwidth_bytes_per_second": 10_000_000,
    "aggregator_reward": 50_000,
    "client_reward": 10_000,
    "validator_reward": 20_000,
    "replica_reward": 8_000,
    "vote_commit_blocks": 40,
    "vote_reveal_blocks": 10,
    "demand_blocks": 15,
}
_RULES: Mapping[int, dict[str, Any]] = {
    EXACT: {"name": "exact"},
    FLOAT: {
        "name": "float",
        "rule": "float(trimmed)",
        "arithmetic": "float",
        "vote_epsilon": 16,
        "vote_theta": 64,
    },
}


class Moment(NamedTuple):
    """What one node says at one height, or soon after."""

    height: int
    views: dict[int, state_pb2.TaskView]  # by task; empty until it exists
    stakes: dict[bytes, state_pb2.Stake]  # of aggregators

    def get_stake(self, address: bytes) -> state_pb2.Stake:
        """An aggregator's; empty until it is registered."""
        return self.stakes.get(address, state_pb2.Stake())


class Chronicle:
    """Every block's events, and most blocks' moments: noted by a thread of its own.

    `check` is called while something is awaited.
    """

    def __init__(self, url: str, check: Callable[[], None]) -> None:
        self.moments: list[Moment] = []
        self.events: list[tuple[int, str, dict[str, str]]] = []  # height, kind, attributes: of the blocks' ends
        self._url = url
        self._check = check
        self._news = threading.Condition()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._follow()), name="chronicle", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join()

    async def _follow(self) -> None:
        height = 0
        async with Gateway(self._url) as gateway:
            while not self._closing.is_set():
                try:
                    latest = await gateway.wait_for_block(height)
                    while height < latest:
                        events = await gateway.get_block_end_events(height + 1)
                        height += 1
                        self.events += [(height, kind, attributes) for kind, attributes in events]
                    views = {t: await gateway.get_task(t) or state_pb2.TaskView() for t in (EXACT, FLOAT)}
                    stakes = (await gateway.list_stakes(b"")).stakes
                except LedgerUnavailable:
                    await asyncio.sleep(0.5)
                    continue
                of_aggregators = {s.address: s for s in stakes if s.role == transaction_pb2.ROLE_AGGREGATOR}
                with self._news:
                    self.moments.append(Moment(height, views, of_aggregators))
                    self._news.notify_all()

    def await_moment(self, find: Callable[[Moment], T | None], what: str, *, after: int = 0) -> T:
        """What `find` makes of the first moment after height `after` of which it makes something."""
        deadline = time.monotonic() + BOUND_SECONDS
        seen = 0
        while True:
            with self._news:
                if len(self.moments) == seen:
                    self._news.wait(0.5)
                fresh, seen = self.moments[seen:], len(self.moments)
            for moment in fresh:
                if moment.height > after and (found := find(moment)):
                    return found
            self._check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} did not come within {BOUND_SECONDS:.0f} s")

    def get_height(self) -> int:
        """The last that was noted."""
        with self._news:
            return self.moments[-1].height if self.moments else 0

    def count_rounds(self, task: int, after: int, until: int) -> int:
        """Rounds of a task that were opened in the blocks between these heights."""
        return len(self.find_events("round_started", task, after=after, until=until))

    def find_events(
        self, kind: str, task: int, *, after: int = 0, until: int = MAX_HEIGHT, **attributes: int
    ) -> list[tuple[int, dict[str, str]]]:
        """Height and attributes of a task's events of this kind, between these heights, with these attributes."""
        wanted = {name: str(value) for name, value in {"task": task, **attributes}.items()}
        return [
            (height, found)
            for height, name, found in list(self.events)
            if name == kind and after < height < until and wanted.items() <= found.items()
        ]


@dataclass(frozen=True)
class Figures:
    """How one dispute went, for a table."""

    dispute: str
    blocks: int  # from its beginning to its end
    rounds_opened: int  # of the same task, meanwhile


class DisputeNet:
    """Four nodes, four replicas and a requester as commands, and processes of `support.players`; in folder `home`.

    `deviations` are the parts of those who deviate, by account and task. Aggregator i of both tasks are in one process,
    and so is client i, whose account is in both.
    """

    def __init__(self, home: Path, rounds: Mapping[int, int], deviations: Mapping[tuple[str, int], Part]) -> None:
        self.home = home
        self.group = ProcessGroup()
        self.figures: list[Figures] = []
        aggregators = [f"{kind}{i}" for kind in ("exact", "float") for i in range(_AGGREGATORS)]
        others = [f"{role}{i}" for role, n in (("replica", _REPLICAS), ("client", _CLIENTS)) for i in range(n)]
        accounts = ["requester", *aggregators, *others]
        params = {"exclusion_blocks": 12}
        self.net = init_localnet(home, nodes=_NODES, accounts=dict.fromkeys(accounts, _BALANCE), params=params)
        self.addresses = {name: read_public_part(self.key(name)).address for name in accounts}
        self.addresses |= {f"validator{i}": read_public_part(self.key(f"node{i}")).address for i in range(_NODES)}
        self.names = {address: name for name, address in self.addresses.items()}
        self._deviations = deviations
        taken = [port for node in self.net.nodes for port in (node.rpc_port, node.p2p_port)]
        listening = [*others[:_REPLICAS], *aggregators, *(f"validator{i}" for i in range(_NODES))]
        ports = find_free_ports(len(listening), besides=taken)
        self._endpoints = {name: f"tcp/127.0.0.1:{port}" for name, port in zip(listening, ports, strict=True)}
        self._parameters = {task: self._build_parameters(task, count) for task, count in rounds.items()}
        self.chronicle = Chronicle(self.net.nodes[0].rpc_url, self._check)

    def key(self, name: str) -> Path:
        return self.net.key_path(name)

    def start(self) -> None:
        """All processes; returns when both tasks exist."""
        self.net.start(self.group)
        for i in range(_REPLICAS):
            self.start_replica(i)
        for i in range(_NODES):
            self._start_players(f"validators{i}", [self._build_validator(i)])
            self._start_players(f"aggregators{i}", [self._build_aggregator(f"{k}{i}") for k in ("exact", "float")])
            self._start_players(f"clients{i}", [self._build_client(i)])
        for task in (EXACT, FLOAT):  # one after the other, for their ids
            config = TaskConfig(
                **self._build_role("requester", 0),
                model="support.trainer:make_model",
                model_options={"seed": 1},
                parameters=self._parameters[task],
            )
            self._start_command(f"task{task}", ["task", "create"], config)
            self.chronicle.await_moment(lambda m, task=task: m.views[task].task.task_id, f"task {task}")

    def start_replica(self, i: int) -> None:
        name = f"replica{i}"
        config = ReplicaConfig(
            key=self.key(name),
            node=self.net.nodes[_get_node(i)].rpc_url,
            stake=2_000_000,
            listen=self._endpoints[name],
            store=self.get_store(i),
            **self._list_others(),
        )
        self._start_command(name, ["replica"], config)

    def get_store(self, i: int) -> Path:
        return self.home / "stores" / f"replica{i}"

    def kill_node(self, i: int) -> None:
        """With SIGKILL, as a crash would."""
        node = self.net.nodes[i]
        self.group.kill(node.app_name)
        self.group.kill(node.cometbft_name)

    def start_node(self, i: int) -> None:
        node = self.net.nodes[i]
        address = node.choose_app_address()
        node.start_app(self.group, address)
        self.group.wait_ready(node.app_name)
        node.start_cometbft(self.group, address, find_cometbft())

    def read_log(self, name: str) -> str:
        return (self.home / "logs" / f"{name}.log").read_text(encoding="utf-8")

    def note(self, dispute: str, task: int, begin_height: int, end_height: int) -> Figures:
        """Add a line to the table of figures."""
        opened = self.chronicle.count_rounds(task, begin_height, end_height)
        self.figures.append(Figures(dispute, end_height - begin_height, opened))
        return self.figures[-1]

    def _check(self) -> None:
        try:
            self.group.check()
        except ProcessDied as death:
            if death.returncode != 0:
                raise  # requesters are done when their tasks run, and players when those are over

    def _build_parameters(self, task: int, rounds: int) -> dict[str, Any]:
        kind = _RULES[task]["name"]
        return {
            **_PARAMETERS,
            **_RULES[task],
            "rounds": rounds,
            "aggregators": [str(self.key(f"{kind}{i}")) for i in range(_AGGREGATORS)],
            "clients": [str(self.key(f"client{i}")) for i in range(_CLIENTS)],
            "replicas": [str(self.key(f"replica{i}")) for i in range(_REPLICAS)],
        }

    def _list_others(self) -> dict[str, Any]:
        names = list(self._endpoints)
        endpoints = list(self._endpoints.values())
        return {"replicas": endpoints[: names.index("exact0")], "peers": endpoints[names.index("exact0") :]}

    def _build_role(self, name: str, node: int) -> dict[str, Any]:
        account = name.replace("validator", "node")  # a validator signs as its node's operator
        return {"key": self.key(account), "node": self.net.nodes[node].rpc_url, **self._list_others()}

    def _build_aggregator(self, name: str) -> Player:
        task = EXACT if name.startswith("exact") else FLOAT
        sizes = {key: value for key, value in self._parameters[task].items() if isinstance(value, int)}
        parameters = transaction_pb2.TaskParameters(**sizes)
        tasks.fill_defaults(parameters)
        required = tasks.compute_required_stake(parameters)
        config = {
            **self._build_role(name, _get_node(int(name[-1]))),
            "listen": self._endpoints[name],
            "stake": 2 * max(required, 10_000_000),
        }
        return Player("aggregator", config, [self._get_part(name, task)])

    def _build_validator(self, i: int) -> Player:
        name = f"validator{i}"
        config = {**self._build_role(name, i), "listen": self._endpoints[name]}
        return Player("validator", config, [self._get_part(name, task) for task in (EXACT, FLOAT)])

    def _build_client(self, i: int) -> Player:
        name = f"client{i}"
        config = {**self._build_role(name, _get_node(i)), "stake": 200_000, "trainer_options": {"client": i}}
        return Player("client", config, [self._get_part(name, task) for task in (EXACT, FLOAT)])

    def _get_part(self, name: str, task: int) -> Part:
        part = self._deviations.get((name, task), Part(task))
        return dataclasses.replace(part, accomplices=[str(self.key(name)) for name in part.accomplices])

    def _start_command(self, name: str, arguments: list[str], config: ReplicaConfig | TaskConfig) -> None:
        path = self.home / f"{name}.toml"
        path.write_text(format_dataclass(config), encoding="utf-8")
        self._start(name, ["optfl_cli", *arguments, "--config", str(path)])

    def _start_players(self, name: str, players: list[Player]) -> None:
        path = self.home / f"{name}.json"
        path.write_text(json.dumps([dataclasses.asdict(player) for player in players], default=str), encoding="utf-8")
        self._start(name, ["support.players", str(path)])

    def _start(self, name: str, arguments: list[str]) -> None:
        environment = {"PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        log = self.home / "logs" / f"{name}.log"
        self.group.start(name, [sys.executable, "-m", *arguments], log, tier=2, env=environment)


def _get_node(i: int) -> int:
    """The node that players with this number use."""
    return i if i != LONELY_NODE else 0
