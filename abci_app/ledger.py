"""The ledger as a state machine: `apply_block(state, block) -> results`, and what CometBFT asks beside it.

Read this file beside seed 001, section IV. A block is: its beginning (beacon, proposer, evidence), each transaction in
order, the steps of its end, the validators' new powers. A module that satisfies `abci_app.state_machine.StateMachine`.
"""

from __future__ import annotations

from abci_app.block_begin import process_block_begin
from abci_app.block_end import STEPS
from abci_app.block_end.validator_updates import process_validator_updates
from abci_app.changed_tasks import find_changed_tasks
from abci_app.envelope import charge_fee, check_envelope
from abci_app.genesis import init_chain
from abci_app.proposals import check_tx, prepare_proposal, process_proposal
from abci_app.queries import query
from abci_app.state import State
from abci_app.state.invariants import check_block
from abci_app.state_machine import Block, BlockResults, Stores, TxResult
from abci_app.transitions import TRANSITIONS, Call
from abci_app.transitions.call import BlockContext
from optfl.errors import Rejection
from optfl.transactions import decode_transaction

__all__ = ["apply_block", "check_tx", "init_chain", "prepare_proposal", "process_proposal", "query"]


def apply_block(stores: Stores, block: Block) -> BlockResults:
    """Results and changes of `block` on top of `stores`; a function of these two alone (invariant 1)."""
    state = State(stores)
    context = process_block_begin(state, block)
    begin_events = state.take_events()
    results = [TxResult()] if context.is_revealed else []
    results += [process_transaction(state, context, tx) for tx in block.transactions[len(results) :]]
    for step in STEPS:
        step(state, context)
    validator_updates = process_validator_updates(state)
    check_block(state)
    return BlockResults(
        results=results,
        events=[*begin_events, *state.take_events(), *find_changed_tasks(state)],
        validator_updates=validator_updates,
        changes=state.collect_changes(),
    )


def process_transaction(state: State, context: BlockContext, tx: bytes) -> TxResult:
    """Charge and apply one transaction. A rejected one changes nothing but its fee and sequence, where it can pay."""
    try:
        signed = decode_transaction(tx)
        check_envelope(state, signed, context.height)
    except Rejection as rejection:
        return _rejected(rejection)
    charge_fee(state, signed)
    transition = TRANSITIONS[signed.kind]
    message = getattr(signed.body, signed.kind)
    call = Call(signed.sender, signed.public_key, context)
    try:
        transition.validate(message)
        found = transition.check(state, call, message)
    except Rejection as rejection:
        return _rejected(rejection)
    data = transition.apply(state, call, message, found)
    return TxResult(data=data or b"", events=state.take_events())


def _rejected(rejection: Rejection) -> TxResult:
    return TxResult(code=rejection.code, log=f"{type(rejection).__name__}: {rejection.message}")
