"""The database: what was committed is there after a restart, what is not usable is said in one clear error."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from abci_app.app_hash import MerkleState
from abci_app.state_machine import Changes
from abci_app.store import (
    APPLICATION_ID,
    SCHEMA_VERSION,
    VERSIONS,
    Store,
    StoreCorrupt,
    StoreFailed,
    StoreForeign,
    StoreLocked,
    StoreTooNew,
    Version,
)

Plain = dict[str, dict[bytes, bytes]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "node" / "ledger.db"


_opened: list[Store] = []


def open_store(path: Path) -> Store:
    store = Store(path)
    _opened.append(store)
    return store


@pytest.fixture(autouse=True)
def close_stores() -> Iterator[None]:
    yield
    while _opened:
        _opened.pop().close()


def commit(store: Store, height: int, changes: Changes) -> None:
    store.commit([Version(height, store.state.update(changes), changes)])


def fill(store: Store, blocks: int) -> dict[int, Plain]:
    """Commit `blocks` blocks that write, overwrite, delete and empty; return what each height holds."""
    held = {}
    for height in range(store.height + 1, store.height + blocks + 1):
        commit(
            store,
            height,
            {
                "counters": {b"height": bytes([height]), b"new%d" % height: b"x", b"new%d" % (height - 2): None},
                "sometimes": {b"k": b"v" if height % 2 else None},
            },
        )
        held[height] = {name: dict(of_store) for name, of_store in store.state.items()}
    return held


def execute(path: Path, *statements: str) -> None:
    database = sqlite3.connect(path)
    with database:
        for statement in statements:
            database.execute(statement)
    database.close()


def test_a_new_database_is_empty_and_its_folder_is_made(path: Path) -> None:
    store = open_store(path)
    assert (store.height, len(store.state)) == (0, 0)
    store.close()
    assert open_store(path).height == 0


def test_the_last_commit_is_there_after_a_restart(path: Path) -> None:
    store = open_store(path)
    fill(store, 3)
    height, app_hash, state = store.height, store.app_hash, dict(store.state)
    store.close()
    again = open_store(path)
    assert (again.height, again.app_hash) == (height, app_hash)
    assert {name: dict(s) for name, s in again.state.items()} == {name: dict(s) for name, s in state.items()}


@pytest.mark.parametrize("restart", [False, True])
def test_the_last_versions_are_readable(path: Path, restart: bool) -> None:
    store = open_store(path)
    held = fill(store, VERSIONS + 5)
    if restart:
        store.close()
        store = open_store(path)
    assert store.oldest_height == 6
    for height, stores in held.items():
        state = store.get_version(height)
        if height < store.oldest_height:
            assert state is None
        else:
            assert state is not None
            assert {name: dict(of_store) for name, of_store in state.items()} == stores


def test_what_is_no_longer_readable_leaves_the_disk(path: Path) -> None:
    store = open_store(path)
    fill(store, VERSIONS * 3)
    store.close()
    database = sqlite3.connect(path)
    assert database.execute("SELECT COUNT(*) FROM versions").fetchone() == (VERSIONS,)
    assert database.execute("SELECT COUNT(DISTINCT height) FROM undo").fetchone() == (VERSIONS - 1,)
    database.close()


def test_the_first_commit_brings_the_genesis_state_along(path: Path) -> None:
    store = open_store(path)
    genesis: Changes = {"counters": {b"a": b"1", b"b": b"1"}}
    block: Changes = {"counters": {b"a": b"2", b"b": None}}
    first = MerkleState().update(genesis)
    store.commit([Version(41, first, genesis), Version(42, first.update(block), block)])
    store.close()
    store = open_store(path)
    before, after = store.get_version(41), store.get_version(42)
    assert before is not None
    assert after is not None
    assert dict(before["counters"]) == {b"a": b"1", b"b": b"1"}
    assert dict(after["counters"]) == {b"a": b"2"}
    assert store.height == 42


def test_a_failed_commit_keeps_nothing_of_its_block(path: Path) -> None:
    store = open_store(path)
    fill(store, 2)
    app_hash = store.app_hash
    # The last statement of the transaction fails, after the state has been written.
    store._database.execute("CREATE TRIGGER full BEFORE INSERT ON versions BEGIN SELECT RAISE(ABORT, 'full'); END")
    with pytest.raises(StoreFailed, match="nothing of block 3 is kept"):
        fill(store, 1)
    assert (store.height, store.app_hash) == (2, app_hash)
    store.close()
    again = open_store(path)
    assert (again.height, again.app_hash) == (2, app_hash)


KILLED_WRITER = """
import os, signal, sys
from pathlib import Path
from abci_app.store import Store, Version
store = Store(Path(sys.argv[1]))
height = store.height
while True:
    height += 1
    changes = {"big": {b"%d" % i: os.urandom(64) for i in range(50)}}
    store.commit([Version(height, store.state.update(changes), changes)])
    print(height, store.app_hash.hex(), flush=True)
"""


def test_a_writer_killed_at_any_time_leaves_a_whole_block(path: Path) -> None:
    """Whatever was reported as committed is there; the hash over all that is read back is checked on opening."""
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", KILLED_WRITER, path], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            lines = [writer.stdout.readline() for _ in range(5)]
            os.kill(writer.pid, signal.SIGKILL)
            lines += writer.stdout.readlines()
        height, app_hash = lines[-1].split()
        store = open_store(path)
        assert store.height in (int(height), int(height) + 1)
        state = store.get_version(int(height))
        assert state is not None
        assert state.app_hash.hex() == app_hash
        store.close()


def test_writes_are_durable(path: Path) -> None:
    store = open_store(path)
    assert store._database.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_a_second_process_is_refused(path: Path) -> None:
    store = open_store(path)
    code = f"from pathlib import Path; from abci_app.store import Store; Store(Path({str(path)!r}))"
    for _ in range(2):
        second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert "StoreLocked" in second.stderr
        assert "in use by another process; stop that one" in second.stderr
        fill(store, 1)
    store.close()
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_second_store_in_the_same_process_is_refused(path: Path) -> None:
    store = open_store(path)
    with pytest.raises(StoreLocked):
        open_store(path)
    fill(store, 1)


def test_another_programs_database_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    execute(path, "CREATE TABLE songs (title TEXT)")
    content = path.read_bytes()
    with pytest.raises(StoreForeign, match="choose another home"):
        open_store(path)
    assert path.read_bytes() == content


def test_a_newer_schema_asks_for_an_upgrade(path: Path) -> None:
    open_store(path).close()
    execute(path, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(StoreTooNew, match="upgrade"):
        open_store(path)


def test_a_file_that_is_no_database(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database, but long enough to be read as the header of one" * 100)
    with pytest.raises(StoreCorrupt, match="move it away"):
        open_store(path)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE state SET value = x'00' WHERE key = x'686569676874'",
        "UPDATE state SET key = 'text' WHERE key = x'686569676874'",
        "DELETE FROM state WHERE key = x'686569676874'",
        "UPDATE versions SET app_hash = x'00' WHERE height = 4",
        "DELETE FROM versions",
        "DELETE FROM undo WHERE height = 4",
        "DROP TABLE undo",
    ],
)
def test_damage_is_found_on_opening(path: Path, damage: str) -> None:
    store = open_store(path)
    fill(store, 5)
    store.close()
    execute(path, damage)
    with pytest.raises(StoreCorrupt, match="move it away"):
        open_store(path)


def test_pages_overwritten_on_the_disk_are_found(path: Path) -> None:
    store = open_store(path)
    fill(store, 5)
    store.close()
    content = bytearray(path.read_bytes())
    content[4096 : 3 * 4096] = os.urandom(2 * 4096)
    path.write_bytes(content)
    with pytest.raises(StoreCorrupt):
        open_store(path)


def test_a_home_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreFailed, match="check the folder"):
        open_store(tmp_path / "file" / "ledger.db")


def test_the_mark_of_the_file() -> None:
    """`file` and other tools can tell it: the four bytes spell OPFL."""
    assert APPLICATION_ID.to_bytes(4, "big") == b"OPFL"
