"""Typed stores: what is written is seen at once, what is below is never touched, and order never shows."""

from __future__ import annotations

from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abci_app.state import State, Store
from optfl.wire import state_pb2

KEYS = st.binary(min_size=1, max_size=3)


def account(balance: int) -> state_pb2.Account:
    return state_pb2.Account(balance=balance)


def make(base: dict[bytes, int]) -> Store[state_pb2.Account]:
    encoded = {k: account(v).SerializeToString(deterministic=True) for k, v in base.items()}
    return Store("accounts", state_pb2.Account, MappingProxyType(encoded))


@given(
    st.dictionaries(KEYS, st.integers(0, 9)),
    st.lists(st.tuples(KEYS, st.one_of(st.none(), st.integers(0, 9)))),
    st.binary(max_size=2),
)
def test_a_store_reads_like_the_map_that_was_written(
    base: dict[bytes, int], writes: list[tuple[bytes, int | None]], prefix: bytes
) -> None:
    """None deletes. The base is read-only, so a write to it would raise."""
    store, model = make(base), dict(base)
    for key, value in writes:
        if value is None:
            store.delete(key)
            model.pop(key, None)
        else:
            store.put(key, account(value))
            model[key] = value
    expected = sorted((k, v) for k, v in model.items() if k.startswith(prefix))
    assert [(k, m.balance) for k, m in store.items(prefix)] == expected
    assert store.all_keys(prefix) == [k for k, _ in expected]
    assert all((key in store) == (key in model) for key, _ in writes)
    assert {k for k, v in store.changes.items() if v is not None} <= set(model)


def test_get_gives_a_copy() -> None:
    store = make({b"a": 1})
    store[b"a"].balance = 9
    assert store[b"a"].balance == 1
    message = account(2)
    store.put(b"a", message)
    message.balance = 9
    assert store[b"a"].balance == 2


def test_a_missing_key_is_none_or_our_own_bug() -> None:
    store = make({})
    assert store.get(b"a") is None
    with pytest.raises(KeyError, match="store accounts has no key 61"):
        store[b"a"]


def test_store_names_are_those_of_the_attributes() -> None:
    state = State({})
    for name in ("accounts", "stakes", "unbonding", "validators", "tasks", "rounds", "commitments", "attempts"):
        assert getattr(state, name).name == name
    assert len({store.name for store in state.all_stores}) == len(state.all_stores) == 20


def test_changes_are_those_that_were_made() -> None:
    state = State({"accounts": {b"a": account(1).SerializeToString()}})
    assert state.collect_changes() == {}
    state.accounts.delete(b"a")
    state.accounts.put(b"b", account(2))
    assert state.collect_changes() == {"accounts": {b"a": None, b"b": account(2).SerializeToString()}}
    assert state.get_base_bytes("accounts", b"a") == account(1).SerializeToString()
    assert state.get_base_bytes("accounts", b"b") is None


def test_collected_changes_are_a_copy() -> None:
    state = State({})
    state.accounts.put(b"a", account(1))
    changes = state.collect_changes()
    state.accounts.put(b"b", account(2))
    assert changes == {"accounts": {b"a": account(1).SerializeToString()}}


def test_events_are_text_and_taken_once() -> None:
    state = State({})
    state.emit("kind", number=7, address=b"\x01\xff", name="x")
    [event] = state.take_events()
    assert (event.kind, event.attributes) == ("kind", (("number", "7"), ("address", "01ff"), ("name", "x")))
    assert state.take_events() == ()
