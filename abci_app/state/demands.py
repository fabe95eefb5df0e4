"""Demands: blobs that somebody says cannot be had, each with the bond of who says so."""

from __future__ import annotations

from abci_app.state import tokens
from abci_app.state.keyspace import demand_prefix
from abci_app.state.state import State
from optfl.wire import state_pb2


def is_undecided(demand: state_pb2.Demand) -> bool:
    """Whether answers still change something: the blob's fate, or that of the bond."""
    return demand.status == state_pb2.DEMAND_STATUS_OPEN or demand.bond.amount > 0


def return_bond(state: State, demand: state_pb2.Demand) -> None:
    """The caller puts or deletes the demand."""
    tokens.credit(state, demand.bond.address, demand.bond.amount)
    demand.bond.amount = 0


def burn_bond(state: State, demand: state_pb2.Demand) -> None:
    """The caller puts the demand."""
    tokens.burn(state, demand.bond.amount)
    demand.bond.amount = 0


def release_demands(state: State, task_id: int, round_number: int) -> None:
    """Forget the demands of a turn, an attempt or a round that is over; bonds on which nothing was decided go back."""
    for key, demand in state.demands.items(demand_prefix(task_id, round_number)):
        return_bond(state, demand)
        state.demands.delete(key)
