"""Byzantine proposers: what a validator's node leaves out of the blocks that it proposes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from optfl.wire import transaction_pb2


@dataclass(frozen=True)
class Proposer:
    """How a node deviates as proposer."""

    choose: Callable[[Sequence[bytes]], list[bytes]] = list  # the transactions that it lets through, of its mempool
    reveals: bool = True  # the next value of its hash chain


DISPUTES = frozenset(
    {
        "answer_demand",
        "commit_vote",
        "demand_blob",
        "open_challenge",
        "reveal_vote",
        "submit_equivocation",
        "submit_fraud_proof",
    }
)


def drop_disputes(txs: Sequence[bytes]) -> list[bytes]:
    """All but what could void an attempt or cost somebody a stake."""
    return [tx for tx in txs if _kind_of(tx) not in DISPUTES]


def _kind_of(tx: bytes) -> str:
    try:
        body = transaction_pb2.Body.FromString(transaction_pb2.Transaction.FromString(tx).body)
    except DecodeError:
        return ""  # an honest proposer drops it too
    return body.WhichOneof("kind") or ""


PROPOSERS: dict[str, Proposer] = {
    "censoring-proposer": Proposer(choose=drop_disputes),
    "withholding-proposer": Proposer(reveals=False),
}
