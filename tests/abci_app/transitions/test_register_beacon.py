"""RegisterBeacon: validators alone, one new anchor at a time, in force only after others have proposed."""

from __future__ import annotations

import pytest

from optfl import errors
from optfl.beacon import HashChain
from optfl.keys import SigningKey
from optfl.transactions import encode_reveal
from optfl.wire.transaction_pb2 import RegisterBeacon, Unbond
from support.ledger import (
    AGGREGATORS,
    CLIENTS,
    REQUESTER,
    STRANGER,
    VALIDATOR,
    VALIDATOR_STAKE,
    VALIDATORS,
    LedgerHarness,
    beacon_chain,
    key,
    register_validator,
)

NEXT = HashChain(bytes(32), 10)
REGISTER = RegisterBeacon(anchor=NEXT.anchor)


@pytest.fixture
def ledger() -> LedgerHarness:
    """Four equal validators with hash chains."""
    return LedgerHarness(beacons=True)


def test_an_anchor_waits(ledger: LedgerHarness) -> None:
    ledger.accept(VALIDATORS[0], REGISTER)
    validator = ledger.state.validators[VALIDATORS[0].address]
    assert (validator.next_beacon_tip, validator.next_beacon_height) == (NEXT.anchor, ledger.height)
    assert validator.beacon_tip == beacon_chain("validator-0").anchor


def test_it_is_in_force_once_more_than_a_third_of_the_others_has_proposed(ledger: LedgerHarness) -> None:
    """One of three others is exactly a third, and not enough; its own blocks do not count."""
    ledger.block(ledger.sign(VALIDATORS[0], REGISTER), proposer=2)
    for proposer in (0, 0, 1, 1, 0):
        ledger.block(proposer=proposer)
        assert ledger.state.validators[VALIDATORS[0].address].next_beacon_tip == NEXT.anchor
    events = ledger.block(proposer=2).events
    validator = ledger.state.validators[VALIDATORS[0].address]
    assert (validator.beacon_tip, validator.next_beacon_tip, validator.next_beacon_height) == (NEXT.anchor, b"", 0)
    assert [event.kind for event in events if event.kind.startswith("beacon")] == ["beacon_in_force"]


def test_the_block_that_registers_it_does_not_count(ledger: LedgerHarness) -> None:
    ledger.block(ledger.sign(VALIDATORS[0], REGISTER), proposer=1)
    ledger.block(proposer=2)
    assert ledger.state.validators[VALIDATORS[0].address].next_beacon_tip == NEXT.anchor
    ledger.block(proposer=3)
    assert ledger.state.validators[VALIDATORS[0].address].beacon_tip == NEXT.anchor


def test_until_then_the_old_chain_is_revealed_and_afterwards_the_new_one(ledger: LedgerHarness) -> None:
    operator = VALIDATORS[0].address
    new = encode_reveal(operator, NEXT.get_preimage(NEXT.anchor) or b"")
    ledger.block(ledger.sign(VALIDATORS[0], REGISTER), proposer=1)
    old = ledger.reveal(0)
    [refused] = ledger.block(new, proposer=0, withhold=True).results
    assert refused.code == errors.MisplacedReveal.code
    assert ledger.block(old, proposer=0, withhold=True).results[0].code == 0
    ledger.block(proposer=2)
    ledger.block(proposer=3)
    [refused] = ledger.block(old, proposer=0, withhold=True).results
    assert refused.code == errors.MisplacedReveal.code
    assert ledger.block(new, proposer=0, withhold=True).results[0].code == 0
    assert ledger.state.validators[operator].beacon_tip == NEXT.get_preimage(NEXT.anchor)


def test_a_second_one_while_one_waits(ledger: LedgerHarness) -> None:
    """Otherwise the wait would start over as often as the registrant likes, and end when it suits it."""
    ledger.accept(VALIDATORS[0], REGISTER)
    ledger.reject(errors.BeaconPending, VALIDATORS[0], RegisterBeacon(anchor=bytes(32)))
    ledger.blocks(3)
    ledger.accept(VALIDATORS[0], RegisterBeacon(anchor=bytes(32)))


def test_two_validators_wait_at_the_same_time(ledger: LedgerHarness) -> None:
    ledger.block(ledger.sign(VALIDATORS[0], REGISTER), ledger.sign(VALIDATORS[1], REGISTER), proposer=0)
    ledger.block(proposer=2)
    ledger.block(proposer=3)
    assert [ledger.state.validators[v.address].beacon_tip for v in VALIDATORS[:2]] == [NEXT.anchor] * 2


@pytest.mark.parametrize("sender", [AGGREGATORS[0], CLIENTS[0], REQUESTER, STRANGER], ids=lambda k: k.address.hex()[:8])
def test_who_operates_no_validator(ledger: LedgerHarness, sender: SigningKey) -> None:
    ledger.reject(errors.NotRegistered, sender, REGISTER)


def test_who_equivocated(ledger: LedgerHarness) -> None:
    ledger.block(misbehavior=[ledger.equivocation(0)])
    ledger.reject(errors.ExcludedAccount, VALIDATORS[0], REGISTER)


@pytest.mark.parametrize("size", [0, 20, 31, 33, 64])
def test_an_anchor_has_32_bytes(ledger: LedgerHarness, size: int) -> None:
    ledger.reject(errors.InvalidField, VALIDATORS[0], RegisterBeacon(anchor=bytes(size)))


def test_a_new_validator_registers_its_first_one(ledger: LedgerHarness) -> None:
    """It may before it has power, and its first block reveals."""
    ledger.accept(STRANGER, register_validator(STRANGER, key("fifth"), VALIDATOR_STAKE))
    ledger.accept(STRANGER, REGISTER)
    assert ledger.state.validators[STRANGER.address].beacon_tip == b""
    ledger.blocks(3)
    assert ledger.state.validators[STRANGER.address].beacon_tip == NEXT.anchor


def test_who_has_left_and_comes_back_has_no_anchor() -> None:
    ledger = LedgerHarness(beacons=True, params={"unbonding_blocks": 2})
    ledger.accept(STRANGER, register_validator(STRANGER, key("fifth"), VALIDATOR_STAKE))
    ledger.accept(STRANGER, REGISTER)
    ledger.blocks(3)
    ledger.accept(STRANGER, Unbond(role=VALIDATOR, amount=VALIDATOR_STAKE))
    ledger.blocks(4)
    assert STRANGER.address not in ledger.state.validators
    ledger.accept(STRANGER, register_validator(STRANGER, key("fifth"), VALIDATOR_STAKE))
    assert ledger.state.validators[STRANGER.address].beacon_tip == b""


def test_without_others_there_is_nobody_to_wait_for() -> None:
    """A chain of one validator renews its chain too."""
    ledger = LedgerHarness(beacons=True, params={"min_validators": 1, "unbonding_blocks": 2})
    ledger.block(*(ledger.sign(v, Unbond(role=VALIDATOR, amount=VALIDATOR_STAKE)) for v in VALIDATORS[1:]), proposer=0)
    ledger.block(ledger.sign(VALIDATORS[0], REGISTER), proposer=0)
    ledger.block(proposer=0)
    assert ledger.state.validators[VALIDATORS[0].address].beacon_tip == NEXT.anchor


def test_the_others_are_counted_by_power_not_by_heads() -> None:
    """Others with powers 100, 100 and 400: two of 200 in 600 are exactly a third; with the third one it is more."""
    ledger = LedgerHarness(beacons=True, stakes=[VALIDATOR_STAKE] * 3 + [4 * VALIDATOR_STAKE])
    ledger.block(ledger.sign(VALIDATORS[0], REGISTER), proposer=0)
    for proposer in (1, 2, 1, 2):
        ledger.block(proposer=proposer)
    assert ledger.state.validators[VALIDATORS[0].address].next_beacon_tip == NEXT.anchor
    ledger.block(proposer=3)
    assert ledger.state.validators[VALIDATORS[0].address].beacon_tip == NEXT.anchor


def test_what_it_tells() -> None:
    ledger = LedgerHarness(beacons=True)
    [event] = ledger.accept(VALIDATORS[0], REGISTER).events
    assert (event.kind, dict(event.attributes)) == (
        "beacon_registered",
        {"operator": VALIDATORS[0].address.hex(), "anchor": NEXT.anchor.hex()},
    )
