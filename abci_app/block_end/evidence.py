"""Forget the records of attempts that are void or convicted once nothing can come of them any more."""

from __future__ import annotations

from abci_app.state import State
from abci_app.transitions.call import BlockContext
from optfl.wire import state_pb2


def process_evidence_heights(state: State, block: BlockContext) -> None:
    for key, attempt in state.attempts.items():
        if attempt.status != state_pb2.ATTEMPT_STATUS_OPEN and block.height > attempt.evidence_height:
            state.attempts.delete(key)
            state.emit("attempt_forgotten", task=attempt.task_id, attempt=attempt.attempt_id)
