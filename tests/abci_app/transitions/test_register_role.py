"""RegisterRole: stake as aggregator, replica or client."""

from __future__ import annotations

import pytest

from optfl import errors
from optfl.wire.transaction_pb2 import RegisterRole, Unbond
from support.ledger import (
    AGGREGATOR,
    BALANCE,
    CLIENT,
    FEE,
    PARAMS,
    REPLICA,
    STRANGER,
    VALIDATOR,
    LedgerHarness,
    TaskHarness,
)

MINIMUMS = {
    AGGREGATOR: PARAMS["min_aggregator_stake"],
    REPLICA: PARAMS["min_replica_stake"],
    CLIENT: PARAMS["min_client_stake"],
}


@pytest.mark.parametrize(("role", "minimum"), MINIMUMS.items())
def test_the_least_stake_suffices(role: int, minimum: int) -> None:
    ledger = LedgerHarness()
    ledger.accept(STRANGER, RegisterRole(role=role, stake=minimum))
    stake = ledger.must_stake(role, STRANGER)
    assert (stake.amount, stake.public_key, stake.excluded) == (minimum, STRANGER.public_key, False)
    assert ledger.balance(STRANGER) == BALANCE - FEE - minimum


@pytest.mark.parametrize(("role", "minimum"), MINIMUMS.items())
def test_one_token_less_does_not(role: int, minimum: int) -> None:
    ledger = LedgerHarness()
    ledger.reject(errors.StakeTooLow, STRANGER, RegisterRole(role=role, stake=minimum - 1))
    ledger.reject(errors.StakeTooLow, STRANGER, RegisterRole(role=role))


def test_one_account_may_have_several_roles() -> None:
    ledger = LedgerHarness()
    for role, stake in MINIMUMS.items():
        ledger.accept(STRANGER, RegisterRole(role=role, stake=stake))
    assert all(ledger.stake(role, STRANGER) for role in MINIMUMS)


def test_a_role_is_registered_once() -> None:
    ledger = LedgerHarness()
    ledger.accept(STRANGER, RegisterRole(role=CLIENT, stake=1000))
    ledger.reject(errors.AlreadyRegistered, STRANGER, RegisterRole(role=CLIENT, stake=1000))


def test_twice_in_one_block_is_once() -> None:
    ledger = LedgerHarness()
    first = ledger.sign(STRANGER, RegisterRole(role=CLIENT, stake=1000))
    ledger.reject(errors.AlreadyRegistered, STRANGER, RegisterRole(role=CLIENT, stake=1000), after=[first])


@pytest.mark.parametrize("stake", [BALANCE - FEE + 1, 2**64 - 1])
def test_stake_that_is_not_there_is_refused(stake: int) -> None:
    LedgerHarness().reject(errors.InsufficientBalance, STRANGER, RegisterRole(role=CLIENT, stake=stake))


@pytest.mark.parametrize("role", [0, VALIDATOR, 5, 2**31 - 1, -1, -(2**31)])
def test_no_other_role_is_registered_like_this(role: int) -> None:
    LedgerHarness().reject(errors.InvalidField, STRANGER, RegisterRole(role=role, stake=10**6))  # type: ignore[arg-type]


def test_empty_message_is_refused() -> None:
    LedgerHarness().reject(errors.InvalidField, STRANGER, RegisterRole())


def test_who_left_for_good_may_register_again() -> None:
    ledger = LedgerHarness()
    ledger.accept(STRANGER, RegisterRole(role=CLIENT, stake=1000))
    ledger.accept(STRANGER, Unbond(role=CLIENT, amount=1000))
    ledger.reject(errors.AlreadyRegistered, STRANGER, RegisterRole(role=CLIENT, stake=1000))
    ledger.blocks(PARAMS["unbonding_blocks"])
    assert ledger.stake(CLIENT, STRANGER) is None
    ledger.accept(STRANGER, RegisterRole(role=CLIENT, stake=1000))


def test_an_excluded_aggregator_does_not_come_back() -> None:
    """Its record outlives everything: no unbonding, no end of the task, no time makes it forgotten."""
    task = TaskHarness.start(LedgerHarness(params={"fraud_slash_percent": 50}))
    task.commit_all(1)
    culprit = task.due_aggregator(1)
    attempt = task.aggregate(1, task.poisoned_model(1))
    task.ledger.accept(STRANGER, task.prove(attempt))
    task.ledger.accept(culprit, Unbond(role=AGGREGATOR, amount=100_000))
    task.ledger.blocks(150)
    assert task.ledger.unbonding(AGGREGATOR, culprit) == []
    task.ledger.reject(errors.AlreadyRegistered, culprit, RegisterRole(role=AGGREGATOR, stake=200_000))
