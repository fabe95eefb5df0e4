"""Blobs over Zenoh: a request to a replica is a query with a payload, its answer the query's reply."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import zenoh

from offchain.adapters.session import key_expression
from offchain.interfaces import Ledger
from offchain.storage.protocol import Refusal, Verb
from offchain.storage.replicated import ANSWER_SECONDS, PATIENCE_SECONDS, Accept, NoAnswer, ReplicatedBlobs, T
from offchain.storage.verify import BadAnswer
from optfl.keys import SigningKey

_QUERY_SECONDS = 3600.0  # never the limit: every wait has its own, and cancels its query

# A question is small and must not queue behind the megabytes of a put on the same link.
_PRIORITIES: dict[Verb, zenoh.Priority] = {"put": zenoh.Priority.DATA, "get": zenoh.Priority.DATA_HIGH}


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
        self._zenoh = ZenohTransport(session, ledger.chain_id)
        super().__init__(self._zenoh, key, ledger, answer_seconds=answer_seconds, patience_seconds=patience_seconds)

    async def close(self) -> None:
        await super().close()
        self._zenoh.close()


class ZenohTransport:
    """`offchain.storage.replicated.Transport` over Zenoh."""

    def __init__(self, session: zenoh.Session, chain_id: str) -> None:
        self._session = session
        self._chain_id = chain_id
        self._links: dict[bytes, _Link] = {}
        self._checkers = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="check-answer")

    def close(self) -> None:
        self._checkers.shutdown(wait=False, cancel_futures=True)
        for link in self._links.values():
            link.close()

    async def ask(self, replica: bytes, verb: Verb, request: bytes, accept: Accept[T]) -> T:
        return await self._link(replica).ask(verb, request, accept, self._checkers)

    async def wait_for_any(self, replicas: Sequence[bytes]) -> None:
        links = [self._link(replica) for replica in replicas]
        if any(link.reachable.is_set() for link in links):
            return
        waits = [asyncio.create_task(link.reachable.wait()) for link in links]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def is_reachable(self, replica: bytes) -> bool:
        return self._link(replica).reachable.is_set()

    def _link(self, replica: bytes) -> _Link:
        if (link := self._links.get(replica)) is None:
            link = self._links[replica] = _Link(self._session, self._chain_id, replica)
        return link


class _Link:
    """One replica, as the session sees it. Made and used in a running event loop."""

    def __init__(self, session: zenoh.Session, chain_id: str, replica: bytes) -> None:
        self.reachable = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        # One thread a replica: where one's link is stuck, `get` blocks for seconds, and the others must not wait.
        self._sender = ThreadPoolExecutor(1, thread_name_prefix=f"to-{replica.hex()[:8]}")
        self._queriers = {
            verb: session.declare_querier(
                key_expression(chain_id, replica, verb),
                # Whoever claims to be the replica gets the query, and what holds of the answers is taken: a liar
                # that declares another's key cannot stand in its way.
                target=zenoh.QueryTarget.ALL,
                consolidation=zenoh.ConsolidationMode.NONE,
                timeout=_QUERY_SECONDS,
                congestion_control=zenoh.CongestionControl.BLOCK,
                priority=priority,
            )
            for verb, priority in _PRIORITIES.items()
        }
        self._queriers["put"].declare_matching_listener(zenoh.handlers.Callback(self._on_matching, indirect=False))
        if self._queriers["put"].matching_status.matching:  # type: ignore[attr-defined]  # its stub says bool
            self.reachable.set()

    def close(self) -> None:
        self._sender.shutdown(wait=False, cancel_futures=True)

    async def ask(self, verb: Verb, request: bytes, accept: Accept[T], checkers: ThreadPoolExecutor) -> T:
        replies: asyncio.Queue[zenoh.Reply | None] = asyncio.Queue()
        handler = zenoh.handlers.Callback(
            partial(self._notify, replies.put_nowait), partial(self._notify, replies.put_nowait, None), indirect=False
        )
        cancellation = zenoh.CancellationToken()
        send = partial(self._queriers[verb].get, handler, payload=request, cancellation_token=cancellation)
        failure: Exception = NoAnswer("no answer")
        try:
            await self._loop.run_in_executor(self._sender, send)
            while (reply := await replies.get()) is not None:
                if (sample := reply.ok) is None:  # Zenoh's own word that the query ended early
                    continue
                try:
                    return await self._loop.run_in_executor(checkers, _check, sample, accept)
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


def _check(sample: zenoh.Sample, accept: Accept[T]) -> T:
    return accept(sample.payload.to_bytes())
