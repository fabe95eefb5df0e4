"""A replica's duties beside serving: it pulls what it should have, and shows the ledger that it has it (A4, E3).

A certificate needs a quorum of receipts, so a replica that was down during a put lacks a vector that others count on it
for. Free of Zenoh and disks: the same code runs in the simulation.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from offchain.interfaces import Blobs, BlobUnavailable, Ledger, LedgerUnavailable
from offchain.kernels.hashing import make_vector
from offchain.roles.views import TRANSIENT, find_sources, is_live, watch_task
from offchain.storage.store import BlobStore, CorruptBlob, NotStored, Slot, StoreFailed, kind_of
from optfl import errors, tasks
from optfl.audits import draw_audit
from optfl.vectors import ChunkedVector, Shape, compute_vector_id
from optfl.wire import state_pb2, transaction_pb2

log = logging.getLogger(__name__)

MAX_TASKS = 256  # that one replica looks after
LOOK_BLOCKS = 10  # between looks for new tasks
PULLS_AT_ONCE = 2
MAX_PULLS_PER_BLOCK = 16
GRACE_BLOCKS = 2  # the author may be about to put it here: the quorum is there before the others

_RETRY_SECONDS = 1.0

RunBlocking = Callable[..., Awaitable[Any]]
"""Runs a function that waits for the disk: asyncio.to_thread, or under a virtual clock at once."""


async def run_upkeep(ledger: Ledger, blobs: Blobs, store: BlobStore, run: RunBlocking = asyncio.to_thread) -> None:
    """Look after every live task that names this replica, for ever."""
    height, known = 0, set[int]()
    async with asyncio.TaskGroup() as group:
        while True:
            try:
                height = await ledger.wait_for_block(height)
                listed = await ledger.list_tasks()
            except LedgerUnavailable as error:
                log.warning("%s; trying again", error)
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            known &= {task.task_id for task in listed if is_live(task)}
            for task in listed:
                if task.task_id in known or not is_live(task) or ledger.address not in task.parameters.replicas:
                    continue
                if len(known) < MAX_TASKS:
                    known.add(task.task_id)
                    group.create_task(look_after(task.task_id, ledger, blobs, store, run))
            height += LOOK_BLOCKS - 1


async def look_after(task_id: int, ledger: Ledger, blobs: Blobs, store: BlobStore, run: RunBlocking) -> None:
    """A replica's duties in one task until it ends; a slow pull holds up no audit."""
    async with asyncio.TaskGroup() as group:
        group.create_task(pull_missing(task_id, ledger, blobs, store, run))
        group.create_task(answer_audits(task_id, ledger, store, run))


# Pulling.


@dataclass(frozen=True)
class Promise:
    """What a replica of a task should keep: a vector, for what, and until when."""

    shape: Shape
    root: bytes
    slot: Slot
    retain_until_height: int

    @property
    def vector_id(self) -> bytes:
        return compute_vector_id(self.shape, self.root)


async def pull_missing(task_id: int, ledger: Ledger, blobs: Blobs, store: BlobStore, run: RunBlocking) -> None:
    """Until the task ends: fetch what is promised and not here from whoever has it. What fails waits for a block."""
    missing_since: dict[Promise, int] = {}
    failures: Counter[Promise] = Counter()
    async for view in watch_task(ledger, task_id, rests=lambda _: not missing_since):
        promises = [promise for promise in find_promises(view) if not _keeps(store, promise)]
        since = {promise: missing_since.get(promise, view.height) for promise in promises}
        missing_since.clear()
        missing_since.update(since)
        failures = Counter({promise: failures[promise] for promise in promises})
        due = [promise for promise, since in missing_since.items() if view.height >= since + GRACE_BLOCKS]
        # What failed least often goes first, so that nothing that nobody has stands in the others' way.
        due = sorted(due, key=lambda promise: failures[promise])[:MAX_PULLS_PER_BLOCK]
        for start in range(0, len(due), PULLS_AT_ONCE):
            batch = due[start : start + PULLS_AT_ONCE]
            results = await asyncio.gather(*(_pull(view, promise, ledger, blobs, store, run) for promise in batch))
            failures.update(promise for promise, pulled in zip(batch, results, strict=True) if not pulled)


def find_promises(view: state_pb2.TaskView) -> Iterator[Promise]:
    """What the certificates on the ledger promise of all replicas, from when on it may be read.

    Not the updates of a round that is in training: no replica gives them out.
    """
    task, height = view.task, view.height
    update, model = tasks.update_shape(task.parameters), tasks.model_shape(task.parameters)

    def promise(shape: Shape, root: bytes, number: int, owner: bytes, until: int) -> Iterator[Promise]:
        if until >= height:
            yield Promise(shape, root, Slot(task.task_id, number, owner, kind_of(shape)), until)

    if task.HasField("initial_model_certificate"):
        until = task.initial_model_certificate.retain_until_height
        yield from promise(model, task.initial_model_root, 0, task.requester, until)
    for current, listed in zip(view.rounds, view.commitments, strict=True):
        if current.status != state_pb2.ROUND_STATUS_TRAINING:
            for committed in (indexed.commitment for indexed in listed.commitments):
                until = committed.certificate.retain_until_height
                yield from promise(update, committed.update_root, current.round, committed.client, until)
    for attempt in view.attempts:
        authors = tasks.authors_of(attempt)
        if not authors:  # a dropped round: its model is the base
            continue
        until = attempt.certificate.retain_until_height
        yield from promise(model, attempt.model_root, attempt.round, authors[0], until)
        if attempt.HasField("reduction"):
            shape, root = tasks.find_blob(task.parameters, attempt, tasks.TRACE_BLOB)
            until = attempt.reduction.certificate.retain_until_height
            yield from promise(shape, root, attempt.round, authors[0], until)
        for given in attempt.inputs:  # also those of a void attempt, whose commitments may be gone: it is convictable
            yield from promise(update, given.update_root, attempt.round, given.client, attempt.evidence_height)


def _keeps(store: BlobStore, promise: Promise) -> bool:
    if (record := store.get_record(promise.vector_id)) is None:
        return False
    return any(  # whoever it was put for: in modes with several members the ledger does not say who did
        (slot.task_id, slot.round) == (promise.slot.task_id, promise.slot.round)
        and until >= promise.retain_until_height
        for slot, until in record.retain_until.items()
    )


async def _pull(
    view: state_pb2.TaskView, promise: Promise, ledger: Ledger, blobs: Blobs, store: BlobStore, run: RunBlocking
) -> bool:
    """Whether the vector is here now."""
    name = f"round {promise.slot.round}, {promise.slot.kind} {promise.vector_id.hex()}"
    try:
        try:
            vector = await run(store.read, promise.vector_id)  # it may be here for another owner, or for less long
        except (NotStored, CorruptBlob):
            sources = [source for source in find_sources(view, promise.root) if source != ledger.address]
            data = await blobs.get(view.task.task_id, promise.shape, promise.vector_id, sources)
            vector = make_vector(promise.shape, data)
            log.info("%s: pulled", name)
        await run(store.put, vector, promise.slot, promise.retain_until_height)
    except (BlobUnavailable, StoreFailed) as error:
        log.warning("%s is not here yet: %s; trying again at the next block", name, error)
        return False
    return True


# Audits.


async def answer_audits(task_id: int, ledger: Ledger, store: BlobStore, run: RunBlocking) -> None:
    """Until the task ends: show the chunk that the beacon drew for us of every open attempt, once."""
    auditor = Auditor(ledger, store, run)
    async for view in watch_task(ledger, task_id, rests=auditor.has_answered_all):
        for attempt in view.attempts:
            try:
                await auditor.answer(view, attempt)
            except TRANSIENT as error:
                log.warning("audit of attempt %d: %s; trying again at the next block", attempt.attempt_id, error)


class Auditor:
    """What one replica has answered in a task, and which refusals its operator has been told."""

    def __init__(self, ledger: Ledger, store: BlobStore, run: RunBlocking) -> None:
        self._ledger = ledger
        self._store = store
        self._run = run
        self._done: set[int] = set()
        self._told: set[int] = set()

    def has_answered_all(self, view: state_pb2.TaskView) -> bool:
        """Whether no audit of the view's attempts waits for this replica."""
        return not any(self._is_due(attempt) for attempt in view.attempts)

    def _is_due(self, attempt: state_pb2.Attempt) -> bool:
        is_audited = attempt.status == state_pb2.ATTEMPT_STATUS_OPEN and attempt.aggregator
        return bool(is_audited) and attempt.attempt_id not in self._done

    async def answer(self, view: state_pb2.TaskView, attempt: state_pb2.Attempt) -> None:
        """Answer the audit of `attempt`, if there is one and the vector is here. Raises LedgerUnavailable."""
        if not self._is_due(attempt):
            return
        replica = list(view.task.parameters.replicas).index(self._ledger.address)
        if any(a.attempt_id == attempt.attempt_id and a.replica == replica for a in view.audits):
            self._done.add(attempt.attempt_id)
            return
        shape, root, chunk = find_audited(view.task, attempt, replica)
        try:
            vector: ChunkedVector = await self._run(self._store.read, compute_vector_id(shape, root))
        except (NotStored, CorruptBlob, StoreFailed):
            return  # it is being pulled, or the disk fails, which the store says
        opening = vector.opening(chunk)
        answer = transaction_pb2.AnswerAudit(
            task_id=view.task.task_id,
            attempt_id=attempt.attempt_id,
            opening=transaction_pb2.Opening(data=opening.data, path=opening.path),
        )
        result = await self._ledger.submit(transaction_pb2.Body(answer_audit=answer))
        if not result.accepted and result.code not in self._told:
            self._told.add(result.code)
            log.warning("attempt %d: the ledger refused the answer to its audit: %s", attempt.attempt_id, result.log)
        if result.code != errors.InsufficientBalance.code:  # tokens may come, other reasons do not pass
            self._done.add(attempt.attempt_id)


def find_audited(task: state_pb2.Task, attempt: state_pb2.Attempt, replica: int) -> tuple[Shape, bytes, int]:
    """Shape and root of the vector, and the chunk of it, that the task's `replica`-th replica has to show."""
    audit = draw_audit(task.parameters, attempt, replica)
    return *tasks.find_blob(task.parameters, attempt, audit.blob), audit.chunk
