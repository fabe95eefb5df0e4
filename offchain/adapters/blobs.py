"""Blobs over Zenoh: a request to an account is a query with a payload, its answer the query's reply."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import zenoh

from offchain.adapters.desks import Desk
from offchain.adapters.session import key_expression
from offchain.interfaces import Ledger
from offchain.storage.protocol import Handle, Refusal, Verb
from offchain.storage.replicated import ANSWER_SECONDS, PATIENCE_SECONDS, Accept, NoAnswer, ReplicatedBlobs, T
from offchain.storage.verify import BadAnswer, check_size
from optfl.keys import SigningKey

MAX_WAITING_ANSWERS = 64  # to one query, that wait to be checked; more only come from liars

_QUERY_SECONDS = 3600.0  # never the limit: every wait has its own, and cancels its query

# A question is small and must not queue behind the megabytes of a put on the same link.
_PRIORITIES: dict[Verb, zenoh.Priority] = {
    "put": zenoh.Priority.DATA,
    "get": zenoh.Priority.DATA_HIGH,
    "ballot": zenoh.Priority.DATA_HIGH,
}


class ZenohBlobs(ReplicatedBlobs):
    """`offchain.interfaces.Blobs` over a session of `offchain.adapters.session`, for the account with `key`."""

    def __init__(
        self,
        session: zenoh.Session,
        key: SigningKey,
        ledger: Ledger,
        *,
        answer_seconds: float = ANSWER_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self.transport = ZenohTransport(session, ledger.chain_id, key.address)
        super().__init__(self.transport, key, ledger, answer_seconds=answer_seconds, patience_seconds=patience_seconds)

    async def close(self) -> None:
        await super().close()
        await self.transport.close()


class ZenohTransport:
    """`offchain.storage.replicated.Transport` of the account with this address, over Zenoh."""

    def __init__(self, session: zenoh.Session, chain_id: str, address: bytes) -> None:
        self._session = session
        self._chain_id = chain_id
        self._address = address
        self._channels: dict[tuple[bytes, Verb], _Channel] = {}
        self._desks: dict[Verb, Desk] = {}
        # A put goes to all replicas at once, and is copied into Zenoh's memory once: id -> bytes, requests under way.
        self._payloads: dict[int, tuple[zenoh.ZBytes, int]] = {}
        self._checkers = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="check-answer")

    async def close(self) -> None:
        """Answer nobody any more, and end what is asked."""
        for desk in self._desks.values():
            await asyncio.to_thread(desk.close)
        self._checkers.shutdown(wait=False, cancel_futures=True)
        for channel in self._channels.values():
            channel.close()

    async def ask(self, account: bytes, verb: Verb, request: bytes, accept: Accept[T], max_answer_bytes: int) -> T:
        check = partial(_check, accept, max_answer_bytes)
        key = id(request)  # of an object that lives as long as this call: equal ids are the same request
        payload, users = self._payloads.get(key) or (zenoh.ZBytes(request), 0)
        self._payloads[key] = (payload, users + 1)
        try:
            return await self._channel(account, verb).ask(payload, check, self._checkers)
        finally:
            payload, users = self._payloads.pop(key)
            if users > 1:
                self._payloads[key] = (payload, users - 1)

    async def wait_for_any(self, accounts: Sequence[bytes], verb: Verb) -> None:
        channels = [self._channel(account, verb) for account in accounts]
        if any(channel.reachable.is_set() for channel in channels):
            return
        waits = [asyncio.create_task(channel.reachable.wait()) for channel in channels]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def is_reachable(self, account: bytes, verb: Verb) -> bool:
        return self._channel(account, verb).reachable.is_set()

    def serve(self, verb: Verb, handle: Handle) -> None:
        if verb not in self._desks:
            key = key_expression(self._chain_id, self._address, verb)
            self._desks[verb] = Desk(self._session, key, verb, handle)

    def _channel(self, account: bytes, verb: Verb) -> _Channel:
        if (channel := self._channels.get((account, verb))) is None:
            channel = _Channel(self._session, key_expression(self._chain_id, account, verb), verb)
            self._channels[account, verb] = channel
        return channel


class _Channel:
    """One account's answers to one verb, as the session sees them. Made and used in a running event loop."""

    def __init__(self, session: zenoh.Session, key: str, verb: Verb) -> None:
        self.reachable = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        # A thread each: where one's link is stuck, `get` blocks for seconds, and the others must not wait.
        self._sender = ThreadPoolExecutor(1, thread_name_prefix=f"{verb}-sender")
        self._querier = session.declare_querier(
            key,
            # Whoever claims to be the account gets the query, and what holds of the answers is taken: a liar that
            # declares another's key cannot stand in its way.
            target=zenoh.QueryTarget.ALL,
            consolidation=zenoh.ConsolidationMode.NONE,
            timeout=_QUERY_SECONDS,
            congestion_control=zenoh.CongestionControl.BLOCK,
            priority=_PRIORITIES[verb],
        )
        self._querier.declare_matching_listener(zenoh.handlers.Callback(self._on_matching, indirect=False))
        if self._querier.matching_status.matching:  # type: ignore[attr-defined]  # its stub says bool
            self.reachable.set()

    def close(self) -> None:
        self._sender.shutdown(wait=False, cancel_futures=True)

    async def ask(self, payload: zenoh.ZBytes, check: Callable[[zenoh.Sample], T], checkers: ThreadPoolExecutor) -> T:
        replies: asyncio.Queue[zenoh.Reply | None] = asyncio.Queue()

        def take(reply: zenoh.Reply) -> None:
            if replies.qsize() < MAX_WAITING_ANSWERS:
                replies.put_nowait(reply)

        handler = zenoh.handlers.Callback(
            partial(self._notify, take), partial(self._notify, replies.put_nowait, None), indirect=False
        )
        cancellation = zenoh.CancellationToken()
        send = partial(self._querier.get, handler, payload=payload, cancellation_token=cancellation)
        failure: Exception = NoAnswer("no answer")
        try:
            await self._loop.run_in_executor(self._sender, send)
            while (reply := await replies.get()) is not None:
                if (sample := reply.ok) is None:  # Zenoh's own word that the query ended early
                    continue
                try:
                    return await self._loop.run_in_executor(checkers, check, sample)
                except (Refusal, BadAnswer) as error:
                    failure = error
        except zenoh.ZError as error:
            raise NoAnswer(f"Zenoh cannot send: {error}") from error
        finally:
            cancellation.cancel()  # type: ignore[no-untyped-call]  # its stub is untyped
        raise failure

    def _on_matching(self, status: zenoh.MatchingStatus) -> None:
        self._notify(self.reachable.set if status.matching else self.reachable.clear)

    def _notify(self, callback: Callable[..., object], *arguments: object) -> None:
        """Call back in the event loop, from one of Zenoh's threads."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(callback, *arguments)


def _check(accept: Accept[T], max_bytes: int, sample: zenoh.Sample) -> T:
    check_size(len(sample.payload), max_bytes)
    return accept(sample.payload.to_bytes())
