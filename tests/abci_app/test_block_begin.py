"""The beginning of a block: beacon, proposer, evidence."""

from __future__ import annotations

import hashlib

from abci_app.block_begin import compute_beacon
from support.ledger import VALIDATORS, LedgerHarness, consensus_key


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
