"""The block's fees go to its proposer's operator, or to nobody."""

from __future__ import annotations

from optfl.wire.transaction_pb2 import Transfer, Unbond
from support.ledger import (
    BALANCE,
    FEE,
    REQUESTER,
    STRANGER,
    VALIDATOR,
    VALIDATOR_STAKE,
    VALIDATORS,
    LedgerHarness,
)

PAY = Transfer(recipient=REQUESTER.address, amount=1)


def test_the_proposers_operator_gets_the_fees() -> None:
    ledger = LedgerHarness()
    ledger.block(ledger.sign(STRANGER, PAY, fee=100), ledger.sign(STRANGER, PAY, fee=50), proposer=2)
    assert ledger.balance(VALIDATORS[2]) == BALANCE + 150
    assert ledger.state.supply.fee_pot == 0


def test_fees_of_rejected_transactions_count_too() -> None:
    ledger = LedgerHarness()
    ledger.block(ledger.sign(STRANGER, Transfer(), fee=100), proposer=2)
    assert ledger.balance(VALIDATORS[2]) == BALANCE + 100


def test_an_unknown_proposers_fees_wait_for_the_next() -> None:
    ledger = LedgerHarness()
    ledger.block(ledger.sign(STRANGER, PAY), proposer=-1)
    assert ledger.state.supply.fee_pot == FEE
    ledger.block(proposer=1)
    assert ledger.balance(VALIDATORS[1]) == BALANCE + FEE
    assert ledger.state.supply.fee_pot == 0


def test_a_proposer_that_pays_itself_gains_nothing() -> None:
    ledger = LedgerHarness()
    ledger.block(ledger.sign(VALIDATORS[0], PAY), proposer=0)
    assert ledger.balance(VALIDATORS[0]) == BALANCE - 1


def test_who_has_left_but_still_proposes_is_paid() -> None:
    """CometBFT's set lags two blocks behind the ledger's."""
    ledger = LedgerHarness()
    ledger.accept(VALIDATORS[0], Unbond(role=VALIDATOR, amount=VALIDATOR_STAKE))
    before = ledger.balance(VALIDATORS[0])
    ledger.block(ledger.sign(STRANGER, PAY), proposer=0)
    assert ledger.balance(VALIDATORS[0]) == before + FEE


def test_A9_who_withholds_its_reveal_goes_without_the_fees() -> None:
    ledger = LedgerHarness(beacons=True)
    ledger.block(ledger.sign(STRANGER, PAY), proposer=2, withhold=True)
    assert ledger.balance(VALIDATORS[2]) == BALANCE
    assert (ledger.state.supply.fee_pot, ledger.state.supply.burned) == (0, FEE)


def test_A9_its_next_block_does_not_bring_them_back() -> None:
    """Two blocks of its own in a row would make withholding free, if the pot waited."""
    ledger = LedgerHarness(beacons=True)
    ledger.block(ledger.sign(STRANGER, PAY), proposer=2, withhold=True)
    ledger.block(ledger.sign(STRANGER, PAY, fee=100), proposer=2)
    assert ledger.balance(VALIDATORS[2]) == BALANCE + 100


def test_A9_who_reveals_is_paid() -> None:
    ledger = LedgerHarness(beacons=True)
    ledger.block(ledger.sign(STRANGER, PAY), proposer=2)
    assert ledger.balance(VALIDATORS[2]) == BALANCE + FEE


def test_A9_an_unknown_proposers_fees_still_wait() -> None:
    ledger = LedgerHarness(beacons=True)
    ledger.block(ledger.sign(STRANGER, PAY), proposer=-1)
    assert ledger.state.supply.fee_pot == FEE
    ledger.block(proposer=1)
    assert ledger.balance(VALIDATORS[1]) == BALANCE + FEE
