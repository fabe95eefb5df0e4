"""A task as replicas see it, with everyone in it, and what they send: shared by the tests of storage."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from offchain.interfaces import LedgerUnavailable
from offchain.storage import protocol
from offchain.storage.store import Kind
from optfl.certificates import Statement
from optfl.keys import SigningKey
from optfl.vectors import ChunkedVector, Shape
from optfl.wire import receipt_pb2, state_pb2, transaction_pb2

CHAIN_ID = "storage-test"
TASK_ID = 7
HEIGHT = 100
RETENTION_BLOCKS = 50
MAX_ATTEMPTS = 3
LENGTH, CHUNK_VALUES = 1001, 64  # an odd number of chunks, the last one short
UPDATE_SHAPE = Shape("int16", LENGTH, CHUNK_VALUES)
MODEL_SHAPE = Shape("int32", LENGTH, CHUNK_VALUES)

TRAINING = state_pb2.ROUND_STATUS_TRAINING
AGGREGATING = state_pb2.ROUND_STATUS_AGGREGATING
OPEN = state_pb2.ROUND_STATUS_OPEN


def make_key(name: str) -> SigningKey:
    """A key of its own for every name, the same in every run."""
    return SigningKey.from_seed(hashlib.sha256(name.encode()).digest())


REQUESTER = make_key("requester")
STRANGER = make_key("stranger")
REPLICAS = [make_key(f"replica-{i}") for i in range(4)]
AGGREGATORS = [make_key(f"aggregator-{i}") for i in range(3)]
VALIDATORS = [make_key(f"validator-{i}") for i in range(4)]
CLIENTS = [make_key(f"client-{i}") for i in range(5)]
SELECTED = CLIENTS[:3]
REPLICA_ADDRESSES = [key.address for key in REPLICAS]


def make_update(seed: int = 0) -> ChunkedVector:
    values = np.random.default_rng(seed).integers(-100, 100, LENGTH, dtype=np.int16)
    return ChunkedVector(UPDATE_SHAPE, values)


def make_model(seed: int = 0) -> ChunkedVector:
    values = np.random.default_rng(seed).integers(-1000, 1000, LENGTH, dtype=np.int32)
    return ChunkedVector(MODEL_SHAPE, values)


INITIAL_MODEL = make_model(12345)


def make_view(
    *rounds: tuple[int, state_pb2.RoundStatus],
    status: state_pb2.TaskStatus = state_pb2.TASK_STATUS_RUNNING,
    height: int = HEIGHT,
    settled_round: int = 0,
    attempts: Sequence[state_pb2.Attempt] = (),
    replicas: Sequence[SigningKey] = tuple(REPLICAS),
    selected: Sequence[SigningKey] = tuple(SELECTED),
    mode: transaction_pb2.Mode = transaction_pb2.MODE_OPTIMISTIC,
    members: Sequence[SigningKey] = (),
    commitments: Mapping[int, Sequence[state_pb2.Commitment]] | None = None,
    demands: Sequence[state_pb2.Demand] = (),
) -> state_pb2.TaskView:
    """A view with these live rounds: (round, status); `commitments` by round."""
    committed = commitments or {}
    return state_pb2.TaskView(
        height=height,
        task=state_pb2.Task(
            task_id=TASK_ID,
            requester=REQUESTER.address,
            parameters=transaction_pb2.TaskParameters(
                length=LENGTH,
                chunk_values=CHUNK_VALUES,
                aggregators=[key.address for key in AGGREGATORS],
                replicas=[key.address for key in replicas],
                max_attempts=MAX_ATTEMPTS,
                mode=mode,
            ),
            status=status,
            settled_round=settled_round,
            initial_model_root=INITIAL_MODEL.root,
            retention_blocks=RETENTION_BLOCKS,
        ),
        rounds=[
            state_pb2.Round(
                task_id=TASK_ID, round=number, status=round_status, selected=[key.address for key in selected]
            )
            for number, round_status in rounds
        ],
        commitments=[
            state_pb2.RoundCommitments(
                commitments=[
                    state_pb2.IndexedCommitment(index=index, commitment=commitment)
                    for index, commitment in enumerate(committed.get(number, ()))
                ]
            )
            for number, _ in rounds
        ],
        attempts=attempts,
        demands=demands,
        members=[state_pb2.Member(address=key.address, public_key=key.public_key, power=1) for key in members],
        replica_keys=[key.public_key for key in replicas],
    )


CREATED = make_view(status=state_pb2.TASK_STATUS_CREATED)


@dataclass
class FakeNode:
    """What a replica's or a role's node knows: as a `TaskReader`, and as the part of a `Ledger` that blobs use."""

    view: state_pb2.TaskView | None
    cached: state_pb2.TaskView | None = None  # what is answered where nothing fresh is asked for
    available: bool = True
    fresh_lookups: int = field(default=0, init=False)
    address: bytes = b""
    chain_id: str = CHAIN_ID

    def __call__(self, task_id: int, *, fresh: bool) -> state_pb2.TaskView | None:
        if not self.available:
            raise LedgerUnavailable("the node is down")
        self.fresh_lookups += fresh
        view = self.view if fresh or self.cached is None else self.cached
        return view if task_id == TASK_ID else None

    async def wait_for_block(self, after_height: int) -> int:
        return HEIGHT if self.view is None else self.view.height

    async def get_task(self, task_id: int) -> state_pb2.TaskView | None:
        return self(task_id, fresh=True)


def make_statement(
    owner: SigningKey,
    vector: ChunkedVector,
    round_number: int,
    *,
    task_id: int = TASK_ID,
    chain_id: str = CHAIN_ID,
    retain_until: int = HEIGHT + RETENTION_BLOCKS + 10,
) -> Statement:
    return Statement(
        chain_id=chain_id,
        task_id=task_id,
        round=round_number,
        owner=owner.address,
        vector_id=vector.id,
        size_bytes=len(vector.data),
        retain_until_height=retain_until,
    )


def make_put(
    owner: SigningKey,
    vector: ChunkedVector,
    round_number: int,
    *,
    kind: Kind | None = None,
    seen_height: int = HEIGHT,
    task_id: int = TASK_ID,
    chain_id: str = CHAIN_ID,
    retain_until: int = HEIGHT + RETENTION_BLOCKS + 10,
) -> protocol.PutRequest:
    statement = make_statement(
        owner, vector, round_number, task_id=task_id, chain_id=chain_id, retain_until=retain_until
    )
    kind = kind or ("update" if vector.shape.dtype == "int16" else "model")
    return protocol.sign_put(owner, statement, kind, vector.data, seen_height)


def make_commitment(owner: SigningKey, vector: ChunkedVector, retain_until: int) -> state_pb2.Commitment:
    return state_pb2.Commitment(
        client=owner.address,
        update_root=vector.root,
        weight=1,
        certificate=receipt_pb2.Certificate(retain_until_height=retain_until),
    )


def make_attempt(round_number: int, *inputs: tuple[SigningKey, ChunkedVector]) -> state_pb2.Attempt:
    return state_pb2.Attempt(
        task_id=TASK_ID,
        round=round_number,
        inputs=[state_pb2.Input(client=key.address, update_root=vector.root, weight=1) for key, vector in inputs],
    )
