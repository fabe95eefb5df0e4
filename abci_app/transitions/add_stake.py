"""AddStake: put more behind a role that the sender has."""

from __future__ import annotations

from abci_app.state import State, tokens
from abci_app.state.keyspace import stake_key
from abci_app.transitions.call import Call
from abci_app.transitions.fields import ROLE_NAMES, check_balance, check_stake, validate_positive, validate_role
from optfl import errors
from optfl.wire import state_pb2, transaction_pb2


def validate(message: transaction_pb2.AddStake) -> None:
    validate_role(message.role)
    validate_positive(message.amount, "amount")


def check(state: State, call: Call, message: transaction_pb2.AddStake) -> state_pb2.Stake:
    stake = check_stake(state, message.role, call.sender)
    if stake.excluded:
        raise errors.ExcludedAccount(f"this account is excluded as {ROLE_NAMES[message.role]} for good")
    validator = state.validators.get(call.sender) if message.role == transaction_pb2.ROLE_VALIDATOR else None
    if validator is not None and validator.tombstoned:
        raise errors.ExcludedAccount("this validator equivocated and is out for good; unbond what is left")
    check_balance(state, call.sender, message.amount)
    return stake


def apply(state: State, call: Call, message: transaction_pb2.AddStake, found: state_pb2.Stake) -> None:
    tokens.debit(state, call.sender, message.amount)
    found.amount += message.amount
    state.stakes.put(stake_key(message.role, call.sender), found)
    state.emit("stake_added", role=ROLE_NAMES[message.role], account=call.sender, amount=message.amount)
