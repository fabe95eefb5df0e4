"""Joining a task whose terms suit, and coming back after an exclusion for a time."""

from __future__ import annotations

import asyncio

import pytest

from offchain.roles.membership import Membership, Terms, find_objection, is_invited
from optfl.wire import state_pb2, transaction_pb2
from support.roles import FakeLedger, World, make_key

KEY = make_key("aggregator")
ROLE = transaction_pb2.ROLE_AGGREGATOR


def make_view(world: World, status: state_pb2.TaskStatus, height: int = 12, **fields: int) -> state_pb2.TaskView:
    view = world.make_view(height)
    view.task.status = status
    view.task.required_stake = 100
    for name, value in fields.items():
        setattr(view.task, name, value)
    return view


def make_stake(**fields: int) -> state_pb2.Stake:
    return state_pb2.Stake(role=ROLE, address=KEY.address, **{"amount": 1000, **fields})


def join(
    world: World, stake: state_pb2.Stake | None, terms: Terms | None = None, view: state_pb2.TaskView | None = None
) -> list[str | None]:
    ledger = FakeLedger(KEY.address, stakes={KEY.address: [] if stake is None else [stake]})
    membership = Membership(ledger, terms or Terms(), lambda parameters: None)
    asyncio.run(membership.join(view or make_view(world, state_pb2.TASK_STATUS_CREATED)))
    return ledger.kinds


def test_a_task_that_suits_is_joined_once() -> None:
    world = World()
    assert join(world, make_stake()) == ["join_task"]
    joined = make_view(world, state_pb2.TASK_STATUS_CREATED)
    joined.task.joined.append(KEY.address)
    assert join(world, make_stake(), view=joined) == []


def test_only_who_is_invited_joins() -> None:
    task = World().task
    assert is_invited(task, KEY.address)
    assert not is_invited(task, b"s" * 20)
    del task.parameters.aggregators[:]
    assert is_invited(task, b"s" * 20), "a task that lists nobody is open to all"


@pytest.mark.parametrize(
    ("stake", "terms", "objection"),
    [
        (None, Terms(), "not registered"),
        (make_stake(excluded=True), Terms(), "excluded for good"),
        (make_stake(amount=99), Terms(), "requires a stake of 100, of which 99 is free; `optfl tx add-stake`"),
        (make_stake(committed=901), Terms(), "of which 99 is free"),
        (make_stake(), Terms(max_required_stake=99), "max_required_stake allows 99"),
        (make_stake(), Terms(min_aggregation_blocks=41), "40 blocks for a turn"),
        (make_stake(), Terms(min_reward=1), "a reward of 0"),
    ],
)
def test_what_does_not_suit_is_told_and_not_joined(stake: state_pb2.Stake | None, terms: Terms, objection: str) -> None:
    world = World()
    task = make_view(world, state_pb2.TASK_STATUS_CREATED).task
    assert objection in (find_objection(task, stake, terms) or "")
    assert join(world, stake, terms) == []


def test_stake_and_terms_that_just_suffice() -> None:
    terms = Terms(min_aggregation_blocks=40, max_required_stake=100)
    task = make_view(World(), state_pb2.TASK_STATUS_CREATED).task
    assert find_objection(task, make_stake(amount=150, committed=50), terms) is None


def test_a_task_that_cannot_be_computed_here_is_not_joined() -> None:
    ledger = FakeLedger(KEY.address, stakes={KEY.address: [make_stake()]})
    membership = Membership(ledger, Terms(), lambda parameters: "no such rule here")
    asyncio.run(membership.join(make_view(World(), state_pb2.TASK_STATUS_CREATED)))
    assert not ledger.submitted


@pytest.mark.parametrize(
    ("stake", "terms", "sent"),
    [
        (make_stake(excluded_until_height=12), Terms(), ["readmit"]),
        (make_stake(excluded_until_height=13), Terms(), []),
        (make_stake(), Terms(), []),
        (make_stake(excluded=True, excluded_until_height=5), Terms(), []),
        (make_stake(excluded_until_height=12), Terms(readmit=False), []),
    ],
)
def test_it_comes_back_when_the_exclusion_is_over(stake: state_pb2.Stake, terms: Terms, sent: list[str]) -> None:
    ledger = FakeLedger(KEY.address, stakes={KEY.address: [stake]})
    membership = Membership(ledger, terms, lambda parameters: None)
    asyncio.run(membership.come_back(make_view(World(), state_pb2.TASK_STATUS_RUNNING)))
    assert ledger.kinds == sent


def test_its_stake_is_looked_at_every_few_blocks_only() -> None:
    ledger = FakeLedger(KEY.address, stakes={KEY.address: [make_stake(excluded_until_height=5)]})
    membership = Membership(ledger, Terms(), lambda parameters: None)
    for height in range(20, 40):
        asyncio.run(membership.come_back(make_view(World(), state_pb2.TASK_STATUS_PAUSED, height)))
    assert ledger.kinds == ["readmit"] * 2
