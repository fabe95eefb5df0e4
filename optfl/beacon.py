"""The beacon: random bytes that all of a chain's proposers make together, and that none of them can choose (A9).

A validator draws a secret v_0, hashes it LENGTH times, and registers the end v_n. Every block that it proposes reveals
the value before the last one, so each block mixes in bytes that were fixed long before and that nobody else knew. What
is left to a proposer is one bit for each block of its own: to reveal, or to withhold and go without its fees.
"""

from __future__ import annotations

import hashlib

BEACON_DOMAIN = b"optfl/beacon/v1"
CHAIN_DOMAIN = b"optfl/beacon-chain/v1"
VALUE_BYTES = 32
LENGTH = 1 << 16  # reveals in a chain, unless its file says otherwise
MAX_LENGTH = 1 << 22  # 128 MiB, and some seconds to compute at a node's start


def compute_beacon(previous: bytes, mixed_in: bytes) -> bytes:
    """The next beacon. What is mixed in: a preimage, `encode_withheld`, or a block's hash while there are no chains."""
    return hashlib.sha256(BEACON_DOMAIN + previous + mixed_in).digest()


def encode_withheld(height: int) -> bytes:
    """What a block without a reveal mixes in: nothing that its proposer could choose. No preimage is this short."""
    return height.to_bytes(8, "big")


def compute_tip(preimage: bytes) -> bytes:
    """The value that comes before `preimage` in the order of reveals, and after it in that of hashing."""
    return hashlib.sha256(CHAIN_DOMAIN + preimage).digest()


def is_preimage(tip: bytes, preimage: bytes) -> bool:
    return len(preimage) == VALUE_BYTES and compute_tip(preimage) == tip


class HashChain:
    """The values of one secret, looked up by what they hash to. `anchor` is public, everything else is not."""

    def __init__(self, secret: bytes, length: int = LENGTH) -> None:
        if len(secret) != VALUE_BYTES:
            raise ValueError(f"the secret of a hash chain has {VALUE_BYTES} bytes, not {len(secret)}")
        values = [secret]
        for _ in range(length):
            values.append(compute_tip(values[-1]))
        self.anchor = values[-1]
        self._values = b"".join(values)  # in one piece: a chain of a million takes 32 MiB, and a search milliseconds

    def count_left(self, tip: bytes) -> int:
        """Reveals that are left where the ledger has `tip`; 0 if it is the chain's end, or of another chain."""
        found = self._values.find(tip) if len(tip) == VALUE_BYTES else -1
        # Elsewhere than at a value's start it would be a chance of 2^-256.
        return max(found, 0) // VALUE_BYTES

    def get_preimage(self, tip: bytes) -> bytes | None:
        """What to reveal where the ledger has `tip`; None if that is the chain's end, or of another chain."""
        left = self.count_left(tip)
        return self._values[(left - 1) * VALUE_BYTES : left * VALUE_BYTES] if left else None
