"""What every transaction must satisfy, whatever its kind. None of these rejections changes anything at all."""

from __future__ import annotations

import pytest

from abci_app.envelope import MAX_EXPIRY_BLOCKS
from optfl import errors, keys
from optfl.fees import compute_fee
from optfl.merkle import encode_uvarint
from optfl.transactions import MAX_TRANSACTION_BYTES, sign_transaction
from optfl.wire.transaction_pb2 import Body, CreateTask, TaskParameters, Transaction, Transfer
from support.ledger import BALANCE, CHAIN_ID, FEE, NOBODY, REQUESTER, STRANGER, LedgerHarness

PAY = Transfer(recipient=REQUESTER.address, amount=1)


@pytest.fixture
def ledger() -> LedgerHarness:
    harness = LedgerHarness()
    harness.blocks(3)
    return harness


def seal(body: bytes) -> bytes:
    """Any bytes for a body, well signed by STRANGER."""
    signature = STRANGER.sign(keys.TRANSACTION_DOMAIN, body)
    return Transaction(body=body, public_key=STRANGER.public_key, signature=signature).SerializeToString()


@pytest.mark.parametrize("tx", [b"\xff", b"\0", b"\x0a\x05abc", b"\xff" * 1000])
def test_bytes_that_are_no_transaction(ledger: LedgerHarness, tx: bytes) -> None:
    ledger.reject_bytes(errors.MalformedTransaction, tx)


def test_body_that_is_no_message(ledger: LedgerHarness) -> None:
    ledger.reject_bytes(errors.MalformedTransaction, seal(b"\xff\xff"))


def test_unknown_fields(ledger: LedgerHarness) -> None:
    """In the body, which is signed, and in the envelope, which is not: a relayer could add them."""
    tx = ledger.sign(STRANGER, PAY)
    body = Transaction.FromString(tx).body
    extra = encode_uvarint(99 << 3) + b"\1"
    ledger.reject_bytes(errors.NonCanonicalEncoding, seal(body + extra))
    ledger.reject_bytes(errors.NonCanonicalEncoding, tx + extra)
    assert ledger.block(tx).results[0].code == 0


def test_reordered_and_overlong_encodings(ledger: LedgerHarness) -> None:
    body = Body.FromString(Transaction.FromString(ledger.sign(STRANGER, PAY)).body)
    chain = encode_uvarint(1 << 3 | 2) + encode_uvarint(len(CHAIN_ID)) + CHAIN_ID.encode()
    encoded = body.SerializeToString(deterministic=True)
    assert encoded.startswith(chain)
    ledger.reject_bytes(errors.NonCanonicalEncoding, seal(encoded[len(chain) :] + chain))
    overlong = encode_uvarint(1 << 3 | 2) + bytes([len(CHAIN_ID) | 0x80, 0]) + CHAIN_ID.encode()
    ledger.reject_bytes(errors.NonCanonicalEncoding, seal(overlong + encoded[len(chain) :]))


def test_more_bytes_than_a_transaction_may_have(ledger: LedgerHarness) -> None:
    ledger.reject_bytes(errors.TransactionTooLarge, b"\0" * (MAX_TRANSACTION_BYTES + 1))


def test_a_well_signed_transaction_that_is_too_large(ledger: LedgerHarness) -> None:
    message = CreateTask(parameters=TaskParameters(name="x" * MAX_TRANSACTION_BYTES))
    ledger.reject(errors.TransactionTooLarge, STRANGER, message)


@pytest.mark.parametrize("chain_id", ["", "other-chain", CHAIN_ID + "\0", CHAIN_ID.upper()])
def test_L8_another_chain(ledger: LedgerHarness, chain_id: str) -> None:
    ledger.reject(errors.WrongChain, STRANGER, PAY, chain_id=chain_id)


def test_signature_of_another_key(ledger: LedgerHarness) -> None:
    message = Transaction.FromString(ledger.sign(STRANGER, PAY))
    for field, value in (
        ("signature", b""),
        ("signature", bytes(64)),
        ("public_key", REQUESTER.public_key),
        ("public_key", b""),
    ):
        damaged = Transaction.FromString(message.SerializeToString())
        setattr(damaged, field, value)
        ledger.reject_bytes(errors.BadSignature, damaged.SerializeToString(deterministic=True))


def test_body_without_a_kind(ledger: LedgerHarness) -> None:
    ledger.reject_bytes(errors.UnknownKind, b"")
    ledger.reject_bytes(errors.UnknownKind, sign_transaction(STRANGER, Body(chain_id=CHAIN_ID, fee=FEE)))


def test_a_transaction_is_applied_once(ledger: LedgerHarness) -> None:
    """In its own block, in the next one, and for ever after."""
    tx = ledger.sign(STRANGER, PAY)
    ledger.reject_bytes(errors.WrongSequence, tx, after=[tx])
    ledger.reject_bytes(errors.WrongSequence, tx)
    assert ledger.balance(STRANGER) == BALANCE - FEE - 1


@pytest.mark.parametrize("sequence", [1, 2, 2**63, 2**64 - 1])
def test_sequence_numbers_leave_no_gap(ledger: LedgerHarness, sequence: int) -> None:
    ledger.reject(errors.WrongSequence, STRANGER, PAY, sequence=sequence)


def test_a_rejected_transaction_uses_its_sequence_up(ledger: LedgerHarness) -> None:
    """It was paid for: it must not be charged again."""
    tx = ledger.sign(STRANGER, Transfer())
    ledger.reject_bytes(errors.InvalidField, tx)
    ledger.reject_bytes(errors.WrongSequence, tx)


def test_both_sides_of_the_expiry(ledger: LedgerHarness) -> None:
    following = ledger.height + 1
    ledger.accept(STRANGER, PAY, expiry_height=following)
    ledger.reject(errors.ExpiredTransaction, STRANGER, PAY, expiry_height=ledger.height)
    ledger.reject(errors.ExpiredTransaction, STRANGER, PAY, expiry_height=0)


def test_both_sides_of_the_furthest_expiry(ledger: LedgerHarness) -> None:
    """A signed transaction does not hang over an account for ever."""
    furthest = ledger.height + 1 + MAX_EXPIRY_BLOCKS
    ledger.reject(errors.ExpiryTooFar, STRANGER, PAY, expiry_height=furthest + 1)
    ledger.reject(errors.ExpiryTooFar, STRANGER, PAY, expiry_height=2**64 - 1)
    ledger.accept(STRANGER, PAY, expiry_height=furthest + 2)  # two blocks on


def test_both_sides_of_the_least_fee(ledger: LedgerHarness) -> None:
    least = compute_fee(ledger.state.params, len(ledger.sign(STRANGER, PAY, fee=20)))
    ledger.reject(errors.FeeTooLow, STRANGER, PAY, fee=least - 1, sequence=0)
    ledger.reject(errors.FeeTooLow, STRANGER, PAY, fee=0)
    ledger.accept(STRANGER, PAY, fee=least)


def test_larger_transactions_cost_more(ledger: LedgerHarness) -> None:
    """The task is refused whatever it pays; first it must pay for its bytes."""
    message = CreateTask(parameters=TaskParameters(name="x" * 4096))
    ledger.reject(errors.FeeTooLow, STRANGER, message, fee=10 + 10 * 4)
    ledger.reject(errors.InvalidField, STRANGER, message, fee=10 + 10 * 5)


def test_an_account_that_does_not_exist(ledger: LedgerHarness) -> None:
    ledger.reject(errors.UnknownAccount, NOBODY, PAY)


def test_a_balance_that_does_not_cover_the_fee(ledger: LedgerHarness) -> None:
    """L9: what cannot pay changes nothing; a block that repeats it is not an honest proposer's (test_proposals)."""
    ledger.accept(STRANGER, Transfer(recipient=NOBODY.address, amount=99))
    ledger.reject(errors.CannotPayFee, NOBODY, PAY, fee=100)
    ledger.reject(errors.CannotPayFee, STRANGER, PAY, fee=2**64 - 1)
    ledger.accept(STRANGER, Transfer(recipient=NOBODY.address, amount=1 + 1))
    ledger.accept(NOBODY, PAY, fee=100)
    assert ledger.balance(NOBODY) == 0


def test_what_a_block_spends_is_gone_for_its_later_transactions(ledger: LedgerHarness) -> None:
    spend = ledger.sign(STRANGER, Transfer(recipient=REQUESTER.address, amount=BALANCE - FEE))
    ledger.reject(errors.CannotPayFee, STRANGER, PAY, after=[spend])
