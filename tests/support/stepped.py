"""A ledger whose blocks the test decides, for roles that follow a task: it hands out views and takes transactions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from offchain.interfaces import LedgerUnavailable, TransactionResult
from optfl.wire import state_pb2, transaction_pb2
from support.storage import CHAIN_ID, TASK_ID


class SteppedLedger:
    """`offchain.interfaces.Ledger` that shows `view`; `show` is a new block. Any number of roles may wait for it."""

    chain_id = CHAIN_ID

    def __init__(self, address: bytes, view: state_pb2.TaskView) -> None:
        self.address = address
        self.view = view
        self.available = True
        self.submitted: list[transaction_pb2.Body] = []
        self.decide: Callable[[transaction_pb2.Body], int] = lambda body: 0  # the code that a transaction gets
        self.looks = 0  # at the task
        self._changed = view.height  # the last block that was not quiet
        self._news = asyncio.Event()

    async def show(self, view: state_pb2.TaskView, *, quiet: bool = False) -> None:
        """A new block, `quiet` if who rests is not to look; returns once the roles wait for the next.

        Under a virtual clock, on which a moment passes when nothing else can happen.
        """
        self.add_block(view, quiet=quiet)
        await asyncio.sleep(1.0)

    def add_block(self, view: state_pb2.TaskView, *, quiet: bool = False) -> None:
        """One higher than the last whatever the view says."""
        height = self.view.height + 1
        if not quiet:
            self._changed = height
        self.view = state_pb2.TaskView()
        self.view.CopyFrom(view)
        self.view.height = height
        self._news.set()
        self._news = asyncio.Event()

    async def wait_for_block(self, after_height: int) -> int:
        while self.view.height <= after_height:
            await self._news.wait()
        if not self.available:
            await asyncio.sleep(0)
            raise LedgerUnavailable("the node is down")
        return self.view.height

    async def wait_for_change(self, task_id: int, after_height: int) -> int:
        height = await self.wait_for_block(after_height)
        while self._changed <= after_height:
            height = await self.wait_for_block(height)
        return height

    async def get_task(self, task_id: int) -> state_pb2.TaskView | None:
        self.looks += 1
        if not self.available:
            raise LedgerUnavailable("the node is down")
        return self.view if task_id == TASK_ID else None

    async def list_tasks(self) -> Sequence[state_pb2.Task]:
        return [self.view.task]

    async def get_stakes(self, address: bytes) -> Sequence[state_pb2.Stake]:
        return []

    async def submit(self, body: transaction_pb2.Body) -> TransactionResult:
        if not self.available:
            raise LedgerUnavailable("the node is down")
        self.submitted.append(body)
        return TransactionResult(self.decide(body), "said the test", self.view.height, b"")
