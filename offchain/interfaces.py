"""What a role sees of the world: a ledger, blob storage, ballots, its own journal, and a trainer.

The roles in `offchain.roles` are written against these and nothing else, so that the same code runs over CometBFT and
Zenoh (`offchain.adapters`) and, under a virtual clock, in memory (`optfl_sim`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from optfl.certificates import Statement
from optfl.vectors import Opening, Shape
from optfl.wire import receipt_pb2, state_pb2, transaction_pb2

Int16Vector = npt.NDArray[np.int16]
Int32Vector = npt.NDArray[np.int32]


class LedgerUnavailable(Exception):
    """The node does not answer. Transient: a role waits for its node and goes on."""


class BlobUnavailable(Exception):
    """No replica that answers has the blob, or too few receipts came back. Transient: a role tries again."""


class JournalError(Exception):
    """The journal cannot be read or written. For the operator: to go on without it could mean to vote twice."""


@dataclass(frozen=True)
class TransactionResult:
    """What became of a transaction. `code` 0 is success; else the permanent code of an `optfl.errors.Rejection`."""

    code: int
    log: str
    height: int
    hash: bytes
    data: bytes = b""  # of CreateTask: the new task's id, 8 bytes big-endian

    @property
    def accepted(self) -> bool:
        return self.code == 0


class Ledger(Protocol):
    """One account's view of the ledger, through the node that it trusts."""

    @property
    def address(self) -> bytes:
        """Of the account that signs what is submitted (20 bytes)."""
        ...

    @property
    def chain_id(self) -> str: ...

    async def wait_for_block(self, after_height: int) -> int:
        """Return the node's height as soon as it is greater than `after_height`."""
        ...

    async def wait_for_change(self, task_id: int, after_height: int) -> int:
        """As `wait_for_block`, but pass over blocks that changed nothing of the task beside commitments and audits.

        It may return sooner, and passes over a bounded number of blocks: a hint that got lost costs some time.
        """
        ...

    async def get_task(self, task_id: int) -> state_pb2.TaskView | None:
        """Everything about a task, consistent at one height; None if there is no such task."""
        ...

    async def list_tasks(self) -> Sequence[state_pb2.Task]:
        """All tasks, ascending by id."""
        ...

    async def get_stakes(self, address: bytes) -> Sequence[state_pb2.Stake]:
        """What an account has at stake, one for each of its roles; empty for an unknown one."""
        ...

    async def submit(self, body: transaction_pb2.Body) -> TransactionResult:
        """Complete `body` (chain, sequence, fee, expiry), sign, send; return once it is in a block or refused for good.

        Raises LedgerUnavailable if the node does not answer; the transaction may then still be included.
        """
        ...


class Blobs(Protocol):
    """Verified blob storage, as one account uses it."""

    async def put(self, statement: Statement, shape: Shape, data: bytes, quorum: int) -> receipt_pb2.Certificate:
        """Store `data` at the task's replicas; return the certificate once `quorum` of them have signed a receipt.

        Raises BlobUnavailable when too few do.
        """
        ...

    async def get(self, task_id: int, shape: Shape, vector_id: bytes, replicas: Sequence[bytes]) -> bytes:
        """Fetch a whole vector, check it against its id; try every one of `replicas` before raising BlobUnavailable.

        They may be any accounts that serve it: the task's replicas, holders of a demanded blob, its author.
        """
        ...

    async def get_chunk(
        self, task_id: int, shape: Shape, root: bytes, chunk: int, replicas: Sequence[bytes]
    ) -> Opening:
        """Fetch one chunk with its path and check it against `root`; raises BlobUnavailable."""
        ...

    async def offer(self, task_id: int, shape: Shape, vector_id: bytes, data: bytes) -> None:
        """Serve these bytes from now on to whoever asks this account for them, while its process lives.

        Memory is bounded: what was offered longest ago goes first. Offering again what is offered keeps it.
        """
        ...


class SignedDigest(NamedTuple):
    """What a member answered to a ballot's question. Unverified."""

    member: bytes  # address
    digest: bytes
    signature: bytes


class Ballots(Protocol):
    """Ballots of signer sets, exchanged among their members outside the ledger."""

    async def publish(self, ballot: transaction_pb2.Ballot, signature: bytes) -> None:
        """Hand this account's `ballot` to whoever asks from now on, while its process lives."""
        ...

    async def collect(self, question: transaction_pb2.Ballot, members: Sequence[bytes]) -> list[SignedDigest]:
        """Ask all `members` at once for their ballots on `question`, which has no digest; what came back in time.

        In the order of `members`, at most one each, unverified. This account's own is among them if it is published.
        """
        ...


class VoteJournal(Protocol):
    """What this account has signed, so that it never signs something else after a crash."""

    def get(self, name: str) -> bytes | None:
        """What is journalled under `name`."""
        ...

    def put(self, name: str, value: bytes) -> None:
        """Journal `value`, durably before this returns: sign only then. The same value again changes nothing.

        Raises ValueError if another value stands under `name`; JournalError if the disk does not take it.
        """
        ...


@dataclass(frozen=True)
class Connections:
    """The world as one account reaches it."""

    ledger: Ledger
    blobs: Blobs
    ballots: Ballots
    journal: VoteJournal


class Trainer(Protocol):
    """A model and the data of one client; plain torch underneath, or anything else that makes int16 updates."""

    def train(self, model: Int32Vector, seed: int) -> tuple[Int16Vector, int]:
        """Train from `model` on local data; return the quantised update and its weight (number of examples).

        Always int16: what a task stores as int8, the client's role rounds.
        """
        ...

    def evaluate(self, model: Int32Vector) -> float:
        """Accuracy of `model` on held-out data, in 0..1."""
        ...
