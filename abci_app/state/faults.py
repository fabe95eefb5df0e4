"""Being late: a small slash and an exclusion for a time, which doubles with each further fault."""

from __future__ import annotations

from abci_app.state import tokens
from abci_app.state.keyspace import stake_key
from abci_app.state.state import State
from optfl.wire import transaction_pb2

MAX_DOUBLINGS = 6


def punish_lateness(state: State, address: bytes, height: int) -> None:
    """A missed turn, or a model that nobody can read. Burned whole: nobody gains by another's lateness."""
    role = transaction_pb2.ROLE_AGGREGATOR
    if state.stakes[stake_key(role, address)].excluded:
        return  # out for good already: the heaviest of several punishments is enough (L7)
    slashed = tokens.slash(state, role, address, state.params.late_slash_percent)
    tokens.burn(state, slashed)
    stake = state.stakes[stake_key(role, address)]
    blocks = state.params.exclusion_blocks << min(stake.faults, MAX_DOUBLINGS)
    stake.excluded_until_height = max(stake.excluded_until_height, height + blocks)
    stake.faults = min(stake.faults + 1, MAX_DOUBLINGS)
    state.stakes.put(stake_key(role, address), stake)
    state.emit(
        "aggregator_late", aggregator=address, slashed=slashed, excluded_until_height=stake.excluded_until_height
    )


def forgive_one(state: State, address: bytes) -> None:
    """A settled attempt takes one fault off: an exclusion grows with faults that come close together."""
    key = stake_key(transaction_pb2.ROLE_AGGREGATOR, address)
    stake = state.stakes[key]
    if stake.faults > 0:
        stake.faults -= 1
        state.stakes.put(key, stake)
