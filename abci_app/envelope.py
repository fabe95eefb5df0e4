"""What every transaction must satisfy, whatever its kind: chain, expiry, sequence, fee."""

from __future__ import annotations

from abci_app.state import State, tokens
from optfl import errors
from optfl.fees import compute_fee
from optfl.transactions import SignedTransaction

MAX_EXPIRY_BLOCKS = 1000  # how far ahead an expiry height may lie: a signed transaction does not hang over an account


def check_envelope(state: State, signed: SignedTransaction, height: int) -> None:
    """Raise the Rejection that keeps `signed` out of the block at `height`. Nothing is charged for these."""
    body = signed.body
    if body.chain_id != state.params.chain_id:
        raise errors.WrongChain(f"signed for chain {body.chain_id!r}; this is {state.params.chain_id!r}")
    if body.expiry_height < height:
        raise errors.ExpiredTransaction(f"expired at height {body.expiry_height}; sign it again")
    if body.expiry_height > height + MAX_EXPIRY_BLOCKS:
        raise errors.ExpiryTooFar(f"expires at {body.expiry_height}; use at most {height + MAX_EXPIRY_BLOCKS}")
    account = state.accounts.get(signed.sender)
    if account is None:
        raise errors.UnknownAccount(f"{signed.sender.hex()} has no account; transfer tokens to it first")
    if body.sequence != account.sequence:
        raise errors.WrongSequence(f"sequence {body.sequence}; the account's next is {account.sequence}")
    minimum = compute_fee(state.params, signed.size_bytes)
    if body.fee < minimum:
        raise errors.FeeTooLow(f"the fee is {body.fee}; {signed.size_bytes} bytes cost at least {minimum}")
    if account.balance < body.fee:
        raise errors.CannotPayFee(f"the balance is {account.balance}, the fee {body.fee}")


def charge_fee(state: State, signed: SignedTransaction) -> None:
    """Take the fee and use the sequence up; what follows can only be rejected, not undone."""
    tokens.debit(state, signed.sender, signed.body.fee)
    account = state.accounts[signed.sender]
    account.sequence += 1
    state.accounts.put(signed.sender, account)
    supply = state.supply
    supply.fee_pot += signed.body.fee
    state.put_supply(supply)
