"""What roles read off a task's view, and the loop that every role lives in: look at each block, act on it."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

from offchain.interfaces import Blobs, BlobUnavailable, Int16Vector, Int32Vector, Ledger, LedgerUnavailable
from offchain.kernels.hashing import make_vector
from optfl import tasks
from optfl.aggregation import Aggregation
from optfl.certificates import Statement
from optfl.rules import RoundFacts, Rule
from optfl.vectors import ChunkedVector, Shape, compute_vector_id
from optfl.wire import receipt_pb2, state_pb2, transaction_pb2

log = logging.getLogger(__name__)

Aggregate = Callable[[Rule, Int32Vector, Sequence[Int16Vector], RoundFacts], Aggregation]
"""rule, base int32[D], K updates int16[D], what the ledger knows of the round -> model int32[D], and how it came about.

The reference or the kernels."""

TRANSIENT = (BlobUnavailable, LedgerUnavailable)
"""What a role logs and tries again at the next block."""

# A certificate promises from its inclusion on; a transaction may wait this long for that (blocks).
INCLUSION_BLOCKS = 100

_LIVE = (state_pb2.TASK_STATUS_CREATED, state_pb2.TASK_STATUS_RUNNING, state_pb2.TASK_STATUS_PAUSED)
_RETRY_SECONDS = 1.0


Rests = Callable[[state_pb2.TaskView], bool]
"""Whether a role has nothing to do until more of its task changes than others' commitments and answered audits."""


def never(view: state_pb2.TaskView) -> bool:
    """`Rests` of a role that looks at every block."""
    return False


def always(view: state_pb2.TaskView) -> bool:
    """`Rests` of a role that acts on changes alone."""
    return True


async def watch_task(
    ledger: Ledger, task_id: int, after_height: int = 0, rests: Rests = never
) -> AsyncIterator[state_pb2.TaskView]:
    """The task's view at each new block (late ones are skipped), up to and including the first in which it has ended.

    Where `rests` says so of a view that was dealt with, the next one is that of the task's next change. A node that
    does not answer is waited for: a role outlives its node's restarts.
    """
    height, is_resting = after_height, False
    while True:
        try:
            if is_resting:
                height = await ledger.wait_for_change(task_id, height)
            else:
                height = await ledger.wait_for_block(height)
            view = await ledger.get_task(task_id)
        except LedgerUnavailable as error:
            log.warning("%s; trying again", error)
            await asyncio.sleep(_RETRY_SECONDS)
            continue
        if view is None:
            continue
        yield view
        if not is_live(view.task):
            return
        is_resting = rests(view)


def is_live(task: state_pb2.Task) -> bool:
    return task.status in _LIVE


def get_head(view: state_pb2.TaskView) -> state_pb2.Round | None:
    """The newest live round, the only one that may be training or aggregating."""
    return view.rounds[-1] if view.rounds else None


def get_commitments(view: state_pb2.TaskView, current: state_pb2.Round) -> list[state_pb2.Commitment]:
    """Commitments of a live round, in selection order."""
    position = [r.round for r in view.rounds].index(current.round)
    return [indexed.commitment for indexed in view.commitments[position].commitments]


async def fetch_model(blobs: Blobs, task: state_pb2.Task, root: bytes) -> ChunkedVector:
    """The int32 model with this root. Raises BlobUnavailable."""
    return await _fetch(blobs, task, tasks.model_shape(task.parameters), root)


async def fetch_updates(blobs: Blobs, task: state_pb2.Task, roots: Sequence[bytes]) -> list[ChunkedVector]:
    """The updates with these roots, in this order. Raises BlobUnavailable."""
    shape = tasks.update_shape(task.parameters)
    return list(await asyncio.gather(*(_fetch(blobs, task, shape, root) for root in roots)))


def find_sources(view: state_pb2.TaskView, root: bytes) -> list[bytes]:
    """Accounts that should have the vector with this root, in the order in which to ask them.

    Replicas first. If it is demanded, also the validators that serve it, and its authors.
    """
    sources = dict.fromkeys(view.task.parameters.replicas)
    demands = [demand for demand in view.demands if demand.root == root]
    for demand in demands:
        sources |= dict.fromkeys(holder.operator for holder in demand.holders)
    if demands:
        sources |= dict.fromkeys(_find_authors(view, root))
    return list(sources)


def find_demanded_shape(view: state_pb2.TaskView, demand: state_pb2.Demand) -> Shape:
    """Shape of a demanded vector, from the task and the attempt that it belongs to."""
    parameters = view.task.parameters
    if demand.blob == tasks.TRACE_BLOB:
        attempt = next(a for a in view.attempts if a.attempt_id == demand.attempt_id)
        return tasks.trace_shape(parameters, len(attempt.inputs))
    return tasks.model_shape(parameters) if demand.blob == tasks.MODEL_BLOB else tasks.update_shape(parameters)


def find_demanded_id(view: state_pb2.TaskView, demand: state_pb2.Demand) -> bytes:
    return compute_vector_id(find_demanded_shape(view, demand), demand.root)


def _find_authors(view: state_pb2.TaskView, root: bytes) -> Iterator[bytes]:
    for indexed in (indexed for listed in view.commitments for indexed in listed.commitments):
        if indexed.commitment.update_root == root:
            yield indexed.commitment.client
    for attempt in view.attempts:
        if root in (attempt.model_root, attempt.reduction.trace_root):
            yield from tasks.authors_of(attempt)
        yield from (given.client for given in attempt.inputs if given.update_root == root)


async def _fetch(blobs: Blobs, task: state_pb2.Task, shape: Shape, root: bytes) -> ChunkedVector:
    data = await blobs.get(task.task_id, shape, compute_vector_id(shape, root), list(task.parameters.replicas))
    return make_vector(shape, data)


async def store(
    ledger: Ledger, blobs: Blobs, view: state_pb2.TaskView, round_number: int, vector: ChunkedVector
) -> receipt_pb2.Certificate:
    """Put a vector of ours at the task's replicas until it can no longer be evidence. Raises BlobUnavailable."""
    height = await ledger.wait_for_block(view.height - 1)  # now: to make the vector may have taken many blocks
    statement = Statement(
        chain_id=ledger.chain_id,
        task_id=view.task.task_id,
        round=round_number,
        owner=ledger.address,
        vector_id=vector.id,
        size_bytes=vector.shape.size_bytes,
        retain_until_height=height + view.task.retention_blocks + INCLUSION_BLOCKS,
    )
    return await blobs.put(statement, vector.shape, vector.data, tasks.replica_quorum(view.task.parameters))


async def submit(ledger: Ledger, body: transaction_pb2.Body, what: str) -> bool:
    """Send `body`; whether the ledger accepted it. A refusal is logged: the next block shows what is to be done."""
    result = await ledger.submit(body)
    if result.accepted:
        log.info("%s, in block %d", what, result.height)
    else:
        log.warning("%s: the ledger refused it: %s", what, result.log)
    return result.accepted


def compute_seed(*parts: bytes | int) -> int:
    """A 63-bit seed that depends on all parts, the same on every machine."""
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else part.to_bytes(8, "big")
        digest.update(len(data).to_bytes(4, "big") + data)
    return int.from_bytes(digest.digest()[:8], "big") >> 1
