"""Bonds of demands: what is returned, what is burned, and nothing of another round."""

from __future__ import annotations

import pytest

from abci_app.state import State, tokens
from abci_app.state.demands import forfeit_bond, release_demands, return_bond
from abci_app.state.keyspace import demand_key
from optfl.wire import state_pb2
from support.ledger import BALANCE, STRANGER, VALIDATORS, LedgerHarness


def make(round_number: int = 1, blob: int = 0, amount: int = 500) -> tuple[bytes, state_pb2.Demand]:
    bond = state_pb2.Bond(address=STRANGER.address, amount=amount)
    return demand_key(1, round_number, 0, 0, 0, blob), state_pb2.Demand(task_id=1, round=round_number, bond=bond)


@pytest.fixture
def state() -> State:
    return LedgerHarness().state


def test_a_bond_goes_back_or_is_forfeited_once(state: State) -> None:
    """500: of the half that holders get, powers of 1 and 2 get 83 and 166; one without power gets nothing."""
    powers = {v.address: power for v, power in zip(VALIDATORS, (1, 2, 0), strict=False)}
    for settle in (return_bond, lambda state, demand: forfeit_bond(state, demand, powers)):
        _, demand = make()
        demand.holders.extend(state_pb2.Holder(operator=v.address) for v in VALIDATORS[:3])
        settle(state, demand)
        settle(state, demand)
        assert demand.bond.amount == 0
    assert tokens.get_balance(state, STRANGER.address) == BALANCE + 500
    assert [tokens.get_balance(state, v.address) - BALANCE for v in VALIDATORS[:3]] == [83, 166, 0]
    assert state.supply.burned == 500 - 83 - 166


def test_a_rounds_demands_are_forgotten_and_their_bonds_go_back(state: State) -> None:
    for key, demand in (make(1, 0), make(1, 2**32 - 1, amount=0), make(2, 0)):
        state.demands.put(key, demand)
    release_demands(state, 1, 1)
    assert state.demands.all_keys() == [make(2, 0)[0]]
    assert tokens.get_balance(state, STRANGER.address) == BALANCE + 500


def test_keys_sort_as_their_numbers_do() -> None:
    numbers = [(1, 1, 0, 0, 0, 5), (1, 1, 0, 0, 1, 0), (1, 1, 0, 1, 0, 0), (1, 2, 0, 0, 0, 0), (2, 1, 0, 0, 0, 0)]
    keys = [demand_key(*given) for given in numbers]
    assert keys == sorted(keys)
    assert {len(key) for key in keys} == {28}
