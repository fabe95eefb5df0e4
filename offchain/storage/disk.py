"""A blob store in a folder: what was signed for survives a crash at any point, and bit rot is found, never served.

The folder holds `blobs/<id>`, a vector's bytes, `blobs/<id>.meta`, its record with a checksum of its own, `incoming/`,
files being written, dropped at a restart, and `quarantine/`, what no longer matches its id, for the operator to see.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import itertools
import logging
import os
import re
import threading
import time
from collections import Counter
from pathlib import Path
from typing import cast

import msgpack  # type: ignore[import-untyped]  # ships no types

from offchain.kernels.hashing import make_vector
from offchain.storage.store import CorruptBlob, Index, NotStored, Record, Slot, StoreFailed, StoreFull
from optfl.vectors import ChunkedVector, Data, Shape, VectorError

log = logging.getLogger(__name__)

_META = ".meta"
_BLOB = re.compile("[0-9a-f]{64}")
_PIECE_BYTES = 1 << 17  # that are read at once to compare a file: they stay in a core's cache


class StoreInUse(Exception):
    """Another process keeps its blobs in this folder."""


class DiskStore:
    """`BlobStore` in `folder`, which it makes and locks; one process a folder. Raises StoreInUse, StoreFailed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._blobs, self._incoming, self._quarantine = folder / "blobs", folder / "incoming", folder / "quarantine"
        self._index = Index()
        self._lock = threading.Lock()  # guards the index, the records on disk and _pins
        self._pins: Counter[bytes] = Counter()  # ids that a put is at work on: prune leaves them alone
        self._serial = itertools.count()
        try:
            for path in (self._blobs, self._incoming, self._quarantine):
                path.mkdir(parents=True, exist_ok=True)
            self._owner = _lock_folder(folder)
            for path in (folder, folder.parent):  # the folders must survive a power cut like what is in them
                sync_folder(path)
            self._restore()
        except OSError as error:
            raise self._explain(error) from error

    def close(self) -> None:
        os.close(self._owner)

    def put(self, vector: ChunkedVector, slot: Slot, retain_until_height: int) -> None:
        vector_id = vector.id
        with self._lock:
            self._pins[vector_id] += 1
        try:
            if not self._has(vector_id, vector.buffer):
                self._write_blob(vector_id, vector.buffer)
            with self._lock:
                record = self._index.records.get(vector_id) or Record(vector.shape, vector.root, {})
                self._write_record(vector_id, record.extend(slot, retain_until_height))
        except OSError as error:
            raise self._explain(error) from error
        finally:
            self._unpin(vector_id)

    def read(self, vector_id: bytes) -> ChunkedVector:
        record = self.get_record(vector_id)
        if record is None:
            raise NotStored(vector_id.hex())
        if (vector := self._load(vector_id, record)) is not None:
            return vector
        with self._lock:
            # It may have been pruned, or stored again, since it was looked at.
            if self._index.records.get(vector_id) is record and self._load(vector_id, record) is None:
                log.error("blob %s does not match its id any more; moved to %s", vector_id.hex(), self._quarantine)
                self._set_aside(vector_id)
        raise CorruptBlob(vector_id.hex())

    def get_record(self, vector_id: bytes) -> Record | None:
        return self._index.records.get(vector_id)

    def get_ids(self, slot: Slot) -> frozenset[bytes]:
        return self._index.get_ids(slot)

    def prune(self, height: int) -> int:
        with self._lock:
            expired = [vector_id for vector_id in self._index.expire(height) if vector_id not in self._pins]
            for vector_id in expired:
                self._index.remove(vector_id)
                self._discard(self._meta_path(vector_id))  # first: a blob without a record is dropped at a restart
                self._discard(self._path(vector_id))
        return len(expired)

    def _path(self, vector_id: bytes) -> Path:
        return self._blobs / vector_id.hex()

    def _meta_path(self, vector_id: bytes) -> Path:
        return self._blobs / (vector_id.hex() + _META)

    def _has(self, vector_id: bytes, data: Data) -> bool:
        """Whether exactly these bytes are stored already."""
        try:
            is_stored = _holds(self._path(vector_id), data)
        except FileNotFoundError:
            return False
        if not is_stored:
            log.error("blob %s does not match its id any more; its owner stores it again", vector_id.hex())
        return is_stored

    def _write_blob(self, vector_id: bytes, data: Data) -> None:
        self._write_file(self._path(vector_id), data)
        # Equal bytes have the equal id, so this re-computes it at the price of a comparison.
        if not _holds(self._path(vector_id), data):
            raise StoreFailed(f"{self._path(vector_id)} reads back differently than it was written; check the disk")

    def _write_record(self, vector_id: bytes, record: Record) -> None:
        """Promise what `record` says. The lock is held."""
        if not self._path(vector_id).exists():
            raise StoreFailed(f"blob {vector_id.hex()} went bad while it was stored; check the disk")
        self._write_file(self._meta_path(vector_id), _encode_record(record))
        sync_folder(self._blobs)  # for both names; until here a restart drops what it finds
        self._index.put(vector_id, record)

    def _write_file(self, path: Path, data: Data) -> None:
        temporary = self._incoming / f"{path.name}.{next(self._serial)}"
        try:
            with temporary.open("xb", buffering=0) as file:
                unwritten = memoryview(data)
                while unwritten:
                    unwritten = unwritten[file.write(unwritten) :]
                os.fsync(file.fileno())
                if hasattr(os, "posix_fadvise"):  # out of the page cache, so that reading back asks the disk
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            temporary.replace(path)
        except OSError:
            self._discard(temporary)
            raise

    def _load(self, vector_id: bytes, record: Record) -> ChunkedVector | None:
        """The vector as the disk has it, None if that is not the vector with this id. Raises StoreFailed."""
        try:
            vector = make_vector(record.shape, self._path(vector_id).read_bytes())
        except (FileNotFoundError, VectorError):
            return None
        except OSError as error:
            raise self._explain(error) from error
        return vector if vector.id == vector_id else None

    def _unpin(self, vector_id: bytes) -> None:
        with self._lock:
            self._pins[vector_id] -= 1
            if self._pins[vector_id]:
                return
            del self._pins[vector_id]
            if vector_id not in self._index.records:  # the put failed: give the space back
                self._discard(self._path(vector_id))
                self._discard(self._meta_path(vector_id))

    def _set_aside(self, vector_id: bytes) -> None:
        self._index.remove(vector_id)
        for path in (self._path(vector_id), self._meta_path(vector_id)):
            try:
                path.replace(self._quarantine / f"{path.name}.{time.time_ns()}")
            except FileNotFoundError:
                log.warning("%s is gone", path)
            except OSError as error:
                log.error("cannot move %s away: %s", path, error)  # noqa: TRY400  the cause is in the line

    def _discard(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("cannot remove %s: %s; remove it by hand", path, error)

    def _restore(self) -> None:
        """Rebuild the index from the records; drop what a crash left half-done."""
        for path in sorted(self._incoming.iterdir()):
            log.info("dropping %s: half-written, never signed for", path.name)
            path.unlink()
        names = {path.name: None for path in sorted(self._blobs.iterdir())}
        for name in names:
            if _BLOB.fullmatch(name) and f"{name}{_META}" not in names:
                log.info("dropping %s: it has no record, so it was never signed for", name)
                (self._blobs / name).unlink()
        for name in names:
            if name.endswith(_META) and _BLOB.fullmatch(name.removesuffix(_META)):
                self._restore_record(name.removesuffix(_META))

    def _restore_record(self, name: str) -> None:
        vector_id = bytes.fromhex(name)
        try:
            record = _decode_record(self._meta_path(vector_id).read_bytes())
            stored_bytes = self._path(vector_id).stat().st_size
        except (ValueError, FileNotFoundError) as error:
            log.error("blob %s: %s; moved to %s", name, error, self._quarantine)  # noqa: TRY400
            self._set_aside(vector_id)
            return
        if stored_bytes != record.shape.size_bytes:
            log.error("blob %s has %d bytes instead of %d; moved away", name, stored_bytes, record.shape.size_bytes)
            self._set_aside(vector_id)
            return
        self._index.put(vector_id, record)

    def _explain(self, error: OSError) -> StoreFailed:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return StoreFull(f"no space left in {self._folder}; free some, then the replica takes blobs again")
        return StoreFailed(f"{self._folder}: {error.strerror or error}; check the disk and the folder's permissions")


def _holds(path: Path, data: Data) -> bool:
    """Whether a file has exactly these bytes. In pieces: memory for all of it would cost more than the comparison."""
    expected, start = memoryview(data), 0
    piece = bytearray(_PIECE_BYTES)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(piece):
            if bytes(expected[start : start + count]) != (piece if count == len(piece) else piece[:count]):
                return False
            start += count
    return start == len(data)


def _lock_folder(folder: Path) -> int:
    """Descriptor that holds the folder's lock until it is closed, or its process is gone."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StoreInUse(f"{folder} is in use by another replica; stop that one or configure another folder") from None
    return descriptor


def sync_folder(folder: Path) -> None:
    """Return once the names in `folder` are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _encode_record(record: Record) -> bytes:
    shape = (record.shape.dtype, record.shape.length, record.shape.chunk_values)
    slots = [(s.task_id, s.round, s.owner, s.kind, until) for s, until in record.retain_until.items()]
    body = cast(bytes, msgpack.packb((shape, record.root, slots)))
    return hashlib.sha256(body).digest() + body


def _decode_record(data: bytes) -> Record:
    """ValueError unless `data` is what _encode_record made."""
    digest, body = data[:32], data[32:]
    if hashlib.sha256(body).digest() != digest:
        raise ValueError("its record is damaged")
    shape, root, slots = msgpack.unpackb(body)
    return Record(Shape(*shape), root, {Slot(*slot): until for *slot, until in slots})
