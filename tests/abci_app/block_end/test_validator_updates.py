"""Voting power follows stake, in updates that CometBFT can always take (A12, L5).

The harness applies every update to a set of its own under CometBFT's rules, so every test of a block is one of this.
"""

from __future__ import annotations

from abci_app.state_machine import MisbehaviorKind
from optfl import errors
from optfl.wire.transaction_pb2 import AddStake, Unbond
from support.ledger import (
    PARAMS,
    REQUESTER,
    STRANGER,
    VALIDATOR,
    VALIDATOR_STAKE,
    VALIDATORS,
    LedgerHarness,
    consensus_key,
    register_validator,
)


def public_key(index: int) -> bytes:
    return consensus_key(f"validator-{index}").public_key


def leave(ledger: LedgerHarness, index: int) -> bytes:
    return ledger.sign(VALIDATORS[index], Unbond(role=VALIDATOR, amount=VALIDATOR_STAKE))


def test_without_a_change_there_is_no_update() -> None:
    ledger = LedgerHarness()
    assert ledger.block().validator_updates == []


def test_updates_are_deduplicated() -> None:
    """Several transactions of one operator in one block are one update, and a change that is undone is none."""
    ledger = LedgerHarness()
    results = ledger.block(
        *(ledger.sign(VALIDATORS[0], AddStake(role=VALIDATOR, amount=1_500)) for _ in range(4)),
    )
    assert results.validator_updates == [(public_key(0), 106)]
    results = ledger.block(
        ledger.sign(VALIDATORS[0], AddStake(role=VALIDATOR, amount=5_000)),
        ledger.sign(VALIDATORS[0], Unbond(role=VALIDATOR, amount=5_000)),
    )
    assert results.validator_updates == []


def test_updates_ascend_by_operator() -> None:
    ledger = LedgerHarness()
    order = sorted(range(4), key=lambda i: VALIDATORS[i].address)
    results = ledger.block(
        *(ledger.sign(VALIDATORS[i], AddStake(role=VALIDATOR, amount=1_000)) for i in reversed(order))
    )
    assert [key for key, _ in results.validator_updates] == [public_key(i) for i in order]


def test_an_equivocator_is_slashed_and_removed() -> None:
    ledger = LedgerHarness()
    results = ledger.block(misbehavior=[ledger.equivocation(1)])
    assert results.validator_updates == [(public_key(1), 0)]
    assert ledger.must_stake(VALIDATOR, VALIDATORS[1]).amount == VALIDATOR_STAKE // 2
    assert "validator_equivocated" in [event.kind for event in results.events]


def test_a_tombstoned_validator_cannot_stake_its_way_back() -> None:
    ledger = LedgerHarness()
    ledger.block(misbehavior=[ledger.equivocation(1)])
    ledger.reject(errors.ExcludedAccount, VALIDATORS[1], AddStake(role=VALIDATOR, amount=500_000))
    assert public_key(1) not in ledger.validators


def test_L5_below_min_validators_the_slash_burns_and_the_removal_waits() -> None:
    ledger = LedgerHarness()
    ledger.block(misbehavior=[ledger.equivocation(0)])
    burned = ledger.state.supply.burned
    results = ledger.block(misbehavior=[ledger.equivocation(1)])
    assert results.validator_updates == []
    assert ledger.state.supply.burned == burned + VALIDATOR_STAKE // 2
    assert len(ledger.validators) == PARAMS["min_validators"]
    ledger.blocks(3)
    results = ledger.block(ledger.sign(STRANGER, register_validator(STRANGER, consensus_key("new"))))
    assert sorted(power for _, power in results.validator_updates) == [0, 100]
    assert public_key(1) not in ledger.validators


def test_L5_all_validators_equivocate_in_one_block() -> None:
    """An empty set would halt the chain: the three of the greatest power stay until replaced."""
    ledger = LedgerHarness()
    ledger.accept(VALIDATORS[3], Unbond(role=VALIDATOR, amount=50_000))
    results = ledger.block(misbehavior=[ledger.equivocation(i) for i in range(4)])
    assert results.validator_updates == [(public_key(3), 0)]
    newcomers = [STRANGER, REQUESTER]
    ledger.block(*(ledger.sign(k, register_validator(k, consensus_key(str(i)))) for i, k in enumerate(newcomers)))
    assert len(ledger.validators) == 3
    assert {consensus_key(str(i)).public_key for i in range(2)} < set(ledger.validators)


def test_L5_of_those_who_leave_together_the_most_powerful_waits() -> None:
    ledger = LedgerHarness()
    ledger.accept(VALIDATORS[2], AddStake(role=VALIDATOR, amount=1_000))
    results = ledger.block(misbehavior=[ledger.equivocation(2), ledger.equivocation(0)])
    assert results.validator_updates == [(public_key(0), 0)]
    assert ledger.validators[public_key(2)] == 101


def test_L7_a_validator_is_punished_once() -> None:
    """Twice in one block, again later, of both kinds: one slash."""
    ledger = LedgerHarness()
    light = ledger.equivocation(1, kind=MisbehaviorKind.LIGHT_CLIENT_ATTACK)
    ledger.block(misbehavior=[ledger.equivocation(1), light])
    ledger.block(misbehavior=[ledger.equivocation(1)])
    assert ledger.must_stake(VALIDATOR, VALIDATORS[1]).amount == VALIDATOR_STAKE // 2


def test_evidence_against_nobody_we_know_changes_nothing() -> None:
    ledger = LedgerHarness()
    results = ledger.block(misbehavior=[ledger.equivocation(0, address=bytes(20))])
    assert results.validator_updates == []
    results = ledger.block(misbehavior=[ledger.equivocation(0, kind=MisbehaviorKind.UNKNOWN)])
    assert results.validator_updates == []


def test_a_proposer_may_be_punished_in_its_own_block() -> None:
    """Both write the same record: neither write may be lost."""
    ledger = LedgerHarness()
    ledger.block(misbehavior=[ledger.equivocation(1)], proposer=1)
    validator = ledger.validator(VALIDATORS[1])
    assert validator is not None
    assert (validator.tombstoned, validator.last_proposed_height) == (True, ledger.height)


def test_below_the_minimum_stake_there_is_no_power() -> None:
    """An equivocation could leave less than the minimum; here it is a parameter that asks for more than it leaves."""
    ledger = LedgerHarness(params={"min_validator_stake": 100_000, "min_validators": 1})
    ledger.accept(STRANGER, register_validator(STRANGER, consensus_key("new"), 100_000))
    results = ledger.block(ledger.sign(STRANGER, Unbond(role=VALIDATOR, amount=100_000)))
    assert results.validator_updates == [(consensus_key("new").public_key, 0)]


def test_a_key_that_comes_back_is_added_again() -> None:
    ledger = LedgerHarness(params={"unbonding_blocks": 2})
    ledger.block(leave(ledger, 0))
    ledger.blocks(2)
    again = register_validator(STRANGER, consensus_key("validator-0"), 30_000)
    assert ledger.block(ledger.sign(STRANGER, again)).validator_updates == [(public_key(0), 30)]
