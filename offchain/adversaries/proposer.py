"""Byzantine proposers: what a validator's node leaves out of the blocks that it proposes, or puts in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from optfl.wire import transaction_pb2

Sign = Callable[[transaction_pb2.Body], bytes]
"""A transaction of the validator's own account with this content, the next of its sequence."""


@dataclass(frozen=True)
class Proposer:
    """How a node deviates as proposer."""

    choose: Callable[[Sequence[bytes], Sign], list[bytes]] = lambda txs, _: list(txs)
    """The transactions that it lets through, of its mempool, and its own."""
    reveals: bool = True  # the next value of its hash chain


DISPUTES = frozenset(
    {
        "announce_proof",
        "answer_demand",
        "commit_vote",
        "demand_blob",
        "open_challenge",
        "reveal_vote",
        "submit_equivocation",
        "submit_fraud_proof",
    }
)


def drop_disputes(txs: Sequence[bytes], sign: Sign) -> list[bytes]:
    """All but what could void an attempt or cost somebody a stake."""
    return [tx for tx in txs if _kind_of(tx) not in DISPUTES]


def copy_proofs(txs: Sequence[bytes], sign: Sign) -> list[bytes]:
    """Its own copy in the place of the first proof by somebody else that waits, no other against that attempt (F7)."""
    chosen: list[bytes] = []
    copied = None
    for tx in txs:
        if _kind_of(tx) != "submit_fraud_proof" or _get_sender(tx) == _get_own_key(sign):
            chosen.append(tx)
            continue
        original = transaction_pb2.Transaction.FromString(tx)
        proof = transaction_pb2.Body.FromString(original.body).submit_fraud_proof
        if copied is None:
            copied = proof
            chosen.append(sign(transaction_pb2.Body(submit_fraud_proof=proof)))
        elif (proof.task_id, proof.attempt_id) != (copied.task_id, copied.attempt_id):
            chosen.append(tx)
    return chosen


def keep_own_announcements(txs: Sequence[bytes], sign: Sign) -> list[bytes]:
    """Others' announcements wait for other blocks, so that its own comes first."""
    own = _get_own_key(sign)
    return [tx for tx in txs if _kind_of(tx) != "announce_proof" or _get_sender(tx) == own]


def _get_own_key(sign: Sign) -> bytes:
    return _get_sender(sign(transaction_pb2.Body()))


def _get_sender(tx: bytes) -> bytes:
    return transaction_pb2.Transaction.FromString(tx).public_key


def _kind_of(tx: bytes) -> str:
    try:
        body = transaction_pb2.Body.FromString(transaction_pb2.Transaction.FromString(tx).body)
    except DecodeError:
        return ""  # an honest proposer drops it too
    return body.WhichOneof("kind") or ""


PROPOSERS: dict[str, Proposer] = {
    "censoring-proposer": Proposer(choose=drop_disputes),
    "copying-proposer": Proposer(choose=copy_proofs),
    "jealous-proposer": Proposer(choose=keep_own_announcements),
    "withholding-proposer": Proposer(reveals=False),
}
