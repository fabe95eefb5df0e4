"""The beginning of a block: beacon, proposer, evidence."""

from __future__ import annotations

from abci_app.state import State, tokens
from abci_app.state.beacons import is_chained, is_next_reveal, process_pending_anchors
from abci_app.state_machine import Block, Misbehavior, MisbehaviorKind
from abci_app.transitions.call import BlockContext
from optfl.beacon import compute_beacon, encode_withheld
from optfl.keys import address_of
from optfl.transactions import decode_reveal
from optfl.wire import state_pb2, transaction_pb2


def process_block_begin(state: State, block: Block) -> BlockContext:
    by_address = {address_of(v.consensus_key): v for _, v in state.validators.items()}
    context = BlockContext(height=block.height, beacon=b"")
    proposer = by_address.get(block.proposer_address)
    mixed_in = block.hash  # a proposer can grind it, which is why it counts only while there is nothing better (L4)
    reveal = decode_reveal(block.transactions[0]) if block.transactions else None
    if reveal is not None and is_next_reveal(proposer, reveal):
        context.is_revealed = True
        mixed_in = reveal.preimage
    elif is_chained(state):
        context.is_withheld = True
        mixed_in = encode_withheld(block.height)
    chain = state.chain
    chain.height = block.height
    chain.beacon = context.beacon = compute_beacon(chain.beacon, mixed_in)
    state.put_chain(chain)
    if proposer is not None:
        context.paid_proposer = b"" if context.is_withheld else proposer.operator
        proposer.last_proposed_height = block.height
        if context.is_revealed:
            proposer.beacon_tip = mixed_in
        state.validators.put(proposer.operator, proposer)
    if context.is_withheld:
        state.emit("beacon_withheld", operator=proposer.operator if proposer is not None else b"")
    for misbehavior in block.misbehavior:
        _punish(state, by_address.get(misbehavior.address), misbehavior)
    process_pending_anchors(state)
    return context


def _punish(state: State, validator: state_pb2.Validator | None, misbehavior: Misbehavior) -> None:
    """Slash and remove an equivocating validator, once: a second piece of evidence finds it tombstoned (L7)."""
    if validator is None or validator.tombstoned or misbehavior.kind is MisbehaviorKind.UNKNOWN:
        return
    percent = state.params.equivocation_slash_percent
    slashed = tokens.slash(state, transaction_pb2.ROLE_VALIDATOR, validator.operator, percent)
    tokens.burn(state, slashed)
    validator.tombstoned = True
    state.validators.put(validator.operator, validator)
    state.emit("validator_equivocated", operator=validator.operator, height=misbehavior.height, slashed=slashed)
