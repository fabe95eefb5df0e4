"""The store on disk: crashes at every step, bit rot, full and lying disks, two replicas in one folder."""

from __future__ import annotations

import errno
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from offchain.storage.disk import DiskStore, StoreInUse
from offchain.storage.store import CorruptBlob, NotStored, Slot, StoreFailed, StoreFull
from support.storage import CLIENTS, make_update

OLD, NEW = make_update(1), make_update(2)
SLOT = Slot(1, 2, CLIENTS[0].address, "update")
OTHER = Slot(1, 3, CLIENTS[1].address, "update")


def reopen(store: DiskStore, folder: Path) -> DiskStore:
    store.close()
    return DiskStore(folder)


def list_files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file() and path.name != "lock"}


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_restart_keeps_what_was_stored(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    store.put(OLD, SLOT, 10)
    store.put(OLD, OTHER, 30)
    record = store.get_record(OLD.id)
    store = reopen(store, tmp_path)
    assert store.get_record(OLD.id) == record
    assert store.read(OLD.id).data == OLD.data
    assert store.get_ids(OTHER) == {OLD.id}
    store.close()


def test_a_crash_at_any_step_keeps_what_was_stored_and_leaves_nothing_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder as it is before and after every rename and fsync of a put is a folder to restart from."""
    folder = tmp_path / "live"
    store = DiskStore(folder)
    store.put(OLD, SLOT, 10)
    snapshots: list[Path] = []

    def photographed(call: Callable[..., Any]) -> Callable[..., Any]:
        def around(*args: Any) -> Any:
            for moment in ("before", "after"):
                result = call(*args) if moment == "after" else None
                snapshots.append(tmp_path / f"{len(snapshots)}-{moment}-{call.__name__}")
                shutil.copytree(folder, snapshots[-1])
            return result

        return around

    monkeypatch.setattr(os, "fsync", photographed(os.fsync))
    monkeypatch.setattr(Path, "replace", photographed(Path.replace))
    store.put(NEW, SLOT, 10)
    store.put(OLD, OTHER, 20)  # rewrites a record
    monkeypatch.undo()
    store.close()
    assert len(snapshots) >= 16
    for snapshot in snapshots:
        restarted = DiskStore(snapshot)
        assert restarted.read(OLD.id).data == OLD.data, snapshot.name
        expected = {OLD.id.hex(), f"{OLD.id.hex()}.meta"}
        if restarted.get_record(NEW.id) is not None:
            assert restarted.read(NEW.id).data == NEW.data, snapshot.name
            expected |= {NEW.id.hex(), f"{NEW.id.hex()}.meta"}
        assert list_files(snapshot) == expected, snapshot.name
        restarted.put(NEW, SLOT, 10)
        restarted.close()


def test_half_written_files_are_dropped_at_a_restart(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    DiskStore(tmp_path).close()
    (tmp_path / "incoming" / f"{NEW.id.hex()}.3").write_bytes(NEW.data[:100])
    (tmp_path / "blobs" / NEW.id.hex()).write_bytes(NEW.data)  # renamed, but its record was never written
    with caplog.at_level(logging.INFO):
        store = DiskStore(tmp_path)
    assert list_files(tmp_path) == set()
    assert "never signed for" in caplog.text
    with pytest.raises(NotStored):
        store.read(NEW.id)
    store.close()


def test_bit_rot_is_set_aside_and_never_served(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = DiskStore(tmp_path)
    store.put(OLD, SLOT, 10)
    flip_a_byte(tmp_path / "blobs" / OLD.id.hex())
    with pytest.raises(CorruptBlob):
        store.read(OLD.id)
    assert "does not match its id" in caplog.text
    assert len(list((tmp_path / "quarantine").iterdir())) == 2
    with pytest.raises(NotStored):
        store.read(OLD.id)
    assert store.get_ids(SLOT) == frozenset()
    store.put(OLD, SLOT, 10)  # its owner can store it again
    store = reopen(store, tmp_path)
    assert store.read(OLD.id).data == OLD.data
    store.close()


def test_a_rotten_blob_is_repaired_when_its_owner_puts_it_again(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    store.put(OLD, SLOT, 10)
    flip_a_byte(tmp_path / "blobs" / OLD.id.hex())
    store.put(OLD, SLOT, 20)
    assert store.read(OLD.id).data == OLD.data
    store.close()


@pytest.mark.parametrize("damaged", ["", ".meta"])
def test_a_truncated_file_is_set_aside_at_a_restart(
    tmp_path: Path, damaged: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = DiskStore(tmp_path)
    store.put(OLD, SLOT, 10)
    store.put(NEW, SLOT, 10)
    path = tmp_path / "blobs" / f"{OLD.id.hex()}{damaged}"
    path.write_bytes(path.read_bytes()[:-1])
    store = reopen(store, tmp_path)
    assert store.get_record(OLD.id) is None
    assert store.read(NEW.id).data == NEW.data
    assert "moved" in caplog.text
    store.close()


def test_a_changed_record_is_set_aside_at_a_restart(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    store.put(OLD, SLOT, 10)
    flip_a_byte(tmp_path / "blobs" / f"{OLD.id.hex()}.meta")
    store = reopen(store, tmp_path)
    assert store.get_record(OLD.id) is None
    assert list_files(tmp_path / "blobs") == set()
    store.close()


def test_a_lost_file_is_noticed(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    store.put(OLD, SLOT, 10)
    (tmp_path / "blobs" / OLD.id.hex()).unlink()
    with pytest.raises(CorruptBlob):
        store.read(OLD.id)
    assert store.get_record(OLD.id) is None
    store.close()


@pytest.mark.parametrize("failing_call", [1, 2, 3])
def test_a_full_disk_is_said_and_gives_the_space_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing_call: int
) -> None:
    """Wherever the space runs out: blob, record, folder."""
    store = DiskStore(tmp_path)
    store.put(OLD, SLOT, 10)
    calls = 0
    fsync = os.fsync

    def fail_once(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == failing_call:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail_once)
    with pytest.raises(StoreFull, match="no space left"):
        store.put(NEW, SLOT, 10)
    assert list_files(tmp_path) == {OLD.id.hex(), f"{OLD.id.hex()}.meta"}
    assert store.get_ids(SLOT) == {OLD.id}
    store.put(NEW, SLOT, 10)
    assert store.read(NEW.id).data == NEW.data
    store.close()


def test_a_failing_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = DiskStore(tmp_path)

    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StoreFailed, match="check the disk"):
        store.put(NEW, SLOT, 10)
    assert store.get_record(NEW.id) is None
    monkeypatch.undo()
    store.close()


def test_a_disk_that_changes_what_is_written_is_caught_by_reading_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = DiskStore(tmp_path)
    fsync = os.fsync

    def change(descriptor: int) -> None:
        os.pwrite(descriptor, b"\xff\x00\xff", 10)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", change)
    with pytest.raises(StoreFailed, match="reads back differently"):
        store.put(NEW, SLOT, 10)
    monkeypatch.undo()
    assert list_files(tmp_path) == set()
    assert store.get_record(NEW.id) is None
    store.close()


def test_pruning_removes_the_files(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    store.put(OLD, SLOT, 10)
    store.put(NEW, SLOT, 30)
    assert store.prune(11) == 1
    assert list_files(tmp_path) == {NEW.id.hex(), f"{NEW.id.hex()}.meta"}
    store.close()


def test_pruning_leaves_what_is_just_being_stored_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a receipt would be signed for a blob that is gone."""
    store = DiskStore(tmp_path)
    store.put(OLD, SLOT, 10)
    replace = Path.replace
    pruned: list[int] = []

    def prune_first(self: Path, target: Path) -> Path:
        store._lock.release()  # the put holds it while it writes its record; a prune may have run just before
        pruned.append(store.prune(11))
        store._lock.acquire()
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", prune_first)
    store.put(OLD, SLOT, 20)
    assert pruned == [0]
    assert store.read(OLD.id).data == OLD.data
    store.close()


def test_a_folder_serves_one_replica_at_a_time(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    with pytest.raises(StoreInUse, match="configure another folder"):
        DiskStore(tmp_path)
    reopen(store, tmp_path).close()


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreFailed, match="permissions"):
        DiskStore(tmp_path / "file" / "store")


def test_files_of_others_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    DiskStore(tmp_path).close()
    for name in ("notes.txt", "zz.meta"):
        (tmp_path / "blobs" / name).touch()
    DiskStore(tmp_path).close()
    assert list_files(tmp_path) == {"notes.txt", "zz.meta"}
