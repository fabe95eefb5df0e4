"""Hash chains and beacons: values that anyone checks and only the owner of the secret finds."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optfl.beacon import HashChain, compute_beacon, compute_tip, encode_withheld, is_preimage

SECRET = bytes(range(32))


def test_a_chain_is_revealed_from_its_end_to_its_secret() -> None:
    chain = HashChain(SECRET, 5)
    values = [SECRET]
    for _ in range(5):
        values.append(hashlib.sha256(b"optfl/beacon-chain/v1" + values[-1]).digest())
    assert chain.anchor == values[5]
    for i in range(5, 0, -1):
        assert chain.count_left(values[i]) == i
        assert chain.get_preimage(values[i]) == values[i - 1]
        assert is_preimage(values[i], values[i - 1])
    assert chain.get_preimage(SECRET) is None
    assert chain.count_left(SECRET) == 0


@given(st.binary(max_size=40))
def test_what_is_not_of_the_chain_has_no_preimage(tip: bytes) -> None:
    """Parts of a value, or of two that stand side by side, are no values."""
    chain = HashChain(SECRET, 4)
    assert chain.get_preimage(tip) is None
    assert chain.get_preimage(chain.anchor[: len(tip) % 32]) is None
    joined = chain.anchor + compute_tip(chain.anchor)
    assert chain.get_preimage(joined[1:33]) is None


@given(st.binary(min_size=32, max_size=32), st.integers(0, 255), st.integers(0, 31))
def test_only_the_preimage_itself_is_one(secret: bytes, change: int, place: int) -> None:
    other = bytearray(secret)
    other[place] ^= change
    assert is_preimage(compute_tip(secret), bytes(other)) == (change == 0)


@pytest.mark.parametrize("size", [0, 8, 31, 33])
def test_a_preimage_of_another_length_is_none(size: int) -> None:
    """A withheld block mixes in 8 bytes: no reveal may pass for that."""
    value = bytes(size)
    assert not is_preimage(compute_tip(value), value)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_secret_has_32_bytes(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        HashChain(bytes(size))


def test_a_beacon_depends_on_all_before_it_and_on_what_is_mixed_in() -> None:
    beacon = compute_beacon(bytes(32), SECRET)
    assert beacon == hashlib.sha256(b"optfl/beacon/v1" + bytes(32) + SECRET).digest()
    assert len({beacon, compute_beacon(SECRET, SECRET), compute_beacon(bytes(32), bytes(32))}) == 3
    assert encode_withheld(7) == bytes(7) + b"\x07"


def test_known_values() -> None:
    """For whoever writes a second implementation."""
    assert compute_tip(SECRET).hex() == KNOWN_TIP
    assert HashChain(SECRET).anchor.hex() == KNOWN_ANCHOR
    assert compute_beacon(bytes(32), encode_withheld(1)).hex() == KNOWN_WITHHELD


KNOWN_TIP = "42bef981e0bb484b23d96bf4034e7929ab218c848922e31d9668d9fd514fe924"
KNOWN_ANCHOR = "5668ed9fa996922c3ac2ff774c2ab07e25c8670bce074be8d92a3a0d3d48f8dc"
KNOWN_WITHHELD = "b5d6bfc632a66dd58dbfcf8fc67ab4a0eef0719f00ab73e8e946db668175dd4d"
