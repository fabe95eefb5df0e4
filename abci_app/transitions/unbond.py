"""Unbond: begin to take stake out of a role. It stays slashable until it is released."""

from __future__ import annotations

from abci_app.state import State
from abci_app.state.keyspace import stake_key, unbonding_key
from abci_app.transitions.call import Call
from abci_app.transitions.fields import ROLE_NAMES, check_stake, min_stake, validate_positive, validate_role
from optfl import errors
from optfl.wire import state_pb2, transaction_pb2

MAX_UNBONDINGS = 8  # under way at once, for one account in one role: bounds what a slash has to walk


def validate(message: transaction_pb2.Unbond) -> None:
    validate_role(message.role)
    validate_positive(message.amount, "amount")


def check(state: State, call: Call, message: transaction_pb2.Unbond) -> state_pb2.Stake:
    stake = check_stake(state, message.role, call.sender)
    if stake.amount < message.amount:
        raise errors.InsufficientBalance(f"the stake is {stake.amount}; unbond at most that")
    left = stake.amount - message.amount
    if 0 < left < (minimum := min_stake(state.params, message.role)):
        raise errors.StakeTooLow(f"{left} would be left; leave at least {minimum}, or unbond all {stake.amount}")
    if message.role == transaction_pb2.ROLE_VALIDATOR and left == 0:
        _check_validators_left(state, call.sender)
    if stake.unbondings >= MAX_UNBONDINGS:
        raise errors.TooManyUnbondings(f"{MAX_UNBONDINGS} unbondings are under way; wait until one is released")
    return stake


def _check_validators_left(state: State, leaving: bytes) -> None:
    staying = sum(
        state.stakes[stake_key(transaction_pb2.ROLE_VALIDATOR, v.operator)].amount >= state.params.min_validator_stake
        for _, v in state.validators.items()
        if v.operator != leaving and not v.tombstoned
    )
    if staying < state.params.min_validators:
        raise errors.TooFewValidators(
            f"{staying} validators would be left of at least {state.params.min_validators}; another must join first"
        )


def apply(state: State, call: Call, message: transaction_pb2.Unbond, found: state_pb2.Stake) -> None:
    found.amount -= message.amount
    release_height = call.height + state.params.unbonding_blocks
    key = unbonding_key(release_height, message.role, call.sender)
    entry = state.unbonding.get(key)
    if entry is None:
        entry = state_pb2.Unbonding(role=message.role, address=call.sender, release_height=release_height)
        found.unbondings += 1
    entry.amount += message.amount
    state.unbonding.put(key, entry)
    state.stakes.put(stake_key(message.role, call.sender), found)
    state.emit(
        "unbonding_started",
        role=ROLE_NAMES[message.role],
        account=call.sender,
        amount=message.amount,
        release_height=release_height,
    )
