"""The replica as a role: killed and restarted, following its node, flooded, stopped."""

from __future__ import annotations

import asyncio
import logging
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

import support.replicas
from offchain.adapters import desks
from offchain.adapters.blobs import ZenohBlobs
from offchain.adapters.session import account_prefix, open_session
from offchain.interfaces import BlobUnavailable, LedgerUnavailable
from offchain.roles import replica as module
from offchain.roles.replica import LedgerTaskReader, run_replica
from offchain.storage import protocol
from offchain.storage.disk import DiskStore
from offchain.storage.memory import MemoryStore
from offchain.storage.service import ReplicaService
from offchain.storage.store import Slot
from optfl.audits import compute_audit
from optfl.certificates import check_certificate
from optfl.keys import SigningKey
from optfl.vectors import Opening, verify_opening
from optfl.wire import state_pb2, transaction_pb2
from support.ports import find_free_port
from support.replicas import endpoint_of, make_services, serving
from support.stepped import SteppedLedger
from support.storage import (
    AGGREGATING,
    AGGREGATORS,
    CHAIN_ID,
    CLIENTS,
    HEIGHT,
    OPEN,
    REPLICA_ADDRESSES,
    REPLICAS,
    RETENTION_BLOCKS,
    TASK_ID,
    TRAINING,
    FakeNode,
    make_attempt,
    make_commitment,
    make_model,
    make_statement,
    make_update,
    make_view,
)

MODEL = make_model()
ACCOUNT = account_prefix(CHAIN_ID, REPLICAS[0].address)
VIEW = make_view((3, AGGREGATING), replicas=REPLICAS[:1])


@asynccontextmanager
async def blobs_at(
    ports: int | Sequence[int], key: SigningKey, view: state_pb2.TaskView = VIEW
) -> AsyncIterator[ZenohBlobs]:
    endpoints = [endpoint_of(port) for port in ([ports] if isinstance(ports, int) else ports)]
    async with open_session(endpoints) as session:
        blobs = ZenohBlobs(session, key, FakeNode(view, address=key.address), answer_seconds=60.0)
        try:
            yield blobs
        finally:
            await blobs.close()


class ReplicaProcess:
    """A replica with its store on disk, in a process of its own."""

    def __init__(self, port: int, folder: Path) -> None:
        root = Path(support.replicas.__file__).parents[2]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.replicas", str(port), str(folder)],
            env={"PYTHONPATH": f"{root}:{root / 'tests'}"},
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"serving\n"

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def test_a_replica_that_is_killed_after_its_receipt_still_has_the_vector(tmp_path: Path) -> None:
    """SIGKILL the moment the certificate is there, leave something half-written, start again, read."""

    async def scenario() -> None:
        port = find_free_port()
        statement = make_statement(AGGREGATORS[0], MODEL, 3)
        async with blobs_at(port, AGGREGATORS[0]) as blobs:
            process = await asyncio.to_thread(ReplicaProcess, port, tmp_path)
            try:
                certificate = await blobs.put(statement, MODEL.shape, MODEL.data, 1)
            finally:
                process.kill()
            check_certificate(certificate, statement, [REPLICAS[0].public_key], 1)
            (tmp_path / "incoming" / "half").write_bytes(b"half")
            process = await asyncio.to_thread(ReplicaProcess, port, tmp_path)
            try:
                assert list((tmp_path / "incoming").iterdir()) == []
                data = await blobs.get(TASK_ID, MODEL.shape, MODEL.id, REPLICA_ADDRESSES[:1])
            finally:
                process.kill()
            assert data == MODEL.data

    asyncio.run(scenario())


# Following the node.


class FakeLedger:
    """A ledger whose blocks and failures the test decides; counts what it is asked."""

    chain_id = CHAIN_ID
    address = REPLICAS[0].address

    def __init__(self, view: state_pb2.TaskView | None) -> None:
        self.view = view
        self.available = True
        self.asked = 0
        self.blocks: asyncio.Queue[int | None] = asyncio.Queue()  # None: the node is down once
        self.waiting = asyncio.Event()

    async def make_block(self, height: int | None) -> None:
        """Return once the role has done with it and waits for the next."""
        await self.waiting.wait()
        self.waiting.clear()
        await self.blocks.put(height)
        await self.waiting.wait()

    async def wait_for_block(self, after_height: int) -> int:
        self.waiting.set()
        height = await self.blocks.get()
        if height is None:
            raise LedgerUnavailable("the node is down")
        return height

    async def wait_for_change(self, task_id: int, after_height: int) -> int:
        return await self.wait_for_block(after_height)

    async def get_task(self, task_id: int) -> state_pb2.TaskView | None:
        self.asked += 1
        await asyncio.sleep(0)
        if not self.available:
            raise LedgerUnavailable("the node is down")
        return self.view if task_id == TASK_ID else None

    async def submit(self, body: transaction_pb2.Body) -> object:
        raise NotImplementedError


Ask = Callable[..., Awaitable[state_pb2.TaskView | None]]


def make_reader(ledger: FakeLedger) -> tuple[LedgerTaskReader, Ask]:
    reader = LedgerTaskReader(ledger, asyncio.get_running_loop())  # type: ignore[arg-type]  # it submits nothing
    return reader, lambda task_id=TASK_ID, fresh=False: asyncio.to_thread(reader, task_id, fresh=fresh)


def test_a_view_is_asked_for_once_a_block_or_when_it_must_be_fresh() -> None:
    async def scenario() -> None:
        ledger = FakeLedger(VIEW)
        reader, ask = make_reader(ledger)
        assert await ask() == VIEW
        ledger.view = make_view((3, OPEN), height=HEIGHT + 1)
        assert await ask() == VIEW
        assert ledger.asked == 1
        assert await ask(fresh=True) == ledger.view
        ledger.view = make_view((3, OPEN), height=HEIGHT + 2)
        reader.note_block()
        assert await ask() == ledger.view
        assert ledger.asked == 3
        assert await ask(TASK_ID + 1) is None

    asyncio.run(scenario())


def test_many_who_ask_at_once_cost_the_node_one_look() -> None:
    async def scenario() -> None:
        ledger = FakeLedger(VIEW)
        reader, _ = make_reader(ledger)
        assert await asyncio.gather(*(reader._ask(TASK_ID) for _ in range(4))) == [VIEW] * 4
        assert ledger.asked == 1

    asyncio.run(scenario())


def test_while_the_node_is_down_what_was_seen_last_is_used() -> None:
    async def scenario() -> None:
        ledger = FakeLedger(VIEW)
        reader, ask = make_reader(ledger)
        assert await ask() == VIEW
        ledger.available = False
        reader.note_block()
        assert await ask() == VIEW
        with pytest.raises(LedgerUnavailable):
            await ask(fresh=True)
        with pytest.raises(LedgerUnavailable):
            await ask(TASK_ID + 1)

    asyncio.run(scenario())


def test_known_tasks_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KNOWN_TASKS", 2)

    class AnyTask(FakeLedger):
        async def get_task(self, task_id: int) -> state_pb2.TaskView | None:
            self.asked += 1
            return self.view

    async def scenario() -> None:
        ledger = AnyTask(VIEW)
        reader, ask = make_reader(ledger)
        for task_id in (1, 2, 3, 3):
            await ask(task_id)
        assert ledger.asked == 3
        assert list(reader._known) == [2, 3]

    asyncio.run(scenario())


@pytest.fixture
def without_upkeep(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replica that only serves."""

    async def idle(*arguments: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(module, "run_upkeep", idle)


@pytest.mark.usefixtures("without_upkeep")
def test_a_replica_forgets_what_is_past_its_retention_and_outlives_its_nodes_outages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.0)

    async def scenario() -> None:
        ledger, store, stop, port = FakeLedger(VIEW), MemoryStore(), asyncio.Event(), find_free_port()
        store.put(MODEL, Slot(TASK_ID, 3, AGGREGATORS[0].address, "model"), HEIGHT + RETENTION_BLOCKS)
        async with open_session([], endpoint_of(port), account=ACCOUNT) as session:
            running = asyncio.create_task(run_replica(ledger, REPLICAS[0], store, session, stop))  # type: ignore[arg-type]  # it submits nothing
            for height in (HEIGHT + RETENTION_BLOCKS, None):
                await ledger.make_block(height)
            async with blobs_at(port, CLIENTS[0]) as blobs:
                assert await blobs.get(TASK_ID, MODEL.shape, MODEL.id, REPLICA_ADDRESSES[:1]) == MODEL.data
                await ledger.make_block(HEIGHT + RETENTION_BLOCKS + 1)
                with pytest.raises(BlobUnavailable, match="not-stored"):
                    await blobs.get(TASK_ID, MODEL.shape, MODEL.id, REPLICA_ADDRESSES[:1])
            stop.set()
            await running

    asyncio.run(scenario())


@pytest.mark.usefixtures("without_upkeep")
def test_a_bug_in_the_follower_stops_the_replica() -> None:
    """Rather than letting it serve old views for ever."""

    class BrokenStore(MemoryStore):
        def prune(self, height: int) -> int:
            raise KeyError("a bug")

    async def scenario() -> None:
        ledger = FakeLedger(VIEW)
        await ledger.blocks.put(HEIGHT)
        async with open_session([], endpoint_of(find_free_port())) as session:
            with pytest.raises(ExceptionGroup) as raised:
                await run_replica(ledger, REPLICAS[0], BrokenStore(), session, asyncio.Event())  # type: ignore[arg-type]  # it submits nothing
            assert raised.group_contains(KeyError)

    asyncio.run(scenario())


# Its duties.


def test_a_replica_that_was_down_during_a_put_pulls_it_later_and_answers_its_audit(tmp_path: Path) -> None:
    """Over real Zenoh, with a liar among its peers; what it pulled is on its disk and served to others."""

    class Liar(ReplicaService):
        def handle_get(self, message: bytes) -> bytes:
            return protocol.encode_vector_reply(make_update(1).data)

    update, until = make_update(), HEIGHT + RETENTION_BLOCKS + 10
    training = make_view((3, TRAINING))
    attempt = make_attempt(3, (CLIENTS[0], update))
    attempt.attempt_id, attempt.aggregator, attempt.model_root = 1, AGGREGATORS[0].address, MODEL.root
    attempt.status, attempt.evidence_height = state_pb2.ATTEMPT_STATUS_OPEN, until
    # A beacon that draws the update: the model of this attempt is nowhere.
    attempt.beacon = next(
        beacon for beacon in (bytes([i]) for i in range(256)) if compute_audit(beacon, TASK_ID, 1, 3, 1, 16).blob == 0
    )
    frozen = make_view(
        (3, OPEN), (4, TRAINING), attempts=[attempt], commitments={3: [make_commitment(CLIENTS[0], update, until)]}
    )

    async def scenario() -> None:
        services = make_services(
            training, lambda i, s: Liar(CHAIN_ID, REPLICAS[0], s._store, s._read_task) if i == 0 else s
        )
        ports = [find_free_port() for _ in REPLICAS]
        endpoints = [endpoint_of(port) for port in ports]
        async with AsyncExitStack() as stack:
            for service, port in zip(services[:3], ports, strict=False):
                await stack.enter_async_context(serving(service, port))
            client = await stack.enter_async_context(blobs_at(ports, CLIENTS[0], training))
            statement = make_statement(CLIENTS[0], update, 3)
            await client.put(statement, update.shape, update.data, 3)
            for service in services:
                service._read_task = FakeNode(frozen)

            ledger, store = SteppedLedger(REPLICAS[3].address, frozen), DiskStore(tmp_path)
            stack.callback(store.close)
            account = account_prefix(CHAIN_ID, REPLICAS[3].address)
            session = await stack.enter_async_context(open_session(endpoints, endpoints[3], account=account))
            stop = asyncio.Event()
            running = asyncio.create_task(run_replica(ledger, REPLICAS[3], store, session, stop))
            async with asyncio.timeout(60.0):
                while not ledger.submitted:
                    ledger.add_block(frozen)
                    await asyncio.sleep(0.05)
            answer = ledger.submitted[0].answer_audit.opening
            chunk = compute_audit(attempt.beacon, TASK_ID, 1, 3, 1, update.shape.chunks).chunk
            verify_opening(update.shape, update.root, chunk, Opening(answer.data, tuple(answer.path)))
            assert store.get_record(update.id).retain_until == {  # type: ignore[union-attr]  # it is there
                Slot(TASK_ID, 3, CLIENTS[0].address, "update"): until
            }
            assert await client.get(TASK_ID, update.shape, update.id, REPLICA_ADDRESSES[3:]) == update.data
            stop.set()
            await running

    asyncio.run(scenario())


# Under load.


def test_requests_beyond_the_limit_are_dropped_and_asked_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(desks.WORKERS, "put", 1)
    monkeypatch.setitem(desks.MAX_WAITING, "put", 0)
    dropped = threading.Event()

    class Slow(ReplicaService):
        def handle_put(self, message: bytes) -> bytes:
            dropped.wait()
            return super().handle_put(message)

    def note_drop(record: logging.LogRecord) -> bool:
        if "dropping one" in record.msg:
            dropped.set()
        return True

    desks.log.addFilter(note_drop)
    view = make_view((3, TRAINING), replicas=REPLICAS[:1])

    async def put(blobs: ZenohBlobs, key: SigningKey, seed: int) -> None:
        update = make_update(seed)
        await blobs.put(make_statement(key, update, 3), update.shape, update.data, 1)

    async def scenario() -> None:
        port = find_free_port()
        service = Slow(CHAIN_ID, REPLICAS[0], MemoryStore(), FakeNode(view))
        async with (
            serving(service, port),
            blobs_at(port, CLIENTS[0], view) as mine,
            blobs_at(port, CLIENTS[1], view) as yours,
        ):
            try:
                await asyncio.gather(put(mine, CLIENTS[0], 0), put(yours, CLIENTS[1], 1))
            finally:
                dropped.set()  # whatever failed: the desk's thread must not wait for ever

    try:
        asyncio.run(scenario())
    finally:
        desks.log.removeFilter(note_drop)
    assert "too many put requests at once" in caplog.text


def test_reads_go_on_while_puts_are_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(desks.WORKERS, "put", 1)
    entered, released = threading.Event(), threading.Event()

    class Stuck(ReplicaService):
        def handle_put(self, message: bytes) -> bytes:
            entered.set()
            released.wait()
            return super().handle_put(message)

    async def scenario() -> None:
        port, store = find_free_port(), MemoryStore()
        store.put(MODEL, Slot(TASK_ID, 3, AGGREGATORS[0].address, "model"), HEIGHT)
        async with (
            serving(Stuck(CHAIN_ID, REPLICAS[0], store, FakeNode(VIEW)), port),
            blobs_at(port, AGGREGATORS[1]) as blobs,
        ):
            other = make_model(1)
            putting = asyncio.create_task(
                blobs.put(make_statement(AGGREGATORS[1], other, 3), other.shape, other.data, 1)
            )
            await asyncio.to_thread(entered.wait)
            assert await blobs.get(TASK_ID, MODEL.shape, MODEL.id, REPLICA_ADDRESSES[:1]) == MODEL.data
            released.set()
            await putting

    asyncio.run(scenario())


def test_a_bug_in_one_answer_does_not_end_the_others(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(ReplicaService):
        def handle_get(self, message: bytes) -> bytes:
            raise KeyError("a bug")

    async def scenario() -> None:
        port = find_free_port()
        service = Broken(CHAIN_ID, REPLICAS[0], MemoryStore(), FakeNode(VIEW))
        async with serving(service, port), blobs_at(port, AGGREGATORS[0]) as blobs:
            with pytest.raises(BlobUnavailable, match="no answer"):
                await blobs.get(TASK_ID, MODEL.shape, MODEL.id, REPLICA_ADDRESSES[:1])
            await blobs.put(make_statement(AGGREGATORS[0], MODEL, 3), MODEL.shape, MODEL.data, 1)

    asyncio.run(scenario())
    assert "this is a bug" in caplog.text
