"""Fetching the vectors that an attempt or a turn needs, and demanding on the ledger those that cannot be had (A4)."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Collection, Iterator, Sequence
from typing import TypeVar

from offchain.interfaces import Blobs, BlobUnavailable, Ledger
from offchain.kernels.hashing import make_vector
from offchain.roles.views import find_demanded_id, find_demanded_shape, find_sources, get_commitments, submit
from optfl import tasks
from optfl.audits import compute_demanded_chunk
from optfl.rules import RoundFacts
from optfl.transactions import MAX_TRANSACTION_BYTES
from optfl.vectors import ChunkedVector, Opening, Shape, compute_vector_id
from optfl.wire import state_pb2, transaction_pb2

log = logging.getLogger(__name__)

T = TypeVar("T")
_Answer = tuple[state_pb2.Demand, Opening]

# Before a blob is demanded: a bond is lost if everybody has it, and replicas come back from a crash.
_FAILURES = 2  # in a row
_PATIENCE = 4  # one part in so many of the time that there is

_ANSWER_BYTES = MAX_TRANSACTION_BYTES - 16_384  # of openings in an answer: room for its envelope and 1000 indices


class VectorsMissing(BlobUnavailable):
    """Some of the vectors that are needed cannot be had from anybody who should have them; `roots` says which."""

    def __init__(self, message: str, roots: frozenset[bytes]) -> None:
        super().__init__(message)
        self.roots = roots


async def fetch_round(
    blobs: Blobs, view: state_pb2.TaskView, models: Sequence[bytes], updates: Sequence[bytes]
) -> tuple[list[ChunkedVector], list[ChunkedVector]]:
    """Models and updates by their roots, all at once, from whoever serves them. Raises VectorsMissing."""
    model, update = tasks.model_shape(view.task.parameters), tasks.update_shape(view.task.parameters)
    wanted = [(model, root) for root in models] + [(update, root) for root in updates]
    vectors = await _gather([root for _, root in wanted], [fetch(blobs, view, *each) for each in wanted])
    return vectors[: len(models)], vectors[len(models) :]


async def fetch_trace(blobs: Blobs, view: state_pb2.TaskView, attempt: state_pb2.Attempt) -> ChunkedVector:
    """The trace that an attempt claims. Raises VectorsMissing."""
    shape = tasks.trace_shape(view.task.parameters, len(attempt.inputs))
    root = attempt.reduction.trace_root
    return (await _gather([root], [fetch(blobs, view, shape, root)]))[0]


async def fetch_chunk(
    blobs: Blobs, view: state_pb2.TaskView, chunk: int, wanted: Sequence[tuple[Shape, bytes]]
) -> list[Opening]:
    """The same chunk of several vectors, by shape and root. Raises VectorsMissing."""
    task_id = view.task.task_id
    requests = [blobs.get_chunk(task_id, shape, root, chunk, find_sources(view, root)) for shape, root in wanted]
    return await _gather([root for _, root in wanted], requests)


async def _gather(roots: Sequence[bytes], requests: Sequence[Awaitable[T]]) -> list[T]:
    """What all requests bring; VectorsMissing names all that bring nothing."""
    results = await asyncio.gather(*requests, return_exceptions=True)
    found: list[T] = []
    failures: dict[bytes, BlobUnavailable] = {}
    for root, result in zip(roots, results, strict=True):
        if isinstance(result, BlobUnavailable):
            failures[root] = result
        elif isinstance(result, BaseException):
            raise result
        else:
            found.append(result)
    if failures:
        reason = next(iter(failures.values()))
        raise VectorsMissing(f"{len(failures)} of {len(roots)} vectors: {reason}", frozenset(failures))
    return found


async def fetch(blobs: Blobs, view: state_pb2.TaskView, shape: Shape, root: bytes) -> ChunkedVector:
    """One vector, from replicas or from whoever else serves it. Raises BlobUnavailable."""
    sources = find_sources(view, root)
    return make_vector(shape, await blobs.get(view.task.task_id, shape, compute_vector_id(shape, root), sources))


class Demander:
    """Demands what this account needs and could not get twice in a row; with a bond, so never twice the same."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._failures: Counter[tuple[str, bytes]] = Counter()
        self._demanded: set[str] = set()

    async def demand_for_turn(
        self, view: state_pb2.TaskView, current: state_pb2.Round, roots: Collection[bytes]
    ) -> None:
        """All updates that the round lacks, in one transaction: the turn has no second; and the base, if it is open.

        Raises LedgerUnavailable.
        """
        if current.base_root in roots:
            for parent in (a for a in view.attempts if a.attempt_id == current.parent_attempt):
                await self.demand_of_attempt(view, parent, {current.base_root})
        position = [r.round for r in view.rounds].index(current.round)
        inputs = [i.index for i in view.commitments[position].commitments if i.commitment.update_root in roots]
        scope = f"round {current.round}/{current.parent_attempt}, turn {current.turn}.{current.restarts}"
        if not inputs or current.restarts >= tasks.MAX_RESTARTS:
            return
        is_time = self._is_time(scope, roots)
        if is_time and _is_patience_over(view.height, current.turn_start_height, current.aggregation_deadline_height):
            await self._demand(scope, current, transaction_pb2.DemandBlob(inputs=inputs))

    async def demand_of_attempt(
        self, view: state_pb2.TaskView, attempt: state_pb2.Attempt, roots: Collection[bytes]
    ) -> None:
        """Demand what an open attempt cannot be judged without. Raises LedgerUnavailable."""
        current = next((r for r in view.rounds if r.attempt_id == attempt.attempt_id), None)
        if current is None or attempt.status != state_pb2.ATTEMPT_STATUS_OPEN or not attempt.aggregator:
            return
        if view.height > attempt.window_close_height:
            return
        selected = list(current.selected)
        message = transaction_pb2.DemandBlob(
            attempt_id=attempt.attempt_id,
            inputs=sorted(selected.index(i.client) for i in attempt.inputs if i.update_root in roots),
            model=attempt.model_root in roots,
            trace=attempt.reduction.trace_root in roots,
        )
        scope = f"attempt {attempt.attempt_id}"
        if not message.inputs and not message.model and not message.trace:
            return
        is_time = self._is_time(scope, roots)
        if is_time and _is_patience_over(view.height, attempt.submit_height, attempt.window_close_height):
            await self._demand(scope, current, message)

    def _is_time(self, scope: str, roots: Collection[bytes]) -> bool:
        """Whether these failed often enough. One that comes back starts to count anew."""
        for known in [key for key in self._failures if key[0] == scope and key[1] not in roots]:
            del self._failures[known]
        self._failures.update((scope, root) for root in roots)
        return scope not in self._demanded and any(self._failures[scope, root] >= _FAILURES for root in roots)

    async def _demand(self, scope: str, current: state_pb2.Round, message: transaction_pb2.DemandBlob) -> None:
        message.task_id = current.task_id
        message.round = current.round
        message.parent_attempt = current.parent_attempt
        own = "".join(f", the {name}" for name in ("model", "trace") if getattr(message, name))
        what = f"{scope}: {len(message.inputs)} updates{own} demanded"
        await submit(self._ledger, transaction_pb2.Body(demand_blob=message), what)
        self._demanded.add(scope)  # refused or not: a refusal means that somebody else demanded them


def _is_patience_over(height: int, start_height: int, end_height: int) -> bool:
    return height >= start_height + (end_height - start_height) // _PATIENCE


class DemandAnswerer:
    """A validator's part: it looks for what is demanded, serves what it finds, and says so on the ledger."""

    def __init__(self, ledger: Ledger, blobs: Blobs) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._offered: set[bytes] = set()  # vector ids: an update and a trace of the same bytes have one root
        self._openings: dict[tuple[bytes, int], Opening] = {}  # by vector id and chunk, until the demand is answered

    def find_work(self, view: state_pb2.TaskView) -> dict[str, list[state_pb2.Demand]]:
        """Demands that wait for us, by scope: those that we have not answered, or answered before a crash."""
        scopes: dict[str, list[state_pb2.Demand]] = {}
        for demand in view.demands:
            if find_demanded_id(view, demand) in self._offered and self._is_holder(demand):
                continue
            if self._is_holder(demand) or tasks.is_undecided(demand):
                scope = f"demands of round {demand.round}/{demand.parent_attempt}/{demand.attempt_id}"
                scopes.setdefault(scope, []).append(demand)
        return scopes

    async def answer(self, view: state_pb2.TaskView, demands: Sequence[state_pb2.Demand]) -> None:
        """Fetch, offer, attest: of one scope as much in a transaction as fits. Raises LedgerUnavailable."""
        found = await asyncio.gather(*(self._offer(view, demand) for demand in demands))
        answered = [(d, o) for d, o in zip(demands, found, strict=True) if o is not None and not self._is_holder(d)]
        answered.sort(key=lambda answer: answer[0].blob)  # updates in the order of their indices, trace and model last
        for batch in _split_answers(answered):
            await self._attest([demand for demand, _ in batch], [opening for _, opening in batch])

    async def _attest(self, answered: Sequence[state_pb2.Demand], openings: Sequence[Opening]) -> None:
        message = transaction_pb2.AnswerDemand(
            task_id=answered[0].task_id,
            round=answered[0].round,
            parent_attempt=answered[0].parent_attempt,
            attempt_id=answered[0].attempt_id,
            inputs=[d.blob for d in answered if d.blob < tasks.TRACE_BLOB],
            model=any(d.blob == tasks.MODEL_BLOB for d in answered),
            trace=any(d.blob == tasks.TRACE_BLOB for d in answered),
            openings=[transaction_pb2.Opening(data=opening.data, path=opening.path) for opening in openings],
        )
        what = f"round {message.round}: {len(answered)} demanded vectors found, and served from here"
        await submit(self._ledger, transaction_pb2.Body(answer_demand=message), what)

    async def _offer(self, view: state_pb2.TaskView, demand: state_pb2.Demand) -> Opening | None:
        """Serve the vector from now on; the chunk of it that was drawn for us, or None if it cannot be had."""
        shape = find_demanded_shape(view, demand)
        vector_id = compute_vector_id(shape, demand.root)
        chunk = compute_demanded_chunk(demand, self._ledger.address, shape.chunks)
        if vector_id not in self._offered or (vector_id, chunk) not in self._openings:
            try:
                vector = await fetch(self._blobs, view, shape, demand.root)
            except BlobUnavailable:
                return None  # tried again at the next block, until the demand is decided
            await self._blobs.offer(view.task.task_id, shape, vector.id, vector.data)
            self._offered.add(vector_id)
            self._openings[vector_id, chunk] = vector.opening(chunk)
        return self._openings[vector_id, chunk]

    def _is_holder(self, demand: state_pb2.Demand) -> bool:
        return any(holder.operator == self._ledger.address for holder in demand.holders)


def _split_answers(answers: Sequence[_Answer]) -> Iterator[list[_Answer]]:
    batch: list[_Answer] = []
    size = 0
    for demand, opening in answers:
        added = tasks.compute_opening_bytes(len(opening.data), len(opening.path))
        if batch and size + added > _ANSWER_BYTES:
            yield batch
            batch, size = [], 0
        batch.append((demand, opening))
        size += added
    if batch:
        yield batch


def get_facts(view: state_pb2.TaskView, current: state_pb2.Round) -> RoundFacts:
    """What the ledger knows of a round whose updates are frozen, beside these."""
    return RoundFacts(tuple(commitment.weight for commitment in get_commitments(view, current)), current.beacon)
