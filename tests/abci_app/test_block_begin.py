"""The beginning of a block: beacon, proposer, evidence."""

from __future__ import annotations

import hashlib

import pytest

from optfl import errors
from optfl.beacon import compute_beacon
from optfl.transactions import decode_reveal, encode_reveal
from optfl.wire.transaction_pb2 import RegisterBeacon, Transaction, Transfer
from support.ledger import (
    STRANGER,
    VALIDATORS,
    LedgerHarness,
    apply_changes,
    beacon_chain,
    consensus_key,
)


def test_the_beacon_chains_the_hashes_of_all_blocks() -> None:
    ledger = LedgerHarness()
    beacon = bytes(32)
    for _ in range(3):
        block = ledger.next_block()
        ledger.block()
        beacon = hashlib.sha256(b"optfl/beacon/v1" + beacon + block.hash).digest()
        assert ledger.state.chain.beacon == beacon
        assert ledger.state.chain.height == block.height


def test_known_beacon() -> None:
    """For whoever writes a second implementation."""
    assert compute_beacon(bytes(32), bytes(range(32))).hex() == KNOWN_BEACON


KNOWN_BEACON = "1e2584c1978a0a5d9d895e81d89529812d9ce90f28dd0823bb9f858ed6df2ea4"


def test_the_proposers_height_is_kept() -> None:
    ledger = LedgerHarness()
    ledger.blocks(2)
    ledger.block(proposer=3)
    heights = [ledger.validator(v).last_proposed_height for v in VALIDATORS]  # type: ignore[union-attr]
    assert heights == [0, 1, 2, 3]


def test_an_unknown_proposer_changes_nothing_but_height_and_beacon() -> None:
    ledger = LedgerHarness()
    changes = ledger.block(proposer=-1).changes
    assert set(changes) == {"chain"}


def test_evidence_names_the_consensus_keys_address_not_the_operators() -> None:
    ledger = LedgerHarness()
    ledger.block(misbehavior=[ledger.equivocation(0, address=VALIDATORS[0].address)])
    assert not ledger.validator(VALIDATORS[0]).tombstoned  # type: ignore[union-attr]
    ledger.block(misbehavior=[ledger.equivocation(0, address=consensus_key("validator-0").address)])
    assert ledger.validator(VALIDATORS[0]).tombstoned  # type: ignore[union-attr]


def test_the_slash_of_an_equivocation_is_burned() -> None:
    ledger = LedgerHarness(params={"equivocation_slash_percent": 33})
    results = ledger.block(misbehavior=[ledger.equivocation(0)])
    assert ledger.state.supply.burned == 33_000
    [event] = [event for event in results.events if event.kind == "validator_equivocated"]
    assert dict(event.attributes)["slashed"] == "33000"


def test_a_slash_of_nothing_still_removes() -> None:
    ledger = LedgerHarness(params={"equivocation_slash_percent": 0})
    ledger.block(misbehavior=[ledger.equivocation(0)])
    assert consensus_key("validator-0").public_key not in ledger.validators


# Hash chains


def test_A9_with_chains_the_beacon_mixes_in_what_the_proposer_reveals() -> None:
    ledger = LedgerHarness(beacons=True)
    beacon, tip = bytes(32), beacon_chain("validator-2").anchor
    for _ in range(3):
        preimage = beacon_chain("validator-2").get_preimage(tip)
        assert preimage is not None
        assert [result.code for result in ledger.block(proposer=2).results] == [0]
        beacon, tip = hashlib.sha256(b"optfl/beacon/v1" + beacon + preimage).digest(), preimage
        assert ledger.state.chain.beacon == beacon
        assert ledger.state.validators[VALIDATORS[2].address].beacon_tip == tip
    assert ledger.state.validators[VALIDATORS[1].address].beacon_tip == beacon_chain("validator-1").anchor


def test_A9_a_withheld_reveal_leaves_nothing_to_choose() -> None:
    ledger = LedgerHarness(beacons=True)
    results = ledger.block(proposer=1, withhold=True)
    expected = hashlib.sha256(b"optfl/beacon/v1" + bytes(32) + (1).to_bytes(8, "big")).digest()
    assert ledger.state.chain.beacon == expected
    assert ledger.state.validators[VALIDATORS[1].address].beacon_tip == beacon_chain("validator-1").anchor
    [event] = [event for event in results.events if event.kind == "beacon_withheld"]
    assert dict(event.attributes) == {"operator": VALIDATORS[1].address.hex()}


def test_A9_an_unknown_proposers_block_is_a_withheld_one() -> None:
    ledger = LedgerHarness(beacons=True)
    results = ledger.block(proposer=-1)
    assert ledger.state.chain.beacon == compute_beacon(bytes(32), (1).to_bytes(8, "big"))
    assert [event.kind for event in results.events] == ["beacon_withheld"]


def test_A9_who_has_no_chain_withholds_once_others_have_one() -> None:
    """A newcomer goes without fees until its first anchor is in force; its block's hash counts nothing."""
    ledger = LedgerHarness()
    ledger.accept(VALIDATORS[0], RegisterBeacon(anchor=beacon_chain("validator-0").anchor))
    ledger.blocks(4)
    before = ledger.state.chain.beacon
    ledger.block(proposer=1)
    assert ledger.state.chain.beacon == compute_beacon(before, ledger.height.to_bytes(8, "big"))


def test_A9_block_hashes_count_until_the_first_anchor_is_in_force() -> None:
    """The block that puts it in force still has its hash; the one after it has none."""
    ledger = LedgerHarness()
    ledger.block(ledger.sign(VALIDATORS[0], RegisterBeacon(anchor=beacon_chain("validator-0").anchor)), proposer=0)
    for proposer in (1, 2):
        before, block = ledger.state.chain.beacon, ledger.next_block(proposer=proposer)
        ledger.block(proposer=proposer)
        assert ledger.state.chain.beacon == compute_beacon(before, block.hash)
    before = ledger.state.chain.beacon
    ledger.block(proposer=3)
    assert ledger.state.chain.beacon == compute_beacon(before, ledger.height.to_bytes(8, "big"))


def misplace(name: str, ledger: LedgerHarness) -> list[bytes]:
    """Transactions of a block of validator 0 that is no use as a reveal."""
    own, foreign = ledger.reveal(0), ledger.reveal(1)
    preimage = ledger.state.validators[VALIDATORS[0].address].beacon_tip
    pay = ledger.sign(STRANGER, Transfer(recipient=STRANGER.address, amount=1))
    return {
        "of another validator": [foreign],
        "its preimage under the proposer's name": [
            encode_reveal(VALIDATORS[0].address, decode_reveal(foreign).preimage)
        ],  # type: ignore[union-attr]
        "the tip again": [encode_reveal(VALIDATORS[0].address, preimage)],
        "random": [encode_reveal(VALIDATORS[0].address, bytes(32))],
        "second": [pay, own],
        "with a body": [own + Transaction(body=b"x").SerializeToString()],
    }[name]


@pytest.mark.parametrize(
    "name",
    [
        "of another validator",
        "its preimage under the proposer's name",
        "the tip again",
        "random",
        "second",
        "with a body",
    ],
)
def test_A9_a_misplaced_reveal_is_rejected_and_counts_as_withheld(name: str) -> None:
    """Whatever a block holds, it has a result: a proposer cannot stop the chain with it."""
    ledger = LedgerHarness(beacons=True)
    txs = misplace(name, ledger)
    results = ledger.block(*txs, proposer=0, withhold=True)
    assert results.results[-1].code in (errors.MisplacedReveal.code, errors.NonCanonicalEncoding.code)
    assert ledger.state.chain.beacon == compute_beacon(bytes(32), (1).to_bytes(8, "big"))
    assert ledger.state.validators[VALIDATORS[0].address].beacon_tip == beacon_chain("validator-0").anchor
    assert ledger.state.validators[VALIDATORS[1].address].beacon_tip == beacon_chain("validator-1").anchor


def test_A9_of_two_reveals_only_the_first_counts() -> None:
    ledger = LedgerHarness(beacons=True)
    tip = beacon_chain("validator-0").get_preimage(beacon_chain("validator-0").anchor)
    assert tip is not None
    further = encode_reveal(VALIDATORS[0].address, beacon_chain("validator-0").get_preimage(tip) or b"")
    codes = [result.code for result in ledger.block(ledger.reveal(0), further, proposer=0, withhold=True).results]
    assert codes == [0, errors.MisplacedReveal.code]
    assert ledger.state.validators[VALIDATORS[0].address].beacon_tip == tip


def test_A9_a_reveal_behind_the_proposers_own_changes_nothing() -> None:
    ledger = LedgerHarness(beacons=True)
    ledger.reject_bytes(errors.MisplacedReveal, ledger.reveal(0))


def test_A9_a_reveal_is_not_valid_again() -> None:
    ledger = LedgerHarness(beacons=True)
    reveal = ledger.reveal(0)
    ledger.block(proposer=0)
    [result] = ledger.block(reveal, proposer=0, withhold=True).results
    assert result.code == errors.MisplacedReveal.code


def test_A9_a_chain_that_has_run_out_withholds() -> None:
    ledger = LedgerHarness(beacons=True)
    secret = beacon_chain("validator-0")
    state = ledger.state
    validator = state.validators[VALIDATORS[0].address]
    for _ in range(secret.count_left(validator.beacon_tip)):
        validator.beacon_tip = secret.get_preimage(validator.beacon_tip) or b""
    state.validators.put(validator.operator, validator)
    ledger.stores = apply_changes(ledger.stores, state.collect_changes())
    assert ledger.reveal(0) == b""
    assert "beacon_withheld" in [event.kind for event in ledger.block(proposer=0).events]


def test_evidence_in_the_block_that_puts_an_anchor_in_force() -> None:
    """Both change the same record."""
    ledger = LedgerHarness(beacons=True)
    anchor = beacon_chain("another").anchor
    ledger.block(ledger.sign(VALIDATORS[0], RegisterBeacon(anchor=anchor)), proposer=0)
    ledger.block(proposer=1)
    ledger.block(proposer=2, misbehavior=[ledger.equivocation(0)])
    validator = ledger.state.validators[VALIDATORS[0].address]
    assert (validator.tombstoned, validator.beacon_tip, validator.next_beacon_tip) == (True, anchor, b"")
