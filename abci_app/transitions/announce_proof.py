"""AnnounceProof: "I have a proof", without showing it. Who proves it in a later block has not copied it (F7, A10)."""

from __future__ import annotations

from abci_app.state import State
from abci_app.state.keyspace import announcement_key, attempt_key
from abci_app.transitions.call import Call
from abci_app.transitions.fields import check_attempt, check_task, validate_digest
from abci_app.transitions.submit_fraud_proof import check_convictable, check_provable
from optfl import errors
from optfl.wire import state_pb2, transaction_pb2

MAX_ANNOUNCEMENTS = 64  # of one attempt, beside those of validators, whose number is bounded by their stakes


def validate(message: transaction_pb2.AnnounceProof) -> None:
    validate_digest(message.commitment, "commitment")


def check(state: State, call: Call, message: transaction_pb2.AnnounceProof) -> state_pb2.Announcement:
    """Return the announcement to be stored."""
    task = check_task(state, message.task_id)
    check_provable(task)
    attempt = check_attempt(state, task, message.attempt_id)
    check_convictable(attempt, call.height)
    if attempt.status == state_pb2.ATTEMPT_STATUS_CONVICTED:
        raise errors.NotConvictable(f"attempt {message.attempt_id} is convicted already; save the fee")
    if announcement_key(task.task_id, attempt.attempt_id, call.sender) in state.announcements:
        raise errors.AlreadyAnnounced(f"this account has announced a proof of attempt {attempt.attempt_id}; send it")
    is_validator = _is_validator(state, call.sender)
    if not is_validator:
        _check_room(state, attempt)
    return state_pb2.Announcement(
        commitment=message.commitment,
        height=call.height,
        validator=is_validator,
        proposer=call.block.paid_proposer,
    )


def _is_validator(state: State, sender: bytes) -> bool:
    validator = state.validators.get(sender)
    return validator is not None and validator.power > 0


def _check_room(state: State, attempt: state_pb2.Attempt) -> None:
    """Who fills the places up keeps no validator out, so this is of no use to the author of a lie."""
    announced = state.announcements.items(attempt_key(attempt.task_id, attempt.attempt_id))
    if sum(not announcement.validator for _, announcement in announced) >= MAX_ANNOUNCEMENTS:
        raise errors.TooManyAnnouncements(
            f"{MAX_ANNOUNCEMENTS} accounts have announced proofs of attempt {attempt.attempt_id}; prove it without"
        )


def apply(state: State, call: Call, message: transaction_pb2.AnnounceProof, found: state_pb2.Announcement) -> None:
    state.announcements.put(announcement_key(message.task_id, message.attempt_id, call.sender), found)
    state.emit("proof_announced", task=message.task_id, attempt=message.attempt_id, prover=call.sender)
