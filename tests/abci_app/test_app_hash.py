"""The app hash: of contents alone, incremental, and proven as CometBFT proves."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abci_app import app_hash
from abci_app.app_hash import MerkleState, MerkleStore, SimpleProof
from abci_app.overlay import Overlay
from abci_app.state_machine import Changes
from optfl.merkle import compute_root_from_path, compute_simple_map_root, simple_map_leaf

NAMES = st.sampled_from(["accounts", "rounds", "tasks"])
KEYS = st.binary(min_size=1, max_size=2)
VALUES = st.binary(max_size=3)
STORES = st.dictionaries(NAMES, st.dictionaries(KEYS, VALUES, max_size=12))
CHANGES = st.dictionaries(NAMES, st.dictionaries(KEYS, st.none() | VALUES, max_size=12))

Plain = dict[str, dict[bytes, bytes]]


def apply(stores: Plain, changes: Changes) -> Plain:
    """The slow and obvious way."""
    after = {name: dict(of_store) for name, of_store in stores.items()}
    for name, of_store in changes.items():
        for key, value in of_store.items():
            if value is None:
                after.setdefault(name, {}).pop(key, None)
            else:
                after.setdefault(name, {})[key] = value
    return {name: of_store for name, of_store in after.items() if of_store}


def compute_app_hash(stores: Plain) -> bytes:
    return compute_simple_map_root(
        {name.encode(): compute_simple_map_root(of_store) for name, of_store in stores.items() if of_store}
    )


def as_plain(state: MerkleState) -> Plain:
    return {name: dict(of_store) for name, of_store in state.items()}


def verify(proof: SimpleProof, value: bytes) -> bytes:
    """The root that a `simple:v` operator yields for `value`."""
    leaf = simple_map_leaf(proof.key, value)
    assert leaf == proof.leaf_hash
    return compute_root_from_path(leaf, proof.index, proof.total, proof.aunts)


@given(STORES, st.lists(CHANGES, max_size=4))
def test_incremental_hash_is_that_of_the_contents(stores: Plain, blocks: list[Changes]) -> None:
    state, expected = MerkleState.from_stores(stores), apply(stores, {})
    for changes in blocks:
        state, expected = state.update(changes), apply(expected, changes)
        assert as_plain(state) == expected
        assert state.app_hash == compute_app_hash(expected)


@given(STORES, CHANGES)
def test_undo_leads_back_and_versions_do_not_change(stores: Plain, changes: Changes) -> None:
    before = MerkleState.from_stores(stores)
    plain, root = as_plain(before), before.app_hash
    after = before.update(changes)
    assert (as_plain(before), before.app_hash) == (plain, root)
    assert after.update(before.compute_undo(changes)).app_hash == root


@given(STORES)
def test_every_key_is_proven_under_the_app_hash(stores: Plain) -> None:
    state = MerkleState.from_stores(stores)
    for name, of_store in state.items():
        for key, value in of_store.items():
            of_key, of_name = state.prove(name, key)
            assert verify(of_key, value) == of_store.root
            assert verify(of_name, of_store.root) == state.app_hash
            assert (of_key.key, of_name.key) == (key, name.encode())


def test_the_hash_of_one_key_by_hand() -> None:
    """One store, one key, from CometBFT's formula."""

    def leaf(key: bytes, value: bytes) -> bytes:
        pair = bytes([len(key)]) + key + b"\x20" + hashlib.sha256(value).digest()
        return hashlib.sha256(b"\x00" + pair).digest()

    root = leaf(b"k", b"v")
    assert MerkleState.from_stores({"store": {b"k": b"v"}}).app_hash == leaf(b"store", root)


def test_nothing_hashes_to_the_empty_tree() -> None:
    assert MerkleState().app_hash == hashlib.sha256(b"").digest()


def test_an_empty_store_is_no_part_of_the_state() -> None:
    """Else a node that restarted, and finds no rows of that store, would disagree with one that ran on."""
    state = MerkleState.from_stores({"a": {b"k": b"v"}, "b": {}})
    assert list(state) == ["a"]
    emptied = state.update({"c": {b"k": b"v"}}).update({"c": {b"k": None}})
    assert "c" not in emptied
    assert emptied.app_hash == state.app_hash


def test_iteration_is_in_key_order_whatever_the_order_of_writing() -> None:
    store = MerkleStore().update({b"b": b"", b"a": b""}).update({b"c": b"", b"aa": b""})
    assert list(store) == [b"a", b"aa", b"b", b"c"]
    assert list(MerkleState.from_stores({"b": {b"k": b""}, "a": {b"k": b""}})) == ["a", "b"]


def test_only_changed_leaves_are_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    state = MerkleState.from_stores({"big": {i.to_bytes(2, "big"): b"v" for i in range(1000)}, "other": {b"k": b"v"}})
    hashed: list[bytes] = []

    def count(key: bytes, value: bytes) -> bytes:
        hashed.append(key)
        return simple_map_leaf(key, value)

    monkeypatch.setattr(app_hash, "simple_map_leaf", count)
    after = state.update({"big": {b"\x00\x07": b"w"}})
    assert sorted(hashed) == [b"\x00\x07", b"big", b"other"]
    assert after["other"] is state["other"]


def test_absent_keys_have_no_proof() -> None:
    state = MerkleState.from_stores({"a": {b"k": b"v"}})
    for name, key in (("a", b"j"), ("a", b"l"), ("b", b"k")):
        with pytest.raises(KeyError):
            state.prove(name, key)


@given(STORES, st.lists(CHANGES, max_size=3))
def test_overlay_reads_like_the_changed_stores(stores: Plain, blocks: list[Changes]) -> None:
    base = MerkleState.from_stores(stores)
    overlay, expected = Overlay(base), apply(stores, {})
    for changes in blocks:
        overlay.apply(changes)
        expected = apply(expected, changes)
    assert {name: dict(of_store) for name, of_store in overlay.items() if of_store} == expected
    assert all(list(of_store) == sorted(of_store) for of_store in overlay.values())
    assert base.app_hash == compute_app_hash(stores)
