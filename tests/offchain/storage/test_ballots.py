"""Ballots among members: collected from whoever answers, with liars among them; the algorithm, without a network."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offchain.adapters.memory import Deliver, MemoryNetwork, MemoryTransport, deliver_at_once
from offchain.storage import ballots as module
from offchain.storage import protocol
from offchain.storage.ballots import BallotBox, ExchangedBallots
from offchain.storage.protocol import MAX_SMALL_ANSWER_BYTES, Handle, Refusal, Verb
from optfl.ballots import sign_ballot, verify_ballot
from optfl.keys import SigningKey
from optfl.wire import transaction_pb2
from support.storage import AGGREGATORS, CHAIN_ID, TASK_ID

ADDRESSES = [key.address for key in AGGREGATORS]


def make_ballot(digest: bytes = b"", round_number: int = 3) -> transaction_pb2.Ballot:
    return transaction_pb2.Ballot(
        chain_id=CHAIN_ID,
        task_id=TASK_ID,
        round=round_number,
        kind=transaction_pb2.BALLOT_KIND_AGGREGATE,
        digest=digest,
    )


QUESTION = make_ballot()
BALLOTS = [make_ballot(bytes([i]) * 32) for i in range(3)]
SIGNATURES = [sign_ballot(key, ballot) for key, ballot in zip(AGGREGATORS, BALLOTS, strict=True)]


def connect(network: MemoryNetwork, key: SigningKey, deliver: Deliver = deliver_at_once) -> ExchangedBallots:
    return ExchangedBallots(MemoryTransport(network, key.address, deliver), key.address, answer_seconds=0.05)


async def publish_all(network: MemoryNetwork) -> None:
    for key, ballot, signature in zip(AGGREGATORS, BALLOTS, SIGNATURES, strict=True):
        await connect(network, key).publish(ballot, signature)


def test_every_members_ballot_comes_back_in_their_order_and_verifies() -> None:
    async def scenario() -> None:
        network = MemoryNetwork()
        await publish_all(network)
        found = await connect(network, AGGREGATORS[0]).collect(QUESTION, ADDRESSES[1:])
        assert found == list(zip(ADDRESSES, [b.digest for b in BALLOTS], SIGNATURES, strict=True))[1:]
        for answer, key in zip(found, AGGREGATORS[1:], strict=True):
            assert verify_ballot(key.public_key, make_ballot(answer.digest), answer.signature)

    asyncio.run(scenario())


def test_an_own_ballot_is_among_them_once_it_is_published() -> None:
    async def scenario() -> None:
        ballots = connect(MemoryNetwork(), AGGREGATORS[0])
        assert await ballots.collect(QUESTION, ADDRESSES) == []
        await ballots.publish(BALLOTS[0], SIGNATURES[0])
        assert await ballots.collect(BALLOTS[1], ADDRESSES) == [(ADDRESSES[0], BALLOTS[0].digest, SIGNATURES[0])]

    asyncio.run(scenario())


def test_a_ballot_answers_its_own_question_only() -> None:
    async def scenario() -> None:
        network = MemoryNetwork()
        await publish_all(network)
        assert await connect(network, AGGREGATORS[0]).collect(make_ballot(round_number=4), ADDRESSES) == []

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "lie",
    [
        None,
        b"\x00 not msgpack",
        bytes(MAX_SMALL_ANSWER_BYTES + 1),
        protocol.encode_vector_reply(bytes(64)),
        protocol.encode_refusal(Refusal("no-ballot", "no")),
    ],
    ids=["down", "garbled", "oversize", "a-vector", "refuses"],
)
def test_who_is_down_or_answers_nonsense_is_left_out(lie: bytes | None) -> None:
    async def deliver(account: bytes, verb: Verb, handle: Handle, request: bytes) -> bytes | None:
        return lie if account == ADDRESSES[1] else handle(request)

    async def scenario() -> None:
        network = MemoryNetwork()
        await publish_all(network)
        found = await connect(network, SigningKey.generate(), deliver).collect(QUESTION, ADDRESSES)
        assert [answer.member for answer in found] == [ADDRESSES[0], ADDRESSES[2]]

    asyncio.run(scenario())


def test_who_hangs_costs_a_bounded_time_and_nobody_elses_ballot() -> None:
    async def deliver(account: bytes, verb: Verb, handle: Handle, request: bytes) -> bytes | None:
        if account == ADDRESSES[1]:
            await asyncio.Event().wait()
        return handle(request)

    async def scenario() -> None:
        network = MemoryNetwork()
        await publish_all(network)
        found = await connect(network, SigningKey.generate(), deliver).collect(QUESTION, ADDRESSES)
        assert [answer.member for answer in found] == [ADDRESSES[0], ADDRESSES[2]]

    asyncio.run(scenario())


def test_published_ballots_are_bounded_and_the_oldest_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PUBLISHED", 2)
    box = BallotBox()
    for round_number in (1, 2, 3):
        box.add(make_ballot(bytes(32), round_number), bytes(64))
    found = [box.find(make_ballot(round_number=n).SerializeToString(deterministic=True)) for n in (1, 2, 3)]
    assert [ballot is not None for ballot in found] == [False, True, True]


@given(message=st.binary(max_size=2000))
def test_any_bytes_get_a_refusal(message: bytes) -> None:
    with pytest.raises(Refusal):
        protocol.decode_ballot_reply(BallotBox().handle(message))
