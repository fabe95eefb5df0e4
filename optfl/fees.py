"""What a transaction costs: senders and the ledger compute the same."""

from __future__ import annotations

from optfl.wire import state_pb2


def compute_fee(params: state_pb2.Params, size_bytes: int) -> int:
    """The least fee, in tokens, of a signed transaction of `size_bytes`: every kilobyte begun counts."""
    return params.min_fee + params.fee_per_kilobyte * -(-size_bytes // 1024)
