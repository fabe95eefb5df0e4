"""A prover announces its proof a block before it shows it, so that nobody who copies it takes the reward (F7, A10)."""

from __future__ import annotations

from offchain.interfaces import Ledger
from offchain.roles.views import submit
from optfl.announcements import compute_announcement
from optfl.wire import state_pb2, transaction_pb2

_SPARE_BLOCKS = 3  # an announcement and a proof take a block each, and either may miss one
COURTESY_BLOCKS = 2  # what who has announced first needs to prove it


async def announce(
    ledger: Ledger, view: state_pb2.TaskView, attempt: state_pb2.Attempt, proof: transaction_pb2.SubmitFraudProof
) -> None:
    """Announce `proof`, unless it is or there is no time: a conviction matters more than its reward.

    When this returns the proof is to be sent. Raises LedgerUnavailable.
    """
    mine = [a for a in view.announcements if (a.attempt_id, a.prover) == (attempt.attempt_id, ledger.address)]
    if mine or view.height + _SPARE_BLOCKS > get_last_height(view, attempt):
        return
    announcement = transaction_pb2.AnnounceProof(
        task_id=attempt.task_id,
        attempt_id=attempt.attempt_id,
        commitment=compute_announcement(ledger.chain_id, ledger.address, proof),
    )
    what = f"round {attempt.round}, attempt {attempt.attempt_id}: fraud proof announced"
    await submit(ledger, transaction_pb2.Body(announce_proof=announcement), what)  # refused: proven all the same


def get_last_height(view: state_pb2.TaskView, attempt: state_pb2.Attempt) -> int:
    """The last height at which a proof is sure to count."""
    current = next((r for r in view.rounds if r.attempt_id == attempt.attempt_id), None)
    return attempt.evidence_height if current is None else current.window_close_height


def is_announced_by_another(view: state_pb2.TaskView, attempt: state_pb2.Attempt, address: bytes) -> bool:
    """Whether somebody else says that it has a proof, and this account has not said so."""
    provers = [a.prover for a in view.announcements if a.attempt_id == attempt.attempt_id]
    return bool(provers) and address not in provers
