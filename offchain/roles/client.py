"""A client: trains on its own data when the beacon draws it, stores its update, commits to it. # seed 001, section C"""

from __future__ import annotations

import logging
from typing import Any

import numpy.typing as npt

from offchain.interfaces import Blobs, Int32Vector, Ledger, Trainer
from offchain.kernels.hashing import make_vector
from offchain.learning.quantisation import UpdateNarrower, choose_update_shift
from offchain.roles.computing import Compute, in_thread
from offchain.roles.keeping import KeptVectors, work_on_task
from offchain.roles.views import compute_seed, fetch_model, get_commitments, get_head, store, submit
from optfl import tasks
from optfl.vectors import ChunkedVector
from optfl.wire import state_pb2, transaction_pb2

log = logging.getLogger(__name__)

_CLIPPED_SHARE = 0.01  # of an update's values: more say that the task's update_shift is too small


async def run_client(
    task_id: int, ledger: Ledger, blobs: Blobs, trainer: Trainer, compute: Compute = in_thread
) -> None:
    """Take part in a task until it ends."""
    client = Client(ledger, blobs, trainer, compute)
    await work_on_task(ledger, task_id, client.act, client.kept, lambda view: client.find_work(view) is None)


class Client:
    """One client's work in a round. Keeps the round's update, so that a lost reply does not cost a second training.

    Also what rounding to int8 took from the last one, for the next; a restart loses that, less than a step of a value.
    """

    def __init__(self, ledger: Ledger, blobs: Blobs, trainer: Trainer, compute: Compute = in_thread) -> None:
        self.kept = KeptVectors(blobs)
        self._ledger = ledger
        self._blobs = blobs
        self._trainer = trainer
        self._compute = compute
        self._trained: tuple[tuple[int, int], ChunkedVector, int] | None = None
        self._narrower: UpdateNarrower | None = None

    async def act(self, view: state_pb2.TaskView) -> None:
        """Contribute to the round that waits for this client, if there is one. Raises what `contribute` does."""
        if (current := self.find_work(view)) is not None:
            await self.contribute(view, current)

    def find_work(self, view: state_pb2.TaskView) -> state_pb2.Round | None:
        """The round that waits for this client's update."""
        current = get_head(view)
        if current is None or current.status != state_pb2.ROUND_STATUS_TRAINING:
            return None
        if self._ledger.address not in current.selected:
            return None
        committed = [commitment.client for commitment in get_commitments(view, current)]
        return None if self._ledger.address in committed else current

    async def contribute(self, view: state_pb2.TaskView, current: state_pb2.Round) -> None:
        """Train from the round's base, store the update, commit to it. Raises BlobUnavailable, LedgerUnavailable."""
        update, weight = await self._train(view.task, current)
        self.kept.keep(current.round, update)
        certificate = await store(self._ledger, self._blobs, view, current.round, update)
        commit = transaction_pb2.CommitUpdate(
            task_id=view.task.task_id,
            round=current.round,
            parent_attempt=current.parent_attempt,
            base_root=current.base_root,
            update_root=update.root,
            weight=weight,
            certificate=certificate,
        )
        await submit(
            self._ledger, transaction_pb2.Body(commit_update=commit), f"round {current.round}: update committed"
        )

    async def _train(self, task: state_pb2.Task, current: state_pb2.Round) -> tuple[ChunkedVector, int]:
        lineage = (current.round, current.parent_attempt)
        if self._trained is None or self._trained[0] != lineage:
            base = await fetch_model(self._blobs, task, current.base_root)
            seed = compute_seed(self._ledger.address, task.task_id, *lineage)
            values, examples = await self._compute(self._train_from, task.parameters, base.values, seed)
            update = make_vector(tasks.update_shape(task.parameters), values)
            self._trained = (lineage, update, min(max(examples, 1), task.parameters.max_weight))
        return self._trained[1], self._trained[2]

    def _train_from(
        self, parameters: transaction_pb2.TaskParameters, base: Int32Vector, seed: int
    ) -> tuple[npt.NDArray[Any], int]:
        """The update as the task stores it, and its number of examples. Trainers always make int16."""
        update, examples = self._trainer.train(base, seed)
        if tasks.update_shape(parameters).dtype == "int16":
            return update, examples
        if self._narrower is None:
            self._narrower = UpdateNarrower(parameters.update_shift)
        if (fitting := choose_update_shift(update, _CLIPPED_SHARE)) > parameters.update_shift:
            log.warning(
                "int8 clips more than %d %% of the update's values; an update_shift of %d in place of %d would fit it",
                100 * _CLIPPED_SHARE,
                fitting,
                parameters.update_shift,
            )
        # Not the trainer's own seed: what rounding draws must not follow what training drew.
        return self._narrower.narrow(update, compute_seed(b"rounding", seed)), examples
