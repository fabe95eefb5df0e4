"""Moving tokens: two sides to everything, and no movement that was not checked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abci_app.state import State, tokens
from abci_app.state.invariants import count_all_tokens
from abci_app.state.keyspace import stake_key, unbonding_key
from abci_app.state.tokens import InvariantViolation
from optfl.wire import state_pb2

A, B = b"a" * 20, b"b" * 20
ROLE = 2


def make(balance: int = 100) -> State:
    state = State({})
    state.put_supply(state_pb2.Supply(genesis=balance))
    state.accounts.put(A, state_pb2.Account(balance=balance, sequence=3))
    return state


def test_credit_begins_an_account() -> None:
    state = make()
    tokens.credit(state, B, 5)
    assert state.accounts[B] == state_pb2.Account(balance=5)
    tokens.credit(state, A, 5)
    assert state.accounts[A] == state_pb2.Account(balance=105, sequence=3)


def test_debit_takes_what_is_there_and_no_more() -> None:
    state = make()
    tokens.debit(state, A, 100)
    assert tokens.get_balance(state, A) == 0
    with pytest.raises(InvariantViolation):
        tokens.debit(state, A, 1)


def test_nobody_has_nothing() -> None:
    assert tokens.get_balance(make(), B) == 0


def test_burned_tokens_are_counted() -> None:
    state = make()
    tokens.debit(state, A, 30)
    tokens.burn(state, 30)
    assert state.supply.burned == 30
    assert count_all_tokens(state) == 100


@given(
    st.integers(0, 2**62), st.lists(st.integers(0, 2**58), max_size=8), st.integers(0, 100), st.integers(0, 2**62)
)  # fmt: skip
def test_a_slash_takes_its_share_of_everything_and_counts_it(
    stake: int, unbonding: list[int], percent: int, keep: int
) -> None:
    state = State({})
    state.stakes.put(stake_key(ROLE, A), state_pb2.Stake(role=ROLE, address=A, amount=stake, unbondings=len(unbonding)))  # type: ignore[arg-type]
    state.stakes.put(stake_key(ROLE, B), state_pb2.Stake(role=ROLE, address=B, amount=7))  # type: ignore[arg-type]
    for height, amount in enumerate(unbonding):
        entry = state_pb2.Unbonding(role=ROLE, address=A, amount=amount, release_height=height)  # type: ignore[arg-type]
        state.unbonding.put(unbonding_key(height, ROLE, A), entry)
    other = state_pb2.Unbonding(role=4, address=A, amount=7)  # type: ignore[arg-type]
    state.unbonding.put(unbonding_key(1, 4, A), other)
    taken = tokens.slash(state, ROLE, A, percent, keep)
    left = state.stakes[stake_key(ROLE, A)].amount
    left += sum(state.unbonding[unbonding_key(height, ROLE, A)].amount for height in range(len(unbonding)))
    assert taken + left == stake + sum(unbonding)
    whole = stake + sum(unbonding)
    most = min(whole * percent // 100, max(whole - keep, 0))
    assert most - len(unbonding) <= taken <= most
    assert state.stakes[stake_key(ROLE, B)].amount == state.unbonding[unbonding_key(1, 4, A)].amount == 7


def test_a_slash_of_nobody_takes_nothing() -> None:
    assert tokens.slash(State({}), ROLE, A, 100) == 0
