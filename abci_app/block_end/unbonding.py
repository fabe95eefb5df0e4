"""Release stake when its time is over *and* nothing open names the account (A12, red team L6)."""

from __future__ import annotations

from collections import Counter

from abci_app.state import State, tokens
from abci_app.state.keyspace import stake_key
from abci_app.transitions.call import BlockContext
from abci_app.transitions.fields import ROLE_NAMES
from optfl.wire import transaction_pb2


def process_unbonding(state: State, block: BlockContext) -> None:
    under_way = Counter(key[8:] for key in state.unbonding.all_keys())  # by stake key
    for key, entry in state.unbonding.items():
        if int.from_bytes(key[:8], "big") > block.height:
            return  # keys ascend by release height
        stake = state.stakes[stake_key(entry.role, entry.address)]
        if stake.open_tasks > 0 or block.height <= stake.evidence_height:
            continue
        tokens.credit(state, entry.address, entry.amount)
        state.unbonding.delete(key)
        under_way[key[8:]] -= 1
        state.emit("stake_released", role=ROLE_NAMES[entry.role], account=entry.address, amount=entry.amount)
        if under_way[key[8:]] == 0:
            _forget(state, entry.role, entry.address)


def _forget(state: State, role: int, address: bytes) -> None:
    """Delete the record of an account that has left a role; an excluded one stays known for good."""
    stake = state.stakes[stake_key(role, address)]
    if stake.amount > 0 or stake.excluded:
        return
    if role == transaction_pb2.ROLE_VALIDATOR:
        validator = state.validators[address]
        if validator.tombstoned or validator.power > 0:
            return
        state.validators.delete(address)
    state.stakes.delete(stake_key(role, address))
