"""The ledger's database: SQLite, written once a block, in one transaction, in Commit.

Holds the current state, and for the last VERSIONS heights what leads back to them, so that proofs of those heights can
be answered, also after a restart. All of it is in memory as well; a read never touches the disk.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from abci_app.app_hash import MerkleState
from abci_app.state_machine import Changes

VERSIONS = 10
"""Heights that can be read, the current one included."""

APPLICATION_ID = 0x4F50464C  # "OPFL", in the header of the database file
SCHEMA_VERSION = 1

_SCHEMA = (
    "CREATE TABLE state (store TEXT, key BLOB, value BLOB NOT NULL, PRIMARY KEY (store, key)) WITHOUT ROWID",
    "CREATE TABLE versions (height INTEGER PRIMARY KEY, app_hash BLOB NOT NULL)",
    # Values before the block at `height`, of the keys that it wrote; NULL where there was none.
    "CREATE TABLE undo (height INTEGER, store TEXT, key BLOB, value BLOB, PRIMARY KEY (height, store, key))",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)

_UNUSABLE = {sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL}
_UNUSABLE |= {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOMEM}


class StoreError(Exception):
    """The database cannot be used. The message is for the operator: what is wrong and what to do."""


class StoreLocked(StoreError):
    """Another process has it open."""


class StoreForeign(StoreError):
    """It is not a ledger's database."""


class StoreTooNew(StoreError):
    """A newer version of this software wrote it."""


class StoreCorrupt(StoreError):
    """What it holds is damaged, or does not have the app hash that was committed."""


class StoreFailed(StoreError):
    """Reading or writing failed: a full disk, missing permissions, a dying device."""


@dataclass(frozen=True)
class Version:
    """The state after the block at `height`, and the changes that the block made to the version before it."""

    height: int
    state: MerkleState
    changes: Changes


class Store:
    """An open database. Not thread-safe: its user holds one lock round it. Raises StoreError and its kinds."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._versions: dict[int, MerkleState] = {}
        self.height = 0  # of the last commit; 0 before the first
        self.state = MerkleState()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0)
        except (OSError, sqlite3.Error) as error:
            raise StoreFailed(f"cannot open {path}: {error}; check the folder and its permissions") from error
        try:
            self._open()
            self._load()
        except StoreError:
            self.close()
            raise
        except sqlite3.Error as error:
            self.close()
            raise self._classify(error) from error

    @property
    def app_hash(self) -> bytes:
        return self.state.app_hash

    def get_version(self, height: int) -> MerkleState | None:
        """The state after `height`, if it is one of the last VERSIONS."""
        return self._versions.get(height)

    @property
    def oldest_height(self) -> int:
        return min(self._versions, default=0)

    def commit(self, versions: Sequence[Version]) -> None:
        """Persist `versions`, each made from the one before it and the first from the current state; durable on return.

        More than one only for the first block, which brings the state of the genesis file along.
        """
        previous = self.state
        height = versions[-1].height
        oldest = height - VERSIONS + 1
        try:
            with self._database:
                self._database.execute("BEGIN IMMEDIATE")
                for version in versions:
                    self._write(version, previous.compute_undo(version.changes))
                    previous = version.state
                self._database.execute("DELETE FROM versions WHERE height < ?", (oldest,))
                # The oldest version is never undone.
                self._database.execute("DELETE FROM undo WHERE height <= (SELECT MIN(height) FROM versions)")
        except sqlite3.Error as error:
            raise StoreFailed(
                f"cannot write {self._path}: {error}; nothing of block {height} is kept. "
                "Check the disk's space and health, then start again"
            ) from error
        self._versions |= {version.height: version.state for version in versions}
        self._versions = {at: state for at, state in self._versions.items() if at >= oldest}
        self.height, self.state = height, previous

    def close(self) -> None:
        self._database.close()

    def _open(self) -> None:
        execute = self._database.execute
        # Exclusive before the first read: the lock is taken there and held until the file is closed.
        execute("PRAGMA locking_mode = EXCLUSIVE")
        application_id = execute("PRAGMA application_id").fetchone()[0]
        schema_version = execute("PRAGMA user_version").fetchone()[0]
        is_empty = execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()[0] == 0
        if application_id != APPLICATION_ID and not (is_empty and application_id == schema_version == 0):
            raise StoreForeign(f"{self._path} is not a ledger's database; choose another home")
        if schema_version > SCHEMA_VERSION:
            raise StoreTooNew(
                f"{self._path} has schema {schema_version}, this version of optfl reads up to {SCHEMA_VERSION}; "
                "upgrade optfl on this machine"
            )
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = FULL")
        with self._database:
            # Even when there is nothing to create: takes the lock.
            execute("BEGIN EXCLUSIVE")
            for statement in _SCHEMA if is_empty else ():
                execute(statement)

    def _load(self) -> None:
        """Read the current state, walk back to the older versions, and compare app hashes with what was committed."""
        state = MerkleState().update(self._read("SELECT store, key, value FROM state"))
        rows = self._database.execute("SELECT height, app_hash FROM versions ORDER BY height DESC").fetchall()
        if not rows:
            if state:
                raise self._corrupt("it has a state but no height")
            return
        for height, app_hash in rows:
            if self._versions:
                state = state.update(self._read("SELECT store, key, value FROM undo WHERE height = ?", height + 1))
            if state.app_hash != app_hash:
                raise self._corrupt(f"its state at height {height} does not have the app hash that was committed")
            self._versions[height] = state
        self.height = rows[0][0]
        self.state = self._versions[self.height]

    def _read(self, statement: str, *parameters: int) -> Changes:
        changes: Changes = {}
        for store, key, value in self._database.execute(statement, parameters):
            if not isinstance(key, bytes) or not isinstance(value, bytes | None):
                raise self._corrupt(f"store {store!r} holds what is not bytes")
            changes.setdefault(store, {})[key] = value
        return changes

    def _write(self, version: Version, undo: Changes) -> None:
        rows = [(store, key, value) for store, of_store in version.changes.items() for key, value in of_store.items()]
        self._database.executemany(
            "DELETE FROM state WHERE store = ? AND key = ?", [row[:2] for row in rows if row[2] is None]
        )
        self._database.executemany(
            "INSERT OR REPLACE INTO state VALUES (?, ?, ?)", [row for row in rows if row[2] is not None]
        )
        self._database.executemany(
            "INSERT INTO undo VALUES (?, ?, ?, ?)",
            [(version.height, store, key, value) for store, of in undo.items() for key, value in of.items()],
        )
        self._database.execute("INSERT INTO versions VALUES (?, ?)", (version.height, version.state.app_hash))

    def _classify(self, error: sqlite3.Error) -> StoreError:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return StoreLocked(f"{self._path} is in use by another process; stop that one, or choose another home")
        if code in _UNUSABLE:
            return StoreFailed(f"cannot read {self._path}: {error}; check the disk and the file's permissions")
        return self._corrupt(str(error))

    def _corrupt(self, reason: str) -> StoreCorrupt:
        return StoreCorrupt(
            f"{self._path} is damaged: {reason}; move it away and start again: the node replays its blocks"
        )
