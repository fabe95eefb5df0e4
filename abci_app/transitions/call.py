"""Who sends a transaction, and where in the chain it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from optfl.wire import state_pb2


@dataclass
class BlockContext:
    """What transactions of one block hand on to its end."""

    height: int
    beacon: bytes
    is_revealed: bool = False  # its first transaction was its proposer's reveal
    is_withheld: bool = False  # it should have been: the proposer goes without the block's fees
    paid_proposer: bytes = b""  # operator that is paid for what is in the block, unless unknown or without a reveal
    proofs: int = 0
    convictions: list[Conviction] = field(default_factory=list)
    voidings: list[Voiding] = field(default_factory=list)


class Reporter(NamedTuple):
    """Who gets `weight` / `total` of what is paid for finding a lie."""

    account: bytes
    proposer: bytes  # operator that is paid as much of what is paid for including its announcement
    weight: int
    total: int


@dataclass(frozen=True)
class Conviction:
    """An attempt that was proven wrong in this block; carried out at the block's end (A2)."""

    attempt: state_pb2.Attempt
    prover: bytes
    proof_kind: str
    reporters: tuple[Reporter, ...] = ()
    proposer: bytes = b""  # operator whose block has the proof


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
