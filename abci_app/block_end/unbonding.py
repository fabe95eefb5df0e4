"""Release stake when its time is over *and* nothing open names the account (A12, red team L6)."""

from __future__ import annotations

from abci_app.state import State, tokens
from abci_app.state.keyspace import stake_key
from abci_app.transitions.call import BlockContext
from abci_app.transitions.fields import ROLE_NAMES
from optfl.wire import state_pb2, transaction_pb2

MAX_HEIGHT = (1 << 64) - 1


def process_unbonding(state: State, block: BlockContext) -> None:
    for key, entry in state.unbonding.items():
        if int.from_bytes(key[:8], "big") > block.height:
            return  # keys ascend by release height
        stake = state.stakes[stake_key(entry.role, entry.address)]
        if stake.open_tasks > 0 or block.height <= min(stake.evidence_height, _compute_last_held(state, entry)):
            continue
        tokens.credit(state, entry.address, entry.amount)
        state.unbonding.delete(key)
        stake.unbondings -= 1
        state.stakes.put(stake_key(entry.role, entry.address), stake)
        state.emit("stake_released", role=ROLE_NAMES[entry.role], account=entry.address, amount=entry.amount)
        if stake.unbondings == 0 and stake.amount == 0 and not stake.excluded:  # who is excluded stays known for good
            _forget(state, entry.role, entry.address)


def _compute_last_held(state: State, entry: state_pb2.Unbonding) -> int:
    """Height after which nothing can hold an entry any more.

    A validator is asked for its vote and its ballots by tasks that it never agreed to, whose deadlines their requesters
    choose: what it withdrew must not wait for those for ever.
    """
    if entry.role != transaction_pb2.ROLE_VALIDATOR:
        return MAX_HEIGHT
    return entry.release_height + state.params.evidence_blocks


def _forget(state: State, role: int, address: bytes) -> None:
    """Delete the record of an account that has left a role."""
    if role == transaction_pb2.ROLE_VALIDATOR:
        validator = state.validators[address]
        if validator.tombstoned or validator.power > 0:
            return
        state.validators.delete(address)
    state.stakes.delete(stake_key(role, address))
