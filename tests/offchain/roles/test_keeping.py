"""Authors keep what they stored, and serve it themselves when it is demanded (red team I2, A4)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from offchain.adapters.memory import MemoryBlobs, MemoryNetwork
from offchain.interfaces import Blobs, BlobUnavailable
from offchain.roles.keeping import KeptVectors, work_on_task
from offchain.roles.views import find_sources
from optfl.keys import SigningKey
from optfl.vectors import ChunkedVector
from optfl.wire import state_pb2
from optfl_sim.clock import run_virtually
from support.stepped import SteppedLedger
from support.storage import (
    AGGREGATING,
    AGGREGATORS,
    CLIENTS,
    HEIGHT,
    OPEN,
    REPLICA_ADDRESSES,
    TASK_ID,
    VALIDATORS,
    FakeNode,
    make_attempt,
    make_commitment,
    make_model,
    make_update,
    make_view,
)

UPDATE = make_update()
QUIET = make_view((3, AGGREGATING))
COMMITTED = {3: [make_commitment(CLIENTS[0], UPDATE, HEIGHT), make_commitment(CLIENTS[1], make_update(1), HEIGHT)]}


def make_demand(vector: ChunkedVector, holders: Sequence[SigningKey] = ()) -> state_pb2.Demand:
    return state_pb2.Demand(
        task_id=TASK_ID,
        round=3,
        root=vector.root,
        status=state_pb2.DEMAND_STATUS_OPEN,
        holders=[state_pb2.Holder(operator=key.address) for key in holders],
    )


DEMANDED = make_view((3, AGGREGATING), demands=[make_demand(UPDATE)], commitments=COMMITTED)


class Author:
    """An account that keeps its update, among others that ask for it."""

    def __init__(self, key: SigningKey = CLIENTS[0]) -> None:
        self.network = MemoryNetwork()
        self.ledger = SteppedLedger(key.address, QUIET)
        self.kept = KeptVectors(self.connect(key))
        self.address = key.address

    def connect(self, key: SigningKey) -> Blobs:
        return MemoryBlobs(self.network, key, FakeNode(QUIET, address=key.address))  # type: ignore[arg-type]

    async def is_serving(self, vector: ChunkedVector = UPDATE) -> bool:
        try:
            data = await self.connect(AGGREGATORS[1]).get(TASK_ID, vector.shape, vector.id, [self.address])
        except BlobUnavailable:
            return False
        return data == vector.data

    def work(self, act: Callable[[state_pb2.TaskView], Awaitable[None]]) -> asyncio.Task[None]:
        return asyncio.create_task(work_on_task(self.ledger, TASK_ID, act, self.kept))


async def do_nothing(view: state_pb2.TaskView) -> None:
    pass


def test_what_is_kept_is_served_once_it_is_demanded_and_not_before() -> None:
    async def scenario() -> None:
        author = Author()
        author.kept.keep(3, UPDATE)
        working = author.work(do_nothing)
        await author.ledger.show(QUIET)
        assert not await author.is_serving()
        await author.ledger.show(DEMANDED)
        assert await author.is_serving()
        working.cancel()

    run_virtually(scenario())


def test_a_demand_for_others_vectors_is_none_of_ours() -> None:
    async def scenario() -> None:
        author = Author()
        author.kept.keep(3, make_update(1))
        await author.kept.offer_demanded(DEMANDED)
        assert not await author.is_serving()
        assert not await author.is_serving(make_update(1))

    run_virtually(scenario())


def test_work_that_waits_for_others_does_not_make_an_author_silent() -> None:
    async def wait_for_ever(view: state_pb2.TaskView) -> None:
        await asyncio.Event().wait()

    async def scenario() -> None:
        author = Author()
        author.kept.keep(3, UPDATE)
        working = author.work(wait_for_ever)
        await author.ledger.show(QUIET)
        await author.ledger.show(DEMANDED)
        assert await author.is_serving()
        working.cancel()

    run_virtually(scenario())


def test_what_is_transient_is_tried_again_and_a_bug_ends_the_role() -> None:
    async def scenario() -> None:
        author, seen = Author(), []

        async def act(view: state_pb2.TaskView) -> None:
            seen.append(view.height)
            raise BlobUnavailable("later") if len(seen) < 3 else KeyError("a bug")

        working = author.work(act)
        for _ in range(3):
            await author.ledger.show(QUIET)
        with pytest.raises(KeyError):
            await working
        assert seen == [HEIGHT + 1, HEIGHT + 2, HEIGHT + 3]

    run_virtually(scenario())


def test_the_end_of_the_task_ends_the_role() -> None:
    async def scenario() -> None:
        author = Author()
        working = author.work(do_nothing)
        await author.ledger.show(make_view(status=state_pb2.TASK_STATUS_COMPLETED))
        await working

    run_virtually(scenario())


def test_settled_rounds_are_forgotten_and_memory_is_bounded() -> None:
    async def scenario() -> None:
        author = Author()
        kept = KeptVectors(author.connect(CLIENTS[0]), max_bytes=2 * len(UPDATE.data))
        for number in (1, 2, 3, 4):
            kept.keep(number, make_update(number))
        kept.keep(4, make_update(4))
        assert [number for number, _ in kept._kept.values()] == [3, 4]
        await kept.offer_demanded(make_view((4, OPEN), settled_round=3))
        assert [number for number, _ in kept._kept.values()] == [4]
        kept.keep(5, make_model())  # larger than all that fits: kept all the same, alone
        assert [number for number, _ in kept._kept.values()] == [5]

    run_virtually(scenario())


# Whom to ask.


def test_replicas_are_asked_and_of_what_is_demanded_its_holders_and_authors_too() -> None:
    assert find_sources(QUIET, UPDATE.root) == REPLICA_ADDRESSES
    held = make_view((3, AGGREGATING), demands=[make_demand(UPDATE, VALIDATORS[:2])], commitments=COMMITTED)
    assert find_sources(held, UPDATE.root) == [
        *REPLICA_ADDRESSES,
        *(key.address for key in VALIDATORS[:2]),
        CLIENTS[0].address,
    ]
    assert find_sources(held, make_update(1).root) == REPLICA_ADDRESSES


def test_a_models_author_is_its_aggregator_or_its_signers() -> None:
    model = make_model()
    attempt = make_attempt(3, (CLIENTS[0], UPDATE))
    attempt.model_root = model.root
    demands = [make_demand(model), make_demand(UPDATE)]
    attempt.aggregator = AGGREGATORS[0].address
    view = make_view((3, OPEN), attempts=[attempt], demands=demands)
    assert find_sources(view, model.root) == [*REPLICA_ADDRESSES, AGGREGATORS[0].address]
    assert find_sources(view, UPDATE.root) == [*REPLICA_ADDRESSES, CLIENTS[0].address]
    attempt.aggregator = b""
    attempt.signers.extend(key.address for key in AGGREGATORS[1:])
    view = make_view((3, OPEN), attempts=[attempt], demands=demands)
    assert find_sources(view, model.root) == [*REPLICA_ADDRESSES, *(key.address for key in AGGREGATORS[1:])]


def test_who_rests_looks_when_something_changed_and_who_is_at_work_at_every_block() -> None:
    async def scenario() -> None:
        author = Author()
        is_resting = True
        seen: list[int] = []

        async def act(view: state_pb2.TaskView) -> None:
            seen.append(view.height)

        work = asyncio.create_task(work_on_task(author.ledger, TASK_ID, act, author.kept, rests=lambda _: is_resting))
        await asyncio.sleep(1.0)
        for quiet in (True, True, False, True):
            await author.ledger.show(QUIET, quiet=quiet)
        assert seen == [HEIGHT, HEIGHT + 3]
        is_resting = False  # from the next look on
        await author.ledger.show(QUIET)
        for _ in range(2):
            await author.ledger.show(QUIET, quiet=True)
        assert seen[2:] == [HEIGHT + 5, HEIGHT + 6, HEIGHT + 7]
        work.cancel()

    run_virtually(scenario())


def test_a_demand_is_heard_while_work_goes_on_without_a_look_at_every_block() -> None:
    async def scenario() -> None:
        author = Author()
        author.kept.keep(3, UPDATE)
        forever = asyncio.Event()

        async def act(view: state_pb2.TaskView) -> None:
            await forever.wait()

        work = author.work(act)
        await asyncio.sleep(1.0)
        await author.ledger.show(QUIET)
        looks = author.ledger.looks
        for _ in range(3):
            await author.ledger.show(QUIET, quiet=True)
        assert author.ledger.looks == looks
        await author.ledger.show(DEMANDED)
        assert await author.is_serving()
        work.cancel()

    run_virtually(scenario())
