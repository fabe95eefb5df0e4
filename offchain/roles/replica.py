"""A storage replica: answers puts and gets on a Zenoh session, as its own node knows the tasks."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import zenoh

from offchain.adapters.session import key_expression
from offchain.interfaces import Ledger, LedgerUnavailable
from offchain.storage.protocol import Verb
from offchain.storage.service import ReplicaService
from offchain.storage.store import BlobStore
from optfl.keys import SigningKey
from optfl.wire import state_pb2

log = logging.getLogger(__name__)

# Threads and waiting requests, by verb. Gets have their own, so that none waits for a put's fsync; a get's thread is
# held by a reader that takes its bytes slowly. What comes beyond these is dropped, and asked again.
WORKERS: dict[Verb, int] = {"put": 4, "get": 8}
MAX_WAITING: dict[Verb, int] = {"put": 64, "get": 1024}

MAX_KNOWN_TASKS = 256
_NODE_SECONDS = 10.0
_RETRY_SECONDS = 1.0


async def run_replica(
    ledger: Ledger, key: SigningKey, store: BlobStore, session: zenoh.Session, stop: asyncio.Event
) -> None:
    """Serve until `stop`, through any outage of the node; forget what is past its retention."""
    reader = LedgerTaskReader(ledger, asyncio.get_running_loop())
    server = ReplicaServer(ReplicaService(ledger.chain_id, key, store, reader), ledger.chain_id, session)
    async with asyncio.TaskGroup() as group:
        following = group.create_task(_follow_blocks(ledger, reader, store))
        await server.run(stop)
        following.cancel()


async def _follow_blocks(ledger: Ledger, reader: LedgerTaskReader, store: BlobStore) -> None:
    height = 0
    while True:
        try:
            height = await ledger.wait_for_block(height)
        except LedgerUnavailable as error:
            log.warning("%s; serving what is known and trying again", error)
            await asyncio.sleep(_RETRY_SECONDS)
            continue
        reader.note_block()
        pruned = await asyncio.to_thread(store.prune, height)
        if pruned:
            log.info("forgot %d vectors that nobody was promised at height %d or later", pruned, height)


class LedgerTaskReader:
    """`TaskReader` on a `Ledger` that lives in `loop`: asks the node once a block for each task that is asked about."""

    def __init__(self, ledger: Ledger, loop: asyncio.AbstractEventLoop) -> None:
        self._ledger = ledger
        self._loop = loop
        self._block = 0
        self._known: dict[int, tuple[int, state_pb2.TaskView]] = {}  # task -> block count when asked, view
        self._asking: dict[int, asyncio.Task[state_pb2.TaskView | None]] = {}

    def note_block(self) -> None:
        """There is a new block: views are looked up again when they are needed."""
        self._block += 1

    def __call__(self, task_id: int, *, fresh: bool) -> state_pb2.TaskView | None:
        block, view = self._known.get(task_id, (-1, None))
        if block == self._block and not fresh:
            return view
        try:
            return asyncio.run_coroutine_threadsafe(self._ask(task_id), self._loop).result(_NODE_SECONDS)
        except (LedgerUnavailable, TimeoutError) as error:
            if view is None or fresh:
                raise LedgerUnavailable(str(error) or f"no answer in {_NODE_SECONDS:.0f} s") from error
            return view  # an old view still tells what was frozen and who was selected

    async def _ask(self, task_id: int) -> state_pb2.TaskView | None:
        """Whoever asks while a look-up is on its way shares it: requests cannot multiply at the node."""
        if (asking := self._asking.get(task_id)) is None:
            asking = self._asking[task_id] = asyncio.create_task(self._look_up(task_id))
            asking.add_done_callback(lambda _: self._asking.pop(task_id))
        return await asyncio.shield(asking)

    async def _look_up(self, task_id: int) -> state_pb2.TaskView | None:
        block = self._block
        view = await self._ledger.get_task(task_id)
        if view is not None:
            self._known.pop(task_id, None)
            self._known[task_id] = (block, view)
            if len(self._known) > MAX_KNOWN_TASKS:
                del self._known[next(iter(self._known))]
        return view


class ReplicaServer:
    """Serves `service` on `session` from a few threads."""

    def __init__(self, service: ReplicaService, chain_id: str, session: zenoh.Session) -> None:
        self._service = service
        self._chain_id = chain_id
        self._session = session

    async def run(self, stop: asyncio.Event) -> None:
        """Answer until `stop` is set; requests that are being answered then are finished."""
        # The put comes last: authors and readers take it for the sign that the replica is there.
        desks = [_Desk("get", self._service.handle_get), _Desk("put", self._service.handle_put)]
        queryables = [self._declare(desk) for desk in desks]
        log.info("replica %s is serving", self._service.address.hex())
        try:
            await stop.wait()
        finally:
            for queryable in queryables:
                queryable.undeclare()  # type: ignore[no-untyped-call]  # its stub is untyped
            for desk in desks:
                await asyncio.to_thread(desk.close)

    def _declare(self, desk: _Desk) -> zenoh.Queryable[None]:
        return self._session.declare_queryable(
            key_expression(self._chain_id, self._service.address, desk.verb),
            zenoh.handlers.Callback(desk.take, indirect=False),
            complete=True,
        )


class _Desk:
    """Takes the queries of one verb off Zenoh's threads, and answers them on its own."""

    def __init__(self, verb: Verb, handle: Callable[[bytes], bytes]) -> None:
        self.verb = verb
        self._handle = handle
        self._pool = ThreadPoolExecutor(WORKERS[verb], thread_name_prefix=verb)
        self._room = threading.BoundedSemaphore(WORKERS[verb] + MAX_WAITING[verb])

    def take(self, query: zenoh.Query) -> None:
        """Runs on the thread that reads the link, so it never waits."""
        if not self._room.acquire(blocking=False):
            log.warning("too many %s requests at once; dropping one", self.verb)
            _drop(query)
            return
        try:
            self._pool.submit(self._answer, query)
        except RuntimeError:  # closed: the replica is stopping
            self._room.release()
            _drop(query)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _answer(self, query: zenoh.Query) -> None:
        try:
            with query:
                query.reply(query.key_expr, self._handle(b"" if query.payload is None else query.payload.to_bytes()))
        except zenoh.ZError as error:
            log.warning("cannot answer a %s: %s", self.verb, error)
        except Exception:  # our own bug: said loudly, while the other requests are still served
            log.exception("a %s could not be answered; this is a bug", self.verb)
        finally:
            self._room.release()


def _drop(query: zenoh.Query) -> None:
    """End a query without an answer: its asker tries again, or elsewhere."""
    query.drop()  # type: ignore[no-untyped-call]  # its stub is untyped
