"""What the end of a block does, in this order (amendment A2): one step, one file.

A conviction comes before any window closes, so a proof in the closing block counts; a revert cancels every deadline of
the rounds it voids before a deadline can fire; rounds settle strictly in order.
"""

from __future__ import annotations

from collections.abc import Callable

from abci_app.block_end import (
    convictions,
    deadlines,
    demands,
    evidence,
    new_rounds,
    proposer_pay,
    settlement,
    unbonding,
    validator_updates,
    votes,
    watches,
)
from abci_app.state import State
from abci_app.transitions.call import BlockContext

STEPS: tuple[Callable[[State, BlockContext], None], ...] = (
    votes.process_votes,  # open what the ledger itself asks, change phases, decide
    demands.process_demands,  # what is held, what is missing
    convictions.process_convictions,  # slash, exclude, revert to the lowest convicted round
    watches.process_watches,  # draw what those have to show who have read an attempt
    settlement.process_settlements,  # in order, pay, and end tasks that are done
    deadlines.process_deadlines,  # freeze rounds, hand turns over, resume or abort paused tasks
    new_rounds.process_new_rounds,  # the head is open: training goes on
    evidence.process_evidence_heights,  # forget attempts that can no longer be convicted
    unbonding.process_unbonding,  # release stake that nothing names any more
    proposer_pay.process_proposer_pay,
)

__all__ = ["STEPS", "validator_updates"]
