"""What an adversary has beyond its own account: others that collude, and a place between itself and the world."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from offchain.interfaces import Blobs, Ledger, TransactionResult
from optfl.certificates import Statement, build_certificate
from optfl.vectors import Opening, Shape
from optfl.wire import receipt_pb2, state_pb2, transaction_pb2


@dataclass(frozen=True)
class Accomplices:
    """Who helps an adversary; by default nobody does."""

    sign_receipts: Callable[[Statement], list[tuple[int, bytes]]] = lambda _: []
    """(replica index, signature) of each replica that signs for what it never saw."""
    sybil: Ledger | None = None  # a second account
    peek: Callable[[], Sequence[bytes]] = list  # transactions that wait to be included
    aggregators: frozenset[bytes] = field(default_factory=frozenset)  # whose lies are covered up


NOBODY = Accomplices()


class TamperingLedger:
    """A ledger on which each transaction becomes whatever `tamper` makes of it; the first one's result is the result.

    `tamper` is called with a body of its own and may change that.
    """

    def __init__(self, ledger: Ledger, tamper: Callable[[transaction_pb2.Body], Sequence[transaction_pb2.Body]]):
        self._ledger = ledger
        self._tamper = tamper

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
        copy = transaction_pb2.Body()
        copy.CopyFrom(body)
        results = await asyncio.gather(*(self._ledger.submit(each) for each in self._tamper(copy)))
        return results[0]


class UnstoringBlobs:
    """Blobs whose puts, from `from_round` on, store nothing where enough replicas collude to certify that they did."""

    def __init__(self, blobs: Blobs, accomplices: Accomplices, from_round: int) -> None:
        self._blobs = blobs
        self._accomplices = accomplices
        self._from_round = from_round

    async def put(self, statement: Statement, shape: Shape, data: bytes, quorum: int) -> receipt_pb2.Certificate:
        receipts = self._accomplices.sign_receipts(statement)
        if statement.round < self._from_round or len(receipts) < quorum:
            return await self._blobs.put(statement, shape, data, quorum)
        return build_certificate(statement.retain_until_height, receipts[:quorum])

    async def get(self, task_id: int, shape: Shape, vector_id: bytes, replicas: Sequence[bytes]) -> bytes:
        return await self._blobs.get(task_id, shape, vector_id, replicas)

    async def get_chunk(
        self, task_id: int, shape: Shape, root: bytes, chunk: int, replicas: Sequence[bytes]
    ) -> Opening:
        return await self._blobs.get_chunk(task_id, shape, root, chunk, replicas)

    async def offer(self, task_id: int, shape: Shape, vector_id: bytes, data: bytes) -> None:
        """It has what it hides, and serves it to nobody."""
