"""Key files: for their owner alone, never overwritten, and useless when anything in them was changed."""

from __future__ import annotations

import base64
import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from offchain.adapters.keystore import (
    KeystoreError,
    read_consensus_key,
    read_key,
    read_public_part,
    write_key,
)
from optfl.keys import SigningKey

KEY = SigningKey.from_seed(b"\x07" * 32)


def edit(path: Path, changes: dict[str, Any]) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    write_key(tmp_path / "keys" / "a.json", KEY)
    return tmp_path / "keys" / "a.json"


@pytest.fixture
def encrypted(tmp_path: Path) -> Path:
    write_key(tmp_path / "b.json", KEY, "a passphrase")
    return tmp_path / "b.json"


def test_a_key_comes_back(plain: Path) -> None:
    assert read_key(plain).seed == KEY.seed
    public = read_public_part(plain)
    assert (public.address, public.public_key, public.encrypted) == (KEY.address, KEY.public_key, False)


def test_an_encrypted_key_comes_back_with_its_passphrase_alone(encrypted: Path) -> None:
    assert KEY.seed.hex() not in encrypted.read_text()
    assert read_public_part(encrypted).encrypted
    assert read_key(encrypted, "a passphrase").seed == KEY.seed
    with pytest.raises(KeystoreError, match="the passphrase does not open"):
        read_key(encrypted, "A passphrase")
    with pytest.raises(KeystoreError, match="is encrypted; give its passphrase"):
        read_key(encrypted)


def test_only_the_owner_can_read_it(plain: Path) -> None:
    assert stat.S_IMODE(plain.stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_can_read_is_refused(plain: Path, mode: int) -> None:
    plain.chmod(mode)
    with pytest.raises(KeystoreError, match=f"run: chmod 600 {plain}"):
        read_key(plain)


def test_nothing_is_overwritten(plain: Path) -> None:
    before = plain.read_bytes()
    with pytest.raises(KeystoreError, match="exists already and is not overwritten"):
        write_key(plain, SigningKey.generate())
    assert plain.read_bytes() == before


def test_a_key_that_could_not_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a full disk: half a file would keep the name."""

    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fail)
        with pytest.raises(KeystoreError, match=r"cannot write .*No space left on device"):
            write_key(tmp_path / "a.json", SigningKey.generate())
    assert not (tmp_path / "a.json").exists()
    write_key(tmp_path / "a.json", SigningKey.generate())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "optfl/account-key/v2"}, "is not a key file of kind"),
        ({"public_key": "00"}, "public_key must be 64 hexadecimal digits"),
        ({"public_key": "zz" * 32}, "public_key must be 64 hexadecimal digits"),
        ({"public_key": 5}, "public_key must be 64 hexadecimal digits"),
        ({"address": "00" * 20}, "names an address that is not its public key's"),
        ({"seed": "00" * 32}, "holds another account's seed than it says"),
        ({"seed": None}, "seed must be 64 hexadecimal digits"),
    ],
)
def test_a_changed_file_is_refused(plain: Path, changes: dict[str, Any], message: str) -> None:
    edit(plain, changes)
    with pytest.raises(KeystoreError, match=message) as caught:
        read_key(plain)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ciphertext": "00" * 48}, "the passphrase does not open"),
        ({"salt": "00" * 16}, "the passphrase does not open"),
        ({"salt": ""}, "salt must be 32 hexadecimal digits"),
        ({"scrypt_n": 1 << 40}, "scrypt_n must be a power of two, at most"),
        ({"scrypt_n": 1000}, "scrypt_n must be a power of two, at most"),
        ({"scrypt_n": "x"}, "scrypt_n must be a power of two, at most"),
    ],
)
def test_a_changed_encrypted_file_is_refused(encrypted: Path, changes: dict[str, Any], message: str) -> None:
    box = json.loads(encrypted.read_text())["encrypted_seed"]
    edit(encrypted, {"encrypted_seed": {**box, **changes}})
    with pytest.raises(KeystoreError, match=message):
        read_key(encrypted, "a passphrase")


def test_an_encrypted_seed_cannot_pass_for_another_account(encrypted: Path) -> None:
    other = SigningKey.generate()
    edit(encrypted, {"public_key": other.public_key.hex(), "address": other.address.hex()})
    with pytest.raises(KeystoreError, match="the passphrase does not open"):
        read_key(encrypted, "a passphrase")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 10_000, b" " * 20_000])
def test_what_is_no_key_file_is_refused(plain: Path, data: bytes) -> None:
    plain.write_bytes(data)
    with pytest.raises(KeystoreError, match="is not a key file"):
        read_key(plain)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeystoreError, match="make a key with `optfl keys new"):
        read_key(tmp_path / "nothing")
    with pytest.raises(KeystoreError, match=r"is not a file|cannot read"):
        read_key(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(KeystoreError, match="is not a file"):
        read_key(tmp_path / "fifo")


def test_a_folder_that_cannot_be_written_to_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KeystoreError, match="cannot write"):
        write_key(tmp_path / "file" / "a.json", KEY)


def write_consensus_key(path: Path, kind: str, value: str) -> Path:
    path.write_text(json.dumps({"priv_key": {"type": kind, "value": value}}))
    path.chmod(0o600)
    return path


def test_a_consensus_key_of_cometbft(tmp_path: Path) -> None:
    value = base64.b64encode(KEY.seed + KEY.public_key).decode()
    path = write_consensus_key(tmp_path / "key.json", "tendermint/PrivKeyEd25519", value)
    assert read_consensus_key(path).public_key == KEY.public_key


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("tendermint/PrivKeySecp256k1", "", "is not an ed25519 key of CometBFT"),
        ("tendermint/PrivKeyEd25519", "!", "holds a damaged key"),
        ("tendermint/PrivKeyEd25519", "AAAA", "holds a damaged key"),
    ],
)
def test_another_consensus_key_is_refused(tmp_path: Path, kind: str, value: str, message: str) -> None:
    with pytest.raises(KeystoreError, match=message):
        read_consensus_key(write_consensus_key(tmp_path / "key.json", kind, value))
