"""Demands: blobs that somebody says cannot be had, each with the bond of who says so."""

from __future__ import annotations

from collections.abc import Mapping

from abci_app.state import tokens
from abci_app.state.keyspace import demand_prefix
from abci_app.state.state import State
from optfl.wire import state_pb2


def return_bond(state: State, demand: state_pb2.Demand) -> None:
    """The caller puts or deletes the demand."""
    tokens.credit(state, demand.bond.address, demand.bond.amount)
    demand.bond.amount = 0


def forfeit_bond(state: State, demand: state_pb2.Demand, powers: Mapping[bytes, int]) -> None:
    """It was there for everybody: half goes to those who looked for it, by power, the rest is burned.

    Not all of it: whoever demands with one hand and answers with the other must lose by that. The caller puts the
    demand.
    """
    amount, held = demand.bond.amount, sum(powers.get(holder.operator, 0) for holder in demand.holders)
    paid = 0
    for holder in demand.holders:
        part = amount // 2 * powers.get(holder.operator, 0) // max(held, 1)
        tokens.credit(state, holder.operator, part)
        paid += part
    tokens.burn(state, amount - paid)
    demand.bond.amount = 0


def release_demands(state: State, task_id: int, round_number: int) -> None:
    """Forget the demands of a turn, an attempt or a round that is over; bonds on which nothing was decided go back."""
    for key, demand in state.demands.items(demand_prefix(task_id, round_number)):
        return_bond(state, demand)
        state.demands.delete(key)
