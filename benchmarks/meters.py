"""Wrappers at the interfaces of `offchain.interfaces`: what passes is timed and counted, and nothing is changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from benchmarks.trace import WATCH, Trace
from offchain.adapters.ledger import CometLedger
from offchain.interfaces import Blobs, Int16Vector, Int32Vector, Trainer, TransactionResult
from offchain.roles.views import Aggregate
from offchain.storage.protocol import Handle, Verb
from offchain.storage.replicated import Accept, T, Transport
from optfl.aggregation import Aggregation
from optfl.certificates import Statement
from optfl.rules import RoundFacts, Rule
from optfl.vectors import Opening, Shape
from optfl.wire import receipt_pb2, state_pb2, transaction_pb2

AGGREGATION = "aggregation"
BYTES = "bytes"
SUBMIT = "submit"

# The phase of what a kind of role reads, stores and submits.
READS: Final = {"client": "train", "aggregator": "aggregate", "member": "aggregate", "watcher": WATCH}
PUTS: Final = {"client": "store", "aggregator": "publish", "member": "publish", "watcher": WATCH}
SUBMITS: Final = {"client": "commit", "aggregator": "publish", "member": "publish", "watcher": WATCH}


class Meter:
    """Wraps what one account's role works with. `kind` is that of READS, PUTS and SUBMITS."""

    def __init__(self, trace: Trace, who: str, kind: str) -> None:
        self._trace = trace
        self._who = who
        self._kind = kind

    def ledger(self, ledger: CometLedger) -> MeteredLedger:
        return MeteredLedger(ledger, self._trace, self._who, SUBMITS[self._kind])

    def transport(self, transport: Transport) -> Transport:
        return MeteredTransport(transport, self._trace, self._who, self._kind)

    def blobs(self, blobs: Blobs) -> Blobs:
        return MeteredBlobs(blobs, self._trace, self._who, self._kind)

    def trainer(self, trainer: Trainer) -> Trainer:
        return MeteredTrainer(trainer, self._trace, self._who)

    def aggregate(self, aggregate: Aggregate) -> Aggregate:
        def metered(rule: Rule, base: Int32Vector, updates: Sequence[Int16Vector], facts: RoundFacts) -> Aggregation:
            with self._trace.span(self._who, READS[self._kind], AGGREGATION):
                return aggregate(rule, base, updates, facts)

        return metered


class MeteredLedger:
    """`Ledger` that notes each submission that was accepted."""

    def __init__(self, ledger: CometLedger, trace: Trace, who: str, phase: str) -> None:
        self._ledger = ledger
        self._trace = trace
        self._who = who
        self._phase = phase

    @property
    def address(self) -> bytes:
        return self._ledger.address

    @property
    def chain_id(self) -> str:
        return self._ledger.chain_id

    async def wait_for_block(self, after_height: int) -> int:
        return await self._ledger.wait_for_block(after_height)

    async def wait_for_change(self, task_id: int, after_height: int) -> int:
        return await self._ledger.wait_for_change(task_id, after_height)

    async def get_task(self, task_id: int) -> state_pb2.TaskView | None:
        return await self._ledger.get_task(task_id)

    async def list_tasks(self) -> Sequence[state_pb2.Task]:
        return await self._ledger.list_tasks()

    async def get_stakes(self, address: bytes) -> Sequence[state_pb2.Stake]:
        return await self._ledger.get_stakes(address)

    async def submit(self, body: transaction_pb2.Body) -> TransactionResult:
        kind = body.WhichOneof("kind") or ""
        with self._trace.span(self._who, self._phase, f"{SUBMIT} {kind}", getattr(getattr(body, kind), "round", 0)):
            return await self._ledger.submit(body)


class MeteredTransport:
    """`Transport` that counts the bytes of every request to every account, and of every answer."""

    def __init__(self, transport: Transport, trace: Trace, who: str, kind: str) -> None:
        self._transport = transport
        self._trace = trace
        self._who = who
        self._kind = kind

    async def ask(self, account: bytes, verb: Verb, request: bytes, accept: Accept[T], max_answer_bytes: int) -> T:
        phase = (READS if verb == "get" else PUTS)[self._kind]

        def count(answer: bytes) -> T:
            self._trace.count_bytes(self._who, phase, BYTES, len(answer))
            return accept(answer)

        self._trace.count_bytes(self._who, phase, BYTES, len(request))
        return await self._transport.ask(account, verb, request, count, max_answer_bytes)

    async def wait_for_any(self, accounts: Sequence[bytes], verb: Verb) -> None:
        await self._transport.wait_for_any(accounts, verb)

    def is_reachable(self, account: bytes, verb: Verb) -> bool:
        return self._transport.is_reachable(account, verb)

    def serve(self, verb: Verb, handle: Handle) -> None:
        self._transport.serve(verb, handle)


class MeteredBlobs:
    """`Blobs` that times every put and get."""

    def __init__(self, blobs: Blobs, trace: Trace, who: str, kind: str) -> None:
        self._blobs = blobs
        self._trace = trace
        self._who = who
        self._kind = kind

    async def put(self, statement: Statement, shape: Shape, data: bytes, quorum: int) -> receipt_pb2.Certificate:
        with self._trace.span(self._who, PUTS[self._kind], "put", statement.round):
            return await self._blobs.put(statement, shape, data, quorum)

    async def get(self, task_id: int, shape: Shape, vector_id: bytes, replicas: Sequence[bytes]) -> bytes:
        with self._trace.span(self._who, READS[self._kind], "get"):
            return await self._blobs.get(task_id, shape, vector_id, replicas)

    async def get_chunk(
        self, task_id: int, shape: Shape, root: bytes, chunk: int, replicas: Sequence[bytes]
    ) -> Opening:
        with self._trace.span(self._who, READS[self._kind], "get chunk"):
            return await self._blobs.get_chunk(task_id, shape, root, chunk, replicas)

    async def offer(self, task_id: int, shape: Shape, vector_id: bytes, data: bytes) -> None:
        await self._blobs.offer(task_id, shape, vector_id, data)


class MeteredTrainer(Trainer):
    """`Trainer` that times every training."""

    def __init__(self, trainer: Trainer, trace: Trace, who: str) -> None:
        self._trainer = trainer
        self._trace = trace
        self._who = who

    def train(self, model: Int32Vector, seed: int) -> tuple[Int16Vector, int]:
        with self._trace.span(self._who, "train", "train"):
            return self._trainer.train(model, seed)

    def evaluate(self, model: Int32Vector) -> float:
        return self._trainer.evaluate(model)
