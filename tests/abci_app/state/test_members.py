"""Who signs in the modes quorum and pbft, and when there are enough of them."""

from __future__ import annotations

from abci_app.state.members import get_author_role, get_members, has_enough_members, may_sign
from optfl.wire import state_pb2
from optfl.wire.transaction_pb2 import MODE_PBFT, MODE_QUORUM, Unbond
from support.ledger import (
    AGGREGATOR,
    AGGREGATOR_STAKE,
    AGGREGATORS,
    VALIDATOR,
    VALIDATOR_STAKE,
    VALIDATORS,
    LedgerHarness,
    TaskHarness,
)


def test_nobody_signs_in_an_optimistic_task() -> None:
    task = TaskHarness.start()
    assert get_members(task.ledger.state, task.task) == []


def test_quorum_aggregators_count_one_each_whatever_their_stake() -> None:
    task = TaskHarness.start(mode=MODE_QUORUM)
    assert get_members(task.ledger.state, task.task) == [
        state_pb2.Member(address=a.address, public_key=a.public_key, power=1)
        for a in sorted(AGGREGATORS, key=lambda a: a.address)
    ]
    assert get_author_role(task.task) == AGGREGATOR


def test_pbft_validators_count_their_power() -> None:
    ledger = LedgerHarness(stakes=[VALIDATOR_STAKE, 2 * VALIDATOR_STAKE, VALIDATOR_STAKE, VALIDATOR_STAKE])
    task = TaskHarness.start(ledger, mode=MODE_PBFT)
    ledger.accept(VALIDATORS[3], Unbond(role=VALIDATOR, amount=VALIDATOR_STAKE))
    assert get_members(ledger.state, task.task) == sorted(
        (
            state_pb2.Member(address=v.address, public_key=v.public_key, power=power)
            for v, power in zip(VALIDATORS, (100, 200, 100), strict=False)
        ),
        key=lambda member: member.address,
    )
    assert get_author_role(task.task) == VALIDATOR


def test_only_a_quorum_can_lack_members() -> None:
    """Of three aggregators two may leave only one: two would have to sign."""
    task = TaskHarness.start(mode=MODE_QUORUM)
    assert has_enough_members(task.ledger.state, task.task)
    for aggregator in AGGREGATORS[:2]:
        task.ledger.accept(aggregator, Unbond(role=AGGREGATOR, amount=AGGREGATOR_STAKE))
    assert not has_enough_members(task.ledger.state, task.task)
    members = {m.address: m for m in get_members(task.ledger.state, task.task)}
    signing = [may_sign(task.ledger.state, task.task, members[a.address]) for a in AGGREGATORS]
    assert signing == [False, False, True]
    other = task.task
    other.parameters.mode = MODE_PBFT
    assert has_enough_members(task.ledger.state, other)
