"""A whole federation under a virtual clock: roles that crash and come back, a network that delays and loses.

    result = run_federation(Scenario(seed=7))

The same seed gives the same trace, byte for byte, in every process.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt

from offchain.adapters.memory import MemoryBlobs
from offchain.interfaces import Blobs, Int16Vector, Int32Vector, Ledger
from offchain.roles.aggregator import Aggregator, run_aggregator
from offchain.roles.byzantine import FRAUDS
from offchain.roles.client import run_client
from offchain.roles.requester import create_task, start_task
from offchain.roles.validator import run_validator
from offchain.storage.memory import MemoryStore
from offchain.storage.protocol import Verb
from offchain.storage.service import ReplicaService
from optfl.aggregation import aggregate
from optfl.keys import SigningKey
from optfl.rules import Rule, parse_rule
from optfl.wire import state_pb2, transaction_pb2
from optfl_sim.chain import SimulatedChain, SimulatedLedger
from optfl_sim.clock import run_virtually

log = logging.getLogger(__name__)

CHAIN_ID = "optfl-simulation"
BALANCE = 1_000_000_000
STAKES = {"aggregator": 20_000_000, "replica": 2_000_000, "client": 200_000, "validator": 20_000_000}
BLOCK_SECONDS = 1.0
FRACTION_BITS = 12


@dataclass(frozen=True)
class Scenario:
    """Who takes part and what goes wrong. Times are virtual seconds, rates are per role."""

    seed: int
    clients: int = 100
    aggregators: int = 10
    replicas: int = 4
    validators: int = 4
    rounds: int = 50
    clients_per_round: int = 20
    rule: str = "trimmed_mean(f=2)"
    length: int = 64
    frauds: dict[int, tuple[str, int]] = field(default_factory=dict)  # aggregator -> (fraud, from round)
    mean_seconds_between_crashes: float = 2000.0  # of each role; 0: none crashes
    mean_seconds_down: float = 20.0
    max_delay_seconds: float = 0.4  # of a message
    loss_rate: float = 0.01  # of messages
    max_seconds: float = 20_000.0  # the run fails if the task has not ended by then


@dataclass(frozen=True)
class Result:
    """The chain that came out of a scenario. `trace` has each block's height, app hash and events."""

    chain: SimulatedChain
    task: state_pb2.TaskView
    names: dict[bytes, str]
    crashes: int
    virtual_seconds: float

    @property
    def trace_hash(self) -> str:
        """SHA-256 over all that happened on the ledger."""
        return hashlib.sha256(repr(self.chain.trace).encode()).hexdigest()


class SyntheticTrainer:
    """A Trainer for a toy problem: pull the model towards a point that differs a little from client to client."""

    def __init__(self, seed: int, client: int, length: int) -> None:
        self._optimum = _draw_optimum(seed, length)
        self._target = self._optimum + np.random.default_rng((seed, client)).integers(-200, 201, length)
        self._examples = 50 + client % 100

    def train(self, model: Int32Vector, seed: int) -> tuple[Int16Vector, int]:
        noise = np.random.default_rng(seed).integers(-50, 51, model.size)
        step = (self._target - model) // 3 + noise
        return np.clip(step, -32768, 32767).astype(np.int16), self._examples

    def evaluate(self, model: Int32Vector) -> float:
        distance = float(np.abs(self._optimum - model).mean())
        return 1.0 / (1.0 + distance / 1000.0)


def run_federation(scenario: Scenario) -> Result:
    """Run `scenario` to the end of its task. Raises TimeoutError, and whatever a role or the ledger has as a bug."""
    return run_virtually(_Federation(scenario).run())


class _Federation:
    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        counts = {"aggregator": scenario.aggregators, "replica": scenario.replicas, "client": scenario.clients}
        counts["validator"] = scenario.validators
        self._keys = {
            f"{role}{i}": self._make_key(f"{role}{i}") for role, count in counts.items() for i in range(count)
        }
        self._keys["requester"] = self._make_key("requester")
        self._chain = SimulatedChain(CHAIN_ID, self._build_genesis(), BLOCK_SECONDS, scenario.seed)
        self._services: dict[bytes, ReplicaService] = {}
        self._down: set[bytes] = set()  # replicas that do not answer now
        self._crashes = 0

    async def run(self) -> Result:
        scenario = self._scenario
        self._make_replicas()
        background = [asyncio.create_task(self._chain.run())]
        try:
            async with asyncio.timeout(scenario.max_seconds):
                await self._register_all()
                task_id = await self._create_task()
                background += [asyncio.create_task(self._crash_replica(key)) for key in self._services]
                async with asyncio.TaskGroup() as roles:
                    for name, role in self._make_roles(task_id).items():
                        roles.create_task(self._keep_running(name, role))
        finally:
            for task in background:
                task.cancel()
        code, value = self._chain.query("/task", task_id.to_bytes(8, "big"))
        if code != 0:
            raise LookupError(f"task {task_id} is gone")
        names = {key.address: name for name, key in self._keys.items()}
        return Result(
            self._chain, state_pb2.TaskView.FromString(value), names, self._crashes, asyncio.get_running_loop().time()
        )

    def _make_roles(self, task_id: int) -> dict[str, Callable[[], Awaitable[None]]]:
        """Each role by its name, as a function that starts it afresh: what a process is after a crash."""
        scenario = self._scenario
        roles: dict[str, Callable[[], Awaitable[None]]] = {}
        for i in range(scenario.clients):
            trainer = SyntheticTrainer(scenario.seed, i, scenario.length)
            roles[f"client{i}"] = partial(self._run_client, f"client{i}", task_id, trainer)
        for i in range(scenario.aggregators):
            roles[f"aggregator{i}"] = partial(self._run_aggregator, i, task_id)
        for i in range(scenario.validators):
            roles[f"validator{i}"] = partial(self._run_validator, f"validator{i}", task_id)
        return roles

    async def _run_client(self, name: str, task_id: int, trainer: SyntheticTrainer) -> None:
        await run_client(task_id, *self._connect(name), trainer)

    async def _run_aggregator(self, index: int, task_id: int) -> None:
        await run_aggregator(self._make_aggregator(index), task_id)

    async def _run_validator(self, name: str, task_id: int) -> None:
        await run_validator(task_id, *self._connect(name), aggregate_reference)

    def _make_aggregator(self, index: int) -> Aggregator:
        ledger, blobs = self._connect(f"aggregator{index}")
        if index not in self._scenario.frauds:
            return Aggregator(ledger, blobs, aggregate_reference)
        fraud, from_round = self._scenario.frauds[index]
        return FRAUDS[fraud](ledger, blobs, aggregate_reference, from_round=from_round)

    async def _keep_running(self, name: str, role: Callable[[], Awaitable[None]]) -> None:
        """Run a role to its end through crashes at random times."""
        draw = self._random("crashes", name)
        while True:
            running = asyncio.ensure_future(role())
            seconds = self._draw_uptime(draw)
            done, _ = await asyncio.wait([running], timeout=seconds)
            if done:
                return await running
            running.cancel()
            await asyncio.wait([running])
            self._crashes += 1
            await asyncio.sleep(draw.expovariate(1 / self._scenario.mean_seconds_down))

    async def _crash_replica(self, address: bytes) -> None:
        """Take a replica down now and then; what it stored is there when it comes back. One at a time: f = 1."""
        draw = self._random("crashes", address.hex())
        while (seconds := self._draw_uptime(draw)) is not None:
            await asyncio.sleep(seconds)
            if self._down:
                continue
            self._down.add(address)
            self._crashes += 1
            await asyncio.sleep(draw.expovariate(1 / self._scenario.mean_seconds_down))
            self._down.discard(address)

    def _draw_uptime(self, draw: random.Random) -> float | None:
        mean = self._scenario.mean_seconds_between_crashes
        return draw.expovariate(1 / mean) if mean else None

    def _connect(self, name: str) -> tuple[Ledger, Blobs]:
        """Ledger and storage as the account `name` reaches them, through the faulty network."""
        key = self._keys[name]
        draw = self._random("network", name)
        scenario = self._scenario

        def delay() -> float:
            return draw.uniform(0.0, scenario.max_delay_seconds)

        def failure() -> bool:
            return draw.random() < scenario.loss_rate

        async def deliver(service: ReplicaService, verb: Verb, request: bytes) -> bytes | None:
            await asyncio.sleep(delay())
            if service.address in self._down or failure():
                return None
            return service.handle_put(request) if verb == "put" else service.handle_get(request)

        ledger = SimulatedLedger(self._chain, key, delay, failure)
        return ledger, MemoryBlobs(list(self._services.values()), key, ledger, deliver)

    def _make_replicas(self) -> None:
        def read_task(task_id: int, *, fresh: bool) -> state_pb2.TaskView | None:
            code, value = self._chain.query("/task", task_id.to_bytes(8, "big"))
            return state_pb2.TaskView.FromString(value) if code == 0 else None

        for i in range(self._scenario.replicas):
            key = self._keys[f"replica{i}"]
            self._services[key.address] = ReplicaService(CHAIN_ID, key, MemoryStore(), read_task)

    async def _register_all(self) -> None:
        roles = {
            "aggregator": transaction_pb2.ROLE_AGGREGATOR,
            "replica": transaction_pb2.ROLE_REPLICA,
            "client": transaction_pb2.ROLE_CLIENT,
        }

        async def register(name: str, role: transaction_pb2.Role, stake: int) -> None:
            ledger = SimulatedLedger(self._chain, self._keys[name], lambda: 0.0, lambda: False)
            registration = transaction_pb2.RegisterRole(role=role, stake=stake)
            result = await ledger.submit(transaction_pb2.Body(register_role=registration))
            if not result.accepted:
                raise RuntimeError(f"{name} cannot register: {result.log}")

        async with asyncio.TaskGroup() as group:
            for name in self._keys:
                kind = name.rstrip("0123456789")
                if kind in roles:
                    group.create_task(register(name, roles[kind], STAKES[kind]))

    async def _create_task(self) -> int:
        scenario = self._scenario
        ledger = SimulatedLedger(self._chain, self._keys["requester"], lambda: 0.0, lambda: False)
        blobs = MemoryBlobs(list(self._services.values()), self._keys["requester"], ledger)
        model = np.zeros(scenario.length, dtype=np.int32)
        task_id = await create_task(ledger, self._build_parameters(), model)
        await start_task(ledger, blobs, task_id, model)
        return task_id

    def _build_parameters(self) -> transaction_pb2.TaskParameters:
        scenario = self._scenario
        return transaction_pb2.TaskParameters(
            name="simulation",
            rule=scenario.rule,
            length=scenario.length,
            chunk_values=16,
            fraction_bits=FRACTION_BITS,
            rounds=scenario.rounds,
            clients_per_round=scenario.clients_per_round,
            min_updates=max(parse_rule(scenario.rule).minimum_updates, scenario.clients_per_round // 2),
            max_weight=1000,
            training_blocks=20,
            aggregation_blocks=10,
            min_window_blocks=12,
            window_factor_percent=200,
            max_attempts=5,
            pause_blocks=50,
            bandwidth_bytes_per_second=1_000_000,
            aggregator_reward=10_000,
            client_reward=1_000,
            validator_reward=4_000,
            replica_reward=1_000,
            aggregators=[self._keys[f"aggregator{i}"].address for i in range(scenario.aggregators)],
            clients=[self._keys[f"client{i}"].address for i in range(scenario.clients)],
            replicas=[self._keys[f"replica{i}"].address for i in range(scenario.replicas)],
        )

    def _build_genesis(self) -> bytes:
        return json.dumps(
            {
                "params": {"block_time_ms": int(1000 * BLOCK_SECONDS), "min_task_escrow": 0},
                "accounts": [{"address": key.address.hex(), "balance": BALANCE} for key in self._keys.values()],
                "validators": [
                    {
                        "operator_public_key": self._keys[f"validator{i}"].public_key.hex(),
                        "consensus_key": self._make_key(f"validator{i}/consensus").public_key.hex(),
                        "stake": STAKES["validator"],
                    }
                    for i in range(self._scenario.validators)
                ],
            }
        ).encode()

    def _make_key(self, name: str) -> SigningKey:
        return SigningKey.from_seed(hashlib.sha256(f"optfl/sim/{self._scenario.seed}/{name}".encode()).digest())

    def _random(self, *purpose: str) -> random.Random:
        """A stream of its own for each purpose: what one role draws does not change another's luck."""
        text = f"{self._scenario.seed}/{'/'.join(purpose)}"
        return random.Random(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big"))


def aggregate_reference(
    rule: Rule, base: Int32Vector, updates: Sequence[Int16Vector], sample_weights: Sequence[int]
) -> Int32Vector:
    """The reference rules, for a world in which vectors are short and nobody waits for a compiler."""
    return aggregate(rule, base, updates, sample_weights, len(base))


def _draw_optimum(seed: int, length: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng((seed, length)).integers(-20_000, 20_001, length)
