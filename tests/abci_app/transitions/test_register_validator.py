"""RegisterValidator: stake for a consensus key that the sender shows it holds (A12, L5)."""

from __future__ import annotations

import pytest

from optfl import errors, keys
from optfl.wire.transaction_pb2 import RegisterValidator, Unbond
from support.ledger import (
    BALANCE,
    CHAIN_ID,
    FEE,
    PARAMS,
    REQUESTER,
    STRANGER,
    VALIDATOR,
    VALIDATOR_STAKE,
    VALIDATORS,
    LedgerHarness,
    consensus_key,
    key,
    register_validator,
)

NEW = consensus_key("newcomer")


@pytest.fixture
def ledger() -> LedgerHarness:
    return LedgerHarness()


def test_the_newcomer_gets_its_power_at_once(ledger: LedgerHarness) -> None:
    results = ledger.block(ledger.sign(STRANGER, register_validator(STRANGER, NEW, 55_999)))
    assert results.results[0].code == 0
    assert results.validator_updates == [(NEW.public_key, 55)]
    assert ledger.must_stake(VALIDATOR, STRANGER).public_key == STRANGER.public_key


def test_the_least_stake_suffices_and_one_token_less_does_not(ledger: LedgerHarness) -> None:
    minimum = PARAMS["min_validator_stake"]
    ledger.reject(errors.StakeTooLow, STRANGER, register_validator(STRANGER, NEW, minimum - 1))
    ledger.accept(STRANGER, register_validator(STRANGER, NEW, minimum))


@pytest.mark.parametrize("stake", [BALANCE - FEE + 1, 2**64 - 1])
def test_stake_that_is_not_there_is_refused(ledger: LedgerHarness, stake: int) -> None:
    ledger.reject(errors.InsufficientBalance, STRANGER, register_validator(STRANGER, NEW, stake))


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_consensus_key_of_another_length_is_refused(ledger: LedgerHarness, size: int) -> None:
    message = register_validator(STRANGER, NEW)
    message.consensus_key = bytes(size)
    ledger.reject(errors.InvalidField, STRANGER, message)


def test_empty_message_is_refused(ledger: LedgerHarness) -> None:
    ledger.reject(errors.InvalidField, STRANGER, RegisterValidator())


def test_L5_another_operators_proof_is_no_proof(ledger: LedgerHarness) -> None:
    """Replayed out of the mempool by somebody who would lock the victim out of its own key."""
    victim = register_validator(REQUESTER, NEW)
    ledger.reject(errors.NoProofOfPossession, STRANGER, victim)
    ledger.accept(REQUESTER, victim)


def test_L8_another_chains_proof_is_no_proof(ledger: LedgerHarness) -> None:
    ledger.reject(errors.NoProofOfPossession, STRANGER, register_validator(STRANGER, NEW, chain_id="other-chain"))


@pytest.mark.parametrize("proof", [b"", bytes(64), b"\xff" * 64, bytes(63)])
def test_no_signature_is_no_proof(ledger: LedgerHarness, proof: bytes) -> None:
    message = register_validator(STRANGER, NEW)
    message.proof_of_possession = proof
    ledger.reject(errors.NoProofOfPossession, STRANGER, message)


def test_a_signature_for_another_purpose_is_no_proof(ledger: LedgerHarness) -> None:
    message = register_validator(STRANGER, NEW)
    message.proof_of_possession = NEW.sign(keys.TRANSACTION_DOMAIN, keys.encode_account(CHAIN_ID, STRANGER.address))
    ledger.reject(errors.NoProofOfPossession, STRANGER, message)


def test_L5_a_consensus_key_has_one_operator(ledger: LedgerHarness) -> None:
    """Two operators of one key would be a duplicate update, which halts CometBFT."""
    taken = register_validator(STRANGER, consensus_key("validator-0"))
    ledger.reject(errors.ConsensusKeyTaken, STRANGER, taken)
    ledger.accept(STRANGER, register_validator(STRANGER, NEW))
    ledger.reject(errors.ConsensusKeyTaken, REQUESTER, register_validator(REQUESTER, NEW))


def test_L5_one_key_registered_twice_in_a_block_is_registered_once(ledger: LedgerHarness) -> None:
    first = ledger.sign(STRANGER, register_validator(STRANGER, NEW))
    ledger.reject(errors.ConsensusKeyTaken, REQUESTER, register_validator(REQUESTER, NEW), after=[first])


def test_an_operator_has_one_consensus_key(ledger: LedgerHarness) -> None:
    ledger.reject(errors.AlreadyRegistered, VALIDATORS[0], register_validator(VALIDATORS[0], NEW))


def test_a_key_stays_taken_until_its_evidence_expires(ledger: LedgerHarness) -> None:
    ledger.accept(VALIDATORS[0], Unbond(role=VALIDATOR, amount=VALIDATOR_STAKE))
    again = register_validator(STRANGER, consensus_key("validator-0"))
    ledger.reject(errors.ConsensusKeyTaken, STRANGER, again)
    ledger.reject(errors.AlreadyRegistered, VALIDATORS[0], register_validator(VALIDATORS[0], NEW))
    while ledger.height < 1 + PARAMS["unbonding_blocks"] - 1:
        ledger.block()
    ledger.reject(errors.ConsensusKeyTaken, STRANGER, again)  # in the block whose end releases it
    ledger.accept(STRANGER, again)
    assert ledger.validators[consensus_key("validator-0").public_key] == 100


def test_a_tombstoned_key_is_taken_for_good(ledger: LedgerHarness) -> None:
    ledger.block(misbehavior=[ledger.equivocation(0)])
    ledger.accept(VALIDATORS[0], Unbond(role=VALIDATOR, amount=50_000))
    ledger.blocks(PARAMS["unbonding_blocks"] + 5)
    assert ledger.unbonding(VALIDATOR, VALIDATORS[0]) == []
    again = register_validator(STRANGER, consensus_key("validator-0"))
    ledger.reject(errors.ConsensusKeyTaken, STRANGER, again)
    ledger.reject(errors.AlreadyRegistered, VALIDATORS[0], register_validator(VALIDATORS[0], NEW))


def test_the_account_key_may_not_stand_in_for_the_consensus_key(ledger: LedgerHarness) -> None:
    """The operator signs the transaction, but the proof must be the consensus key's own."""
    message = register_validator(STRANGER, key("some other key"))
    message.consensus_key = NEW.public_key
    ledger.reject(errors.NoProofOfPossession, STRANGER, message)
