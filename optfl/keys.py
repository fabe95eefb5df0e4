"""Ed25519 keys, addresses and domain-separated signatures: the only signature scheme of the protocol."""

from __future__ import annotations

import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ADDRESS_BYTES = 20
PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64

# What a signature is for. A signature over one domain never verifies in another (red team L8).
TRANSACTION_DOMAIN = b"optfl/transaction/v1"
RECEIPT_DOMAIN = b"optfl/receipt/v1"
PUT_DOMAIN = b"optfl/put/v1"
POSSESSION_DOMAIN = b"optfl/possession/v1"
BALLOT_DOMAIN = b"optfl/ballot/v1"


def address_of(public_key: bytes) -> bytes:
    """Address of an account or consensus key: the first 20 bytes of SHA-256 of it, as in CometBFT."""
    return hashlib.sha256(public_key).digest()[:ADDRESS_BYTES]


def verify(public_key: bytes, domain: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` over `domain` ‖ `message` is by `public_key`. False, never an error, for malformed input."""
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, domain + message)
    except InvalidSignature:
        return False
    return True


class SigningKey:
    """An ed25519 private key, by its 32-byte seed."""

    def __init__(self, seed: bytes) -> None:
        if len(seed) != 32:
            raise ValueError(f"an ed25519 seed has 32 bytes, not {len(seed)}")
        self.seed = seed
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public_key: bytes = self._key.public_key().public_bytes_raw()
        self.address = address_of(self.public_key)

    @classmethod
    def from_seed(cls, seed: bytes) -> SigningKey:
        return cls(seed)

    @classmethod
    def generate(cls) -> SigningKey:
        return cls(Ed25519PrivateKey.generate().private_bytes_raw())

    def sign(self, domain: bytes, message: bytes) -> bytes:
        return self._key.sign(domain + message)


def encode_account(chain_id: str, address: bytes) -> bytes:
    """u16 length of chain ‖ chain ‖ address: an account of one chain, where something is signed or hashed for it.

    Signed by a consensus key in POSSESSION_DOMAIN, it shows that the account holds that key (red team L5, A12).
    """
    if len(address) != ADDRESS_BYTES:
        raise ValueError(f"an address has {ADDRESS_BYTES} bytes, not {len(address)}")
    encoded_chain_id = chain_id.encode()
    return len(encoded_chain_id).to_bytes(2, "big") + encoded_chain_id + address
