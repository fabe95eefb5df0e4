"""What every blob store does, on disk or in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offchain.storage.disk import DiskStore
from offchain.storage.memory import MemoryStore
from offchain.storage.store import BlobStore, NotStored, Slot
from support.storage import CLIENTS, make_model, make_update

UPDATE = make_update()
MINE = Slot(1, 2, CLIENTS[0].address, "update")
YOURS = Slot(1, 2, CLIENTS[1].address, "update")


@pytest.fixture(params=["disk", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BlobStore]:
    if request.param == "memory":
        yield MemoryStore()
        return
    disk = DiskStore(tmp_path)
    yield disk
    disk.close()


def test_what_is_put_can_be_read(store: BlobStore) -> None:
    model = make_model()
    store.put(UPDATE, MINE, 10)
    store.put(model, Slot(1, 2, CLIENTS[0].address, "model"), 10)
    assert store.read(UPDATE.id).data == UPDATE.data
    assert store.read(model.id).data == model.data
    record = store.get_record(UPDATE.id)
    assert record is not None
    assert (record.shape, record.root, record.retain_until) == (UPDATE.shape, UPDATE.root, {MINE: 10})


def test_what_was_never_put_is_not_stored(store: BlobStore) -> None:
    assert store.get_record(UPDATE.id) is None
    with pytest.raises(NotStored):
        store.read(UPDATE.id)


def test_ids_are_listed_by_slot(store: BlobStore) -> None:
    other = make_update(1)
    store.put(UPDATE, MINE, 10)
    store.put(other, MINE, 10)
    store.put(other, YOURS, 10)
    assert store.get_ids(MINE) == {UPDATE.id, other.id}
    assert store.get_ids(YOURS) == {other.id}
    assert store.get_ids(Slot(1, 3, CLIENTS[0].address, "update")) == frozenset()


def test_a_promise_is_extended_and_never_shortened(store: BlobStore) -> None:
    store.put(UPDATE, MINE, 10)
    store.put(UPDATE, MINE, 20)
    store.put(UPDATE, MINE, 5)
    assert store.prune(20) == 0
    assert store.read(UPDATE.id).data == UPDATE.data
    assert store.prune(21) == 1
    assert store.get_record(UPDATE.id) is None
    assert store.get_ids(MINE) == frozenset()


def test_a_vector_stays_while_one_slot_needs_it(store: BlobStore) -> None:
    store.put(UPDATE, MINE, 10)
    store.put(UPDATE, YOURS, 30)
    assert store.prune(11) == 0
    assert store.get_ids(MINE) == frozenset()
    assert store.get_ids(YOURS) == {UPDATE.id}
    assert store.read(UPDATE.id).data == UPDATE.data
    assert store.prune(31) == 1


@given(
    steps=st.lists(
        st.tuples(st.just("put"), st.integers(0, 2), st.sampled_from([MINE, YOURS]), st.integers(0, 12))
        | st.tuples(st.just("prune"), st.integers(0, 12)),
        max_size=30,
    )
)
def test_what_is_pruned_is_what_no_promise_reaches(steps: list[tuple[Any, ...]]) -> None:
    """Whatever was put and pruned before, and in whatever order of heights."""
    store = MemoryStore()
    promised: dict[tuple[int, Slot], int] = {}
    for step in steps:
        if step[0] == "put":
            _, number, slot, until = step
            store.put(make_update(number), slot, until)
            promised[number, slot] = max(until, promised.get((number, slot), 0))
            continue
        height = step[1]
        before = {number for number, _ in promised}
        promised = {key: until for key, until in promised.items() if until >= height}
        assert store.prune(height) == len(before - {number for number, _ in promised})
        for number in range(3):
            record = store.get_record(make_update(number).id)
            kept = {} if record is None else dict(record.retain_until)
            assert kept == {slot: until for (n, slot), until in promised.items() if n == number}
