"""Forget the records of attempts that are void or convicted once nothing can come of them any more."""

from __future__ import annotations

from abci_app.state import State
from abci_app.state.challenges import has_live_challenge
from abci_app.state.rounds import forget_attempt
from abci_app.transitions.call import BlockContext
from optfl.wire import state_pb2


def process_evidence_heights(state: State, block: BlockContext) -> None:
    for _, attempt in state.attempts.items():
        if attempt.status == state_pb2.ATTEMPT_STATUS_OPEN or block.height <= attempt.evidence_height:
            continue
        if not has_live_challenge(state, attempt):  # its vote may still convict
            forget_attempt(state, attempt)
            state.emit("attempt_forgotten", task=attempt.task_id, attempt=attempt.attempt_id)
