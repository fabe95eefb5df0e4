"""A CometBFT node's RPC without the node: one account's ledger as far as a gateway sees it, and its failures."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import WSMsgType, web
from google.protobuf.message import Message

from optfl import errors
from optfl.fees import compute_fee
from optfl.transactions import decode_transaction
from optfl.views import DIGEST_BYTES, build_parts
from optfl.wire import state_pb2, transaction_pb2

CHAIN_ID = "fake-chain"
PARAMS = state_pb2.Params(chain_id=CHAIN_ID, min_fee=10, fee_per_kilobyte=3)


class Refusal(Exception):
    """The node's JSON-RPC error, with this as its data."""


class FakeNode:
    """Answers what it is asked; `blocks_until_included` decides when a transaction gets into a block (None: never).

    Tests change its attributes, replace entries of `methods`, and read `accepted`.
    """

    def __init__(self) -> None:
        self.height = 10
        self.sequence = 0  # of the account, in the last block
        self.pending = 0  # transactions of the account that wait in the mempool
        self.blocks_until_included: int | None = 1
        self.code = 0  # of transactions in blocks
        self.accepted: list[transaction_pb2.Body] = []
        self.views: dict[str, Message] = {"/params": PARAMS}
        self.subscriptions: list[web.WebSocketResponse] = []
        self._sockets: list[web.WebSocketResponse] = []
        self.changed = asyncio.Condition()  # told after every call and subscription
        self.takes_subscriptions = True
        self.calls: list[str] = []
        self.url = ""
        self._transactions: dict[bytes, int | None] = {}  # the height that includes it
        self.methods: dict[str, Callable[..., Any]] = {
            "abci_info": lambda: {"response": {"last_block_height": str(self.height)}},
            "abci_query": self._query,
            "broadcast_tx_sync": self._broadcast,
            "tx": self._get_transaction,
            "net_info": lambda: {"n_peers": "3"},
            "status": lambda: {
                "node_info": {"network": CHAIN_ID, "version": "0.38.26", "moniker": "fake"},
                "sync_info": {
                    "latest_block_height": str(self.height),
                    "latest_app_hash": "00",
                    "catching_up": False,
                },
            },
        }

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[FakeNode]:
        application = web.Application(client_max_size=1 << 24)
        application.router.add_post("/", self._answer)
        application.router.add_get("/websocket", self._follow)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await self.close_sockets()
            await runner.cleanup()

    async def make_block(self, *changed: int | str, without_events: bool = False) -> None:
        """One more block, which includes what is due. Its events, changes of tasks, go to all subscribers."""
        self.height += 1
        self.sequence += self.pending
        self.pending = 0
        events = [
            {"type": "task_changed", "attributes": [{"key": "task", "value": str(task), "index": True}]}
            for task in changed
        ]
        value = {"height": str(self.height), "events": events or None, "num_txs": "0"}
        for subscription in [s for s in self.subscriptions if not s.closed and not without_events]:
            await subscription.send_json({"result": {"data": {"value": value}}})

    async def run(self, interval_seconds: float = 0.01) -> None:
        """Make blocks until cancelled."""
        while True:
            await asyncio.sleep(interval_seconds)
            await self.make_block()

    async def close_sockets(self) -> None:
        """Hang up on all subscribers, and on those who are about to be."""
        for socket in self._sockets:
            await socket.close()

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` holds; looked at after every call and subscription."""
        async with self.changed:
            await self.changed.wait_for(condition)

    async def _tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        call = await request.json()
        self.calls.append(call["method"])
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": call["id"]}
        try:
            answer["result"] = self.methods[call["method"]](**call["params"])
        except Refusal as refusal:
            answer["error"] = {"code": -32603, "message": "Internal error", "data": str(refusal)}
        await self._tell()
        return web.json_response(answer)

    async def _follow(self, request: web.Request) -> web.StreamResponse:
        if not self.takes_subscriptions:
            raise web.HTTPNotFound
        socket = web.WebSocketResponse()
        self._sockets.append(socket)
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_json({"id": 0, "result": {}})
                self.subscriptions.append(socket)
                await self._tell()
        if socket in self.subscriptions:
            self.subscriptions.remove(socket)
        return socket

    def _query(self, path: str, data: str, height: str, prove: bool) -> dict[str, Any]:
        view = self.views.get(path)
        if path == "/task/parts" and isinstance(whole := self.views.get("/task"), state_pb2.TaskView):
            known = bytes.fromhex(data)[8:]
            view = build_parts(whole, {known[i : i + DIGEST_BYTES] for i in range(0, len(known), DIGEST_BYTES)})
        if path == "/account":
            view = state_pb2.Account(balance=100, sequence=self.sequence)
        value = "" if view is None else base64.b64encode(view.SerializeToString()).decode()
        return {"response": {"code": 3 if view is None else 0, "log": "", "value": value, "height": str(self.height)}}

    def _broadcast(self, tx: str) -> dict[str, Any]:
        data = base64.b64decode(tx)
        signed = decode_transaction(data)
        code, expected = 0, self.sequence + self.pending
        if signed.body.sequence != expected:
            code = errors.WrongSequence.code
        elif signed.body.fee < compute_fee(PARAMS, len(data)):
            code = errors.FeeTooLow.code
        if code == 0:
            self.pending += 1
            self.accepted.append(signed.body)
            due = self.blocks_until_included
            self._transactions[hashlib.sha256(data).digest()] = None if due is None else self.height + due
        return {"code": code, "log": f"next is {expected}", "hash": hashlib.sha256(data).hexdigest()}

    def _get_transaction(self, hash: str, prove: bool) -> dict[str, Any]:  # noqa: A002  # CometBFT's name
        due = self._transactions.get(base64.b64decode(hash))
        if due is None or due > self.height:
            raise Refusal(f"tx ({hash}) not found")
        result = {"code": self.code, "log": "done", "data": base64.b64encode(b"\x01").decode()}
        return {"height": str(due), "tx_result": result}
