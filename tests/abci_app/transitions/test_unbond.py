"""Unbond: stake begins to leave a role, and stays slashable until it has."""

from __future__ import annotations

import pytest

from abci_app.transitions.unbond import MAX_UNBONDINGS
from optfl import errors
from optfl.wire.transaction_pb2 import RegisterRole, Unbond
from support.ledger import (
    AGGREGATOR,
    AGGREGATOR_STAKE,
    AGGREGATORS,
    CLIENT,
    CLIENT_STAKE,
    CLIENTS,
    FEE,
    PARAMS,
    STRANGER,
    VALIDATOR,
    VALIDATOR_STAKE,
    VALIDATORS,
    LedgerHarness,
)


@pytest.fixture
def ledger() -> LedgerHarness:
    harness = LedgerHarness()
    harness.register_participants()
    return harness


def test_stake_leaves_the_role_at_once_and_arrives_after_the_unbonding_time(ledger: LedgerHarness) -> None:
    before = ledger.balance(CLIENTS[0])
    ledger.accept(CLIENTS[0], Unbond(role=CLIENT, amount=400))
    release = ledger.height + PARAMS["unbonding_blocks"]
    assert ledger.must_stake(CLIENT, CLIENTS[0]).amount == CLIENT_STAKE - 400
    assert [(e.amount, e.release_height) for e in ledger.unbonding(CLIENT, CLIENTS[0])] == [(400, release)]
    ledger.blocks(release - 1 - ledger.height)
    assert ledger.balance(CLIENTS[0]) == before - FEE
    ledger.block()
    assert ledger.balance(CLIENTS[0]) == before - FEE + 400
    assert ledger.unbonding(CLIENT, CLIENTS[0]) == []


@pytest.mark.parametrize("amount", [CLIENT_STAKE + 1, 2**64 - 1])
def test_more_than_the_stake_is_refused(ledger: LedgerHarness, amount: int) -> None:
    ledger.reject(errors.InsufficientBalance, CLIENTS[0], Unbond(role=CLIENT, amount=amount))


def test_either_the_least_stake_stays_or_nothing(ledger: LedgerHarness) -> None:
    minimum = PARAMS["min_aggregator_stake"]
    for left in (1, minimum - 1):
        ledger.reject(errors.StakeTooLow, AGGREGATORS[0], Unbond(role=AGGREGATOR, amount=AGGREGATOR_STAKE - left))
    ledger.accept(AGGREGATORS[0], Unbond(role=AGGREGATOR, amount=AGGREGATOR_STAKE - minimum))
    ledger.accept(AGGREGATORS[0], Unbond(role=AGGREGATOR, amount=minimum))
    assert ledger.must_stake(AGGREGATOR, AGGREGATORS[0]).amount == 0


def test_what_is_unbonding_cannot_be_unbonded_again(ledger: LedgerHarness) -> None:
    ledger.accept(CLIENTS[0], Unbond(role=CLIENT, amount=CLIENT_STAKE))
    ledger.reject(errors.InsufficientBalance, CLIENTS[0], Unbond(role=CLIENT, amount=1))


def test_without_the_role_it_is_refused(ledger: LedgerHarness) -> None:
    ledger.reject(errors.NotRegistered, STRANGER, Unbond(role=CLIENT, amount=1))
    ledger.reject(errors.NotRegistered, CLIENTS[0], Unbond(role=VALIDATOR, amount=1))


@pytest.mark.parametrize("message", [Unbond(), Unbond(role=CLIENT), Unbond(amount=5), Unbond(role=-1, amount=5)])  # type: ignore[arg-type]
def test_missing_amount_or_role_is_refused(ledger: LedgerHarness, message: Unbond) -> None:
    ledger.reject(errors.InvalidField, CLIENTS[0], message)


def test_unbondings_of_one_block_are_one(ledger: LedgerHarness) -> None:
    ledger.block(*(ledger.sign(CLIENTS[0], Unbond(role=CLIENT, amount=amount)) for amount in (5, 7)))
    assert [e.amount for e in ledger.unbonding(CLIENT, CLIENTS[0])] == [12]


def test_unbondings_under_way_are_limited(ledger: LedgerHarness) -> None:
    """A slash walks them all, so there is a most of them; of each role of each account."""
    for _ in range(MAX_UNBONDINGS):
        ledger.accept(CLIENTS[0], Unbond(role=CLIENT, amount=1))
    ledger.reject(errors.TooManyUnbondings, CLIENTS[0], Unbond(role=CLIENT, amount=1))
    ledger.accept(CLIENTS[1], Unbond(role=CLIENT, amount=1))
    ledger.accept(CLIENTS[0], RegisterRole(role=AGGREGATOR, stake=150_000))
    ledger.accept(CLIENTS[0], Unbond(role=AGGREGATOR, amount=1))
    ledger.blocks(PARAMS["unbonding_blocks"])
    ledger.accept(CLIENTS[0], Unbond(role=CLIENT, amount=1))


def test_a_validator_loses_its_power_with_its_stake(ledger: LedgerHarness) -> None:
    results = ledger.block(ledger.sign(VALIDATORS[0], Unbond(role=VALIDATOR, amount=40_000)))
    assert [power for _, power in results.validator_updates] == [60]
    results = ledger.block(ledger.sign(VALIDATORS[0], Unbond(role=VALIDATOR, amount=60_000)))
    assert [power for _, power in results.validator_updates] == [0]


def test_L5_the_validator_set_does_not_get_too_small(ledger: LedgerHarness) -> None:
    """Four validators, at least three: one may leave, in whichever order and in one block."""
    first = ledger.sign(VALIDATORS[0], Unbond(role=VALIDATOR, amount=VALIDATOR_STAKE))
    leave = Unbond(role=VALIDATOR, amount=VALIDATOR_STAKE)
    ledger.reject(errors.TooFewValidators, VALIDATORS[1], leave, after=[first])
    ledger.reject(errors.TooFewValidators, VALIDATORS[2], leave)
    ledger.accept(VALIDATORS[2], Unbond(role=VALIDATOR, amount=VALIDATOR_STAKE - PARAMS["min_validator_stake"]))
    assert len(ledger.validators) == 3


def test_L5_an_equivocator_does_not_count_among_those_who_stay(ledger: LedgerHarness) -> None:
    ledger.block(misbehavior=[ledger.equivocation(3)])
    leave = Unbond(role=VALIDATOR, amount=VALIDATOR_STAKE)
    ledger.reject(errors.TooFewValidators, VALIDATORS[0], leave)
