"""Putting at a quorum and reading from replicas that are down, late or lying: the algorithm, without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import pytest

from offchain.adapters.memory import MemoryBlobs, MemoryNetwork, deliver_at_once
from offchain.interfaces import BlobUnavailable
from offchain.storage import protocol, replicated
from offchain.storage.memory import MemoryStore
from offchain.storage.protocol import MAX_SMALL_ANSWER_BYTES, Handle, Verb
from offchain.storage.service import ReplicaService
from optfl.certificates import check_certificate, sign_receipt
from optfl.keys import SigningKey
from optfl.vectors import Opening, verify_opening
from optfl.wire import receipt_pb2
from support.storage import (
    AGGREGATING,
    AGGREGATORS,
    CHAIN_ID,
    CLIENTS,
    HEIGHT,
    OPEN,
    REPLICA_ADDRESSES,
    REPLICAS,
    TASK_ID,
    TRAINING,
    FakeNode,
    make_key,
    make_model,
    make_statement,
    make_update,
    make_view,
)

UPDATE = make_update()
SHAPE = UPDATE.shape
VIEW = make_view((3, TRAINING))
FROZEN = make_view((3, OPEN), (4, TRAINING))
QUORUM = 3

Answer = bytes | None
Hook = Callable[[bytes, Verb, Handle, bytes], Coroutine[Any, Any, Answer]]


async def down(account: bytes, verb: Verb, handle: Handle, request: bytes) -> Answer:
    return None


async def hung(account: bytes, verb: Verb, handle: Handle, request: bytes) -> Answer:
    await asyncio.Event().wait()
    return None


async def garbled(account: bytes, verb: Verb, handle: Handle, request: bytes) -> Answer:
    return b"\x00 not msgpack"


def lying(answer: bytes) -> Hook:
    async def deliver(account: bytes, verb: Verb, handle: Handle, request: bytes) -> Answer:
        return answer

    return deliver


class Net:
    """Four replicas in memory, some of them with a hook in front, and one account's view of them."""

    def __init__(
        self, hooks: Mapping[int, Hook] | None = None, key: SigningKey = CLIENTS[0], patience_seconds: float = 60.0
    ) -> None:
        self.node = FakeNode(VIEW)
        self.services = [ReplicaService(CHAIN_ID, replica, MemoryStore(), self.node) for replica in REPLICAS]
        self.network = MemoryNetwork(self.services)
        self.asked: list[int] = []
        self.asked_again = asyncio.Event()
        self.hooks = dict(hooks or {})
        self.key = key
        self.patience_seconds = patience_seconds
        self.ledger = FakeNode(VIEW, address=key.address)
        self.blobs = self.blobs_of(key)

    def blobs_of(self, key: SigningKey) -> MemoryBlobs:
        return MemoryBlobs(
            self.network,
            key,
            self.ledger,
            self.deliver,
            answer_seconds=0.05,
            patience_seconds=self.patience_seconds,
        )

    async def deliver(self, account: bytes, verb: Verb, handle: Handle, request: bytes) -> Answer:
        if account not in REPLICA_ADDRESSES:
            return await deliver_at_once(account, verb, handle, request)
        index = REPLICA_ADDRESSES.index(account)
        if index in self.asked:
            self.asked_again.set()
        self.asked.append(index)
        return await self.hooks.get(index, deliver_at_once)(account, verb, handle, request)

    async def put(self) -> receipt_pb2.Certificate:
        return await self.blobs.put(make_statement(self.key, UPDATE, 3), SHAPE, UPDATE.data, QUORUM)

    async def get(self) -> bytes:
        return await self.blobs.get(TASK_ID, SHAPE, UPDATE.id, REPLICA_ADDRESSES)

    async def store_and_freeze(self) -> None:
        """The update is at all replicas, and may be read."""
        hooks, self.hooks = self.hooks, {}
        await self.put()
        self.hooks = hooks
        self.node.view = FROZEN
        self.asked.clear()


def check(certificate: receipt_pb2.Certificate) -> None:
    check_certificate(certificate, make_statement(CLIENTS[0], UPDATE, 3), [r.public_key for r in REPLICAS], QUORUM)


def test_a_put_is_certified_by_a_quorum_and_reaches_all() -> None:
    async def scenario() -> None:
        net = Net()
        check(await net.put())
        assert net.asked == [0, 1, 2, 3]
        await asyncio.sleep(0)
        assert all(service._store.get_record(UPDATE.id) for service in net.services)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "fault",
    [
        down,
        hung,
        garbled,
        lying(protocol.encode_receipt_reply(bytes(64))),
        lying(protocol.encode_receipt_reply(sign_receipt(REPLICAS[1], make_statement(CLIENTS[0], UPDATE, 2)))),
        lying(protocol.encode_receipt_reply(sign_receipt(make_key("thief"), make_statement(CLIENTS[0], UPDATE, 3)))),
        lying(protocol.encode_refusal(protocol.Refusal("quota", "no"))),
        lying(protocol.encode_refusal(protocol.Refusal("not-yet", "later"))),
    ],
    ids=["down", "hung", "garbled", "no-signature", "last-round's", "another's", "refuses", "refuses-for-ever"],
)
def test_one_faulty_replica_of_four_does_not_stop_a_put(fault: Hook) -> None:
    async def scenario() -> None:
        net = Net({1: fault})
        certificate = await net.put()
        check(certificate)
        assert [signature.replica for signature in certificate.signatures] == [0, 2, 3]
        await net.blobs.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("fault", [down, hung, garbled], ids=["down", "hung", "garbled"])
def test_two_faulty_replicas_of_four_do(fault: Hook) -> None:
    async def scenario() -> None:
        with pytest.raises(BlobUnavailable, match=r"2 of 4 replicas signed .* 3 are needed"):
            await Net({1: fault, 2: fault}, patience_seconds=0.1).put()

    asyncio.run(scenario())


def test_refusals_for_good_are_said_at_once_with_their_reasons() -> None:
    async def scenario() -> None:
        net = Net()
        net.node.view = make_view((3, OPEN), (4, TRAINING))
        with pytest.raises(BlobUnavailable, match="wrong-phase: round 3 takes no updates any more"):
            await net.put()

    asyncio.run(scenario())


def test_a_replica_whose_node_is_behind_is_asked_again_until_it_has_caught_up() -> None:
    async def scenario() -> None:
        net = Net()
        net.node.view = make_view((2, TRAINING), height=HEIGHT - 1)
        putting = asyncio.create_task(net.put())
        await net.asked_again.wait()
        net.node.view = VIEW
        check(await putting)

    asyncio.run(scenario())


def test_a_task_that_our_own_node_does_not_know_is_said() -> None:
    async def scenario() -> None:
        net = Net()
        net.ledger.view = None
        with pytest.raises(BlobUnavailable, match="knows no task 7"):
            await net.put()

    asyncio.run(scenario())


def test_our_own_mistakes_do_not_travel(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        net = Net()
        with pytest.raises(ValueError, match="the statement is"):
            await net.blobs.put(make_statement(CLIENTS[1], UPDATE, 3), SHAPE, UPDATE.data, QUORUM)
        with pytest.raises(ValueError, match="of a shape of"):
            await net.blobs.put(make_statement(CLIENTS[0], UPDATE, 3), SHAPE, UPDATE.data[:-1], QUORUM)
        monkeypatch.setattr(replicated, "MAX_VECTOR_BYTES", len(UPDATE.data) - 1)
        with pytest.raises(ValueError, match="a replica takes vectors of up to"):
            await net.put()
        assert net.asked == []

    asyncio.run(scenario())


def test_a_bug_of_ours_is_not_taken_for_a_replicas_fault() -> None:
    async def broken(account: bytes, verb: Verb, handle: Handle, request: bytes) -> Answer:
        raise KeyError("a bug")

    async def scenario() -> None:
        with pytest.raises(KeyError):
            await Net({0: broken}).put()

    asyncio.run(scenario())


def test_closing_ends_what_goes_on_behind_a_certified_put() -> None:
    async def scenario() -> None:
        net = Net({3: hung})
        await net.put()
        tasks = len(asyncio.all_tasks())
        await net.blobs.close()
        assert (tasks, len(asyncio.all_tasks())) == (2, 1)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "fault",
    [
        down,
        hung,
        garbled,
        lying(protocol.encode_vector_reply(make_update(1).data)),
        lying(protocol.encode_vector_reply(make_model().data)),
        lying(protocol.encode_vector_reply(UPDATE.data[:-2])),
        lying(protocol.encode_receipt_reply(bytes(64))),
        lying(protocol.encode_refusal(protocol.Refusal("not-stored", "no"))),
        lying(protocol.encode_vector_reply(UPDATE.data + bytes(MAX_SMALL_ANSWER_BYTES))),
    ],
    ids=["down", "hung", "garbled", "another-vector", "a-model", "truncated", "a-receipt", "forgot", "oversize"],
)
def test_a_reader_goes_on_to_a_replica_that_tells_the_truth(fault: Hook) -> None:
    async def scenario() -> None:
        net = Net(dict.fromkeys(range(3), fault))
        await net.store_and_freeze()
        assert await net.get() == UPDATE.data

    asyncio.run(scenario())


def test_a_vector_that_nobody_gives_is_unavailable_with_every_reason() -> None:
    async def scenario() -> None:
        net = Net({0: down, 1: hung, 2: garbled, 3: lying(protocol.encode_refusal(protocol.Refusal("quota", "no")))})
        await net.store_and_freeze()
        with pytest.raises(BlobUnavailable) as raised:
            await net.get()
        for address, reason in zip(REPLICA_ADDRESSES, ["is down", "no answer", "msgpack", "quota: no"], strict=True):
            assert address.hex() in str(raised.value)
            assert reason in str(raised.value)

    asyncio.run(scenario())


def test_a_replica_that_lied_is_asked_last_from_then_on() -> None:
    async def scenario() -> None:
        net = Net(dict.fromkeys(range(4), garbled))
        await net.store_and_freeze()
        with pytest.raises(BlobUnavailable):
            await net.get()
        first = net.asked[0]
        net.hooks = {first: garbled}
        net.blobs = net.blobs_of(net.key)
        net.asked.clear()
        assert await net.get() == UPDATE.data
        assert len(net.asked) == 2
        net.asked.clear()
        assert await net.get() == UPDATE.data
        assert len(net.asked) == 1
        assert first not in net.asked

    asyncio.run(scenario())


def test_reads_are_spread_over_the_replicas() -> None:
    """By reader and by vector: over many, each replica is asked first by some."""

    async def scenario() -> None:
        net = Net(dict.fromkeys(range(4), down))
        firsts = []
        for key in (CLIENTS[0], CLIENTS[1]):
            blobs = net.blobs_of(key)
            for seed in range(12):
                net.asked.clear()
                with pytest.raises(BlobUnavailable):
                    await blobs.get(TASK_ID, SHAPE, make_update(seed).id, REPLICA_ADDRESSES)
                assert sorted(net.asked) == [0, 1, 2, 3]
                firsts.append(net.asked[0])
        assert set(firsts) == {0, 1, 2, 3}
        assert firsts[:12] != firsts[12:]

    asyncio.run(scenario())


def test_single_chunks_are_read_and_checked_against_the_root() -> None:
    """Among the lies: another chunk with its own good path, and the right chunk with a wrong one."""
    first, second = UPDATE.opening(1), UPDATE.opening(2)
    lies = [first, Opening(second.data, first.path), Opening(second.data, second.path[:-1])]

    async def scenario() -> None:
        for lie in lies:
            net = Net(dict.fromkeys(range(3), lying(protocol.encode_opening_reply(lie))))
            await net.store_and_freeze()
            opening = await net.blobs.get_chunk(TASK_ID, SHAPE, UPDATE.root, 2, REPLICA_ADDRESSES)
            verify_opening(SHAPE, UPDATE.root, 2, opening)
            assert opening == second

    asyncio.run(scenario())


def test_a_model_is_put_and_read_as_one() -> None:
    async def scenario() -> None:
        model = make_model()
        net = Net(key=AGGREGATORS[0])
        net.node.view = make_view((3, AGGREGATING))
        await net.blobs.put(make_statement(AGGREGATORS[0], model, 3), model.shape, model.data, QUORUM)
        assert await net.blobs.get(TASK_ID, model.shape, model.id, REPLICA_ADDRESSES) == model.data

    asyncio.run(scenario())


def test_a_vector_without_replicas_is_unavailable() -> None:
    async def scenario() -> None:
        with pytest.raises(BlobUnavailable):
            await Net().blobs.get(TASK_ID, SHAPE, UPDATE.id, [])

    asyncio.run(scenario())


def test_an_oversize_answer_is_not_even_looked_at() -> None:
    """One chunk was asked for, and the vector a thousand times over came."""

    async def scenario() -> None:
        net = Net(dict.fromkeys(range(4), lying(bytes(1 << 20))))
        await net.store_and_freeze()
        with pytest.raises(BlobUnavailable, match="it sent 1048576 bytes where 4224 are the most that can be right"):
            await net.blobs.get_chunk(TASK_ID, SHAPE, UPDATE.root, 2, REPLICA_ADDRESSES)

    asyncio.run(scenario())


def test_what_an_account_offers_is_read_from_it_while_its_process_lives() -> None:
    async def scenario() -> None:
        net = Net()
        author, reader = net.blobs_of(AGGREGATORS[0]), net.blobs_of(AGGREGATORS[1])
        sources = [*REPLICA_ADDRESSES, AGGREGATORS[0].address]
        with pytest.raises(BlobUnavailable, match="the account is down"):
            await reader.get(TASK_ID, SHAPE, UPDATE.id, sources)
        await author.offer(TASK_ID, SHAPE, UPDATE.id, UPDATE.data)
        assert await reader.get(TASK_ID, SHAPE, UPDATE.id, sources) == UPDATE.data
        verify_opening(SHAPE, UPDATE.root, 1, await reader.get_chunk(TASK_ID, SHAPE, UPDATE.root, 1, sources))
        net.network.disconnect(AGGREGATORS[0].address)
        with pytest.raises(BlobUnavailable):
            await reader.get(TASK_ID, SHAPE, UPDATE.id, sources)

    asyncio.run(scenario())


def test_other_bytes_are_never_offered_under_an_id() -> None:
    async def scenario() -> None:
        with pytest.raises(ValueError, match="these bytes have the id"):
            await Net().blobs.offer(TASK_ID, SHAPE, make_update(1).id, UPDATE.data)

    asyncio.run(scenario())


def test_every_run_is_the_same() -> None:
    """Which replicas sign a certificate depends on nothing but the seed of things: here, their order."""

    async def scenario() -> list[bytes]:
        net = Net({0: down})
        certificate = await net.put()
        await net.blobs.close()
        return [certificate.SerializeToString(deterministic=True), *map(bytes, net.asked)]

    assert asyncio.run(scenario()) == asyncio.run(scenario())
