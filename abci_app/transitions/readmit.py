"""Readmit: who was excluded for a time comes back once that has run out, and answers with enough stake again."""

from __future__ import annotations

from abci_app.state import State
from abci_app.state.keyspace import stake_key
from abci_app.transitions.call import Call
from abci_app.transitions.fields import ROLE_NAMES, check_stake, min_stake, validate_role
from optfl import errors
from optfl.wire import state_pb2, transaction_pb2


def validate(message: transaction_pb2.Readmit) -> None:
    validate_role(message.role)


def check(state: State, call: Call, message: transaction_pb2.Readmit) -> state_pb2.Stake:
    stake = check_stake(state, message.role, call.sender)
    name = ROLE_NAMES[message.role]
    if stake.excluded:
        raise errors.ExcludedAccount(f"this account is excluded as {name} for good")
    if stake.excluded_until_height == 0:
        raise errors.NotExcluded(f"this account is not excluded as {name}; there is nothing to come back from")
    if call.height < stake.excluded_until_height:
        raise errors.ExclusionNotOver(f"excluded until height {stake.excluded_until_height}; send it again then")
    needed = max(min_stake(state.params, message.role), stake.committed)
    if stake.amount < needed:
        raise errors.StakeTooLow(f"the stake is {stake.amount}; as {name}, {needed} are needed: send AddStake first")
    return stake


def apply(state: State, call: Call, message: transaction_pb2.Readmit, found: state_pb2.Stake) -> None:
    found.excluded_until_height = 0  # its faults stay until attempts of it settle: the next exclusion is longer
    state.stakes.put(stake_key(message.role, call.sender), found)
    state.emit("readmitted", role=ROLE_NAMES[message.role], account=call.sender)
