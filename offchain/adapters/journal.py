"""What an account has signed, in a file: replaced as a whole, synced, and never started anew where it is damaged.

Processes of one account may share it: whoever writes reads first what the others wrote, so that two of them cannot
sign different things either.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import cast
from urllib.parse import quote

import msgpack  # type: ignore[import-untyped]  # ships no types

from offchain.interfaces import JournalError
from offchain.storage.disk import sync_folder

MAX_JOURNAL_BYTES = 4 << 20  # beyond, the oldest entries go: what they answered was decided long ago
MAX_ENTRY_BYTES = 1 << 18

_HEADER = b"optfl/journal/v1\n"
_ADVICE = (
    "restore it from a backup that is not older than the last vote. Without one, move it away only when all votes and "
    "rounds that this account took part in are decided: who votes twice is slashed"
)


class FileJournal:
    """`offchain.interfaces.VoteJournal` in the file of one account on one chain. Raises JournalError."""

    def __init__(self, folder: Path, chain_id: str, address: bytes) -> None:
        self._path = folder / f"{quote(chain_id, safe='')}-{address.hex()}.journal"
        self._identity = [chain_id, address]
        self._entries: dict[str, bytes] = {}  # oldest first
        self._version: tuple[int, int, int] | None = None  # of the file that they are from
        try:
            with self._lock():
                pass  # a folder that cannot be written is said now, and not at the first vote
        except OSError as error:
            raise JournalError(
                f"cannot write in {folder}: {error.strerror}; set journal to a folder that can be written, and bring "
                "the journal of this account there if it has one"
            ) from error
        self._refresh()

    def get(self, name: str) -> bytes | None:
        self._refresh()
        return self._entries.get(name)

    def put(self, name: str, value: bytes) -> None:
        if len(name.encode()) + len(value) > MAX_ENTRY_BYTES:
            raise ValueError(f"an entry of {len(value)} bytes; a journal takes up to {MAX_ENTRY_BYTES}")
        try:
            with self._lock():
                self._refresh()
                known = self._entries.get(name)
                if known is not None and known != value:
                    raise ValueError(f"{name} is journalled in {self._path} with another value")
                if known is None:
                    self._write({**self._entries, name: value})
                sync_folder(self._path.parent)  # also where it stood there: its writer may have died before this
        except OSError as error:
            raise JournalError(f"cannot write {self._path}: {error.strerror}; make room or mend the disk") from error

    def _refresh(self) -> None:
        """Read the file if it is not the one that was read last."""
        try:
            status = self._path.stat()
            version = (status.st_ino, status.st_mtime_ns, status.st_size)
            if version != self._version:
                self._entries = self._decode(self._path.read_bytes())
                self._version = version
        except FileNotFoundError:
            if self._version is not None:
                raise JournalError(f"{self._path} is gone; {_ADVICE}") from None
        except OSError as error:
            raise JournalError(f"cannot read {self._path}: {error.strerror}; {_ADVICE}") from error

    def _write(self, entries: dict[str, bytes]) -> None:
        """Replace the file. The lock is held."""
        size_bytes = sum(len(name.encode()) + len(value) for name, value in entries.items())
        while size_bytes > MAX_JOURNAL_BYTES:
            oldest = next(iter(entries))
            size_bytes -= len(oldest.encode()) + len(entries.pop(oldest))
        body = cast(bytes, msgpack.packb([*self._identity, list(entries.items())]))
        unfinished = self._path.with_suffix(".unfinished")
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)  # salts are not for others
        with os.fdopen(descriptor, "wb") as file:
            file.write(_HEADER + hashlib.sha256(body).digest() + body)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self._path)
        self._refresh()

    def _decode(self, data: bytes) -> dict[str, bytes]:
        digest, body = data[len(_HEADER) :][:32], data[len(_HEADER) + 32 :]
        if not data.startswith(_HEADER) or hashlib.sha256(body).digest() != digest:
            raise JournalError(f"{self._path} is damaged; {_ADVICE}")
        *identity, entries = msgpack.unpackb(body)
        if identity != self._identity:
            raise JournalError(f"{self._path} is the journal of another account or chain; {_ADVICE}")
        return dict(entries)

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """No other process writes meanwhile."""
        folder = self._path.parent
        if not folder.exists():
            folder.mkdir(parents=True, exist_ok=True)  # another account's process may have just made it
            sync_folder(folder.parent)
        descriptor = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
