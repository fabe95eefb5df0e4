"""JSON-RPC to one CometBFT node: queries, transactions, and waiting for blocks. Knows no key; see `ledger` for that.

The node is trusted. A caller who trusts no node points the gateway at a `cometbft light` proxy, which speaks the same
RPC and verifies the answers to `/store` queries.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import itertools
import json
import logging
import os
import ssl
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from socket import gaierror
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
from google.protobuf.message import DecodeError, Message

from offchain.interfaces import LedgerUnavailable, TransactionResult
from optfl import errors
from optfl.query_codes import NO_BLOCK, NOT_FOUND
from optfl.views import UnknownPart, join_parts
from optfl.wire import state_pb2

DEFAULT_URL = "http://127.0.0.1:26657"

_ANSWER_SECONDS = 10.0
_KEEPALIVE_SECONDS = 8.0  # less than the 10 s after which CometBFT closes an idle connection
_PATIENCE_SECONDS = 5.0  # how long `wait_for_block` bears a node that does not answer
_POLL_SECONDS = 0.25  # between looks at the height while there is no subscription
_SLOW_POLL_SECONDS = 2.0  # while there is one: it may go quiet without an error
_INTERNAL_ERROR = -32603  # CometBFT's own for "the call failed", with the reason in `data`
_SUBSCRIPTION = "tm.event='NewBlockEvents'"
_TASK_CHANGED, _ALL_TASKS = "task_changed", "all"  # docs/protocol.md, section 21
_MAX_REST_BLOCKS = 20  # that are passed over on the word of events
_MAX_CHANGES = 1024  # tasks whose last change is remembered
_MAX_KNOWN_TASKS = 16

_log = logging.getLogger(__name__)

M = TypeVar("M", bound=Message)


class GatewayError(Exception):
    """The node answers, but not this call: the reason it gives, for people."""


@dataclass(frozen=True)
class NodeStatus:
    """What a node says of itself (`/status`). Its height may be of a block that the application is still executing."""

    chain_id: str
    version: str
    moniker: str
    height: int
    app_hash: bytes
    catching_up: bool
    peers: int


@dataclass(frozen=True)
class QueryAnswer:
    """Answer of the application: the state at `height`. `proof_ops` are (type, key, data), innermost first."""

    code: int
    log: str
    value: bytes
    height: int
    proof_ops: tuple[tuple[str, bytes, bytes], ...]


class Gateway:
    """One node's RPC, over one keep-alive session. Use it in one event loop, and `close` it there.

    Every method raises LedgerUnavailable if the node does not answer, GatewayError if it refuses the call.
    """

    def __init__(self, url: str = DEFAULT_URL) -> None:
        self.url = url.rstrip("/")
        self.height = 0  # the greatest that has been seen
        self._ids = itertools.count(1)
        self._session: aiohttp.ClientSession | None = None
        self._follower: asyncio.Task[None] | None = None
        self._subscribed = False
        self._changes = _Changes()
        self._news = asyncio.Event()
        self._known: dict[int, dict[bytes, bytes]] = {}  # task -> its view's parts by their digests

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        if self._follower is not None:
            self._follower.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._follower
        if self._session is not None:
            await self._session.close()

    # --- calls

    async def call(self, method: str, **params: object) -> dict[str, Any]:
        """One RPC call. Bytes go as base64, or hexadecimal where the method takes that; 64-bit numbers as strings."""
        request = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
        try:
            answer = await self._post(request)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise LedgerUnavailable(
                f"no answer from the node at {self.url} ({_describe_failure(error)}); "
                "check that it runs and that this is its RPC address"
            ) from None
        except ValueError:
            raise LedgerUnavailable(
                f"what answers at {self.url} is not a CometBFT node; give the `rpc.laddr` of a node's config.toml"
            ) from None
        if (failure := answer.get("error")) is not None:
            raise GatewayError(str(failure.get("data") or failure.get("message")))
        return dict(answer["result"])

    async def _post(self, request: dict[str, object]) -> dict[str, Any]:
        for may_retry in (True, False):
            try:
                async with self._get_session().post(self.url, json=request) as response:
                    answer = json.loads(await response.read())
            except (aiohttp.ServerDisconnectedError, ConnectionResetError):
                # An idle connection that the node closed just now. Sending the same again is harmless: a transaction
                # is applied once.
                if not may_retry:
                    raise
            else:
                if isinstance(answer, dict) and (isinstance(answer.get("error"), dict) or "result" in answer):
                    return answer
                raise ValueError("not JSON-RPC")
        raise RuntimeError("the loop above ends otherwise")

    def _get_session(self) -> aiohttp.ClientSession:
        if self._session is None:  # not in __init__: a session belongs to the loop that is running
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=_ANSWER_SECONDS),
                connector=aiohttp.TCPConnector(keepalive_timeout=_KEEPALIVE_SECONDS),
            )
        return self._session

    # --- the node and its blocks

    async def get_status(self) -> NodeStatus:
        status, network = await self.call("status"), await self.call("net_info")
        node, sync = status["node_info"], status["sync_info"]
        return NodeStatus(
            chain_id=node["network"],
            version=node["version"],
            moniker=node["moniker"],
            height=int(sync["latest_block_height"]),
            app_hash=bytes.fromhex(sync["latest_app_hash"]),
            catching_up=sync["catching_up"],
            peers=int(network["n_peers"]),
        )

    async def get_height(self) -> int:
        """Height of the last block that the application has committed: what queries without a height answer of."""
        response = await self._call_application("abci_info")
        height = int(response.get("last_block_height", 0))
        self._see_height(height)
        return height

    async def get_block(self, height: int | None = None) -> dict[str, Any]:
        """A block as CometBFT's RPC shows it; the latest without a height."""
        return await self.call("block", **_at(height))

    async def get_block_results(self, height: int) -> dict[str, Any]:
        """Transaction results, events and validator updates of a block, as CometBFT's RPC shows them."""
        return await self.call("block_results", **_at(height))

    async def get_block_end_events(self, height: int) -> list[tuple[str, dict[str, str]]]:
        """Kind and attributes of each event of a block's end: of what was decided there."""
        events = (await self.get_block_results(height))["finalize_block_events"] or []
        return [(event["type"], {a["key"]: a["value"] for a in event["attributes"]}) for event in events]

    async def get_app_hash(self, height: int) -> bytes:
        """The app hash after block `height`: it stands in the next block's header, which must exist."""
        signed_header = (await self.call("commit", **_at(height + 1)))["signed_header"]
        return bytes.fromhex(signed_header["header"]["app_hash"])

    async def get_voting_power(self) -> dict[bytes, int]:
        """CometBFT's validator set now: voting power by consensus key."""
        answer = await self.call("validators", per_page="100")
        return {base64.b64decode(v["pub_key"]["value"]): int(v["voting_power"]) for v in answer["validators"]}

    async def wait_for_block(self, after_height: int) -> int:
        """Return the application's height as soon as it is greater than `after_height`.

        Raises LedgerUnavailable after a few seconds without an answer, not sooner: a caller may simply call again.
        """
        if self._follower is None:
            self._follower = asyncio.create_task(self._follow())
        loop = asyncio.get_running_loop()
        last_answer = loop.time()
        quiet = False
        while self.height <= after_height:
            if quiet or not self._subscribed:
                try:
                    await self.get_height()
                    last_answer = loop.time()
                except LedgerUnavailable:
                    if loop.time() - last_answer > _PATIENCE_SECONDS:
                        raise
            if self.height <= after_height:
                quiet = not await self._wait_for_news(_SLOW_POLL_SECONDS if self._subscribed else _POLL_SECONDS)
        return self.height

    async def wait_for_change(self, task_id: int, after_height: int) -> int:
        """As `wait_for_block`, but wait on while all blocks say that they changed nothing of the task that matters.

        Commitments and answered audits do not. For MAX_REST_BLOCKS at most, and no block without its events.
        """
        height = await self.wait_for_block(after_height)
        while height < after_height + _MAX_REST_BLOCKS and self._changes.has_none(task_id, after_height, height):
            height = await self.wait_for_block(height)
        return height

    async def _wait_for_news(self, timeout_seconds: float) -> bool:
        """Wait until a greater height is seen; False if none was within the time."""
        self._news.clear()
        try:
            async with asyncio.timeout(timeout_seconds):  # wait_for would lose a cancellation that comes with the news
                await self._news.wait()
        except TimeoutError:
            return False
        return True

    async def _follow(self) -> None:
        """Follow the node's blocks over a websocket: no polling, and nobody waits longer than for the block.

        A block's events are published once the application has committed it.
        """
        subscribe = {"jsonrpc": "2.0", "id": 0, "method": "subscribe", "params": {"query": _SUBSCRIPTION}}
        while True:
            try:
                async with self._get_session().ws_connect(f"{self.url}/websocket") as socket:
                    await socket.send_json(subscribe)
                    async for message in socket:
                        self._subscribed = True
                        result = json.loads(message.data).get("result") or {}
                        if "data" in result:
                            block = result["data"]["value"]
                            self._changes.add(int(block["height"]), _find_changed_tasks(block["events"] or ()))
                            self._see_height(int(block["height"]))
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError, TypeError) as error:
                _log.debug("no subscription at %s: %s", self.url, error)  # `wait_for_block` polls instead
            self._subscribed = False
            await asyncio.sleep(_SLOW_POLL_SECONDS)

    def _see_height(self, height: int) -> None:
        if height > self.height:
            self.height = height
            self._news.set()

    # --- transactions

    async def broadcast(self, transaction: bytes) -> tuple[int, str]:
        """Hand a transaction to the node's mempool: (0, "") if it is in there, else the code and log of its refusal."""
        try:
            result = await self.call("broadcast_tx_sync", tx=base64.b64encode(transaction).decode())
        except GatewayError as error:
            if "already exists in cache" in str(error):
                return 0, ""
            if "too large" in str(error).lower():
                return errors.TransactionTooLarge.code, f"the node refuses {len(transaction)} bytes: {error}"
            raise LedgerUnavailable(f"the node at {self.url} takes no transaction now ({error}); try again") from None
        return int(result["code"]), str(result["log"])

    async def get_transaction(self, transaction_hash: bytes) -> TransactionResult | None:
        """What became of a transaction that is in a block; None if it is in none (yet)."""
        try:
            result = await self.call("tx", hash=base64.b64encode(transaction_hash).decode(), prove=False)
        except GatewayError as error:
            if "not found" in str(error):
                return None
            raise
        outcome = result["tx_result"]
        return TransactionResult(
            code=int(outcome["code"]),
            log=str(outcome["log"]),
            height=int(result["height"]),
            hash=transaction_hash,
            data=base64.b64decode(outcome["data"] or ""),
        )

    # --- the application's state

    async def query(self, path: str, data: bytes = b"", height: int = 0, prove: bool = False) -> QueryAnswer:
        """Ask the application; `height` 0 is the latest state."""
        response = await self._call_application(
            "abci_query", path=path, data=data.hex(), height=str(height), prove=prove
        )
        proof_ops = (response.get("proofOps") or {}).get("ops") or ()
        return QueryAnswer(
            code=int(response["code"]),
            log=str(response.get("log", "")),
            value=base64.b64decode(response.get("value") or ""),
            height=int(response.get("height", 0)),
            proof_ops=tuple(
                (op["type"], base64.b64decode(op["key"]), base64.b64decode(op["data"])) for op in proof_ops
            ),
        )

    async def _call_application(self, method: str, **params: object) -> dict[str, Any]:
        """A call that CometBFT passes on. It fails only when the application is gone; CometBFT will follow it soon."""
        try:
            return dict((await self.call(method, **params))["response"])
        except GatewayError as error:
            raise LedgerUnavailable(
                f"the node at {self.url} gets no answer from its ledger ({error}); read the node's logs "
                "(a light client's proxy answers queries with a proof only)"
            ) from None

    async def query_store(self, store: str, key: bytes, *, prove: bool = False, height: int = 0) -> QueryAnswer:
        """One value of the state, by its store's name and its key (see state.proto).

        Without a height the application answers of a state whose header exists already: one block behind `query_view`.
        """
        return _check_answer(await self.query(f"/store/{store}/key", key, height, prove))

    async def query_view(self, path: str, message_type: type[M], data: bytes = b"") -> M | None:
        """A view of the latest state, decoded (see abci_app/queries.py); None if what it is of does not exist."""
        answer = await self.query(path, data)
        if answer.code == NOT_FOUND:
            return None
        try:
            return message_type.FromString(_check_answer(answer).value)
        except DecodeError:
            raise GatewayError(
                f"the answer to {path} is no {message_type.DESCRIPTOR.name}; "
                "ask a node that runs this version of Optimistic FL"
            ) from None

    async def get_account(self, address: bytes) -> state_pb2.Account | None:
        return await self.query_view("/account", state_pb2.Account, address)

    async def get_task(self, task_id: int) -> state_pb2.TaskView | None:
        """Everything about a task, consistent at one height; None if there is no such task.

        The node sends those parts alone that have changed since the last time.
        """
        known = self._known.get(task_id, {})
        request = task_id.to_bytes(8, "big") + b"".join(known)
        answer = await self.query_view("/task/parts", state_pb2.TaskParts, request)
        if answer is None:
            return None
        try:
            view, parts = join_parts(answer, known)
        except (DecodeError, UnknownPart) as error:
            raise GatewayError(f"the answer to /task/parts is no view of a task: {error}") from None
        self._known.pop(task_id, None)
        self._known[task_id] = parts
        if len(self._known) > _MAX_KNOWN_TASKS:
            del self._known[next(iter(self._known))]
        return view

    async def get_params(self) -> state_pb2.Params:
        return await self._get_known("/params", state_pb2.Params)

    async def get_supply(self) -> state_pb2.Supply:
        return await self._get_known("/supply", state_pb2.Supply)

    async def list_tasks(self) -> state_pb2.TaskList:
        return await self._get_known("/tasks", state_pb2.TaskList)

    async def list_stakes(self, address: bytes = b"") -> state_pb2.StakeList:
        """Stakes and unbondings of one account, or of all."""
        return await self._get_known("/stakes", state_pb2.StakeList, address)

    async def list_validators(self) -> state_pb2.ValidatorList:
        return await self._get_known("/validators", state_pb2.ValidatorList)

    async def _get_known(self, path: str, message_type: type[M], data: bytes = b"") -> M:
        message = await self.query_view(path, message_type, data)
        if message is None:
            raise GatewayError(f"the chain at {self.url} has no {path}; it is not one of Optimistic FL")
        return message


class _Changes:
    """When tasks changed, as far as an unbroken row of blocks says."""

    def __init__(self) -> None:
        self._first = self._last = 0  # heights of the row; nothing is known of earlier and of later blocks
        self._heights: dict[str, int] = {}  # task, or all of them -> height of the last change

    def add(self, height: int, tasks: Collection[str]) -> None:
        """The block at `height` changed these. One that was missed begins a new row."""
        if height != self._last + 1 or len(self._heights) + len(tasks) > _MAX_CHANGES:
            self._first = height
            self._heights.clear()
        self._last = height
        self._heights.update(dict.fromkeys(tasks, height))

    def has_none(self, task_id: int, after_height: int, height: int) -> bool:
        """Whether it is known that no block above `after_height`, up to `height`, changed the task."""
        changed = max(self._heights.get(str(task_id), 0), self._heights.get(_ALL_TASKS, 0))
        return self._first <= after_height + 1 and height <= self._last and changed <= after_height


def _find_changed_tasks(events: Sequence[dict[str, Any]]) -> set[str]:
    """Ids of the tasks that a block's events name as changed, or the word for all."""
    changed = [event["attributes"] for event in events if event["type"] == _TASK_CHANGED]
    return {attribute["value"] for attributes in changed for attribute in attributes if attribute["key"] == "task"}


def hash_transaction(transaction: bytes) -> bytes:
    """The name of a transaction in CometBFT: its SHA-256."""
    return hashlib.sha256(transaction).digest()


def _describe_failure(error: Exception) -> str:
    """In short: aiohttp's own texts name the host again."""
    if isinstance(error, TimeoutError):
        return f"none within {_ANSWER_SECONDS:.0f} s"
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, gaierror):
        return "no host of this name is known"
    if isinstance(cause, ssl.SSLError):
        return "it speaks no TLS that works here; is it http://?"
    if isinstance(cause, OSError) and cause.errno:
        return os.strerror(cause.errno)
    return str(cause) or type(cause).__name__


def _at(height: int | None) -> dict[str, str]:
    return {} if height is None else {"height": str(height)}


def _check_answer(answer: QueryAnswer) -> QueryAnswer:
    if answer.code == NO_BLOCK:
        raise LedgerUnavailable(answer.log)
    if answer.code != 0:
        raise GatewayError(answer.log or f"the application refuses the query (code {answer.code})")
    return answer
