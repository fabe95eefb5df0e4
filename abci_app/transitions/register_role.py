"""RegisterRole: stake as aggregator, replica or client."""

from __future__ import annotations

from abci_app.state import State, tokens
from abci_app.state.keyspace import stake_key
from abci_app.transitions.call import Call
from abci_app.transitions.fields import ROLE_NAMES, check_balance, min_stake, validate_role
from optfl import errors
from optfl.wire import state_pb2, transaction_pb2


def validate(message: transaction_pb2.RegisterRole) -> None:
    validate_role(message.role)
    if message.role == transaction_pb2.ROLE_VALIDATOR:
        raise errors.InvalidField("a validator registers its consensus key; send RegisterValidator")


def check(state: State, call: Call, message: transaction_pb2.RegisterRole) -> None:
    # An excluded account keeps its stake record for good, so it cannot come back by registering again.
    if stake_key(message.role, call.sender) in state.stakes:
        raise errors.AlreadyRegistered(f"registered as {ROLE_NAMES[message.role]} already; use AddStake")
    if message.stake < (minimum := min_stake(state.params, message.role)):
        raise errors.StakeTooLow(f"as {ROLE_NAMES[message.role]}, stake at least {minimum}")
    check_balance(state, call.sender, message.stake)


def apply(state: State, call: Call, message: transaction_pb2.RegisterRole, found: None) -> None:
    tokens.debit(state, call.sender, message.stake)
    state.stakes.put(
        stake_key(message.role, call.sender),
        state_pb2.Stake(role=message.role, address=call.sender, public_key=call.public_key, amount=message.stake),
    )
    state.emit("role_registered", role=ROLE_NAMES[message.role], account=call.sender, stake=message.stake)
