"""Byzantine clients: honest up to a round, from which on they deviate in every round for which they are drawn."""

from __future__ import annotations

import logging

import numpy as np

from offchain.adversaries.accomplices import NOBODY, Accomplices, TamperingLedger, UnstoringBlobs
from offchain.interfaces import Blobs, BlobUnavailable, Int16Vector, Int32Vector, Ledger, Trainer
from offchain.roles.client import Client
from offchain.roles.computing import Compute, in_thread
from offchain.roles.fetching import fetch
from offchain.roles.views import get_commitments, store, submit
from optfl import tasks
from optfl.wire import state_pb2, transaction_pb2

log = logging.getLogger(__name__)

HUGE_WEIGHT = 1 << 40


class ByzantineClient(Client):
    """An honest client between bent things."""

    def __init__(
        self,
        ledger: Ledger,
        blobs: Blobs,
        trainer: Trainer,
        compute: Compute = in_thread,
        *,
        from_round: int,
        accomplices: Accomplices = NOBODY,
    ) -> None:
        self._from_round = from_round
        self._accomplices = accomplices
        super().__init__(self.bend_ledger(ledger), self.bend_blobs(blobs), trainer, compute)

    def bend_ledger(self, ledger: Ledger) -> Ledger:
        return ledger

    def bend_blobs(self, blobs: Blobs) -> Blobs:
        return blobs


class UnstoredUpdateClient(ByzantineClient):
    """Commits to an update that it never stored, with receipts of replicas that collude (I1, I2)."""

    def bend_blobs(self, blobs: Blobs) -> Blobs:
        return UnstoringBlobs(blobs, self._accomplices, self._from_round)


class StaleUpdateClient(ByzantineClient):
    """Commits with the base and the lineage of a round before."""

    def bend_ledger(self, ledger: Ledger) -> Ledger:
        self._bases: dict[int, tuple[int, bytes]] = {}  # round -> attempt and root of its base
        return TamperingLedger(ledger, self._set_base)

    def _set_base(self, body: transaction_pb2.Body) -> list[transaction_pb2.Body]:
        commit = body.commit_update
        if body.WhichOneof("kind") != "commit_update":
            return [body]
        self._bases.setdefault(commit.round, (commit.parent_attempt, commit.base_root))
        if commit.round >= self._from_round:
            older = [base for number, base in sorted(self._bases.items()) if number < commit.round]
            # In its first round it knows no older base, and makes one up.
            commit.parent_attempt, commit.base_root = older[-1] if older else (commit.parent_attempt, bytes(32))
        return [body]


class ExtremeWeightClient(ByzantineClient):
    """Sends the largest values there are, with a weight far above what the task takes; then with the most it takes."""

    def __init__(
        self,
        ledger: Ledger,
        blobs: Blobs,
        trainer: Trainer,
        compute: Compute = in_thread,
        *,
        from_round: int,
        accomplices: Accomplices = NOBODY,
    ) -> None:
        super().__init__(
            ledger, blobs, _ExtremeTrainer(trainer), compute, from_round=from_round, accomplices=accomplices
        )

    def bend_ledger(self, ledger: Ledger) -> Ledger:
        return TamperingLedger(ledger, self._weigh)

    def _weigh(self, body: transaction_pb2.Body) -> list[transaction_pb2.Body]:
        if body.WhichOneof("kind") != "commit_update" or body.commit_update.round < self._from_round:
            return [body]
        heavy = transaction_pb2.Body()
        heavy.CopyFrom(body)
        heavy.commit_update.weight = HUGE_WEIGHT
        return [body, heavy]


class _ExtremeTrainer:
    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer

    def train(self, model: Int32Vector, seed: int) -> tuple[Int16Vector, int]:
        honest, _ = self._trainer.train(model, seed)
        limits = np.iinfo(np.int16)
        return np.where(honest > 0, limits.min, limits.max).astype(np.int16), HUGE_WEIGHT

    def evaluate(self, model: Int32Vector) -> float:
        return self._trainer.evaluate(model)


class NoisyClient(ByzantineClient):
    """Does not train. Sends noise of the size of an update: nothing shows that it is none."""

    def __init__(
        self,
        ledger: Ledger,
        blobs: Blobs,
        trainer: Trainer,
        compute: Compute = in_thread,
        *,
        from_round: int,
        accomplices: Accomplices = NOBODY,
    ) -> None:
        self._noise = _NoisyTrainer(trainer)
        super().__init__(ledger, blobs, self._noise, compute, from_round=from_round, accomplices=accomplices)

    async def contribute(self, view: state_pb2.TaskView, current: state_pb2.Round) -> None:
        self._noise.is_due = current.round >= self._from_round
        await super().contribute(view, current)


class _NoisyTrainer:
    is_due = False

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer

    def train(self, model: Int32Vector, seed: int) -> tuple[Int16Vector, int]:
        if not self.is_due:
            return self._trainer.train(model, seed)
        return np.random.default_rng(seed).integers(-1000, 1001, model.size).astype(np.int16), 50

    def evaluate(self, model: Int32Vector) -> float:
        return self._trainer.evaluate(model)


class CopyingClient(ByzantineClient):
    """Does not train. Commits with another's root and certificate; then with a copy of what it can read (I4)."""

    _stolen_round = _copied_round = 0

    async def contribute(self, view: state_pb2.TaskView, current: state_pb2.Round) -> None:
        if current.round < self._from_round:
            await super().contribute(view, current)
            return
        if (others := get_commitments(view, current)) and current.round > self._stolen_round:
            self._stolen_round = current.round
            await self._steal(view, current, others[0])
        if current.round > self._copied_round:
            await self._copy(view, current)
            self._copied_round = current.round

    async def _steal(self, view: state_pb2.TaskView, current: state_pb2.Round, other: state_pb2.Commitment) -> None:
        try:
            await fetch(self._blobs, view, tasks.update_shape(view.task.parameters), other.update_root)
        except BlobUnavailable:
            log.info("round %d: an update cannot be read before its round is frozen", current.round)
        commit = transaction_pb2.CommitUpdate(
            task_id=view.task.task_id,
            round=current.round,
            parent_attempt=current.parent_attempt,
            base_root=current.base_root,
            update_root=other.update_root,
            weight=other.weight,
            certificate=other.certificate,
        )
        await submit(self._ledger, transaction_pb2.Body(commit_update=commit), f"round {current.round}: stolen update")

    async def _copy(self, view: state_pb2.TaskView, current: state_pb2.Round) -> None:
        """An update of an earlier round is free to read, and to store again under one's own name."""
        readable = [given for attempt in view.attempts for given in attempt.inputs]
        if not readable:
            await super().contribute(view, current)
            return
        shape = tasks.update_shape(view.task.parameters)
        update = await fetch(self._blobs, view, shape, readable[-1].update_root)
        commit = transaction_pb2.CommitUpdate(
            task_id=view.task.task_id,
            round=current.round,
            parent_attempt=current.parent_attempt,
            base_root=current.base_root,
            update_root=update.root,
            weight=readable[-1].weight,
            certificate=await store(self._ledger, self._blobs, view, current.round, update),
        )
        await submit(self._ledger, transaction_pb2.Body(commit_update=commit), f"round {current.round}: copied update")


CLIENTS: dict[str, type[ByzantineClient]] = {
    "copied-update": CopyingClient,
    "extreme-weight": ExtremeWeightClient,
    "noise-update": NoisyClient,
    "stale-update": StaleUpdateClient,
    "unstored-update": UnstoredUpdateClient,
}
