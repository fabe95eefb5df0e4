"""A replica's duties: pulling what it should have from whoever has it, liars among them, and answering audits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from offchain.adapters.memory import MemoryBlobs, MemoryNetwork
from offchain.roles import upkeep as module
from offchain.roles.upkeep import (
    GRACE_BLOCKS,
    LOOK_BLOCKS,
    MAX_PULLS_PER_BLOCK,
    PULLS_AT_ONCE,
    answer_audits,
    find_audited,
    pull_missing,
    run_upkeep,
)
from offchain.storage import protocol
from offchain.storage.memory import MemoryStore
from offchain.storage.protocol import Handle, Verb
from offchain.storage.service import ReplicaService
from offchain.storage.store import Slot, StoreFailed
from optfl import errors
from optfl.keys import SigningKey
from optfl.vectors import ChunkedVector, Opening, verify_opening
from optfl.wire import receipt_pb2, state_pb2, transaction_pb2
from optfl_sim.clock import run_virtually
from support.stepped import SteppedLedger
from support.storage import (
    AGGREGATING,
    AGGREGATORS,
    CHAIN_ID,
    CLIENTS,
    HEIGHT,
    INITIAL_MODEL,
    OPEN,
    REPLICA_ADDRESSES,
    REPLICAS,
    REQUESTER,
    TASK_ID,
    TRAINING,
    VALIDATORS,
    FakeNode,
    make_attempt,
    make_commitment,
    make_model,
    make_update,
    make_view,
)

UPDATES = [make_update(seed) for seed in range(3)]
MODEL = make_model()
UNTIL = HEIGHT + 40
SLOTS = [Slot(TASK_ID, 3, client.address, "update") for client in CLIENTS[:3]]
MODEL_SLOT = Slot(TASK_ID, 3, AGGREGATORS[0].address, "model")
ME = REPLICAS[0]


def make_frozen(*rounds: tuple[int, state_pb2.RoundStatus], updates: Sequence[ChunkedVector] = UPDATES) -> Any:
    commitments = [make_commitment(key, vector, UNTIL) for key, vector in zip(CLIENTS, updates, strict=False)]
    return make_view(*(rounds or ((3, AGGREGATING),)), commitments={3: commitments})


def make_certified_attempt(status: state_pb2.AttemptStatus = state_pb2.ATTEMPT_STATUS_OPEN) -> state_pb2.Attempt:
    attempt = make_attempt(3, *zip(CLIENTS, UPDATES, strict=False))
    attempt.attempt_id = 5
    attempt.aggregator = AGGREGATORS[0].address
    attempt.model_root = MODEL.root
    attempt.certificate.CopyFrom(receipt_pb2.Certificate(retain_until_height=UNTIL))
    attempt.evidence_height = UNTIL
    attempt.beacon = b"a beacon"
    attempt.status = status
    return attempt


def make_open() -> state_pb2.TaskView:
    return make_view((3, OPEN), (4, TRAINING), attempts=[make_certified_attempt()])


async def run_at_once(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


class Net:
    """The first of four replicas, which has nothing; the others have what a test gives them."""

    def __init__(self, view: state_pb2.TaskView) -> None:
        self.ledger = SteppedLedger(ME.address, view)
        self.store: Any = MemoryStore()
        self.stores = [MemoryStore() for _ in REPLICAS[1:]]
        node = FakeNode(view)
        self.network = MemoryNetwork(
            ReplicaService(CHAIN_ID, key, store, node) for key, store in zip(REPLICAS[1:], self.stores, strict=True)
        )
        self.asked: list[bytes] = []
        self.lies: dict[bytes, bytes | None] = {}
        self.blobs = MemoryBlobs(self.network, ME, FakeNode(view, address=ME.address), self.deliver)  # type: ignore[arg-type]

    async def deliver(self, account: bytes, verb: Verb, handle: Handle, request: bytes) -> bytes | None:
        self.asked.append(account)
        return self.lies[account] if account in self.lies else handle(request)

    def give(self, vector: ChunkedVector, slot: Slot, *replicas: int) -> None:
        for replica in replicas or (1, 2, 3):
            self.stores[replica - 1].put(vector, slot, UNTIL)

    def pull(self) -> asyncio.Task[None]:
        return asyncio.create_task(pull_missing(TASK_ID, self.ledger, self.blobs, self.store, run_at_once))

    def audit(self) -> asyncio.Task[None]:
        return asyncio.create_task(answer_audits(TASK_ID, self.ledger, self.store, run_at_once))

    async def show(self, view: state_pb2.TaskView, blocks: int = GRACE_BLOCKS + 1) -> None:
        for _ in range(blocks):
            await self.ledger.show(view)

    def has(self, vector: ChunkedVector) -> bool:
        return self.store.get_record(vector.id) is not None


# Pulling.


def test_what_a_certificate_promises_is_pulled_after_a_grace_and_kept_as_long_as_it_says() -> None:
    async def scenario() -> None:
        view = make_frozen()
        net = Net(view)
        for update, slot in zip(UPDATES, SLOTS, strict=True):
            net.give(update, slot)
        pulling = net.pull()
        await net.show(view, GRACE_BLOCKS)
        assert net.asked == []
        await net.show(view, 1)
        for update, slot in zip(UPDATES, SLOTS, strict=True):
            assert net.store.get_record(update.id).retain_until == {slot: UNTIL}
            assert net.store.read(update.id).data == update.data
        net.asked.clear()
        await net.show(view, 3)
        assert net.asked == []  # what is here is not asked for again
        pulling.cancel()

    run_virtually(scenario())


def test_nothing_of_a_round_in_training_is_asked_for() -> None:
    """Nobody would give it, and to ask is no use: it may be copied still."""

    async def scenario() -> None:
        view = make_frozen((3, TRAINING))
        net = Net(view)
        net.give(UPDATES[0], SLOTS[0])
        pulling = net.pull()
        await net.show(view, 10)
        assert net.asked == []
        pulling.cancel()

    run_virtually(scenario())


def test_models_and_the_inputs_of_attempts_are_pulled_also_of_void_ones() -> None:
    async def scenario(status: state_pb2.AttemptStatus) -> None:
        view = make_view((3, AGGREGATING), attempts=[make_certified_attempt(status)])
        net = Net(view)
        net.give(MODEL, MODEL_SLOT)
        net.give(UPDATES[1], SLOTS[1])
        pulling = net.pull()
        await net.show(view)
        assert net.store.get_record(MODEL.id).retain_until == {MODEL_SLOT: UNTIL}
        assert net.store.get_record(UPDATES[1].id).retain_until == {SLOTS[1]: UNTIL}
        pulling.cancel()

    for status in (state_pb2.ATTEMPT_STATUS_OPEN, state_pb2.ATTEMPT_STATUS_VOID, state_pb2.ATTEMPT_STATUS_CONVICTED):
        run_virtually(scenario(status))


def test_the_initial_model_is_pulled() -> None:
    async def scenario() -> None:
        view = make_view((1, TRAINING))
        view.task.initial_model_certificate.retain_until_height = UNTIL
        net = Net(view)
        slot = Slot(TASK_ID, 0, REQUESTER.address, "model")
        net.give(INITIAL_MODEL, slot)
        pulling = net.pull()
        await net.show(view)
        assert net.store.get_record(INITIAL_MODEL.id).retain_until == {slot: UNTIL}
        pulling.cancel()

    run_virtually(scenario())


def test_what_is_past_its_retention_or_a_dropped_rounds_is_not_pulled() -> None:
    async def scenario() -> None:
        dropped = make_certified_attempt()
        dropped.ClearField("aggregator")
        view = make_view((3, OPEN), attempts=[dropped], height=HEIGHT)
        net = Net(view)
        pulling = net.pull()
        await net.show(view)
        late = make_open()
        net.ledger.view.height = UNTIL + 1
        await net.show(late)
        assert net.asked == []
        pulling.cancel()

    run_virtually(scenario())


@pytest.mark.parametrize(
    "lie",
    [
        None,
        b"\x00 not msgpack",
        protocol.encode_vector_reply(UPDATES[1].data),
        protocol.encode_vector_reply(UPDATES[0].data[:-2]),
        bytes(1 << 20),
    ],
    ids=["down", "garbled", "another-vector", "truncated", "oversize"],
)
def test_lying_peers_are_seen_through_and_one_that_has_it_is_enough(lie: bytes | None) -> None:
    async def scenario() -> None:
        view = make_frozen(updates=UPDATES[:1])
        net = Net(view)
        net.give(UPDATES[0], SLOTS[0])
        net.lies = dict.fromkeys(REPLICA_ADDRESSES[1:], lie)
        pulling = net.pull()
        await net.show(view)
        assert set(net.asked) == set(REPLICA_ADDRESSES[1:])
        assert not net.has(UPDATES[0])
        del net.lies[REPLICA_ADDRESSES[3]]
        await net.show(view, 1)
        assert net.store.read(UPDATES[0].id).data == UPDATES[0].data
        pulling.cancel()

    run_virtually(scenario())


def test_what_no_replica_has_is_pulled_from_a_validator_that_serves_it() -> None:
    async def scenario() -> None:
        view = make_frozen(updates=UPDATES[:1])
        net = Net(view)
        pulling = net.pull()
        await net.show(view)
        assert not net.has(UPDATES[0])
        holder = MemoryBlobs(net.network, VALIDATORS[0], FakeNode(view, address=VALIDATORS[0].address))  # type: ignore[arg-type]
        await holder.offer(TASK_ID, UPDATES[0].shape, UPDATES[0].id, UPDATES[0].data)
        demand = state_pb2.Demand(task_id=TASK_ID, round=3, root=UPDATES[0].root)
        demand.holders.add(operator=VALIDATORS[0].address)
        view.demands.append(demand)
        await net.show(view, 1)
        assert net.has(UPDATES[0])
        pulling.cancel()

    run_virtually(scenario())


def test_a_vector_that_is_here_for_less_long_is_kept_longer_without_asking_anybody() -> None:
    async def scenario() -> None:
        view = make_frozen(updates=UPDATES[:1])
        net = Net(view)
        net.store.put(UPDATES[0], SLOTS[0], UNTIL - 1)
        pulling = net.pull()
        await net.show(view)
        assert net.store.get_record(UPDATES[0].id).retain_until == {SLOTS[0]: UNTIL}
        assert net.asked == []
        pulling.cancel()

    run_virtually(scenario())


def test_pulls_are_bounded_and_what_nobody_has_stands_in_nobodys_way() -> None:
    """Twice as many as fit a block, the first half of which is nowhere."""
    missing = [make_update(seed) for seed in range(100, 100 + MAX_PULLS_PER_BLOCK)]
    available = [make_update(seed) for seed in range(200, 200 + MAX_PULLS_PER_BLOCK)]
    owners = [SigningKey.from_seed(bytes([i]) * 32) for i in range(2 * MAX_PULLS_PER_BLOCK)]

    async def scenario() -> None:
        pairs = list(zip(owners, [*missing, *available], strict=True))
        commitments = [make_commitment(key, vector, UNTIL) for key, vector in pairs]
        view = make_view((3, AGGREGATING), commitments={3: commitments})
        net = Net(view)
        for key, vector in pairs[MAX_PULLS_PER_BLOCK:]:
            net.give(vector, Slot(TASK_ID, 3, key.address, "update"), 1)
        pulling = net.pull()
        await net.show(view)
        assert len(net.asked) == 3 * MAX_PULLS_PER_BLOCK
        await net.show(view, 1)
        assert all(net.has(vector) for vector in available)
        pulling.cancel()

    run_virtually(scenario())


def test_no_more_than_so_many_are_pulled_at_once() -> None:
    async def scenario() -> None:
        view = make_frozen()
        net = Net(view)
        for update, slot in zip(UPDATES, SLOTS, strict=True):
            net.give(update, slot)
        at_once, most = 0, 0

        async def deliver(account: bytes, verb: Verb, handle: Handle, request: bytes) -> bytes | None:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0.01)
            at_once -= 1
            return handle(request)

        net.blobs = MemoryBlobs(net.network, ME, FakeNode(view, address=ME.address), deliver)  # type: ignore[arg-type]
        pulling = net.pull()
        await net.show(view)
        assert all(net.has(update) for update in UPDATES)
        assert most == PULLS_AT_ONCE
        pulling.cancel()

    run_virtually(scenario())


def test_a_failing_disk_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(MemoryStore):
        fails = True

        def put(self, vector: ChunkedVector, slot: Slot, retain_until_height: int) -> None:
            if self.fails:
                raise StoreFailed("no space left; free some")
            super().put(vector, slot, retain_until_height)

    async def scenario() -> None:
        view = make_frozen(updates=UPDATES[:1])
        net = Net(view)
        net.give(UPDATES[0], SLOTS[0])
        net.store = Failing()
        pulling = net.pull()
        await net.show(view)
        assert not net.has(UPDATES[0])
        net.store.fails = False
        await net.show(view, 1)
        assert net.has(UPDATES[0])
        pulling.cancel()

    run_virtually(scenario())
    assert "no space left; free some; trying again at the next block" in caplog.text


# Audits.


def get_answers(net: Net) -> list[transaction_pb2.AnswerAudit]:
    return [body.answer_audit for body in net.ledger.submitted]


def find_drawn(view: state_pb2.TaskView) -> ChunkedVector:
    """The vector that the audit of the view's attempt draws for the first replica."""
    _, root, _ = find_audited(view.task, view.attempts[0], 0)
    return next(vector for vector in (*UPDATES, MODEL) if vector.root == root)


def test_an_open_attempts_audit_is_answered_once_with_the_chunk_that_was_drawn() -> None:
    async def scenario() -> None:
        view = make_open()
        net = Net(view)
        drawn = find_drawn(view)
        net.store.put(drawn, SLOTS[0], UNTIL)
        auditing = net.audit()
        await net.show(view, 3)
        (answer,) = get_answers(net)
        assert (answer.task_id, answer.attempt_id) == (TASK_ID, 5)
        shape, root, chunk = find_audited(view.task, view.attempts[0], 0)
        verify_opening(shape, root, chunk, Opening(answer.opening.data, tuple(answer.opening.path)))
        auditing.cancel()

    run_virtually(scenario())


def test_updates_and_models_are_drawn() -> None:
    """Over many beacons, every vector of the attempt is, and every chunk of one; none beyond the last."""
    view = make_open()
    drawn = set()
    for seed in range(400):
        view.attempts[0].beacon = bytes([seed % 256, seed // 256])
        shape, root, chunk = find_audited(view.task, view.attempts[0], 0)
        assert 0 <= chunk < shape.chunks
        drawn.add((root, shape.dtype))
    assert drawn == {(vector.root, "int16") for vector in UPDATES} | {(MODEL.root, "int32")}


def test_what_is_not_here_yet_is_answered_when_it_has_been_pulled() -> None:
    async def scenario() -> None:
        view = make_open()
        net = Net(view)
        auditing = net.audit()
        await net.show(view, 2)
        assert get_answers(net) == []
        net.store.put(find_drawn(view), SLOTS[0], UNTIL)
        await net.show(view, 2)
        assert len(get_answers(net)) == 1
        auditing.cancel()

    run_virtually(scenario())


@pytest.mark.parametrize("case", ["answered", "void", "dropped"])
def test_nothing_is_sent_that_the_ledger_would_refuse(case: str) -> None:
    async def scenario() -> None:
        view = make_open()
        if case == "answered":
            view.audits.add(attempt_id=5, replica=0)
        elif case == "void":
            view.attempts[0].status = state_pb2.ATTEMPT_STATUS_VOID
        else:
            view.attempts[0].ClearField("aggregator")
        net = Net(view)
        net.store.put(find_drawn(view), SLOTS[0], UNTIL)
        auditing = net.audit()
        await net.show(view, 3)
        assert get_answers(net) == []
        auditing.cancel()

    run_virtually(scenario())


def test_a_replica_without_tokens_says_so_once_and_answers_when_it_has_some(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        view = make_open()
        net = Net(view)
        net.store.put(find_drawn(view), SLOTS[0], UNTIL)
        net.ledger.decide = lambda body: errors.InsufficientBalance.code
        auditing = net.audit()
        await net.show(view, 3)
        net.ledger.decide = lambda body: 0
        await net.show(view, 3)
        assert len(get_answers(net)) == 4
        auditing.cancel()

    run_virtually(scenario())
    assert caplog.text.count("the ledger refused the answer") == 1


def test_another_refusal_is_final_and_a_node_that_is_down_is_not() -> None:
    async def scenario() -> None:
        view = make_open()
        net = Net(view)
        net.store.put(find_drawn(view), SLOTS[0], UNTIL)
        auditing = net.audit()
        net.ledger.available = False
        await net.show(view, 2)
        net.ledger.available = True
        net.ledger.decide = lambda body: errors.AlreadyAnswered.code
        await net.show(view, 3)
        await asyncio.sleep(10.0)
        await net.show(view, 3)
        assert len(get_answers(net)) == 1
        auditing.cancel()

    run_virtually(scenario())


# All of it.


def test_a_replica_looks_after_live_tasks_that_name_it_from_when_they_appear(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []

    async def look_after(task_id: int, *others: object) -> None:
        started.append(task_id)

    monkeypatch.setattr(module, "look_after", look_after)
    mine, ended, others = make_view().task, make_view(status=state_pb2.TASK_STATUS_ABORTED).task, make_view().task
    ended.task_id, others.task_id = 8, 9
    del others.parameters.replicas[0]

    async def scenario() -> None:
        net = Net(make_view())
        tasks: list[state_pb2.Task] = []

        async def list_tasks() -> list[state_pb2.Task]:
            return tasks

        monkeypatch.setattr(net.ledger, "list_tasks", list_tasks)
        running = asyncio.create_task(run_upkeep(net.ledger, net.blobs, net.store, run_at_once))
        await net.show(make_view(), 1)
        tasks.extend([mine, ended, others])
        await net.show(make_view(), LOOK_BLOCKS)
        assert started == [TASK_ID]
        net.ledger.available = False
        await net.show(make_view(), LOOK_BLOCKS)
        net.ledger.available = True
        await asyncio.sleep(10.0)
        await net.show(make_view(), LOOK_BLOCKS)
        assert started == [TASK_ID]
        running.cancel()

    run_virtually(scenario())


def test_a_replica_pulls_and_answers_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        view = make_open()
        net = Net(view)
        drawn = find_drawn(view)
        net.give(drawn, MODEL_SLOT)
        running = asyncio.create_task(run_upkeep(net.ledger, net.blobs, net.store, run_at_once))
        await net.show(view, GRACE_BLOCKS + 3)
        assert net.has(drawn)
        assert len(get_answers(net)) == 1
        await net.show(make_view(status=state_pb2.TASK_STATUS_COMPLETED), 2)
        running.cancel()

    run_virtually(scenario())
