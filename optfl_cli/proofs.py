"""Checking what a node says of the state against an app hash, by CometBFT's `simple:v` proof operators.

An app hash that the same node tells proves no more than that it is consistent with itself. To trust no node, ask a
`cometbft light` proxy instead: it checks the header's signatures too.
"""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.message import DecodeError

from abci_app.wire import abci_pb2
from optfl.merkle import MerkleError, compute_root_from_path, simple_map_leaf


class ProofError(Exception):
    """The proof does not show that the value is part of that state."""


def verify_value(
    store: str, key: bytes, value: bytes, proof_ops: Sequence[tuple[str, bytes, bytes]], app_hash: bytes
) -> None:
    """Raise ProofError unless `value` stands under `key` in `store` of the state with `app_hash`."""
    path = (key, store.encode())
    if len(proof_ops) != len(path):
        raise ProofError(f"the answer has {len(proof_ops)} proof operators where a value of the state has {len(path)}")
    for expected_key, (kind, operator_key, data) in zip(path, proof_ops, strict=True):
        if kind != "simple:v" or operator_key != expected_key:
            raise ProofError(
                f"a proof operator is {kind} of key {operator_key.hex()}, not simple:v of {expected_key.hex()}"
            )
        try:
            proof = abci_pb2.ValueOp.FromString(data).proof
            value = compute_root_from_path(simple_map_leaf(expected_key, value), proof.index, proof.total, proof.aunts)
        except (DecodeError, MerkleError) as error:
            raise ProofError(f"a proof operator is malformed: {error}") from None
    if value != app_hash:
        raise ProofError(f"the proof leads to {value.hex()}, but the header says {app_hash.hex()}")
