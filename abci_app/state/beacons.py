"""The validators' hash chains on the ledger: whose reveal comes next, and when a new anchor is in force (A9)."""

from __future__ import annotations

from abci_app.state.state import State
from optfl import beacon
from optfl.keys import address_of
from optfl.wire import state_pb2, transaction_pb2


def get_proposer(state: State, proposer_address: bytes) -> state_pb2.Validator | None:
    """The validator whose consensus key has this address."""
    validators = (v for _, v in state.validators.items())
    return next((v for v in validators if address_of(v.consensus_key) == proposer_address), None)


def is_chained(state: State) -> bool:
    """Whether the beacon comes from hash chains: not before the first validator with power has an anchor in force."""
    return any(v.power > 0 and v.beacon_tip for _, v in state.validators.items())


def is_next_reveal(proposer: state_pb2.Validator | None, reveal: transaction_pb2.BeaconReveal) -> bool:
    """Whether `reveal` is what this proposer's block must begin with."""
    if proposer is None or not proposer.beacon_tip or reveal.operator != proposer.operator:
        return False
    return beacon.is_preimage(proposer.beacon_tip, reveal.preimage)


def process_pending_anchors(state: State) -> None:
    """Put new anchors in force from the next block on, once others with > 1/3 of their power proposed since.

    One of these was honest, and its reveal was unknown when the anchor was chosen: nobody can pick an anchor for what
    its first reveals will make of the beacon. A validator without others has nobody to wait for.
    """
    validators = [v for _, v in state.validators.items()]
    for validator in validators:
        if not validator.next_beacon_tip:
            continue
        others = [v for v in validators if v.operator != validator.operator]
        total = sum(v.power for v in others)
        proposed = sum(v.power for v in others if v.last_proposed_height > validator.next_beacon_height)
        if total and 3 * proposed <= total:
            continue
        validator.beacon_tip = validator.next_beacon_tip
        validator.next_beacon_tip = b""
        validator.next_beacon_height = 0
        state.validators.put(validator.operator, validator)
        state.emit("beacon_in_force", operator=validator.operator, anchor=validator.beacon_tip)
