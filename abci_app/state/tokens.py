"""Moving tokens. Every movement has two sides, so that their sum never changes (invariant 4)."""

from __future__ import annotations

from abci_app.state.keyspace import stake_key, unbonding_key
from abci_app.state.state import State
from optfl.wire import state_pb2


class InvariantViolation(Exception):
    """Our own bug: the ledger must halt rather than go on with a wrong state."""


def get_balance(state: State, address: bytes) -> int:
    account = state.accounts.get(address)
    return 0 if account is None else account.balance


def credit(state: State, address: bytes, amount: int) -> None:
    if amount == 0:
        return  # an empty account would encode to an empty value, which light clients take for absence
    account = state.accounts.get(address) or state_pb2.Account()
    account.balance += amount
    state.accounts.put(address, account)


def debit(state: State, address: bytes, amount: int) -> None:
    """Take `amount` from a balance that was checked to have it."""
    account = state.accounts[address]
    if account.balance < amount:
        raise InvariantViolation("a debit exceeds a balance that was checked")
    account.balance -= amount
    state.accounts.put(address, account)


def burn(state: State, amount: int) -> None:
    supply = state.supply
    supply.burned += amount
    state.put_supply(supply)


def slash(state: State, role: int, address: bytes, percent: int, keep: int = 0) -> int:
    """Take `percent` of an account's stake in `role`, what is unbonding included; return the tokens taken.

    The caller says where they go. Unbonding does not escape a slash for what was done before. Of the whole, `keep` is
    left: what answers for something else.
    """
    stake = state.stakes.get(stake_key(role, address))
    if stake is None:
        return 0
    entries = []
    if stake.unbondings > 0:
        entries = [e for _, e in state.unbonding.items() if (e.role, e.address) == (role, address)]
    left = max(stake.amount + sum(e.amount for e in entries) - keep, 0)
    taken = min(stake.amount * percent // 100, left)
    stake.amount -= taken
    state.stakes.put(stake_key(role, address), stake)
    for entry in entries:
        cut = min(entry.amount * percent // 100, left - taken)
        entry.amount -= cut
        taken += cut
        state.unbonding.put(unbonding_key(entry.release_height, role, address), entry)
    return taken
