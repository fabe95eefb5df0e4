"""Account keys in files: JSON, readable by their owner alone, encrypted with a passphrase if one is given.

A file is written once and never over another. The passphrase goes through scrypt and the seed through AES-256-GCM,
with the public key as associated data, so that a file cannot pass for another account's.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from optfl.keys import SigningKey, address_of

KIND = "optfl/account-key/v1"

_MAX_FILE_BYTES = 16_384
_SCRYPT_N = 1 << 15  # 32 MiB, about 0.1 s
_SCRYPT_R = 8
_SCRYPT_P = 1
_MAX_SCRYPT_N = 1 << 20  # a file may not make its reader allocate more than 1 GiB
_SALT_BYTES = 16
_NONCE_BYTES = 12


class KeystoreError(Exception):
    """The key file cannot be used. One line that names the file and says what to do."""


@dataclass(frozen=True)
class PublicPart:
    """What a key file tells without its passphrase."""

    path: Path
    public_key: bytes
    encrypted: bool

    @property
    def address(self) -> bytes:
        return address_of(self.public_key)


def write_key(path: Path, key: SigningKey, passphrase: str | None = None) -> None:
    """Write a new key file, for its owner's eyes only; raises KeystoreError if there is one already."""
    document: dict[str, Any] = {"kind": KIND, "address": key.address.hex(), "public_key": key.public_key.hex()}
    if passphrase is None:
        document["seed"] = key.seed.hex()
    else:
        document["encrypted_seed"] = _encrypt(key, passphrase)
    if path.exists():
        raise KeystoreError(f"{path} exists already and is not overwritten; choose another name")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_secret(path, (json.dumps(document, indent=2) + "\n").encode())
    except OSError as error:
        raise KeystoreError(f"cannot write {path}: {error.strerror}; check the folder and its permissions") from None


def write_secret(path: Path, data: bytes) -> None:
    """Write a new file with mode 0600 and sync it; raises FileExistsError rather than replace one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink()  # half a key, on a full disk, would keep the name
        raise


def read_public_part(path: Path) -> PublicPart:
    """Public key and address of a key file, checked for its permissions all the same; raises KeystoreError."""
    return _read_public_part(path, _read_document(path))


def read_key(path: Path, passphrase: str | None = None) -> SigningKey:
    """The key in a file; raises KeystoreError, also for a passphrase that is missing or wrong."""
    document = _read_document(path)
    public = _read_public_part(path, document)
    if not public.encrypted:
        seed = _read_hex(path, document, "seed", 32)
    elif passphrase is None:
        raise KeystoreError(f"{path} is encrypted; give its passphrase")
    else:
        seed = _decrypt(path, document["encrypted_seed"], passphrase, public.public_key)
    key = SigningKey.from_seed(seed)
    if key.public_key != public.public_key:
        raise KeystoreError(f"{path} holds another account's seed than it says; restore the file from its backup")
    return key


def read_consensus_key(path: Path) -> SigningKey:
    """A validator's consensus key, from CometBFT's `priv_validator_key.json`; raises KeystoreError."""
    document = _read_document(path)
    private = document.get("priv_key")
    if not isinstance(private, dict) or private.get("type") != "tendermint/PrivKeyEd25519":
        raise KeystoreError(f"{path} is not an ed25519 key of CometBFT; give a node's config/priv_validator_key.json")
    try:
        return SigningKey.from_seed(base64.b64decode(str(private.get("value")), validate=True)[:32])
    except (binascii.Error, ValueError):
        raise KeystoreError(f"{path} holds a damaged key; restore it from its backup") from None


def _read_document(path: Path) -> dict[str, Any]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a FIFO must not hang us
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise KeystoreError(f"{path} is not a file; give the path of a key file")
            if status.st_mode & 0o077:
                raise KeystoreError(f"{path} can be read by others than its owner; run: chmod 600 {path}")
            data = file.read(_MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise KeystoreError(f"there is no {path}; make a key with `optfl keys new {path}`") from None
    except OSError as error:
        raise KeystoreError(f"cannot read {path}: {error.strerror}; check its permissions") from None
    try:
        document = json.loads(data) if len(data) <= _MAX_FILE_BYTES else None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise KeystoreError(f"{path} is not a key file (no JSON object); restore it or make another key")
    return document


def _read_public_part(path: Path, document: dict[str, Any]) -> PublicPart:
    if document.get("kind") != KIND:
        raise KeystoreError(f'{path} is not a key file of kind "{KIND}"; make one with `optfl keys new`')
    public_key = _read_hex(path, document, "public_key", 32)
    if _read_hex(path, document, "address", 20) != address_of(public_key):
        raise KeystoreError(f"{path} names an address that is not its public key's; restore it from its backup")
    return PublicPart(path, public_key, encrypted="encrypted_seed" in document)


def _read_hex(path: Path, document: Any, name: str, size_bytes: int) -> bytes:
    value = document.get(name) if isinstance(document, dict) else None
    try:
        data = bytes.fromhex(value) if isinstance(value, str) else b""
    except ValueError:
        data = b""
    if len(data) != size_bytes:
        raise KeystoreError(f"{path}: {name} must be {2 * size_bytes} hexadecimal digits; restore it from its backup")
    return data


def _encrypt(key: SigningKey, passphrase: str) -> dict[str, Any]:
    salt, nonce = os.urandom(_SALT_BYTES), os.urandom(_NONCE_BYTES)
    ciphertext = AESGCM(_derive(passphrase, salt, _SCRYPT_N)).encrypt(nonce, key.seed, key.public_key)
    return {"scrypt_n": _SCRYPT_N, "salt": salt.hex(), "nonce": nonce.hex(), "ciphertext": ciphertext.hex()}


def _decrypt(path: Path, box: Any, passphrase: str, public_key: bytes) -> bytes:
    salt = _read_hex(path, box, "salt", _SALT_BYTES)
    nonce = _read_hex(path, box, "nonce", _NONCE_BYTES)
    ciphertext = _read_hex(path, box, "ciphertext", 32 + 16)
    scrypt_n = box.get("scrypt_n")
    if not isinstance(scrypt_n, int) or scrypt_n < 2 or scrypt_n > _MAX_SCRYPT_N or scrypt_n & (scrypt_n - 1):
        raise KeystoreError(
            f"{path}: scrypt_n must be a power of two, at most {_MAX_SCRYPT_N}; restore it from a backup"
        )
    try:
        return AESGCM(_derive(passphrase, salt, scrypt_n)).decrypt(nonce, ciphertext, public_key)
    except InvalidTag:
        raise KeystoreError(f"the passphrase does not open {path}; try again") from None


def _derive(passphrase: str, salt: bytes, scrypt_n: int) -> bytes:
    return Scrypt(salt=salt, length=32, n=scrypt_n, r=_SCRYPT_R, p=_SCRYPT_P).derive(passphrase.encode())
