"""The beginning of a block: beacon, proposer, evidence."""

from __future__ import annotations

import hashlib

from abci_app.state import State, tokens
from abci_app.state_machine import Block, Misbehavior, MisbehaviorKind
from abci_app.transitions.call import BlockContext
from optfl.keys import address_of
from optfl.wire import state_pb2, transaction_pb2

BEACON_DOMAIN = b"optfl/beacon/v1"


def compute_beacon(previous: bytes, block_hash: bytes) -> bytes:
    """The next beacon. A proposer can grind its block's hash, so this one is only as unbiased as proposers are (A9)."""
    return hashlib.sha256(BEACON_DOMAIN + previous + block_hash).digest()


def process_block_begin(state: State, block: Block) -> BlockContext:
    chain = state.chain
    chain.height = block.height
    chain.beacon = compute_beacon(chain.beacon, block.hash)
    state.put_chain(chain)
    by_address = {address_of(v.consensus_key): v for _, v in state.validators.items()}
    proposer = by_address.get(block.proposer_address)
    if proposer is not None:
        proposer.last_proposed_height = block.height
        state.validators.put(proposer.operator, proposer)
    for misbehavior in block.misbehavior:
        _punish(state, by_address.get(misbehavior.address), misbehavior)
    return BlockContext(height=block.height, beacon=chain.beacon)


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
