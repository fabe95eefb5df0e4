"""Tell CometBFT the validators' voting power, which follows from their stake (A12).

Updates are never duplicated, never remove an unknown key and never leave fewer than `min_validators`: any of these
would halt the chain (red team L5).
"""

from __future__ import annotations

from abci_app.state import State
from abci_app.state.keyspace import stake_key
from abci_app.state_machine import ValidatorUpdate
from optfl.wire import state_pb2, transaction_pb2


def compute_power(state: State, validator: state_pb2.Validator) -> int:
    """Voting power that a validator's stake gives it: stake // unit, nothing below the minimum or once tombstoned."""
    stake = state.stakes[stake_key(transaction_pb2.ROLE_VALIDATOR, validator.operator)]
    if validator.tombstoned or stake.amount < state.params.min_validator_stake:
        return 0
    return stake.amount // state.params.validator_stake_unit


def process_validator_updates(state: State) -> list[ValidatorUpdate]:
    """Write each validator's power and return the changes, ascending by operator."""
    validators = [v for _, v in state.validators.items()]
    powers = {v.operator: compute_power(state, v) for v in validators}
    missing = state.params.min_validators - sum(power > 0 for power in powers.values())
    leaving = sorted(
        (v for v in validators if v.power > 0 and powers[v.operator] == 0), key=lambda v: (-v.power, v.operator)
    )
    for kept in leaving[: max(missing, 0)]:
        powers[kept.operator] = kept.power  # its slash stands, its removal waits for others to join
    updates = []
    for validator in validators:
        if validator.power == powers[validator.operator]:
            continue
        validator.power = powers[validator.operator]
        state.validators.put(validator.operator, validator)
        updates.append(ValidatorUpdate(validator.consensus_key, validator.power))
        state.emit("validator_power", operator=validator.operator, power=validator.power)
    return updates
