"""Which reveal is the next one, and whether the beacon comes from chains at all."""

from __future__ import annotations

import pytest

from abci_app.state.beacons import get_proposer, is_chained, is_next_reveal
from optfl.wire.transaction_pb2 import BeaconReveal, RegisterBeacon, Unbond
from support.ledger import (
    VALIDATOR,
    VALIDATOR_STAKE,
    VALIDATORS,
    LedgerHarness,
    beacon_chain,
    consensus_key,
)

OPERATOR = VALIDATORS[0].address
CHAIN = beacon_chain("validator-0")
PREIMAGE = CHAIN.get_preimage(CHAIN.anchor) or b""
BEFORE_IT = CHAIN.get_preimage(PREIMAGE) or b""


def test_a_proposer_is_found_by_its_consensus_key_not_its_operators() -> None:
    state = LedgerHarness().state
    found = get_proposer(state, consensus_key("validator-2").address)
    assert found is not None
    assert found.operator == VALIDATORS[2].address
    assert get_proposer(state, VALIDATORS[2].address) is None
    assert get_proposer(state, b"") is None


REVEALS = {
    "the next one": (OPERATOR, PREIMAGE, True),
    "of another operator": (VALIDATORS[1].address, PREIMAGE, False),
    "of nobody": (b"", PREIMAGE, False),
    "the anchor itself": (OPERATOR, CHAIN.anchor, False),
    "one further": (OPERATOR, BEFORE_IT, False),
    "of another chain": (OPERATOR, beacon_chain("validator-1").anchor, False),
    "empty": (OPERATOR, b"", False),
}


@pytest.mark.parametrize(("operator", "preimage", "expected"), REVEALS.values(), ids=REVEALS)
def test_a_reveal_is_the_proposers_next_preimage(operator: bytes, preimage: bytes, expected: bool) -> None:
    proposer = LedgerHarness(beacons=True).state.validators[OPERATOR]
    assert is_next_reveal(proposer, BeaconReveal(operator=operator, preimage=preimage)) == expected


def test_who_has_no_anchor_in_force_reveals_nothing() -> None:
    ledger = LedgerHarness()
    ledger.accept(VALIDATORS[0], RegisterBeacon(anchor=CHAIN.anchor))
    reveal = BeaconReveal(operator=OPERATOR, preimage=PREIMAGE)
    assert not is_next_reveal(ledger.state.validators[OPERATOR], reveal)
    assert not is_next_reveal(None, reveal)


def test_the_first_anchor_in_force_begins_it() -> None:
    ledger = LedgerHarness()
    assert not is_chained(ledger.state)
    ledger.accept(VALIDATORS[0], RegisterBeacon(anchor=CHAIN.anchor))
    assert not is_chained(ledger.state)
    ledger.blocks(4)
    assert is_chained(ledger.state)


def test_an_anchor_without_power_does_not_count() -> None:
    ledger = LedgerHarness()
    ledger.accept(VALIDATORS[0], RegisterBeacon(anchor=CHAIN.anchor))
    ledger.blocks(4)
    ledger.accept(VALIDATORS[0], Unbond(role=VALIDATOR, amount=VALIDATOR_STAKE))
    assert ledger.state.validators[OPERATOR].beacon_tip == CHAIN.anchor
    assert not is_chained(ledger.state)
