"""Proofs of values against an app hash: every true one is accepted, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abci_app.app_hash import MerkleState
from abci_app.wire import abci_pb2
from optfl_cli.proofs import ProofError, verify_value

Operators = list[tuple[str, bytes, bytes]]
STATE = MerkleState.from_stores({"accounts": {b"a": b"1", b"b": b"2", b"c": b"3"}, "supply": {b"supply": b"9"}})


def prove(state: MerkleState, store: str, key: bytes) -> Operators:
    return [
        (
            "simple:v",
            proof.key,
            abci_pb2.ValueOp(
                key=proof.key,
                proof=abci_pb2.Proof(
                    total=proof.total, index=proof.index, leaf_hash=proof.leaf_hash, aunts=proof.aunts
                ),
            ).SerializeToString(),
        )
        for proof in state.prove(store, key)
    ]


@given(
    st.dictionaries(
        st.sampled_from(["accounts", "stakes", "tasks"]),
        st.dictionaries(st.binary(max_size=8), st.binary(max_size=8), min_size=1, max_size=9),
        min_size=1,
    )
)
def test_every_value_of_a_state_is_proven(stores: dict[str, dict[bytes, bytes]]) -> None:
    state = MerkleState.from_stores(stores)
    for name, values in stores.items():
        for key, value in values.items():
            verify_value(name, key, value, prove(state, name, key), state.app_hash)


@pytest.mark.parametrize(
    ("store", "key", "value"),
    [("accounts", b"b", b"1"), ("accounts", b"a", b"2"), ("stakes", b"b", b"2"), ("supply", b"b", b"2")],
)
def test_another_value_key_or_store_is_refused(store: str, key: bytes, value: bytes) -> None:
    with pytest.raises(ProofError):
        verify_value(store, key, value, prove(STATE, "accounts", b"b"), STATE.app_hash)


def test_another_app_hash_is_refused() -> None:
    with pytest.raises(ProofError, match="but the header says"):
        verify_value("accounts", b"b", b"2", prove(STATE, "accounts", b"b"), b"\0" * 32)


def test_malformed_operators_are_refused() -> None:
    good = prove(STATE, "accounts", b"b")
    for operators in (
        [],
        good[:1],
        [*good, good[1]],
        [("ics23:iavl", *good[0][1:]), good[1]],
        [(*good[0][:2], b"\xff"), good[1]],
        [(*good[0][:2], b""), good[1]],
    ):
        with pytest.raises(ProofError):
            verify_value("accounts", b"b", b"2", operators, STATE.app_hash)
