"""Transfer: tokens go from the sender to an address, all of them and no more."""

from __future__ import annotations

import pytest

from optfl import errors
from optfl.wire.transaction_pb2 import Transfer
from support.ledger import BALANCE, FEE, NOBODY, REQUESTER, STRANGER, LedgerHarness


def test_tokens_arrive() -> None:
    ledger = LedgerHarness()
    ledger.accept(STRANGER, Transfer(recipient=REQUESTER.address, amount=123))
    assert (ledger.balance(STRANGER), ledger.balance(REQUESTER)) == (BALANCE - FEE - 123, BALANCE + 123)


def test_an_account_begins_with_the_first_transfer_to_it() -> None:
    ledger = LedgerHarness()
    ledger.accept(STRANGER, Transfer(recipient=NOBODY.address, amount=FEE + 1))
    ledger.accept(NOBODY, Transfer(recipient=STRANGER.address, amount=1))
    assert ledger.balance(NOBODY) == 0
    assert ledger.state.accounts[NOBODY.address].sequence == 1


def test_a_transfer_to_oneself_changes_nothing_but_the_fee() -> None:
    ledger = LedgerHarness()
    ledger.accept(STRANGER, Transfer(recipient=STRANGER.address, amount=BALANCE - FEE))
    assert ledger.balance(STRANGER) == BALANCE - FEE


def test_all_but_the_fee_can_be_sent() -> None:
    ledger = LedgerHarness()
    ledger.accept(STRANGER, Transfer(recipient=REQUESTER.address, amount=BALANCE - FEE))
    assert ledger.balance(STRANGER) == 0


@pytest.mark.parametrize("amount", [BALANCE - FEE + 1, BALANCE, 2**63, 2**64 - 1])
def test_more_than_is_there_after_the_fee_is_refused(amount: int) -> None:
    ledger = LedgerHarness()
    ledger.reject(errors.InsufficientBalance, STRANGER, Transfer(recipient=REQUESTER.address, amount=amount))


def test_nothing_is_refused() -> None:
    ledger = LedgerHarness()
    ledger.reject(errors.InvalidField, STRANGER, Transfer(recipient=REQUESTER.address))


@pytest.mark.parametrize("size", [0, 1, 19, 21, 32])
def test_recipient_of_another_length_is_refused(size: int) -> None:
    ledger = LedgerHarness()
    ledger.reject(errors.InvalidField, STRANGER, Transfer(recipient=bytes(size), amount=1))


def test_empty_message_is_refused() -> None:
    LedgerHarness().reject(errors.InvalidField, STRANGER, Transfer())


def test_tokens_of_this_block_can_be_spent_in_it() -> None:
    ledger = LedgerHarness()
    first = ledger.sign(STRANGER, Transfer(recipient=REQUESTER.address, amount=1000))
    second = ledger.sign(REQUESTER, Transfer(recipient=STRANGER.address, amount=BALANCE + 1000 - FEE))
    assert [result.code for result in ledger.block(first, second).results] == [0, 0]
    assert ledger.balance(REQUESTER) == 0
