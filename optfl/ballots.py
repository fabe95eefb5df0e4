"""Ballots: what members of a signer set sign about a round, and how two of them contradict each other.

seed 002's validity proof is f+1 equal signatures over (chain, task, round, tag, root). A vote's commitment is signed
the same way, so that one kind of evidence serves both.
"""

from __future__ import annotations

import hashlib

from optfl import keys
from optfl.wire import state_pb2, transaction_pb2

DIGEST_BYTES = 32
AGGREGATE_DOMAIN = b"optfl/aggregate/v1"


def compute_aggregate_digest(model_root: bytes, reduction: transaction_pb2.Reduction | None) -> bytes:
    """What members sign of their result: the model's root, or with totals a digest of all that can be proven wrong.

    SHA-256(domain ‖ model root ‖ trace root ‖ weights, 8 bytes each, big-endian).
    """
    if reduction is None:
        return model_root
    weights = b"".join(weight.to_bytes(8, "big") for weight in reduction.weights)
    return hashlib.sha256(AGGREGATE_DOMAIN + model_root + reduction.trace_root + weights).digest()


def build_aggregate_question(chain_id: str, current: state_pb2.Round) -> transaction_pb2.Ballot:
    """What a round asks its members: which model is its result? A digest is the answer."""
    return transaction_pb2.Ballot(
        chain_id=chain_id,
        task_id=current.task_id,
        round=current.round,
        parent_attempt=current.parent_attempt,
        turn=current.turn,
        restarts=current.restarts,
        kind=transaction_pb2.BALLOT_KIND_AGGREGATE,
    )


def encode_ballot(ballot: transaction_pb2.Ballot) -> bytes:
    """The bytes that are signed, in keys.BALLOT_DOMAIN."""
    return ballot.SerializeToString(deterministic=True)


def sign_ballot(key: keys.SigningKey, ballot: transaction_pb2.Ballot) -> bytes:
    return key.sign(keys.BALLOT_DOMAIN, encode_ballot(ballot))


def verify_ballot(public_key: bytes, ballot: transaction_pb2.Ballot, signature: bytes) -> bool:
    return keys.verify(public_key, keys.BALLOT_DOMAIN, encode_ballot(ballot), signature)


def is_equivocation(first: transaction_pb2.Ballot, second: transaction_pb2.Ballot) -> bool:
    """Whether two ballots are about the same question and answer it differently."""
    return first.digest != second.digest and strip_digest(first) == strip_digest(second)


def strip_digest(ballot: transaction_pb2.Ballot) -> transaction_pb2.Ballot:
    """The question that a ballot answers."""
    question = transaction_pb2.Ballot()
    question.CopyFrom(ballot)
    question.ClearField("digest")
    return question
