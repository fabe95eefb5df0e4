"""The journal of what an account signed: there after a kill at any point, and never begun anew in silence."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import support.storage
from offchain.adapters import journal as module
from offchain.adapters.journal import FileJournal
from offchain.adapters.memory import MemoryJournal
from offchain.interfaces import JournalError, VoteJournal
from support.storage import CHAIN_ID, VALIDATORS

ADDRESS = VALIDATORS[0].address


def open_journal(folder: Path, chain_id: str = CHAIN_ID, address: bytes = ADDRESS) -> FileJournal:
    return FileJournal(folder / "journal", chain_id, address)


def find_file(folder: Path) -> Path:
    (path,) = (folder / "journal").glob("*.journal")
    return path


@pytest.fixture(params=["file", "memory"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> VoteJournal:
    return open_journal(tmp_path) if request.param == "file" else MemoryJournal()


def test_what_is_put_is_there(journal: VoteJournal) -> None:
    assert journal.get("vote/1/5") is None
    journal.put("vote/1/5", b"yes")
    journal.put("vote/1/6", b"")
    assert (journal.get("vote/1/5"), journal.get("vote/1/6")) == (b"yes", b"")


def test_another_value_under_the_same_name_is_refused(journal: VoteJournal) -> None:
    """It would be signed next, and two different votes are slashed."""
    journal.put("vote/1/5", b"yes")
    journal.put("vote/1/5", b"yes")
    with pytest.raises(ValueError, match="with another value"):
        journal.put("vote/1/5", b"no")
    assert journal.get("vote/1/5") == b"yes"


def test_it_is_there_after_a_restart_and_for_its_account_and_chain_alone(tmp_path: Path) -> None:
    open_journal(tmp_path).put("a", b"1")
    assert open_journal(tmp_path).get("a") == b"1"
    assert open_journal(tmp_path, address=VALIDATORS[1].address).get("a") is None
    assert open_journal(tmp_path, chain_id="a/b").get("a") is None


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    """Salts and votes are in it before they are revealed."""
    open_journal(tmp_path).put("a", b"1")
    assert find_file(tmp_path).stat().st_mode & 0o077 == 0


def test_two_processes_of_an_account_cannot_sign_different_things(tmp_path: Path) -> None:
    first, second = open_journal(tmp_path), open_journal(tmp_path)
    first.put("a", b"1")
    second.put("b", b"2")
    assert (first.get("b"), second.get("a")) == (b"2", b"1")
    with pytest.raises(ValueError, match="with another value"):
        second.put("a", b"2")


@given(entries=st.dictionaries(st.text(max_size=20), st.binary(max_size=100), max_size=5))
def test_any_names_and_values_survive(entries: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("any")
    journal = open_journal(folder)
    for name, value in entries.items():
        journal.put(name, value)
    assert {name: open_journal(folder).get(name) for name in entries} == entries


# What the disk does.


@pytest.mark.parametrize("damage", ["flipped", "truncated", "emptied", "foreign"])
def test_a_damaged_journal_is_said_and_not_begun_anew(tmp_path: Path, damage: str) -> None:
    journal = open_journal(tmp_path)
    journal.put("a", b"1")
    path = find_file(tmp_path)
    data = path.read_bytes()
    flipped = data[:-1] + bytes([data[-1] ^ 1])
    path.write_bytes({"flipped": flipped, "truncated": data[:-1], "emptied": b"", "foreign": b"{}"}[damage])
    for use in (lambda: open_journal(tmp_path), lambda: journal.get("a"), lambda: journal.put("b", b"2")):
        with pytest.raises(JournalError, match=r"is damaged; restore it from a backup .* slashed"):
            use()


def test_anothers_journal_under_this_name_is_said(tmp_path: Path) -> None:
    open_journal(tmp_path).put("a", b"1")
    path = find_file(tmp_path)
    path.rename(path.with_name(path.name.replace(ADDRESS.hex(), VALIDATORS[1].address.hex())))
    with pytest.raises(JournalError, match="the journal of another account or chain; restore"):
        open_journal(tmp_path, address=VALIDATORS[1].address)


def test_a_journal_that_is_gone_while_it_is_used_is_said(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    journal.put("a", b"1")
    find_file(tmp_path).unlink()
    with pytest.raises(JournalError, match="is gone; restore"):
        journal.put("b", b"2")


def test_a_full_disk_is_said_and_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = open_journal(tmp_path)
    journal.put("a", b"1")

    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(JournalError, match=r"cannot write .*: No space left on device; make room"):
            journal.put("b", b"2")
    assert open_journal(tmp_path).get("b") is None
    journal.put("b", b"3")
    assert open_journal(tmp_path).get("b") == b"3"


def test_a_journal_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    path = tmp_path / "journal" / f"{CHAIN_ID}-{ADDRESS.hex()}.journal"
    path.mkdir(parents=True)
    with pytest.raises(JournalError, match="cannot read"):
        open_journal(tmp_path)


def test_a_folder_that_cannot_be_written_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("a file")
    with pytest.raises(JournalError, match=r"cannot write in .*journal: Not a directory; set journal to a folder"):
        open_journal(tmp_path)


def test_its_size_is_bounded_and_the_oldest_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_JOURNAL_BYTES", 100)
    journal = open_journal(tmp_path)
    for name in "abc":
        journal.put(name, bytes(40))
    assert [open_journal(tmp_path).get(name) is None for name in "abc"] == [True, False, False]
    with pytest.raises(ValueError, match="an entry of"):
        journal.put("d", bytes(module.MAX_ENTRY_BYTES + 1))


# Killed.


@contextmanager
def writer(folder: Path, prelude: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """A process that journals 0, 1, 2 … and says each number once it is durable."""
    root = Path(support.storage.__file__).parents[2]
    code = f"""{prelude}
from pathlib import Path
from offchain.adapters.journal import FileJournal
journal = FileJournal(Path({str(folder / "journal")!r}), {CHAIN_ID!r}, bytes.fromhex({ADDRESS.hex()!r}))
number = 0
while True:
    journal.put(str(number), bytes([number % 256]) * 1000)
    print(number, flush=True)
    number += 1
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(root)}, stdout=subprocess.PIPE, bufsize=0
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_a_process_that_is_killed_has_all_that_it_had_journalled(tmp_path: Path) -> None:
    with writer(tmp_path) as process:
        assert process.stdout is not None
        for _ in range(50):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.wait()
        last = 49 + len(process.stdout.read().splitlines())
    journal = open_journal(tmp_path)
    assert all(journal.get(str(number)) == bytes([number % 256]) * 1000 for number in range(last + 1))
    assert journal.get(str(last + 2)) is None


@pytest.mark.parametrize("point", ["fsync", "replace"])
def test_a_kill_in_the_middle_of_a_write_loses_only_what_was_not_promised(tmp_path: Path, point: str) -> None:
    """Half of the new file is there: before it is synced, or just before it takes the old one's place."""
    hang = "lambda *_: (print('hanging', flush=True), time.sleep(3600))"
    owner = "os" if point == "fsync" else "pathlib.Path"
    open_journal(tmp_path).put("before", b"1")
    with writer(tmp_path, f"import os, pathlib, time; {owner}.{point} = {hang}") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"hanging\n"
    journal = open_journal(tmp_path)
    assert (journal.get("before"), journal.get("0")) == (b"1", None)
    journal.put("0", b"another")
    assert open_journal(tmp_path).get("0") == b"another"


def test_accounts_that_make_the_folder_at_the_same_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Validators of one machine keep their journals side by side, and all write first when the first vote begins."""
    mkdir = Path.mkdir

    def lose_the_race(path: Path, *args: object, **kwargs: bool) -> None:
        os.mkdir(path)  # noqa: PTH102  # another process, just before
        mkdir(path, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "mkdir", lose_the_race)
    open_journal(tmp_path).put("vote/1/5", b"yes")
    assert open_journal(tmp_path).get("vote/1/5") == b"yes"
