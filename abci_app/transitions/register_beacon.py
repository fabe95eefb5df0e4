"""RegisterBeacon: a validator names the end of its hash chain, the first one or the next (A9)."""

from __future__ import annotations

from abci_app.state import State
from abci_app.transitions.call import Call
from optfl import beacon, errors
from optfl.wire import state_pb2, transaction_pb2


def validate(message: transaction_pb2.RegisterBeacon) -> None:
    if len(message.anchor) != beacon.VALUE_BYTES:
        raise errors.InvalidField(
            f"anchor has {len(message.anchor)} bytes; a hash chain's end has {beacon.VALUE_BYTES}"
        )


def check(state: State, call: Call, message: transaction_pb2.RegisterBeacon) -> state_pb2.Validator:
    validator = state.validators.get(call.sender)
    if validator is None:
        raise errors.NotRegistered(f"{call.sender.hex()} operates no validator; register it first")
    if validator.tombstoned:
        raise errors.ExcludedAccount("this validator equivocated and is out for good")
    if validator.next_beacon_tip:
        # Each registration would start the wait anew: an anchor could be chosen late enough to know its effect.
        raise errors.BeaconPending("an anchor is waiting to come in force; wait until other validators have proposed")
    return validator


def apply(state: State, call: Call, message: transaction_pb2.RegisterBeacon, found: state_pb2.Validator) -> None:
    found.next_beacon_tip = message.anchor
    found.next_beacon_height = call.height
    state.validators.put(found.operator, found)
    state.emit("beacon_registered", operator=found.operator, anchor=message.anchor)
