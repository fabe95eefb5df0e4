"""A storage replica: answers puts and gets on a Zenoh session, as its own node knows the tasks."""

from __future__ import annotations

import asyncio
import logging

import zenoh

from offchain.adapters.blobs import ZenohBlobs
from offchain.adapters.desks import Desk
from offchain.adapters.session import key_expression
from offchain.interfaces import Ledger, LedgerUnavailable
from offchain.roles.upkeep import run_upkeep
from offchain.storage.protocol import Handle, Verb
from offchain.storage.service import ReplicaService
from offchain.storage.store import BlobStore
from optfl.keys import SigningKey
from optfl.wire import state_pb2

log = logging.getLogger(__name__)

MAX_KNOWN_TASKS = 256
_NODE_SECONDS = 10.0
_RETRY_SECONDS = 1.0


async def run_replica(
    ledger: Ledger, key: SigningKey, store: BlobStore, session: zenoh.Session, stop: asyncio.Event
) -> None:
    """Serve until `stop`, through any outage of the node; pull what is missing, forget what is past its retention."""
    reader = LedgerTaskReader(ledger, asyncio.get_running_loop())
    server = ReplicaServer(ReplicaService(ledger.chain_id, key, store, reader), ledger.chain_id, session)
    blobs = ZenohBlobs(session, key, ledger)
    try:
        async with asyncio.TaskGroup() as group:
            duties = [
                group.create_task(_follow_blocks(ledger, reader, store)),
                group.create_task(run_upkeep(ledger, blobs, store)),
            ]
            await server.run(stop)
            for duty in duties:
                duty.cancel()
    finally:
        await blobs.close()


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
        desks = [self._open_desk("get", self._service.handle_get), self._open_desk("put", self._service.handle_put)]
        log.info("replica %s is serving", self._service.address.hex())
        try:
            await stop.wait()
        finally:
            for desk in desks:
                await asyncio.to_thread(desk.close)

    def _open_desk(self, verb: Verb, handle: Handle) -> Desk:
        return Desk(self._session, key_expression(self._chain_id, self._service.address, verb), verb, handle)
