"""The block's fees go to the operator of its proposer."""

from __future__ import annotations

from abci_app.state import State, tokens
from abci_app.transitions.call import BlockContext


def process_proposer_pay(state: State, block: BlockContext) -> None:
    supply = state.supply
    proposer = next((v for _, v in state.validators.items() if v.last_proposed_height == block.height), None)
    if proposer is None or supply.fee_pot == 0:
        return  # the pot keeps them for the next proposer
    tokens.credit(state, proposer.operator, supply.fee_pot)
    state.emit("fees_paid", operator=proposer.operator, amount=supply.fee_pot)
    supply.fee_pot = 0
    state.put_supply(supply)
