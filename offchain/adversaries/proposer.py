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
    """Its own copy in the place of the first proof by somebody else that waits, and no other of these (F7)."""
    chosen: list[bytes] = []
    copy = b""
    for tx in txs:
        if _kind_of(tx) != "submit_fraud_proof":
            chosen.append(tx)
        elif not copy:
            original = transaction_pb2.Transaction.FromString(tx)
            proof = transaction_pb2.Body.FromString(original.body).submit_fraud_proof
            copy = sign(transaction_pb2.Body(submit_fraud_proof=proof))
            is_own = transaction_pb2.Transaction.FromString(copy).public_key == original.public_key
            chosen.append(tx if is_own else copy)
    return chosen


def _kind_of(tx: bytes) -> str:
    try:
        body = transaction_pb2.Body.FromString(transaction_pb2.Transaction.FromString(tx).body)
    except DecodeError:
        return ""  # an honest proposer drops it too
    return body.WhichOneof("kind") or ""


PROPOSERS: dict[str, Proposer] = {
    "censoring-proposer": Proposer(choose=drop_disputes),
    "copying-proposer": Proposer(choose=copy_proofs),
    "withholding-proposer": Proposer(reveals=False),
}
