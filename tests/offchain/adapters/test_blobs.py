"""Blobs over real Zenoh on loopback, with replicas that are dead, stuck, late, lying or impostors."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import numpy as np
import pytest
import zenoh

from offchain.adapters.blobs import ZenohBlobs
from offchain.adapters.session import account_prefix, key_expression, open_session
from offchain.interfaces import BlobUnavailable
from offchain.storage import protocol
from offchain.storage.ballots import ExchangedBallots
from offchain.storage.memory import MemoryStore
from offchain.storage.service import ReplicaService
from optfl.certificates import check_certificate
from optfl.keys import SigningKey
from optfl.vectors import ChunkedVector, Shape, verify_opening
from optfl.wire import receipt_pb2, state_pb2, transaction_pb2
from support.ports import find_free_port
from support.replicas import endpoint_of, make_services, open_lawless, serving
from support.storage import (
    AGGREGATORS,
    CHAIN_ID,
    CLIENTS,
    OPEN,
    REPLICA_ADDRESSES,
    REPLICAS,
    TASK_ID,
    TRAINING,
    FakeNode,
    make_statement,
    make_update,
    make_view,
)

UPDATE = make_update()
SHAPE = UPDATE.shape
VIEW = make_view((3, TRAINING))
FROZEN = make_view((3, OPEN), (4, TRAINING))
QUESTION = transaction_pb2.Ballot(chain_id=CHAIN_ID, task_id=TASK_ID, round=3)
BALLOT = transaction_pb2.Ballot(chain_id=CHAIN_ID, task_id=TASK_ID, round=3, digest=bytes([7] * 32))


@asynccontextmanager
async def blobs_at(
    ports: Iterable[int], *, answer_seconds: float = 60.0, patience_seconds: float = 60.0
) -> AsyncIterator[ZenohBlobs]:
    """What a client that is configured with these replicas uses."""
    ledger = FakeNode(VIEW, address=CLIENTS[0].address)
    async with open_session([endpoint_of(port) for port in ports]) as session:
        blobs = ZenohBlobs(
            session, CLIENTS[0], ledger, answer_seconds=answer_seconds, patience_seconds=patience_seconds
        )
        try:
            yield blobs
        finally:
            await blobs.close()


@asynccontextmanager
async def serving_all(services: Sequence[ReplicaService], ports: Sequence[int]) -> AsyncIterator[None]:
    """Services beyond the ports are dead."""
    async with AsyncExitStack() as stack:
        for service, port in zip(services, ports, strict=False):
            await stack.enter_async_context(serving(service, port))
        yield


def find_ports(count: int = 4) -> list[int]:
    return [find_free_port() for _ in range(count)]


async def put(blobs: ZenohBlobs, vector: ChunkedVector = UPDATE, quorum: int = 3) -> receipt_pb2.Certificate:
    statement = make_statement(CLIENTS[0], vector, 3)
    certificate = await blobs.put(statement, vector.shape, vector.data, quorum)
    check_certificate(certificate, statement, [key.public_key for key in REPLICAS], quorum)
    return certificate


def freeze(services: Iterable[ReplicaService]) -> None:
    for service in services:
        node = service._read_task
        assert isinstance(node, FakeNode)
        node.view = FROZEN


def test_what_is_put_is_certified_and_read_whole_and_by_chunk() -> None:
    async def scenario() -> None:
        services, ports = make_services(VIEW), find_ports()
        async with serving_all(services, ports), blobs_at(ports) as blobs:
            assert len((await put(blobs, quorum=4)).signatures) == 4
            with pytest.raises(BlobUnavailable, match="not-frozen"):
                await blobs.get(TASK_ID, SHAPE, UPDATE.id, REPLICA_ADDRESSES)
            freeze(services)
            for replica in REPLICA_ADDRESSES:
                assert await blobs.get(TASK_ID, SHAPE, UPDATE.id, [replica]) == UPDATE.data
            for chunk in (0, SHAPE.chunks - 1):
                opening = await blobs.get_chunk(TASK_ID, SHAPE, UPDATE.root, chunk, REPLICA_ADDRESSES)
                verify_opening(SHAPE, UPDATE.root, chunk, opening)

    asyncio.run(scenario())


def test_megabytes_travel_in_one_piece() -> None:
    """Eight of them, in many fragments, to four replicas at once and back; and to several readers at once."""
    shape = Shape("int16", 1 << 22, 2048)
    vector = ChunkedVector(shape, np.random.default_rng(1).integers(-9, 9, shape.length, dtype=np.int16))

    def enlarge(view: state_pb2.TaskView) -> state_pb2.TaskView:
        enlarged = state_pb2.TaskView()
        enlarged.CopyFrom(view)
        enlarged.task.parameters.length, enlarged.task.parameters.chunk_values = shape.length, shape.chunk_values
        return enlarged

    async def scenario() -> None:
        services, ports = make_services(enlarge(VIEW)), find_ports()
        async with serving_all(services, ports), blobs_at(ports) as blobs:
            await put(blobs, vector, quorum=4)
            for service in services:
                service._read_task = FakeNode(enlarge(FROZEN))
            found = await asyncio.gather(
                *(blobs.get(TASK_ID, shape, vector.id, [replica]) for replica in REPLICA_ADDRESSES)
            )
            assert all(data == vector.data for data in found)

    asyncio.run(scenario())


def test_one_dead_replica_of_four_stops_neither_puts_nor_reads() -> None:
    async def scenario() -> None:
        services, ports = make_services(VIEW), find_ports()
        async with serving_all(services[:3], ports), blobs_at(ports) as blobs:
            certificate = await put(blobs)
            assert [signature.replica for signature in certificate.signatures] == [0, 1, 2]
            freeze(services)
            assert await blobs.get(TASK_ID, SHAPE, UPDATE.id, REPLICA_ADDRESSES) == UPDATE.data
            with pytest.raises(BlobUnavailable, match="not reachable"):
                await blobs.get(TASK_ID, SHAPE, make_update(1).id, REPLICA_ADDRESSES)

    asyncio.run(scenario())


def test_two_dead_replicas_of_four_make_a_put_unavailable() -> None:
    async def scenario() -> None:
        services, ports = make_services(VIEW), find_ports()
        async with serving_all(services[:2], ports), blobs_at(ports, answer_seconds=0.5, patience_seconds=0.0) as blobs:
            with pytest.raises(BlobUnavailable, match=r"of 4 replicas signed .+ 3 are needed .+ not reachable"):
                await put(blobs)

    asyncio.run(scenario())


def test_a_stuck_replica_does_not_hold_up_a_put() -> None:
    """It has the request and never answers; the certificate is there all the same."""
    released = threading.Event()

    class Stuck(ReplicaService):
        def handle_put(self, message: bytes) -> bytes:
            released.wait()
            return super().handle_put(message)

    async def scenario() -> None:
        services, ports = make_services(VIEW), find_ports()
        services[0] = Stuck(CHAIN_ID, REPLICAS[0], services[0]._store, FakeNode(VIEW))
        async with serving_all(services, ports), blobs_at(ports) as blobs:
            certificate = await put(blobs)
            assert [signature.replica for signature in certificate.signatures] == [1, 2, 3]
            released.set()

    asyncio.run(scenario())


def test_a_lying_replica_is_seen_through_in_puts_and_reads() -> None:
    class Liar(ReplicaService):
        def handle_put(self, message: bytes) -> bytes:
            return protocol.encode_receipt_reply(bytes(64))

        def handle_get(self, message: bytes) -> bytes:
            return protocol.encode_vector_reply(make_update(1).data)

    async def scenario() -> None:
        services, ports = make_services(VIEW), find_ports()
        services[2] = Liar(CHAIN_ID, REPLICAS[2], services[2]._store, FakeNode(VIEW))
        async with serving_all(services, ports), blobs_at(ports) as blobs:
            certificate = await put(blobs)
            assert [signature.replica for signature in certificate.signatures] == [0, 1, 3]
            freeze(services)
            with pytest.raises(BlobUnavailable, match=f"it sent bytes with the id {make_update(1).id.hex()}"):
                await blobs.get(TASK_ID, SHAPE, UPDATE.id, REPLICA_ADDRESSES[2:3])
            assert await blobs.get(TASK_ID, SHAPE, UPDATE.id, REPLICA_ADDRESSES) == UPDATE.data

    asyncio.run(scenario())


async def wait_for_links(blobs: ZenohBlobs, count: int) -> None:
    """Return once `count` replicas are linked and have told the session what they answer."""
    session = blobs.transport._session
    async with asyncio.timeout(60.0):
        while len(session.info.peers_zid()) < count:  # noqa: ASYNC110  # there is no event to wait for
            await asyncio.sleep(0.01)  # Zenoh tells nobody of a new link
    await blobs._transport.wait_for_any(REPLICA_ADDRESSES[:1], "put")


def test_an_impostor_among_the_replicas_cannot_stand_in_anothers_way() -> None:
    """A Byzantine replica declares the honest ones' keys. Both are asked, and what holds is taken."""

    def refuse(query: zenoh.Query) -> None:
        with query:
            query.reply(query.key_expr, protocol.encode_refusal(protocol.Refusal("quota", "go away")))

    async def scenario() -> None:
        services, ports = make_services(VIEW), find_ports()
        async with AsyncExitStack() as stack:
            impostor = await asyncio.to_thread(open_lawless, "peer", listen=[endpoint_of(ports[3])])
            stack.push_async_callback(asyncio.to_thread, impostor.close)
            for replica in REPLICA_ADDRESSES[:3]:
                for verb in ("put", "get"):
                    impostor.declare_queryable(key_expression(CHAIN_ID, replica, verb), refuse, complete=True)
            for service, port in zip(services[:3], ports[:3], strict=True):
                await stack.enter_async_context(serving(service, port))
            blobs = await stack.enter_async_context(blobs_at(ports))
            await wait_for_links(blobs, len(ports))  # with the impostor's alone, its refusal would be all there is
            certificate = await put(blobs)
            assert [signature.replica for signature in certificate.signatures] == [0, 1, 2]
            freeze(services)
            for replica in REPLICA_ADDRESSES[:3]:
                assert await blobs.get(TASK_ID, SHAPE, UPDATE.id, [replica]) == UPDATE.data

    asyncio.run(scenario())


def test_a_put_waits_for_a_replica_that_starts_late() -> None:
    async def scenario() -> None:
        services, ports = make_services(VIEW), find_ports()
        async with serving_all(services[:2], ports), blobs_at(ports) as blobs:
            putting = asyncio.create_task(put(blobs))
            await blobs._transport.wait_for_any(REPLICA_ADDRESSES[:2], "put")
            async with serving(services[2], ports[2]):
                certificate = await putting
            assert [signature.replica for signature in certificate.signatures] == [0, 1, 2]

    asyncio.run(scenario())


def test_a_replica_that_comes_back_is_used_again() -> None:
    async def scenario() -> None:
        services, port = make_services(VIEW), find_free_port()
        freeze(services)
        async with blobs_at([port]) as blobs:
            for _ in range(2):
                async with serving(services[0], port):
                    await blobs._transport.wait_for_any(REPLICA_ADDRESSES[:1], "put")
                    with pytest.raises(BlobUnavailable, match="not-stored"):
                        await blobs.get(TASK_ID, SHAPE, UPDATE.id, REPLICA_ADDRESSES[:1])

    asyncio.run(scenario())


def test_a_role_starts_while_no_replica_is_there() -> None:
    async def scenario() -> None:
        async with blobs_at(find_ports(), answer_seconds=0.1) as blobs:
            with pytest.raises(BlobUnavailable, match="not reachable; is it running"):
                await blobs.get(TASK_ID, SHAPE, UPDATE.id, REPLICA_ADDRESSES)

    asyncio.run(scenario())


def test_a_read_ends_when_its_session_is_closed() -> None:
    """As unavailability: the role shuts down, and nothing hangs or crashes."""
    entered, released = threading.Event(), threading.Event()

    class Stuck(ReplicaService):
        def handle_get(self, message: bytes) -> bytes:
            entered.set()
            released.wait()
            return super().handle_get(message)

    async def scenario() -> None:
        port = find_free_port()
        ledger = FakeNode(VIEW, address=CLIENTS[0].address)
        async with serving(Stuck(CHAIN_ID, REPLICAS[0], MemoryStore(), FakeNode(VIEW)), port):
            async with open_session([endpoint_of(port)]) as session:
                blobs = ZenohBlobs(session, CLIENTS[0], ledger, answer_seconds=60.0)
                reading = asyncio.create_task(blobs.get(TASK_ID, SHAPE, UPDATE.id, REPLICA_ADDRESSES[:1]))
                await asyncio.to_thread(entered.wait)
            with pytest.raises(BlobUnavailable):
                await reading
            released.set()
            await blobs.close()

    asyncio.run(scenario())


# Accounts that serve something themselves.


@asynccontextmanager
async def account_at(key: SigningKey, endpoints: Sequence[str], listen: str | None = None) -> AsyncIterator[ZenohBlobs]:
    """What a role uses that others may ask."""
    prefix = account_prefix(CHAIN_ID, key.address)
    async with open_session(endpoints, listen, account=prefix) as session:
        blobs = ZenohBlobs(session, key, FakeNode(FROZEN, address=key.address), answer_seconds=60.0)
        try:
            yield blobs
        finally:
            await blobs.close()


def test_offers_are_read_over_links_that_either_side_opened() -> None:
    """Two listen and name each other and themselves, as one config for all would; a third only reaches out."""

    async def scenario() -> None:
        endpoints = [endpoint_of(port) for port in find_ports(2)]
        async with (
            account_at(AGGREGATORS[0], endpoints, endpoints[0]) as first,
            account_at(AGGREGATORS[1], endpoints, endpoints[1]) as second,
            account_at(CLIENTS[0], endpoints) as client,
        ):
            accounts = {AGGREGATORS[0]: first, AGGREGATORS[1]: second, CLIENTS[0]: client}
            vectors = {key: make_update(seed) for seed, key in enumerate(accounts)}
            for key, blobs in accounts.items():
                await blobs.offer(TASK_ID, SHAPE, vectors[key].id, vectors[key].data)
            for reader, blobs in accounts.items():
                for author, vector in vectors.items():
                    if author != reader:
                        assert await blobs.get(TASK_ID, SHAPE, vector.id, [author.address]) == vector.data
            opening = await first.get_chunk(TASK_ID, SHAPE, vectors[CLIENTS[0]].root, 3, [CLIENTS[0].address])
            verify_opening(SHAPE, vectors[CLIENTS[0]].root, 3, opening)

    asyncio.run(scenario())


def test_an_oversize_answer_is_turned_down_and_a_true_one_beside_it_taken() -> None:
    """A liar that links to the reader answers in the author's name, with far too much."""

    def flood(query: zenoh.Query) -> None:
        with query:
            for _ in range(3):
                query.reply(query.key_expr, bytes(1 << 22))

    async def scenario() -> None:
        endpoint, author = endpoint_of(find_free_port()), AGGREGATORS[0]
        async with AsyncExitStack() as stack:
            liar = await asyncio.to_thread(open_lawless, "peer", connect=[endpoint])
            stack.push_async_callback(asyncio.to_thread, liar.close)
            for verb in ("get", "ballot"):
                liar.declare_queryable(key_expression(CHAIN_ID, author.address, verb), flood, complete=True)
            reader = await stack.enter_async_context(account_at(AGGREGATORS[1], [], endpoint))
            with pytest.raises(BlobUnavailable, match="it sent 4194304 bytes where"):
                await reader.get(TASK_ID, SHAPE, UPDATE.id, [author.address])
            await reader.transport.wait_for_any([author.address], "ballot")
            ballots = ExchangedBallots(reader.transport, AGGREGATORS[1].address, answer_seconds=60.0)
            assert await ballots.collect(QUESTION, [author.address]) == []
            offering = await stack.enter_async_context(account_at(author, [endpoint]))
            await offering.offer(TASK_ID, SHAPE, UPDATE.id, UPDATE.data)
            # Declarations come in order: whoever hears of the second knows the first.
            offering.transport.serve("put", lambda request: request)
            await reader.transport.wait_for_any([author.address], "put")
            assert await reader.get(TASK_ID, SHAPE, UPDATE.id, [author.address]) == UPDATE.data

    asyncio.run(scenario())


def test_ballots_are_exchanged_and_unverified() -> None:
    async def scenario() -> None:
        endpoint = endpoint_of(find_free_port())
        async with account_at(AGGREGATORS[0], [], endpoint) as mine, account_at(AGGREGATORS[1], [endpoint]) as yours:
            first = ExchangedBallots(mine.transport, AGGREGATORS[0].address, answer_seconds=60.0)
            second = ExchangedBallots(yours.transport, AGGREGATORS[1].address, answer_seconds=60.0)
            await second.publish(BALLOT, bytes(64))
            await mine.transport.wait_for_any([AGGREGATORS[1].address], "ballot")
            members = [key.address for key in AGGREGATORS]  # the third is not there
            assert await first.collect(QUESTION, members) == [(AGGREGATORS[1].address, BALLOT.digest, bytes(64))]
            assert await second.collect(QUESTION, members) == [(AGGREGATORS[1].address, BALLOT.digest, bytes(64))]
            other = transaction_pb2.Ballot(chain_id=CHAIN_ID, round=4)
            assert await first.collect(other, members) == []

    asyncio.run(scenario())
