"""Writing a demo's net down: keys, genesis, and a config file for every process, as an operator would."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from offchain.adapters.keystore import read_public_part
from optfl import tasks
from optfl.wire import transaction_pb2
from optfl_cli.demo.plan import AGGREGATORS, NODES, REPLICAS, Plan
from optfl_cli.localnet import Localnet, init_localnet
from optfl_cli.ports import find_free_ports
from optfl_cli.roles import AccountConfig, AggregatorConfig, ClientConfig, ReplicaConfig, TaskConfig, ValidatorConfig
from optfl_cli.toml_files import format_dataclass

BALANCE = 1_000_000_000
STAKES = {"aggregator": 20_000_000, "replica": 2_000_000, "client": 200_000}
CHUNK_VALUES = 512
# Those of the digits task, written again: to import its module would load torch.
FRACTION_BITS = 14
UPDATE_SHIFT = 6

# Blocks, of about 0.3 s on an idle machine. A client on two busy cores may take a while for an epoch; a window gives
# every validator the time to fetch and re-execute several times over.
PARAMETERS: dict[str, int] = {
    "max_weight": 2000,
    "training_blocks": 60,
    "aggregation_blocks": 40,
    "min_window_blocks": 12,
    "window_factor_percent": 200,
    "max_attempts": AGGREGATORS,
    "pause_blocks": 100,
    "bandwidth_bytes_per_second": 10_000_000,
    "aggregator_reward": 50_000,
    "client_reward": 10_000,
    "validator_reward": 20_000,
    "replica_reward": 8_000,
}


@dataclass(frozen=True)
class Setup:
    """A demo's folder: the net, the config files by process name, and the names of all accounts."""

    net: Localnet
    configs: Mapping[str, Path]
    names: Mapping[bytes, str]
    replica_endpoints: tuple[str, ...]


def write_setup(home: Path, plan: Plan) -> Setup:
    """Make the net of `plan` in the empty folder `home`; nothing is started."""
    roles = {"aggregator": AGGREGATORS, "replica": REPLICAS, "client": plan.clients}
    accounts = ["requester", *(f"{role}{i}" for role, count in roles.items() for i in range(count))]
    net = init_localnet(home, nodes=NODES, accounts=dict.fromkeys(accounts, BALANCE))
    taken = [port for node in net.nodes for port in (node.rpc_port, node.p2p_port)]
    ports = find_free_ports(REPLICAS + AGGREGATORS + NODES, besides=taken)
    endpoints = tuple(f"tcp/127.0.0.1:{port}" for port in ports)
    configs: dict[str, Path] = {}
    for number, (name, make) in enumerate(_processes(plan, endpoints).items()):
        account = name.replace("validator", "node")  # a validator signs as its node's operator
        key = net.key_path(account).relative_to(net.home)
        configs[name] = home / f"{name}.toml"
        configs[name].write_text(
            format_dataclass(make(key=key, node=net.nodes[number % NODES].rpc_url)), encoding="utf-8"
        )
    names = {read_public_part(net.key_path(name)).address: name for name in accounts}
    names |= {read_public_part(net.key_path(f"node{i}")).address: f"validator{i}" for i in range(NODES)}
    return Setup(net, configs, names, endpoints[:REPLICAS])


def _processes(plan: Plan, endpoints: Sequence[str]) -> dict[str, Callable[..., AccountConfig]]:
    """Config of each process by its name, but for its key and node.

    `endpoints` are of the replicas, then of the aggregators, then of the validators.
    """
    replicas, peers = list(endpoints[:REPLICAS]), list(endpoints[REPLICAS:])
    role: dict[str, Any] = {"task": 1, "replicas": replicas, "peers": peers}
    processes: dict[str, Callable[..., AccountConfig]] = {}
    for i, listen in enumerate(replicas):
        processes[f"replica{i}"] = partial(
            ReplicaConfig,
            listen=listen,
            store=Path(f"stores/replica{i}"),
            stake=STAKES["replica"],
            replicas=replicas,
            peers=peers,
        )
    for i in range(AGGREGATORS):
        fraud: dict[str, Any] = {"fraud": plan.fraud, "fraud_round": plan.fraud_round} if i == plan.culprit else {}
        processes[f"aggregator{i}"] = partial(
            AggregatorConfig, **role, listen=peers[i], threads=1, stake=compute_stake(plan), **fraud
        )
    for i in range(NODES):
        processes[f"validator{i}"] = partial(ValidatorConfig, **role, listen=peers[AGGREGATORS + i], threads=1)
    options = [{"client": i, "clients": plan.clients, "seed": plan.seed} for i in range(plan.clients)]
    byzantine = {"attack": plan.attack, "colluders": [options[i] for i in plan.byzantine_clients]}
    for i in range(plan.clients):
        played: dict[str, Any] = byzantine if i in plan.byzantine_clients else {}
        processes[f"client{i}"] = partial(
            ClientConfig, **role, stake=STAKES["client"], trainer_options=options[i], **played
        )
    processes["requester"] = partial(
        TaskConfig, **role, model_options={"seed": plan.seed}, parameters=_parameters(plan)
    )
    return processes


def compute_stake(plan: Plan) -> int:
    """An aggregator's: more than the task of `plan` requires of it, since each missed turn takes a little."""
    sizes: dict[str, Any] = {name: value for name, value in _parameters(plan).items() if isinstance(value, int)}
    parameters = transaction_pb2.TaskParameters(**sizes)
    tasks.fill_defaults(parameters)
    return max(STAKES["aggregator"], tasks.compute_required_stake(parameters) * 6 // 5)


def _parameters(plan: Plan) -> dict[str, Any]:
    def keys(role: str, count: int) -> list[str]:
        return [f"keys/{role}{i}.json" for i in range(count)]

    return {
        "name": "digits",
        "rule": plan.rule,
        "chunk_values": CHUNK_VALUES,
        "fraction_bits": FRACTION_BITS,
        "rounds": plan.rounds,
        "clients_per_round": plan.clients,
        "min_updates": plan.min_updates,
        **({"update_bits": 8, "update_shift": UPDATE_SHIFT} if plan.update_bits == 8 else {}),
        **PARAMETERS,
        "aggregators": keys("aggregator", AGGREGATORS),
        "clients": keys("client", plan.clients),
        "replicas": keys("replica", REPLICAS),
    }
