"""Who sends a transaction, and where in the chain it runs."""

from __future__ import annotations

from dataclasses import dataclass, field

from optfl.wire import state_pb2


@dataclass
class BlockContext:
    """What transactions of one block hand on to its end."""

    height: int
    beacon: bytes
    proofs: int = 0
    convictions: list[Conviction] = field(default_factory=list)


@dataclass(frozen=True)
class Conviction:
    """An attempt that was proven wrong in this block; carried out at the block's end (A2)."""

    attempt: state_pb2.Attempt
    prover: bytes
    proof_kind: str


@dataclass(frozen=True)
class Call:
    """The sender of a well-signed, paid transaction, and the block it is in."""

    sender: bytes
    public_key: bytes
    block: BlockContext

    @property
    def height(self) -> int:
        return self.block.height
