"""What a role sees of the world: a ledger, blob storage and a trainer.

The roles in `offchain.roles` are written against these and nothing else, so that the same code runs over CometBFT and
Zenoh (`offchain.adapters`) and, under a virtual clock, in memory (`optfl_sim`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

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

    async def get_task(self, task_id: int) -> state_pb2.TaskView | None:
        """Everything about a task, consistent at one height; None if there is no such task."""
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
        """Fetch a whole vector, check it against its id; try every one of `replicas` before raising BlobUnavailable."""
        ...

    async def get_chunk(
        self, task_id: int, shape: Shape, root: bytes, chunk: int, replicas: Sequence[bytes]
    ) -> Opening:
        """Fetch one chunk with its path and check it against `root`; raises BlobUnavailable."""
        ...


class Trainer(Protocol):
    """A model and the data of one client; plain torch underneath, or anything else that makes int16 updates."""

    def train(self, model: Int32Vector, seed: int) -> tuple[Int16Vector, int]:
        """Train from `model` on local data; return the quantised update and its weight (number of examples)."""
        ...

    def evaluate(self, model: Int32Vector) -> float:
        """Accuracy of `model` on held-out data, in 0..1."""
        ...
