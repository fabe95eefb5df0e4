"""Keys, addresses and signatures that hold for one purpose only."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optfl import keys
from optfl.keys import SigningKey, address_of, encode_account, verify

DOMAINS = [keys.TRANSACTION_DOMAIN, keys.RECEIPT_DOMAIN, keys.PUT_DOMAIN, keys.POSSESSION_DOMAIN]
KEY = SigningKey.from_seed(bytes(range(32)))


def test_rfc_8032_vector() -> None:
    """The first test vector of RFC 8032, section 7.1, with an empty domain."""
    key = SigningKey(bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
    assert key.public_key.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert key.sign(b"", b"").hex() == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )


def test_address_is_that_of_cometbft() -> None:
    assert KEY.address == address_of(KEY.public_key) == hashlib.sha256(KEY.public_key).digest()[:20]


def test_generated_keys_differ_and_come_back_from_their_seed() -> None:
    one, other = SigningKey.generate(), SigningKey.generate()
    assert one.public_key != other.public_key
    assert SigningKey.from_seed(one.seed).public_key == one.public_key


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_seed_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        SigningKey(bytes(size))


@given(st.binary(max_size=100))
def test_a_signature_verifies_for_its_key_domain_and_message_alone(message: bytes) -> None:
    other = SigningKey.from_seed(bytes(32))
    signature = KEY.sign(keys.RECEIPT_DOMAIN, message)
    assert verify(KEY.public_key, keys.RECEIPT_DOMAIN, message, signature)
    assert not verify(other.public_key, keys.RECEIPT_DOMAIN, message, signature)
    assert not verify(KEY.public_key, keys.RECEIPT_DOMAIN, message + b"\0", signature)
    assert not verify(KEY.public_key, keys.RECEIPT_DOMAIN, message, signature[:32] + bytes(32))


@pytest.mark.parametrize("domain", DOMAINS)
def test_L8_a_signature_of_one_domain_is_none_in_another(domain: bytes) -> None:
    signature = KEY.sign(domain, b"message")
    assert [verify(KEY.public_key, other, b"message", signature) for other in DOMAINS] == [d == domain for d in DOMAINS]


def test_no_domain_is_the_beginning_of_another() -> None:
    """Else a message could carry the rest of a domain, and a signature two meanings."""
    assert not any(a != b and b.startswith(a) for a in DOMAINS for b in DOMAINS)


@given(st.binary(max_size=70), st.binary(max_size=70))
def test_malformed_keys_and_signatures_verify_as_false_and_never_raise(public_key: bytes, signature: bytes) -> None:
    assert not verify(public_key, b"domain", b"message", signature)


@pytest.mark.parametrize(
    "public_key",
    [bytes(32), b"\x01" + bytes(31), b"\xff" * 32, b"\xed" + b"\xff" * 30 + b"\x7f", b"\xec" + b"\xff" * 30 + b"\x7f"],
    ids=["order 4", "identity", "no point", "not reduced", "order 2"],
)
@pytest.mark.parametrize("signature", [b"\xff" * 64, KEY.sign(b"domain", b"message")], ids=["garbage", "another's"])
def test_odd_points_do_not_raise(public_key: bytes, signature: bytes) -> None:
    assert not verify(public_key, b"domain", b"message", signature)


def test_a_signature_has_one_form() -> None:
    """S + L would verify in lax implementations: a relayer could change a transaction's hash without its signer."""
    order = 2**252 + 27742317777372353535851937790883648493
    signature = KEY.sign(b"domain", b"message")
    malleated = signature[:32] + (int.from_bytes(signature[32:], "little") + order).to_bytes(32, "little")
    assert not verify(KEY.public_key, b"domain", b"message", malleated)


@given(st.text(max_size=50), st.binary(min_size=20, max_size=20), st.text(max_size=50))
def test_an_account_is_bound_to_its_chain(chain: str, operator: bytes, other: str) -> None:
    encoded = encode_account(chain, operator)
    assert encoded != encode_account(chain + "x", operator)
    assert encoded != encode_account(chain, bytes([operator[0] ^ 1]) + operator[1:])
    assert (encoded == encode_account(other, operator)) == (chain == other)
