"""Who sends a transaction, and where in the chain it runs."""

from __future__ import annotations

from dataclasses import dataclass, field

from optfl.wire import state_pb2


@dataclass
class BlockContext:
    """What transactions of one block hand on to its end."""

    height: int
    beacon: bytes
    is_revealed: bool = False  # its first transaction was its proposer's reveal
    is_withheld: bool = False  # it should have been: the proposer goes without the block's fees
    proofs: int = 0
    convictions: list[Conviction] = field(default_factory=list)
    voidings: list[Voiding] = field(default_factory=list)


@dataclass(frozen=True)
class Conviction:
    """An attempt that was proven wrong in this block; carried out at the block's end (A2)."""

    attempt: state_pb2.Attempt
    prover: bytes
    proof_kind: str
    is_first_hand: bool = True  # a proof that may be a copy of another's earns nothing (F7)


@dataclass(frozen=True)
class Voiding:
    """An attempt that cannot stand though nobody has proven it wrong; carried out at the block's end (A2)."""

    attempt: state_pb2.Attempt
    reason: str  # "vote", "model" or "update"; "author": convicted in this block
    silent: bool  # its author counts as late


@dataclass(frozen=True)
class Call:
    """The sender of a well-signed, paid transaction, and the block it is in."""

    sender: bytes
    public_key: bytes
    block: BlockContext

    @property
    def height(self) -> int:
        return self.block.height
