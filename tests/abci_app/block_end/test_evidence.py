"""Evidence heights: records of void and convicted attempts are kept exactly as long as something can come of them."""

from __future__ import annotations

from optfl.wire import state_pb2
from support.ledger import STRANGER, TaskHarness


def test_void_and_convicted_records_go_after_their_evidence_height() -> None:
    task = TaskHarness.start(min_window_blocks=8)
    task.commit_all(1)
    task.aggregate(1, task.poisoned_model(1))
    task.commit_all(2)
    task.aggregate(2)
    task.ledger.accept(STRANGER, task.prove(1))
    for attempt_id in (1, 2):
        attempt = task.ledger.attempt(attempt_id)
        assert attempt is not None
        task.ledger.blocks(attempt.evidence_height - task.ledger.height)
        assert task.ledger.attempt(attempt_id) == attempt
        task.ledger.block()
        assert task.ledger.attempt(attempt_id) is None


def test_open_attempts_stay_whatever_their_evidence_height() -> None:
    task = TaskHarness.start()
    task.run_round(1)
    attempt = task.ledger.attempt(1)
    assert attempt is not None
    for _ in range(attempt.evidence_height + 5 - task.ledger.height):
        task.ledger.block(proposer=0)  # too few proposers: the window stays open
    assert task.ledger.attempt(1) == attempt
    assert attempt.status == state_pb2.ATTEMPT_STATUS_OPEN


def test_settled_attempts_leave_a_digest_only() -> None:
    task = TaskHarness.start()
    task.run_round(1)
    task.ledger.blocks(6)
    assert task.ledger.attempt(1) is None
    assert len(task.ledger.state.digests.all_keys()) == 1
