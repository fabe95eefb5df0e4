"""A prover announces its proof before it shows it, so that nobody who copies it is paid (F7, A10).

All validators that have announced a proof are paid alike, whoever shows it. So each announces at once what it finds,
and one of them shows it when it pays. Who of them is a courtesy; it saves the others' fees.
"""

from __future__ import annotations

import hashlib

from offchain.interfaces import Ledger
from offchain.roles.views import submit
from optfl.announcements import COUNTED_BLOCKS, PAID_BLOCKS, compute_announcement, hash_proof
from optfl.wire import state_pb2, transaction_pb2

_SPARE_BLOCKS = PAID_BLOCKS + 2  # until a proof that is announced now is shown, with a block to spare
COURTESY_BLOCKS = 2  # what each of those before us gets to show it


async def announce(
    ledger: Ledger, view: state_pb2.TaskView, attempt: state_pb2.Attempt, proof: transaction_pb2.SubmitFraudProof
) -> bool:
    """Announce `proof`, unless it is or there is no time: a conviction matters more than its reward.

    Returns whether this was done just now: it is not to be shown before the next block. Raises LedgerUnavailable.
    """
    mine = [a for a in view.announcements if (a.attempt_id, a.prover) == (attempt.attempt_id, ledger.address)]
    if mine or view.height + _SPARE_BLOCKS > get_last_height(view, attempt):
        return False
    announcement = transaction_pb2.AnnounceProof(
        task_id=attempt.task_id,
        attempt_id=attempt.attempt_id,
        commitment=compute_announcement(ledger.chain_id, ledger.address, hash_proof(proof)),
    )
    what = f"round {attempt.round}, attempt {attempt.attempt_id}: fraud proof announced"
    return await submit(ledger, transaction_pb2.Body(announce_proof=announcement), what)


def get_last_height(view: state_pb2.TaskView, attempt: state_pb2.Attempt) -> int:
    """The last height at which a proof is sure to count."""
    current = next((r for r in view.rounds if r.attempt_id == attempt.attempt_id), None)
    return attempt.evidence_height if current is None else current.window_close_height


def compute_show_height(
    ledger: Ledger, view: state_pb2.TaskView, attempt: state_pb2.Attempt, proof: transaction_pb2.SubmitFraudProof
) -> int:
    """The height at which to send `proof`: the next block pays for it, and those before us have had theirs.

    Who has not announced it has nothing to wait for.
    """
    proof_hash = hash_proof(proof)
    heights = {
        a.prover: a.announcement.height
        for a in view.announcements
        if a.attempt_id == attempt.attempt_id
        and a.announcement.commitment == compute_announcement(ledger.chain_id, a.prover, proof_hash)
    }
    if ledger.address not in heights:
        return view.height
    paid = max(min(heights.values()) + PAID_BLOCKS, heights[ledger.address] + COUNTED_BLOCKS) - 1
    place = sorted(heights, key=lambda prover: (compute_rank(view, attempt, prover), prover)).index(ledger.address)
    last = get_last_height(view, attempt)
    most = max(last - paid, 0) // 3  # however many there are: none of them may be awake
    return min(paid + min(COURTESY_BLOCKS * place, most), last - 2)


def compute_rank(view: state_pb2.TaskView, attempt: state_pb2.Attempt, address: bytes) -> int:
    """This watcher's place in an order that differs from attempt to attempt; behind all validators if it is none."""
    name = attempt.task_id.to_bytes(8, "big") + attempt.attempt_id.to_bytes(4, "big")
    order = sorted(view.validators, key=lambda validator: hashlib.sha256(name + validator).digest())
    return order.index(address) if address in order else len(order)
