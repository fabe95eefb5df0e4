"""A validator's pay for watching: it commits to all that it has read, and shows a chunk of it when one is drawn (E1).

It says too which replicas it could not read from. What it has read is in hand when an attempt was re-executed in full;
who only samples does not have it, and is not paid.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from offchain.interfaces import Blobs, BlobUnavailable, Ledger
from offchain.roles.computing import Compute
from offchain.roles.views import compute_seed, find_sources, submit
from optfl import tasks
from optfl.merkle import HASH_BYTES, MerkleTree
from optfl.vectors import ChunkedVector, Shape
from optfl.watches import compute_leaves, compute_watch_key, draw_chunk
from optfl.wire import state_pb2, transaction_pb2

log = logging.getLogger(__name__)

PROBES = 8  # chunks that each replica is asked for: who serves half of what it has answers all of one in 256 times
PROBE_SECONDS = 2.0  # for all of them; who takes longer is of no use to a watcher in a hurry
_TRIES = 2  # of a replica that fails, in different blocks: one that was restarted is back then
_SPARE_BLOCKS = 3  # before the window closes: the attestation takes one, and may miss one


class Attester:
    """What one validator has read, and has still to attest or to show."""

    def __init__(self, ledger: Ledger, blobs: Blobs, compute: Compute, private_seed: bytes = b"") -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._compute = compute
        self._private_seed = private_seed
        self._leaves: dict[int, bytes] = {}  # attempt -> leaf hashes of its tree, one behind the other

    async def note(self, attempt: state_pb2.Attempt, inputs: Sequence[ChunkedVector], claimed: ChunkedVector) -> None:
        """All of an attempt was read: `inputs` in its order."""
        key = compute_watch_key(self._ledger.chain_id, self._ledger.address, attempt.task_id, attempt.attempt_id)
        leaves = await self._compute(compute_leaves, key, [*inputs, claimed])
        self._leaves[attempt.attempt_id] = b"".join(leaves)

    def find_work(self, view: state_pb2.TaskView) -> dict[int, Callable[[], Awaitable[None]]]:
        """By attempt, what is to be done now: attest that it was read, or show what was drawn of it.

        That raises BlobUnavailable, LedgerUnavailable.
        """
        self._leaves = {a.attempt_id: self._leaves[a.attempt_id] for a in view.attempts if a.attempt_id in self._leaves}
        due = [a for a in view.attempts if a.attempt_id in self._leaves and self._is_due(view, a)]
        return {a.attempt_id: partial(self._act, view, a, self._leaves[a.attempt_id]) for a in due}

    def _is_due(self, view: state_pb2.TaskView, attempt: state_pb2.Attempt) -> bool:
        current = _find_round(view, attempt)
        if current is None:
            return False  # void
        watch = self._find_watch(view, attempt)
        if watch is None:
            return view.height + 1 < current.window_close_height
        return bool(current.watch_beacon) and not watch.opened

    async def _act(self, view: state_pb2.TaskView, attempt: state_pb2.Attempt, leaves: bytes) -> None:
        current = _find_round(view, attempt)
        if current is None:
            return
        tree = await self._compute(_build_tree, leaves)
        if self._find_watch(view, attempt) is None:
            await self._attest(view, attempt, current, tree)
        else:
            await self._show(view, attempt, current, tree)

    async def _attest(
        self, view: state_pb2.TaskView, attempt: state_pb2.Attempt, current: state_pb2.Round, tree: MerkleTree
    ) -> None:
        failed = await self.find_failed(view, attempt, current.window_close_height - _SPARE_BLOCKS)
        message = transaction_pb2.AttestWatch(
            task_id=attempt.task_id,
            attempt_id=attempt.attempt_id,
            digest=tree.root,
            failed_replicas=sum(1 << replica for replica in failed),
        )
        what = f"round {attempt.round}, attempt {attempt.attempt_id}: read, {len(failed)} replicas failed"
        await submit(self._ledger, transaction_pb2.Body(attest_watch=message), what)

    async def _show(
        self, view: state_pb2.TaskView, attempt: state_pb2.Attempt, current: state_pb2.Round, tree: MerkleTree
    ) -> None:
        chunks = tasks.model_shape(view.task.parameters).chunks
        inputs = len(attempt.inputs)
        blob, chunk = draw_chunk(
            current.watch_beacon, attempt.task_id, attempt.attempt_id, self._ledger.address, inputs, chunks
        )
        shape, root = _find_vector(view, attempt, blob)
        opening = await self._blobs.get_chunk(attempt.task_id, shape, root, chunk, find_sources(view, root))
        number = inputs if blob == tasks.MODEL_BLOB else blob
        message = transaction_pb2.OpenWatch(
            task_id=attempt.task_id,
            attempt_id=attempt.attempt_id,
            opening=transaction_pb2.Opening(data=opening.data, path=opening.path),
            watch_path=tree.path(number * chunks + chunk),
        )
        what = f"round {attempt.round}, attempt {attempt.attempt_id}: shown that it was read"
        await submit(self._ledger, transaction_pb2.Body(open_watch=message), what)

    def _find_watch(self, view: state_pb2.TaskView, attempt: state_pb2.Attempt) -> state_pb2.Watch | None:
        mine = (attempt.attempt_id, self._ledger.address)
        return next((w.watch for w in view.watches if (w.attempt_id, w.operator) == mine), None)

    async def find_failed(self, view: state_pb2.TaskView, attempt: state_pb2.Attempt, last_height: int) -> list[int]:
        """Indices of replicas that served something wrong, nothing, or too late, each time that they were asked."""
        replicas, height = list(view.task.parameters.replicas), view.height
        failed = list(range(len(replicas)))
        for attempted in range(_TRIES):
            if attempted and (not failed or height + 1 > last_height):
                break
            if attempted:
                height = await self._ledger.wait_for_block(height)
            answers = await asyncio.gather(*(self._probe(view, attempt, replicas[i], attempted) for i in failed))
            failed = [i for i, has_served in zip(failed, answers, strict=True) if not has_served]
        return failed

    async def _probe(
        self, view: state_pb2.TaskView, attempt: state_pb2.Attempt, replica: bytes, attempted: int
    ) -> bool:
        """Whether the replica serves chunks that it cannot foresee."""
        if replica == self._ledger.address:
            return True
        number = compute_seed(
            self._private_seed, self._ledger.address, attempt.task_id, attempt.attempt_id, replica, attempted
        )
        draw = random.Random(number)
        chunks = tasks.model_shape(view.task.parameters).chunks
        blobs = [*range(len(attempt.inputs)), tasks.MODEL_BLOB]
        asked = [(*_find_vector(view, attempt, draw.choice(blobs)), draw.randrange(chunks)) for _ in range(PROBES)]
        requests = (self._blobs.get_chunk(attempt.task_id, *one, [replica]) for one in asked)
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await asyncio.gather(*requests)
        except (BlobUnavailable, TimeoutError) as error:
            log.info("replica %s failed: %s", replica.hex(), error or f"no answer in {PROBE_SECONDS:.0f} s")
            return False
        return True


def _build_tree(leaves: bytes) -> MerkleTree:
    return MerkleTree([leaves[i : i + HASH_BYTES] for i in range(0, len(leaves), HASH_BYTES)])


def _find_round(view: state_pb2.TaskView, attempt: state_pb2.Attempt) -> state_pb2.Round | None:
    """The round whose open attempt this is."""
    is_open = attempt.status == state_pb2.ATTEMPT_STATUS_OPEN
    return next((r for r in view.rounds if is_open and r.attempt_id == attempt.attempt_id), None)


def _find_vector(view: state_pb2.TaskView, attempt: state_pb2.Attempt, blob: int) -> tuple[Shape, bytes]:
    if blob == tasks.MODEL_BLOB:
        return tasks.model_shape(view.task.parameters), attempt.model_root
    return tasks.update_shape(view.task.parameters), attempt.inputs[blob].update_root
