"""The secret of a validator's hash chains, in a file beside its keys: what its node reveals in its own blocks (A9).

    {"kind": "optfl/beacon-secret/v1", "chains": [{"secret": 64 hex digits, "reveals": integer}, …]}

Two chains at most: the one in force, and the next. Whoever reads the file knows the validator's part of every beacon
to come; nobody can spend or sign anything with it.
"""

from __future__ import annotations

import json
import logging
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from optfl.beacon import MAX_LENGTH, VALUE_BYTES, HashChain

KIND = "optfl/beacon-secret/v1"
MAX_CHAINS = 2
WARN_AT_REVEALS = 4096  # a chain with fewer left is worth a line in the log, now and then

_MAX_FILE_BYTES = 4096
_WARN_EVERY = 256

logger = logging.getLogger(__name__)


class BeaconFileError(Exception):
    """The file cannot be used. One line that names it and says what to do."""


class ChainSecret(NamedTuple):
    """What a hash chain is made from."""

    secret: bytes
    reveals: int


def encode_secrets(secrets: Sequence[ChainSecret]) -> bytes:
    """The content of a file, the chain in force first."""
    chains = [{"secret": chain.secret.hex(), "reveals": chain.reveals} for chain in secrets]
    return (json.dumps({"kind": KIND, "chains": chains}, indent=2) + "\n").encode()


def read_secrets(path: Path) -> list[ChainSecret]:
    """The secrets in a file that nobody but its owner can read; raises BeaconFileError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a FIFO must not hang us
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise BeaconFileError(f"{path} is not a file; give the beacon.json of a node")
            if status.st_mode & 0o077:
                raise BeaconFileError(f"{path} can be read by others than its owner; run: chmod 600 {path}")
            data = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise BeaconFileError(
            f"cannot read {path}: {error.strerror}; restore it, or make another with `optfl node renew-beacon`"
        ) from None
    try:
        document = json.loads(data) if len(data) <= _MAX_FILE_BYTES else None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or document.get("kind") != KIND:
        raise BeaconFileError(f'{path} is no file of kind "{KIND}"; restore it from its backup')
    chains = document.get("chains")
    if not isinstance(chains, list) or not 1 <= len(chains) <= MAX_CHAINS:
        raise BeaconFileError(f"{path}: chains must be a list of 1 to {MAX_CHAINS}; restore it from its backup")
    return [_read_chain(path, chain) for chain in chains]


def _read_chain(path: Path, chain: Any) -> ChainSecret:
    try:
        secret, reveals = bytes.fromhex(chain["secret"]), chain["reveals"]
    except (KeyError, TypeError, ValueError):
        raise BeaconFileError(f"{path}: a chain lacks its secret or reveals; restore it from its backup") from None
    if len(secret) != VALUE_BYTES or type(reveals) is not int or not 1 <= reveals <= MAX_LENGTH:
        raise BeaconFileError(
            f"{path}: a secret has {2 * VALUE_BYTES} hexadecimal digits and 1 to {MAX_LENGTH} reveals; "
            "restore it from its backup"
        )
    return ChainSecret(secret, reveals)


class BeaconSecret:
    """The chains of a file, and what the operator should know of them."""

    def __init__(self, path: Path) -> None:
        """Read and compute the chains; raises BeaconFileError."""
        self._path = path
        self._chains = [HashChain(chain.secret, chain.reveals) for chain in read_secrets(path)]
        self._missed = b""

    def find_preimage(self, tip: bytes) -> bytes | None:
        """What to reveal where the ledger has `tip`; None where these chains have nothing before it."""
        if not tip:
            return None  # nothing is registered yet
        for chain in self._chains:
            if (left := chain.count_left(tip)) > 0:
                if left <= WARN_AT_REVEALS and left % _WARN_EVERY == 0:
                    logger.warning("%s: %d reveals left; `optfl node renew-beacon` makes more", self._path, left)
                return chain.get_preimage(tip)
        if tip != self._missed:
            self._missed = tip
            logger.warning(
                "%s has nothing to reveal under %s: blocks of this node earn no fees; make the next chain with "
                "`optfl node renew-beacon` and register it",
                self._path,
                tip.hex(),
            )
        return None
