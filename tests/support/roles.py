"""A ledger and storage for one role, in memory, and a task with one round: what a role makes of a view, and no more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from offchain.interfaces import BlobUnavailable, SignedDigest, TransactionResult
from offchain.roles.computing import inline
from optfl.aggregation import Aggregation, aggregate
from optfl.ballots import encode_ballot, strip_digest
from optfl.certificates import Statement
from optfl.keys import SigningKey
from optfl.rules import RoundFacts, Rule, parse_rule
from optfl.tasks import expand_update, fill_defaults, model_shape, trace_shape, update_shape
from optfl.vectors import ChunkedVector, Opening, Shape, compute_vector_id
from optfl.wire import receipt_pb2, state_pb2, transaction_pb2

CHAIN_ID = "optfl-roles"
LENGTH, CHUNK_VALUES = 64, 16
OK = TransactionResult(0, "", 1, b"")

__all__ = ["CHAIN_ID", "FakeBallots", "FakeBlobs", "FakeLedger", "World", "compute", "inline", "make_key"]


def make_key(name: str) -> SigningKey:
    return SigningKey.from_seed(name.encode().ljust(32, b".")[:32])


def compute(
    rule: Rule, base: npt.NDArray[np.int32], updates: Sequence[npt.NDArray[np.int16]], facts: RoundFacts
) -> Aggregation:
    return aggregate(rule, base, updates, facts, len(base))


@dataclass
class FakeLedger:
    """Takes everything, unless `refuse` says otherwise, and keeps it."""

    address: bytes
    chain_id: str = CHAIN_ID
    submitted: list[transaction_pb2.Body] = field(default_factory=list)
    stakes: dict[bytes, list[state_pb2.Stake]] = field(default_factory=dict)
    refuse: Callable[[transaction_pb2.Body], TransactionResult] = lambda _: OK
    views: list[state_pb2.TaskView] = field(default_factory=list)  # one for each block

    async def wait_for_block(self, after_height: int) -> int:
        return after_height + 1

    async def wait_for_change(self, task_id: int, after_height: int) -> int:
        return after_height + 1

    async def get_task(self, task_id: int) -> state_pb2.TaskView | None:
        return self.views.pop(0) if len(self.views) > 1 else self.views[0]

    async def list_tasks(self) -> Sequence[state_pb2.Task]:
        return [view.task for view in self.views[:1]]

    async def get_stakes(self, address: bytes) -> Sequence[state_pb2.Stake]:
        return self.stakes.get(address, [])

    async def submit(self, body: transaction_pb2.Body) -> TransactionResult:
        self.submitted.append(body)
        return self.refuse(body)

    @property
    def kinds(self) -> list[str | None]:
        return [body.WhichOneof("kind") for body in self.submitted]


@dataclass
class FakeBlobs:
    """Vectors by id; `sources` says who was asked for each. Those whose id is in `lost` cannot be had."""

    vectors: dict[bytes, ChunkedVector] = field(default_factory=dict)
    lost: set[bytes] = field(default_factory=set)
    offered: list[bytes] = field(default_factory=list)
    fetched: list[tuple[bytes, int | None]] = field(default_factory=list)  # id, chunk
    sources: dict[bytes, list[bytes]] = field(default_factory=dict)

    def add(self, vector: ChunkedVector) -> ChunkedVector:
        self.vectors[vector.id] = vector
        return vector

    def _find(self, vector_id: bytes, replicas: Sequence[bytes], chunk: int | None) -> ChunkedVector:
        self.sources[vector_id] = list(replicas)
        self.fetched.append((vector_id, chunk))
        if vector_id in self.lost or vector_id not in self.vectors:
            raise BlobUnavailable(f"nobody has {vector_id.hex()}")
        return self.vectors[vector_id]

    async def put(self, statement: Statement, shape: Shape, data: bytes, quorum: int) -> receipt_pb2.Certificate:
        self.add(ChunkedVector(shape, data))
        return receipt_pb2.Certificate(retain_until_height=statement.retain_until_height)

    async def get(self, task_id: int, shape: Shape, vector_id: bytes, replicas: Sequence[bytes]) -> bytes:
        return self._find(vector_id, replicas, None).data

    async def get_chunk(
        self, task_id: int, shape: Shape, root: bytes, chunk: int, replicas: Sequence[bytes]
    ) -> Opening:
        return self._find(compute_vector_id(shape, root), replicas, chunk).opening(chunk)

    async def offer(self, task_id: int, shape: Shape, vector_id: bytes, data: bytes) -> None:
        self.offered.append(vector_id)


class FakeBallots:
    """One member's ballots; all members made with the same `board` see one another's."""

    def __init__(self, address: bytes, board: dict[tuple[bytes, bytes], SignedDigest]) -> None:
        self._address = address
        self._board = board

    async def publish(self, ballot: transaction_pb2.Ballot, signature: bytes) -> None:
        key = (self._address, encode_ballot(strip_digest(ballot)))
        self._board[key] = SignedDigest(self._address, ballot.digest, signature)

    async def collect(self, question: transaction_pb2.Ballot, members: Sequence[bytes]) -> list[SignedDigest]:
        encoded = encode_ballot(strip_digest(question))
        found = [self._board.get((member, encoded)) for member in members]
        return [answer for answer in found if answer is not None]


class World:
    """A task whose round 1 is being aggregated, or is open with an attempt, and the blobs that belong to it."""

    def __init__(self, *, updates: int = 3, rule: str = "median()", **parameters: int) -> None:
        self.blobs = FakeBlobs()
        self.clients = [make_key(f"client{i}") for i in range(updates + 1)]  # the last one has not committed
        self.aggregator = make_key("aggregator")
        self.validators = [make_key(f"validator{i}") for i in range(4)]
        self.parameters = transaction_pb2.TaskParameters(
            rule=rule,
            length=LENGTH,
            chunk_values=CHUNK_VALUES,
            fraction_bits=8,
            rounds=3,
            clients_per_round=updates + 1,
            min_updates=1,
            max_weight=100,
            aggregation_blocks=40,
            min_window_blocks=8,
            aggregators=[self.aggregator.address],
            clients=[client.address for client in self.clients],
            replicas=[make_key("replica").address],
        )
        for name, value in parameters.items():
            setattr(self.parameters, name, value)
        fill_defaults(self.parameters)
        random = np.random.default_rng(1)
        self.base = self.add_model(random.integers(-1000, 1000, LENGTH, dtype=np.int32))
        self.updates = [self.add_update(random.integers(-200, 200, LENGTH, dtype=np.int16)) for _ in range(updates)]
        self.weights = list(range(1, updates + 1))

    def add_model(self, values: npt.NDArray[np.int32]) -> ChunkedVector:
        return self.blobs.add(ChunkedVector(model_shape(self.parameters), values))

    def add_update(self, values: npt.NDArray[np.int16]) -> ChunkedVector:
        shape = update_shape(self.parameters)
        limits = np.iinfo(shape.dtype)
        return self.blobs.add(ChunkedVector(shape, np.clip(values, limits.min, limits.max).astype(shape.dtype)))

    @property
    def task(self) -> state_pb2.Task:
        return state_pb2.Task(task_id=1, status=state_pb2.TASK_STATUS_RUNNING, parameters=self.parameters, head_round=1)

    def make_round(self, **fields: int) -> state_pb2.Round:
        """Round 1, in the first turn."""
        current = state_pb2.Round(
            task_id=1,
            round=1,
            status=state_pb2.ROUND_STATUS_AGGREGATING,
            base_root=self.base.root,
            selected=[client.address for client in self.clients],
            committed=len(self.updates),
            aggregator=self.aggregator.address,
            turn_start_height=10,
            aggregation_deadline_height=50,
        )
        for name, value in fields.items():
            setattr(current, name, value)
        return current

    def add_claim(self, made: Aggregation, **fields: int) -> state_pb2.Attempt:
        """An attempt that claims `made`, whose vectors are stored."""
        attempt = self.make_attempt(self.add_model(made.model), **fields)
        if made.trace is not None:
            trace = self.blobs.add(ChunkedVector(trace_shape(self.parameters, len(self.updates)), made.trace))
            attempt.reduction.trace_root = trace.root
            attempt.reduction.weights.extend(made.weights)
        return attempt

    def make_attempt(self, model: ChunkedVector, **fields: int) -> state_pb2.Attempt:
        attempt = state_pb2.Attempt(
            task_id=1,
            attempt_id=1,
            round=1,
            aggregator=self.aggregator.address,
            base_root=self.base.root,
            inputs=[
                state_pb2.Input(client=client.address, update_root=update.root, weight=weight)
                for client, update, weight in zip(self.clients, self.updates, self.weights, strict=False)
            ],
            rule=self.parameters.rule,
            model_root=model.root,
            status=state_pb2.ATTEMPT_STATUS_OPEN,
            freeze_height=10,
            submit_height=12,
            window_close_height=20,
        )
        for name, value in fields.items():
            setattr(attempt, name, value)
        return attempt

    def make_view(
        self, height: int = 12, *, current: state_pb2.Round | None = None, attempt: state_pb2.Attempt | None = None
    ) -> state_pb2.TaskView:
        if current is None:
            current = self.make_round()
            if attempt is not None:
                current.status = state_pb2.ROUND_STATUS_OPEN
                current.attempt_id = attempt.attempt_id
        commitments = [
            state_pb2.IndexedCommitment(
                index=i,
                commitment=state_pb2.Commitment(
                    client=self.clients[i].address, update_root=update.root, weight=self.weights[i]
                ),
            )
            for i, update in enumerate(self.updates)
        ]
        return state_pb2.TaskView(
            height=height,
            task=self.task,
            rounds=[current],
            commitments=[state_pb2.RoundCommitments(commitments=commitments)],
            attempts=[] if attempt is None else [attempt],
            validators=sorted(validator.address for validator in self.validators),
        )

    def compute_model(self) -> npt.NDArray[np.int32]:
        """What an honest aggregator makes."""
        return self.compute_aggregation().model

    def compute_aggregation(self) -> Aggregation:
        facts = RoundFacts(tuple(self.weights), self.make_round().beacon)
        updates = [expand_update(self.parameters, update.values) for update in self.updates]
        return compute(parse_rule(self.parameters.rule), self.base.values, updates, facts)
