"""A whole federation under a virtual clock: roles that crash and come back, a network that delays and loses.

    result = run_federation(Scenario(seed=7))

The same seed gives the same trace, byte for byte, in every process.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import json
import logging
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from offchain.adapters.memory import MemoryBlobs, MemoryJournal, MemoryNetwork
from offchain.adversaries.accomplices import Accomplices
from offchain.adversaries.aggregator import AGGREGATORS
from offchain.adversaries.challenger import CHALLENGERS
from offchain.adversaries.client import CLIENTS
from offchain.adversaries.proposer import PROPOSERS, Sign
from offchain.adversaries.replica import REPLICAS
from offchain.adversaries.requester import REQUESTERS
from offchain.adversaries.validator import VALIDATORS
from offchain.interfaces import Blobs, Connections, Int16Vector, Int32Vector, Ledger
from offchain.roles.aggregator import Aggregator, AggregatorOptions, run_aggregator
from offchain.roles.client import run_client
from offchain.roles.computing import FloatAggregate, compute_float_model, inline
from offchain.roles.keeping import work_on_task
from offchain.roles.requester import create_task, start_task, wait_for_aggregators
from offchain.roles.signing import Signer
from offchain.roles.upkeep import look_after
from offchain.roles.validator import Validator, watch_with
from offchain.roles.watching import Cost, parse_policy
from offchain.storage.ballots import ExchangedBallots
from offchain.storage.memory import MemoryStore
from offchain.storage.protocol import Handle, Verb
from offchain.storage.service import ReplicaService
from offchain.storage.store import BlobStore, NotStored
from optfl.aggregation import Aggregation, aggregate
from optfl.beacon import HashChain
from optfl.certificates import Statement, sign_receipt
from optfl.keys import SigningKey
from optfl.rules import RoundFacts, Rule, parse_rule
from optfl.tasks import parse_plugin
from optfl.vectors import ChunkedVector
from optfl.wire import state_pb2, transaction_pb2
from optfl_sim.adversaries import Part, Sizes, find_broken_assumptions, find_culprits, parse_cast
from optfl_sim.chain import SimulatedChain, SimulatedLedger
from optfl_sim.checkers import Checkers, CheckFailed, Report
from optfl_sim.clock import run_virtually
from optfl_sim.meters import Meter
from optfl_sim.reporter import report_double_votes

log = logging.getLogger(__name__)

CHAIN_ID = "optfl-simulation"
BALANCE = 1_000_000_000
STAKES = {"aggregator": 20_000_000, "replica": 2_000_000, "client": 200_000, "validator": 20_000_000}
BLOCK_SECONDS = 1.0
BEACON_REVEALS = 1 << 14  # of a validator's hash chain: more blocks of its own than any scenario has
FRACTION_BITS = 12
MODES = ("optimistic", "quorum", "pbft")  # in the order of the wire's numbers


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
    mode: str = "optimistic"  # one of MODES
    parameters: Mapping[str, int] = field(default_factory=dict)  # of the task, in place of those below
    floats: Mapping[str, FloatAggregate] = field(default_factory=dict)  # by name; with the rule "float(name)"
    watching: Mapping[str, str] = field(default_factory=dict)  # validator -> policy; by default "full"
    verify_parents: bool = False  # whether aggregators re-execute what they build on
    length: int = 64
    adversaries: Mapping[str, str] = field(default_factory=dict)  # party -> what it plays, e.g. "wrong-chunk@5"
    mean_seconds_between_crashes: float = 2000.0  # of each role; 0: none crashes
    mean_seconds_down: float = 3.0
    max_seconds_down: float = 5.0  # who is away for most of a turn may be late, and pay for it
    max_delay_seconds: float = 0.4  # of a message
    loss_rate: float = 0.01  # of messages
    delays_by_block: bool = False  # drawn anew at each height: what differs in one block does not change all later luck
    max_seconds: float = 20_000.0  # the run fails if the task has not ended by then

    @property
    def sizes(self) -> Sizes:
        return Sizes(self.aggregators, self.clients, self.replicas, self.validators)


@dataclass(frozen=True)
class Result:
    """The chain that came out of a scenario. `trace` has each block's height, app hash and events."""

    chain: SimulatedChain
    task: state_pb2.TaskView
    names: dict[bytes, str]
    crashes: int
    virtual_seconds: float
    report: Report
    costs: Mapping[str, Sequence[Cost]]  # of each life of an aggregator or a validator
    meters: Mapping[str, Meter]  # by party

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
    """Run `scenario` to the end of its task.

    Raises CheckFailed if a checker found something that no broken assumption excuses; CastError; and whatever a role or
    the ledger has as a bug.
    """
    result = run_and_report(scenario)
    if result.report.violations and not result.report.broken_assumptions:
        raise CheckFailed("; ".join(result.report.violations[:5]))
    return result


def run_and_report(scenario: Scenario) -> Result:
    """`run_federation` that leaves it to its caller to look at the report's violations."""
    return run_virtually(_Federation(scenario).run())


class _Federation:
    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        counts = {"aggregator": scenario.aggregators, "replica": scenario.replicas, "client": scenario.clients}
        counts["validator"] = scenario.validators
        self._keys = {
            f"{role}{i}": self._make_key(f"{role}{i}") for role, count in counts.items() for i in range(count)
        }
        self._cast = parse_cast(scenario.adversaries, scenario.sizes)
        extra = ["requester", "sybil", "reporter", *(who for who in self._cast if who.startswith("challenger"))]
        self._keys |= {name: self._make_key(name) for name in extra}
        self._beacons = [
            HashChain(self._make_key(f"validator{i}/beacon").seed, BEACON_REVEALS) for i in range(scenario.validators)
        ]
        consensus_keys = [self._make_key(f"validator{i}/consensus") for i in range(scenario.validators)]
        self._chain = SimulatedChain(
            CHAIN_ID,
            self._build_genesis(),
            BLOCK_SECONDS,
            scenario.seed,
            {
                key.address: beacon
                for i, (key, beacon) in enumerate(zip(consensus_keys, self._beacons, strict=True))
                if f"proposer{i}" not in self._cast or PROPOSERS[self._cast[f"proposer{i}"].name].reveals
            },
        )
        for who, part in self._cast.items():
            if who.startswith("proposer"):
                key = self._make_key(f"{who.replace('proposer', 'validator')}/consensus")
                operator = self._keys[who.replace("proposer", "validator")]
                self._chain.censors[key.address] = partial(self._censor, part, partial(self._chain.sign, operator))
        self._checkers = Checkers(
            names={key.address: name for name, key in self._keys.items()},
            culprits=find_culprits(self._cast) | {"sybil"},
            find_vector=self._find_vector,
            compute_float=self._compute_float,
        )
        self._chain.observers.append(self._checkers.check_block)
        self._stores: dict[bytes, BlobStore] = {}
        self._network = MemoryNetwork()
        self._journals = {name: MemoryJournal() for name in self._keys}
        self._slowness: dict[bytes, float] = {}  # seconds that a bad replica takes for an answer
        self._down: set[bytes] = set()  # replicas that do not answer now
        self._crashes = 0
        self._costs: dict[str, list[Cost]] = {}  # by party, one for each of its lives
        self._meters: defaultdict[str, Meter] = defaultdict(Meter)

    async def run(self) -> Result:
        scenario = self._scenario
        self._make_replicas()
        try:
            async with asyncio.timeout(scenario.max_seconds), asyncio.TaskGroup() as world:
                background = world.create_task(self._chain.run())
                await self._register_all()
                await self._play(await self._create_task())
                background.cancel()
        except TimeoutError:
            self._checkers.fail(self._chain.height, f"the task did not end within {scenario.max_seconds} s")
        code, value = self._chain.query("/task", (1).to_bytes(8, "big"))
        if code != 0:
            raise LookupError("the task is gone")
        return Result(
            self._chain,
            state_pb2.TaskView.FromString(value),
            {key.address: name for name, key in self._keys.items()},
            self._crashes,
            asyncio.get_running_loop().time(),
            self._checkers.build_report(find_broken_assumptions(self._cast, scenario.sizes, scenario.mode)),
            self._costs,
            self._meters,
        )

    async def _play(self, task_id: int) -> None:
        """Everybody's part in the task, until it has ended."""
        async with asyncio.TaskGroup() as roles:
            for name, role in self._make_roles(task_id).items():
                roles.create_task(self._keep_running(name, role))
            for i in range(self._scenario.replicas):
                roles.create_task(self._run_replica(f"replica{i}", task_id))
            for name, part in self._cast.items():
                if name.startswith("challenger"):
                    roles.create_task(self._run_challenger(name, part, task_id))
            if any(part.name == "double-voter" for part in self._cast.values()):
                reporter = self._connect("reporter").ledger
                roles.create_task(report_double_votes(reporter, self._chain.list_pending, task_id))
            if (plays := self._cast.get("requester")) is not None:
                roles.create_task(self._run_byzantine_requester(plays, task_id))
            roles.create_task(self._start_task(task_id))

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
        world = self._connect(name)
        if (part := self._cast.get(name)) is None:
            await run_client(task_id, world.ledger, world.blobs, trainer, inline)
            return
        client = CLIENTS[part.name](
            world.ledger, world.blobs, trainer, inline, from_round=part.from_round, accomplices=self._find_accomplices()
        )
        await work_on_task(world.ledger, task_id, client.act, client.kept)

    async def _run_aggregator(self, index: int, task_id: int) -> None:
        aggregator = self._make_aggregator(index)
        self._costs.setdefault(f"aggregator{index}", []).append(aggregator.cost)
        await run_aggregator(aggregator, task_id)

    async def _run_validator(self, name: str, task_id: int) -> None:
        world = self._connect(name)
        make: Callable[..., Validator] = Validator
        if (part := self._cast.get(name)) is not None:
            kind = VALIDATORS[part.name]
            make = partial(kind, from_round=part.from_round, accomplices=self._find_accomplices())
        await watch_with(self._make_validator(make, name, world), task_id)

    def _make_validator(self, make: Callable[..., Validator], name: str, world: Connections) -> Validator:
        scenario = self._scenario
        validator = make(
            world.ledger,
            world.blobs,
            self._meters[name].wrap_kernel(aggregate_reference),
            policy=parse_policy(scenario.watching.get(name, "full")),
            signer=self._make_signer(name, world),
            floats=self._meters[name].wrap_floats(scenario.floats),
            compute=inline,
            evaluate=SyntheticTrainer(scenario.seed, 0, scenario.length).evaluate,
            private_seed=self._keys[name].seed,
        )
        self._costs.setdefault(name, []).append(validator.cost)
        return validator

    def _make_signer(self, name: str, world: Connections) -> Signer:
        return Signer(self._keys[name], world.journal, world.ballots)

    async def _run_challenger(self, name: str, part: Part, task_id: int) -> None:
        world = self._connect(name)
        kind = CHALLENGERS[part.name]
        make = partial(kind, from_round=part.from_round, accomplices=self._find_accomplices())
        await watch_with(self._make_validator(make, name, world), task_id)

    async def _run_byzantine_requester(self, part: Part, task_id: int) -> None:
        ledger, blobs = self._requester
        await REQUESTERS[part.name](ledger, blobs, task_id, part.from_round)

    def _make_aggregator(self, index: int) -> Aggregator:
        world, meter = self._connect(f"aggregator{index}"), self._meters[f"aggregator{index}"]
        kernel = meter.wrap_kernel(aggregate_reference)
        options: AggregatorOptions = {
            "signer": self._make_signer(f"aggregator{index}", world),
            "floats": meter.wrap_floats(self._scenario.floats),
            "compute": inline,
            "verify_parents": self._scenario.verify_parents,
        }
        part = self._cast.get(f"aggregator{index}")
        if part is None:
            return Aggregator(world.ledger, world.blobs, kernel, **options)
        return AGGREGATORS[part.name](
            world.ledger,
            world.blobs,
            kernel,
            from_round=part.from_round,
            accomplices=self._find_accomplices(),
            **options,
        )

    def _find_accomplices(self) -> Accomplices:
        """Whoever deviates helps whoever else does."""
        replicas = [i for i in range(self._scenario.replicas) if f"replica{i}" in self._cast]
        aggregators = [name for name in self._cast if name.startswith("aggregator")]

        def sign_receipts(statement: Statement) -> list[tuple[int, bytes]]:
            return [(i, sign_receipt(self._keys[f"replica{i}"], statement)) for i in replicas]

        return Accomplices(
            sign_receipts=sign_receipts,
            sybil=self._connect("sybil").ledger,
            peek=self._chain.list_pending,
            aggregators=frozenset(self._keys[name].address for name in aggregators),
        )

    def _censor(self, part: Part, sign: Sign, txs: Sequence[bytes]) -> list[bytes]:
        is_due = self._checkers.newest_round >= part.from_round
        return PROPOSERS[part.name].choose(txs, sign) if is_due else list(txs)

    def _compute_float(
        self,
        name: str,
        parameters: transaction_pb2.TaskParameters,
        base: Int32Vector,
        updates: Sequence[Int16Vector],
        weights: Sequence[int],
    ) -> Int32Vector:
        return compute_float_model(self._scenario.floats[name], parameters.fraction_bits, base, updates, weights)

    def _find_vector(self, vector_id: bytes) -> ChunkedVector | None:
        """What any replica stores; the checkers see into all of them."""
        for store in self._stores.values():
            with contextlib.suppress(NotStored):
                return store.read(vector_id)
        return None

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
            self._network.disconnect(self._keys[name].address)
            self._crashes += 1
            await asyncio.sleep(self._draw_downtime(draw))

    async def _run_replica(self, name: str, task_id: int) -> None:
        """A replica's duties until the task ends. Down now and then, one at a time (f = 1); what it stored stays."""
        address = self._keys[name].address
        draw = self._random("crashes", address.hex())
        while True:
            world = self._connect(name)
            duties = asyncio.ensure_future(
                look_after(task_id, world.ledger, world.blobs, self._stores[address], run_at_once)
            )
            may_crash = False
            while not may_crash:
                done, _ = await asyncio.wait([duties], timeout=self._draw_uptime(draw))
                if done:
                    return await duties
                may_crash = not self._down
            self._down.add(address)
            duties.cancel()
            await asyncio.wait([duties])
            self._crashes += 1
            await asyncio.sleep(self._draw_downtime(draw))
            self._down.discard(address)

    def _draw_uptime(self, draw: random.Random) -> float | None:
        mean = self._scenario.mean_seconds_between_crashes
        return draw.expovariate(1 / mean) if mean else None

    def _draw_downtime(self, draw: random.Random) -> float:
        scenario = self._scenario
        return min(draw.expovariate(1 / scenario.mean_seconds_down), scenario.max_seconds_down)

    def _connect(self, name: str) -> Connections:
        """The world as the account `name` reaches it, through the faulty network."""
        key = self._keys[name]
        draws = {0: self._random("network", name)}  # by height, the newest
        scenario = self._scenario

        def draw() -> random.Random:
            height = self._chain.height if scenario.delays_by_block else 0
            if height not in draws:
                draws.clear()
                draws[height] = self._random("network", name, str(height))
            return draws[height]

        def delay() -> float:
            return draw().uniform(0.0, scenario.max_delay_seconds)

        def failure() -> bool:
            return draw().random() < scenario.loss_rate

        async def deliver(account: bytes, verb: Verb, handle: Handle, request: bytes) -> bytes | None:
            await asyncio.sleep(delay() + self._slowness.get(account, 0.0))
            answer = None if account in self._down or failure() else handle(request)
            self._meters[name].count_message(verb, request, answer)
            return answer

        ledger = SimulatedLedger(self._chain, key, delay, failure)
        blobs = MemoryBlobs(self._network, key, ledger, deliver)
        ballots = ExchangedBallots(blobs.transport, key.address)
        return Connections(ledger, blobs, ballots, self._journals[name])

    def _make_replicas(self) -> None:
        def read_task(task_id: int, *, fresh: bool) -> state_pb2.TaskView | None:
            code, value = self._chain.query("/task", task_id.to_bytes(8, "big"))
            return state_pb2.TaskView.FromString(value) if code == 0 else None

        for i in range(self._scenario.replicas):
            key = self._keys[f"replica{i}"]
            store: BlobStore = MemoryStore()
            if (part := self._cast.get(f"replica{i}")) is None:
                service = ReplicaService(CHAIN_ID, key, store, read_task)
            else:
                kind = REPLICAS[part.name]
                store = kind.bend_store(store, part.from_round)
                service = kind(CHAIN_ID, key, store, read_task, from_round=part.from_round)
                self._slowness[key.address] = kind.delay_seconds
            self._stores[key.address] = store
            self._network.serve(key.address, "put", service.handle_put)
            self._network.serve(key.address, "get", service.handle_get)

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
        return await create_task(self._requester[0], self._build_parameters(), self._make_model())

    async def _start_task(self, task_id: int) -> None:
        ledger, blobs = self._requester
        await wait_for_aggregators(ledger, task_id)
        await start_task(ledger, blobs, task_id, self._make_model())

    @functools.cached_property
    def _requester(self) -> tuple[Ledger, Blobs]:
        """The requester's network loses nothing."""
        key = self._keys["requester"]
        ledger = SimulatedLedger(self._chain, key, lambda: 0.0, lambda: False)
        return ledger, MemoryBlobs(self._network, key, ledger)

    def _make_model(self) -> Int32Vector:
        return np.zeros(self._scenario.length, dtype=np.int32)

    def _build_parameters(self) -> transaction_pb2.TaskParameters:
        scenario = self._scenario
        is_float = parse_plugin(scenario.rule) is not None
        least = 1 if is_float else parse_rule(scenario.rule).minimum_updates
        parameters = transaction_pb2.TaskParameters(
            name="simulation",
            rule=scenario.rule,
            arithmetic=transaction_pb2.ARITHMETIC_FLOAT if is_float else transaction_pb2.ARITHMETIC_EXACT,
            mode=f"MODE_{scenario.mode.upper()}",
            length=scenario.length,
            chunk_values=16,
            fraction_bits=FRACTION_BITS,
            rounds=scenario.rounds,
            clients_per_round=scenario.clients_per_round,
            min_updates=max(least, scenario.clients_per_round // 2),
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
        for name, value in scenario.parameters.items():
            setattr(parameters, name, value)
        return parameters

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
                        "beacon_anchor": self._beacons[i].anchor.hex(),
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


async def run_at_once(function: Callable[..., Any], *arguments: Any) -> Any:
    """What waits for a disk elsewhere: here no time passes."""
    return function(*arguments)


def aggregate_reference(
    rule: Rule, base: Int32Vector, updates: Sequence[Int16Vector], facts: RoundFacts
) -> Aggregation:
    """The reference rules, for a world in which vectors are short and nobody waits for a compiler."""
    return aggregate(rule, base, updates, facts, len(base))


def _draw_optimum(seed: int, length: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng((seed, length)).integers(-20_000, 20_001, length)
