"""Demands: what is missing is demanded once, in time; a validator serves what it finds, and says so."""

from __future__ import annotations

import asyncio

import pytest

from offchain.interfaces import LedgerUnavailable, TransactionResult
from offchain.roles import fetching
from offchain.roles.fetching import DemandAnswerer, Demander, VectorsMissing, fetch_round
from optfl.audits import compute_demanded_chunk
from optfl.tasks import MAX_RESTARTS, MODEL_BLOB
from optfl.vectors import ChunkedVector, Opening, verify_opening
from optfl.wire import state_pb2, transaction_pb2
from support.roles import FakeLedger, World, make_key

OWN = make_key("validator0").address


@pytest.fixture
def world() -> World:
    return World()


def test_a_round_is_fetched_in_order(world: World) -> None:
    roots = [update.root for update in world.updates]
    (base,), updates = asyncio.run(fetch_round(world.blobs, world.make_view(), [world.base.root], roots))
    assert base.id == world.base.id
    assert [update.id for update in updates] == [update.id for update in world.updates]


def test_all_that_is_missing_is_named_at_once(world: World) -> None:
    world.blobs.lost = {world.updates[0].id, world.updates[2].id, world.base.id}
    roots = [update.root for update in world.updates]
    with pytest.raises(VectorsMissing, match="3 of 4 vectors") as caught:
        asyncio.run(fetch_round(world.blobs, world.make_view(), [world.base.root], roots))
    assert caught.value.roots == {world.updates[0].root, world.updates[2].root, world.base.root}


def demand_for_turn(demander: Demander, world: World, height: int, missing: list[ChunkedVector], **fields: int) -> None:
    current = world.make_round(**fields)
    view = world.make_view(height, current=current)
    asyncio.run(demander.demand_for_turn(view, current, {vector.root for vector in missing}))


def test_updates_are_demanded_all_together_once_and_not_at_the_first_failure(world: World) -> None:
    ledger = FakeLedger(world.aggregator.address)
    demander = Demander(ledger)
    demand_for_turn(demander, world, 25, [world.updates[1]])
    assert not ledger.submitted
    for height in (26, 27):
        demand_for_turn(demander, world, height, [world.updates[1], world.updates[2]])
    (body,) = ledger.submitted
    assert body.demand_blob == transaction_pb2.DemandBlob(task_id=1, round=1, inputs=[1, 2])


def test_replicas_have_a_quarter_of_the_turn_to_come_back(world: World) -> None:
    """The turn is from 10 to 50."""
    ledger = FakeLedger(world.aggregator.address)
    demander = Demander(ledger)
    for height in (11, 12, 19):
        demand_for_turn(demander, world, height, [world.updates[1]])
    assert not ledger.submitted
    demand_for_turn(demander, world, 20, [world.updates[1]])
    assert ledger.kinds == ["demand_blob"]


def test_a_vector_that_came_back_counts_anew(world: World) -> None:
    ledger = FakeLedger(world.aggregator.address)
    demander = Demander(ledger)
    for missing in ([world.updates[1]], [world.updates[2]], [world.updates[1]]):
        demand_for_turn(demander, world, 30, missing)
    assert not ledger.submitted


def test_a_restarted_turn_has_its_own_demand_up_to_the_last_restart(world: World) -> None:
    ledger = FakeLedger(world.aggregator.address)
    demander = Demander(ledger)
    for restarts in range(MAX_RESTARTS + 2):
        for _ in range(3):
            demand_for_turn(demander, world, 30, [world.updates[0]], restarts=restarts)
    assert len(ledger.submitted) == MAX_RESTARTS


def test_a_demand_that_was_not_heard_is_sent_again(world: World) -> None:
    def lose(body: transaction_pb2.Body) -> TransactionResult:
        raise LedgerUnavailable("the node is down")

    ledger = FakeLedger(world.aggregator.address, refuse=lose)
    demander = Demander(ledger)
    demand_for_turn(demander, world, 30, [world.updates[0]])
    with pytest.raises(LedgerUnavailable):
        demand_for_turn(demander, world, 31, [world.updates[0]])
    ledger.refuse = lambda body: TransactionResult(94, "AlreadyDemanded", 1, b"")
    for height in (32, 33):
        demand_for_turn(demander, world, height, [world.updates[0]])
    assert len(ledger.submitted) == 2, "refused: somebody else has demanded it"


def test_of_an_attempt_the_model_and_updates_are_demanded_by_selection_index(world: World) -> None:
    world.clients.insert(0, make_key("never committed"))  # updates are of the clients 1 to 3 now
    attempt = world.make_attempt(world.base)
    attempt.inputs[0].client = world.clients[3].address
    current = world.make_round(status=state_pb2.ROUND_STATUS_OPEN, attempt_id=1)
    ledger = FakeLedger(OWN)
    demander = Demander(ledger)
    for _ in range(2):
        view = world.make_view(16, current=current, attempt=attempt)
        missing = {attempt.inputs[0].update_root, attempt.model_root}
        asyncio.run(demander.demand_of_attempt(view, attempt, missing))
    (body,) = ledger.submitted
    assert body.demand_blob == transaction_pb2.DemandBlob(task_id=1, round=1, attempt_id=1, inputs=[3], model=True)


@pytest.mark.parametrize(("field", "value"), [("status", state_pb2.ATTEMPT_STATUS_VOID), ("window_close_height", 15)])
def test_of_an_attempt_that_is_over_nothing_is_demanded(world: World, field: str, value: int) -> None:
    attempt = world.make_attempt(world.base, **{field: value})
    ledger = FakeLedger(OWN)
    demander = Demander(ledger)
    for _ in range(3):
        asyncio.run(demander.demand_of_attempt(world.make_view(16, attempt=attempt), attempt, {attempt.model_root}))
    assert not ledger.submitted


def make_demand(world: World, blob: int, **fields: int) -> state_pb2.Demand:
    root = world.base.root if blob == MODEL_BLOB else world.updates[blob].root
    demand = state_pb2.Demand(
        task_id=1, round=1, blob=blob, root=root, status=state_pb2.DEMAND_STATUS_OPEN, bond=state_pb2.Bond(amount=5)
    )
    for name, value in fields.items():
        setattr(demand, name, value)
    return demand


def answer(answerer: DemandAnswerer, world: World, demands: list[state_pb2.Demand]) -> None:
    view = world.make_view()
    view.demands.extend(demands)
    for waiting in answerer.find_work(view).values():
        asyncio.run(answerer.answer(view, waiting))


def test_what_is_found_is_served_and_attested_in_one_transaction(world: World) -> None:
    ledger = FakeLedger(OWN)
    world.blobs.lost = {world.updates[1].id}
    demands = [make_demand(world, blob) for blob in (0, 1, 2)]
    answer(DemandAnswerer(ledger, world.blobs), world, demands)
    (body,) = ledger.submitted
    message = body.answer_demand
    assert (message.task_id, message.round, list(message.inputs), message.model) == (1, 1, [0, 2], False)
    for demand, opening in zip((demands[0], demands[2]), message.openings, strict=True):
        chunk = compute_demanded_chunk(demand, OWN, world.base.shape.chunks)
        verify_opening(world.updates[0].shape, demand.root, chunk, Opening(opening.data, tuple(opening.path)))
    assert world.blobs.offered == [world.updates[0].id, world.updates[2].id]


def test_demands_of_a_turn_and_of_an_attempt_are_answered_apart(world: World) -> None:
    ledger = FakeLedger(OWN)
    demands = [make_demand(world, 0), make_demand(world, MODEL_BLOB, attempt_id=4)]
    answer(DemandAnswerer(ledger, world.blobs), world, demands)
    answers = [body.answer_demand for body in ledger.submitted]
    assert [(a.attempt_id, list(a.inputs), a.model) for a in answers] == [(0, [0], False), (4, [], True)]


def test_demanded_vectors_are_asked_of_authors_and_holders_too(world: World) -> None:
    demand = make_demand(world, 0)
    demand.holders.add(operator=make_key("validator2").address)
    answer(DemandAnswerer(FakeLedger(OWN), world.blobs), world, [demand])
    asked = world.blobs.sources[world.updates[0].id]
    assert asked == [*world.parameters.replicas, make_key("validator2").address, world.clients[0].address]


def test_after_a_crash_what_was_attested_is_served_again_without_a_word(world: World) -> None:
    ledger = FakeLedger(OWN)
    demand = make_demand(world, 0, status=state_pb2.DEMAND_STATUS_HELD)
    demand.holders.add(operator=OWN)
    answerer = DemandAnswerer(ledger, world.blobs)
    for _ in range(2):
        answer(answerer, world, [demand])
    assert world.blobs.offered == [world.updates[0].id]
    assert not ledger.submitted


def test_a_demand_that_is_decided_needs_no_answer_but_one_whose_bond_is_open_does(world: World) -> None:
    ledger = FakeLedger(OWN)
    demand = make_demand(world, 0, status=state_pb2.DEMAND_STATUS_HELD)
    answer(DemandAnswerer(ledger, world.blobs), world, [demand])
    assert ledger.kinds == ["answer_demand"], "with more holders the bond is lost: it was there for everybody"
    demand.bond.amount = 0
    answer(DemandAnswerer(ledger, world.blobs), world, [demand])
    assert len(ledger.submitted) == 1


def test_what_does_not_fit_a_transaction_is_attested_in_several(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model's chunk has 64 bytes, an update's 32; their paths have two hashes each."""
    monkeypatch.setattr(fetching, "_ANSWER_BYTES", 300)
    ledger = FakeLedger(OWN)
    answer(DemandAnswerer(ledger, world.blobs), world, [make_demand(world, blob) for blob in (2, 0, MODEL_BLOB, 1)])
    named = [(list(b.answer_demand.inputs), b.answer_demand.model) for b in ledger.submitted]
    assert named == [([0, 1], False), ([2], True)]
    assert all(len(b.answer_demand.openings) == 2 for b in ledger.submitted)


def test_who_was_refused_shows_it_again_without_fetching_it_again(world: World) -> None:
    ledger = FakeLedger(OWN)
    answerer = DemandAnswerer(ledger, world.blobs)
    for _ in range(2):
        answer(answerer, world, [make_demand(world, 0)])
    first, second = (body.answer_demand for body in ledger.submitted)
    assert first == second
    assert len(world.blobs.fetched) == 1
