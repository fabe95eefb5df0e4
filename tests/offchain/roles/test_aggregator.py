"""An aggregator's turn: join, fetch, aggregate, submit; demand what is missing; distrust what it is built on."""

from __future__ import annotations

import asyncio

import pytest

from offchain.interfaces import BlobUnavailable
from offchain.roles.aggregator import Aggregator, AggregatorOptions, is_next, run_aggregator
from offchain.roles.computing import inline
from optfl.wire import state_pb2, transaction_pb2
from support.roles import FakeLedger, World, compute, make_key

KEY = make_key("aggregator")


def make_aggregator(world: World, ledger: FakeLedger, **options: bool) -> Aggregator:
    settings: AggregatorOptions = {"compute": inline}
    if options.get("verify_parents"):
        settings["verify_parents"] = True
    return Aggregator(ledger, world.blobs, compute, **settings)


def test_it_joins_and_at_its_turn_submits_the_rules_model() -> None:
    world, ledger = World(), FakeLedger(KEY.address)
    created = world.make_view()
    created.task.status = state_pb2.TASK_STATUS_CREATED
    ledger.stakes[KEY.address] = [state_pb2.Stake(role=transaction_pb2.ROLE_AGGREGATOR, amount=1000)]
    ended = world.make_view(14)
    ended.task.status = state_pb2.TASK_STATUS_COMPLETED
    ledger.views = [created, world.make_view(13), ended]
    asyncio.run(run_aggregator(make_aggregator(world, ledger), 1))
    join, submission = ledger.submitted
    assert join.join_task.task_id == 1
    model = world.add_model(world.compute_model())
    claim = submission.submit_aggregate
    assert (claim.round, claim.turn, claim.model_root) == (1, 0, model.root)
    assert world.blobs.vectors[model.id].data == model.data


@pytest.mark.parametrize(
    ("field", "value"),
    [("status", state_pb2.ROUND_STATUS_TRAINING), ("status", state_pb2.ROUND_STATUS_OPEN)],
)
def test_it_waits_for_its_turn(field: str, value: int) -> None:
    world, ledger = World(), FakeLedger(KEY.address)
    asyncio.run(make_aggregator(world, ledger).act(world.make_view(current=world.make_round(**{field: value}))))
    other = world.make_round()
    other.aggregator = b"o" * 20
    asyncio.run(make_aggregator(world, ledger).act(world.make_view(current=other)))
    assert not ledger.submitted


def test_a_missing_update_is_demanded_and_then_taken_from_whoever_serves_it() -> None:
    world, ledger = World(), FakeLedger(KEY.address)
    aggregator = make_aggregator(world, ledger)
    world.blobs.lost = {world.updates[1].id}
    for height in (25, 26):
        with pytest.raises(BlobUnavailable):
            asyncio.run(aggregator.act(world.make_view(height)))
    assert ledger.kinds == ["demand_blob"]
    world.blobs.lost.clear()
    view = world.make_view(28)
    demand = view.demands.add(task_id=1, round=1, blob=1, root=world.updates[1].root)
    demand.holders.add(operator=make_key("validator3").address)
    asyncio.run(aggregator.act(view))
    assert ledger.kinds == ["demand_blob", "submit_aggregate"]
    assert make_key("validator3").address in world.blobs.sources[world.updates[1].id]


def test_a_float_task_without_its_aggregator_is_left_alone() -> None:
    world = World(arithmetic=transaction_pb2.ARITHMETIC_FLOAT)
    world.parameters.rule = "float(mine)"
    ledger = FakeLedger(KEY.address)
    asyncio.run(make_aggregator(world, ledger).act(world.make_view()))
    assert not ledger.submitted


class Parent:
    """Round 1 is open with another's attempt, and round 2, built on it, is ours."""

    def __init__(self, *, lies: bool) -> None:
        self.world, self.ledger = World(), FakeLedger(KEY.address)
        self.other = make_key("other").address
        self.world.parameters.aggregators[:] = [self.other, KEY.address]
        values = self.world.compute_model()
        self.model = self.world.add_model(values + 1 if lies else values)
        self.attempt = self.world.make_attempt(self.model)
        self.attempt.aggregator = self.other
        self.aggregator = make_aggregator(self.world, self.ledger, verify_parents=True)

    def act(self, height: int) -> None:
        view = self.world.make_view(height, attempt=self.attempt)
        current = self.world.make_round(round=2, parent_attempt=1)
        current.base_root = self.model.root
        view.rounds.append(current)
        view.commitments.append(view.commitments[0])
        asyncio.run(self.aggregator.act(view))


def test_on_a_right_model_it_builds() -> None:
    parent = Parent(lies=False)
    parent.act(12)
    assert parent.ledger.kinds == ["submit_aggregate"]


def test_on_a_wrong_model_it_does_not_build_but_proves_it() -> None:
    parent = Parent(lies=True)
    for height in (12, 14, 16):
        parent.act(height)
    assert parent.ledger.kinds == ["submit_fraud_proof"], "after validators had their chance"


def test_what_cannot_be_verified_is_built_on_when_half_the_turn_is_over() -> None:
    """The turn is from 10 to 50. The old base is gone: round 1 cannot be re-executed."""
    parent = Parent(lies=True)
    parent.world.blobs.lost = {parent.world.base.id}
    parent.act(29)
    assert not parent.ledger.submitted
    parent.act(30)
    assert parent.ledger.kinds == ["submit_aggregate"]


def test_a_base_that_nobody_has_is_demanded_of_its_author() -> None:
    """Round 2 is built on an open model, submitted in block 12, that nobody can read."""
    parent = Parent(lies=True)
    parent.aggregator = make_aggregator(parent.world, parent.ledger)
    parent.world.blobs.lost = {parent.model.id}
    for height in (15, 16):
        with pytest.raises(BlobUnavailable):
            parent.act(height)
    (body,) = parent.ledger.submitted
    assert body.demand_blob == transaction_pb2.DemandBlob(task_id=1, round=1, attempt_id=1, model=True)


def test_without_the_policy_it_builds_on_anything() -> None:
    parent = Parent(lies=True)
    parent.aggregator = make_aggregator(parent.world, parent.ledger)
    parent.act(12)
    assert parent.ledger.kinds == ["submit_aggregate"]


def test_the_next_aggregator_is_the_one_after_the_attempts_round() -> None:
    parameters = transaction_pb2.TaskParameters(aggregators=[b"a" * 20, b"b" * 20, b"c" * 20])
    attempt = state_pb2.Attempt(round=3, aggregator=b"c" * 20)
    assert [is_next(parameters, attempt, address) for address in parameters.aggregators] == [True, False, False]
    attempt.aggregator = b"a" * 20
    assert not is_next(parameters, attempt, b"a" * 20), "nobody verifies itself"
