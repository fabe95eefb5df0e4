"""The file of a node's secret: read whole or refused with one line; and a warning before its chain runs out."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pytest

from abci_app.beacon_file import BeaconFileError, BeaconSecret, ChainSecret, encode_secrets, read_secrets
from optfl.beacon import MAX_LENGTH, HashChain

OLD, NEW = ChainSecret(b"o" * 32, 3), ChainSecret(b"n" * 32, 5)


def write(path: Path, data: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "beacon.json", encode_secrets([OLD, NEW]))


def test_what_is_written_is_read(path: Path) -> None:
    assert read_secrets(path) == [OLD, NEW]


def test_preimages_of_both_chains_are_found(path: Path) -> None:
    secret = BeaconSecret(path)
    for chain in (OLD, NEW):
        tip, revealed = HashChain(*chain).anchor, 0
        while (preimage := secret.find_preimage(tip)) is not None:
            tip, revealed = preimage, revealed + 1
        assert (tip, revealed) == (chain.secret, chain.reveals)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o620])
def test_nobody_else_may_read_or_write_it(path: Path, mode: int) -> None:
    path.chmod(mode)
    with pytest.raises(BeaconFileError, match="chmod 600"):
        read_secrets(path)


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(BeaconFileError, match="No such file"):
        read_secrets(tmp_path / "nothing")
    with pytest.raises(BeaconFileError, match=r"Is a directory|is not a file"):
        read_secrets(tmp_path)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o600)
    with pytest.raises(BeaconFileError, match="is not a file"):
        read_secrets(fifo)


GOOD = json.loads(encode_secrets([NEW]))
BAD: dict[str, object] = {
    "no JSON": b"{",
    "a list": [GOOD],
    "another kind": {**GOOD, "kind": "optfl/account-key/v1"},
    "no chains": {"kind": GOOD["kind"]},
    "chains of nothing": {**GOOD, "chains": []},
    "three chains": {**GOOD, "chains": GOOD["chains"] * 3},
    "chains no list": {**GOOD, "chains": GOOD["chains"][0]},
    "chain no object": {**GOOD, "chains": ["x"]},
    "no secret": {**GOOD, "chains": [{"reveals": 5}]},
    "short secret": {**GOOD, "chains": [{"secret": "00" * 31, "reveals": 5}]},
    "secret not hexadecimal": {**GOOD, "chains": [{"secret": "x" * 64, "reveals": 5}]},
    "no reveals": {**GOOD, "chains": [{"secret": "00" * 32}]},
    "zero reveals": {**GOOD, "chains": [{"secret": "00" * 32, "reveals": 0}]},
    "too many reveals": {**GOOD, "chains": [{"secret": "00" * 32, "reveals": MAX_LENGTH + 1}]},
    "reveals true": {**GOOD, "chains": [{"secret": "00" * 32, "reveals": True}]},
    "reveals no integer": {**GOOD, "chains": [{"secret": "00" * 32, "reveals": 5.0}]},
    "too large": b" " * 5000 + encode_secrets([NEW]),
    "nested": b"[" * 4000,
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_what_is_no_secret_is_refused_with_what_to_do(tmp_path: Path, content: object) -> None:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    with pytest.raises(BeaconFileError, match="restore it from its backup") as caught:
        read_secrets(write(tmp_path / "beacon.json", data))
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_the_operator_is_warned_before_a_chain_runs_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    chain = ChainSecret(b"s" * 32, 5000)
    secret = BeaconSecret(write(tmp_path / "beacon.json", encode_secrets([chain])))
    tip: bytes | None = HashChain(*chain).anchor
    left = []
    while tip is not None:
        with caplog.at_level(logging.WARNING):
            tip = secret.find_preimage(tip)
    left = [record.args[1] for record in caplog.records[:-1] if isinstance(record.args, tuple)]
    assert left == list(range(4096, 0, -256))
    assert "earn no fees" in caplog.records[-1].message


def test_a_foreign_tip_is_told_once_and_none_is_not_told(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    secret = BeaconSecret(path)
    for tip in (b"", bytes(32), bytes(32), b""):
        assert secret.find_preimage(tip) is None
    assert len(caplog.records) == 1
