"""The block's fees go to the operator of its proposer, or to nobody if it withheld its reveal."""

from __future__ import annotations

from abci_app.state import State, tokens
from abci_app.transitions.call import BlockContext


def process_proposer_pay(state: State, block: BlockContext) -> None:
    supply = state.supply
    proposer = next((v for _, v in state.validators.items() if v.last_proposed_height == block.height), None)
    if proposer is None or supply.fee_pot == 0:
        return  # the pot keeps them for the next proposer
    pot, supply.fee_pot = supply.fee_pot, 0
    state.put_supply(supply)
    if block.is_withheld:
        # Left in the pot, they would be its own again where the next block is its own too (A9).
        tokens.burn(state, pot)
        return
    tokens.credit(state, proposer.operator, pot)
    state.emit("fees_paid", operator=proposer.operator, amount=pot)
