"""AddStake: more behind a role that the sender has."""

from __future__ import annotations

import pytest

from optfl import errors
from optfl.wire.transaction_pb2 import AddStake, Unbond
from support.ledger import (
    AGGREGATOR,
    BALANCE,
    CLIENT,
    CLIENT_STAKE,
    CLIENTS,
    FEE,
    REPLICA,
    STRANGER,
    VALIDATOR,
    VALIDATOR_STAKE,
    VALIDATORS,
    LedgerHarness,
    TaskHarness,
    consensus_key,
)


@pytest.fixture
def ledger() -> LedgerHarness:
    harness = LedgerHarness()
    harness.register_participants()
    return harness


def test_stake_grows(ledger: LedgerHarness) -> None:
    before = ledger.balance(CLIENTS[0])
    ledger.accept(CLIENTS[0], AddStake(role=CLIENT, amount=5))
    assert ledger.must_stake(CLIENT, CLIENTS[0]).amount == CLIENT_STAKE + 5
    assert ledger.balance(CLIENTS[0]) == before - FEE - 5


def test_a_validators_stake_becomes_voting_power(ledger: LedgerHarness) -> None:
    results = ledger.block(ledger.sign(VALIDATORS[1], AddStake(role=VALIDATOR, amount=2_500)))
    expected = (VALIDATOR_STAKE + 2_500) // 1_000
    assert results.validator_updates == [(consensus_key("validator-1").public_key, expected)]


def test_less_than_a_unit_of_power_is_no_update(ledger: LedgerHarness) -> None:
    assert ledger.block(ledger.sign(VALIDATORS[1], AddStake(role=VALIDATOR, amount=999))).validator_updates == []


@pytest.mark.parametrize("role", [VALIDATOR, AGGREGATOR, REPLICA, CLIENT])
def test_without_the_role_it_is_refused(ledger: LedgerHarness, role: int) -> None:
    ledger.reject(errors.NotRegistered, STRANGER, AddStake(role=role, amount=5))


def test_another_role_of_the_sender_does_not_count(ledger: LedgerHarness) -> None:
    ledger.reject(errors.NotRegistered, CLIENTS[0], AddStake(role=REPLICA, amount=5))


@pytest.mark.parametrize("message", [AddStake(role=CLIENT), AddStake(amount=5), AddStake(role=9, amount=5)])  # type: ignore[arg-type]
def test_missing_amount_or_role_is_refused(ledger: LedgerHarness, message: AddStake) -> None:
    ledger.reject(errors.InvalidField, CLIENTS[0], message)


def test_more_than_the_balance_is_refused(ledger: LedgerHarness) -> None:
    left = BALANCE - FEE - CLIENT_STAKE
    ledger.reject(errors.InsufficientBalance, CLIENTS[0], AddStake(role=CLIENT, amount=left - FEE + 1))
    ledger.reject(errors.InsufficientBalance, CLIENTS[0], AddStake(role=CLIENT, amount=2**64 - 1))


def test_stake_under_way_out_can_be_topped_up_again(ledger: LedgerHarness) -> None:
    """The record of who unbonds everything lives on until it is released, and then with the new stake."""
    ledger.accept(CLIENTS[0], Unbond(role=CLIENT, amount=CLIENT_STAKE))
    ledger.accept(CLIENTS[0], AddStake(role=CLIENT, amount=300))
    ledger.blocks(40)
    assert ledger.must_stake(CLIENT, CLIENTS[0]).amount == 300


def test_an_excluded_account_puts_nothing_more_in() -> None:
    task = TaskHarness.start()
    task.commit_all(1)
    culprit = task.due_aggregator(1)
    attempt = task.aggregate(1, task.poisoned_model(1))
    task.ledger.accept(STRANGER, task.prove(attempt))
    task.ledger.reject(errors.ExcludedAccount, culprit, AddStake(role=AGGREGATOR, amount=500_000))
