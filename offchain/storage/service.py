"""What a replica answers: when it signs a receipt, and when it hands a vector out. No network, no clock.

A replica believes nobody but the ledger: who may store what in which round, and the shape of it, come from the task as
its own node has it, ids from the bytes themselves (red team I3, I4, A3).
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from typing import Protocol

from offchain.interfaces import LedgerUnavailable
from offchain.kernels.hashing import make_vector
from offchain.storage import protocol
from offchain.storage.protocol import GetRequest, Malformed, PutRequest, Refusal
from offchain.storage.store import BlobStore, CorruptBlob, NotStored, Record, Slot, StoreFailed, StoreFull
from optfl import tasks
from optfl.certificates import sign_receipt
from optfl.keys import SigningKey
from optfl.vectors import ChunkedVector, Shape, VectorError, compute_vector_id
from optfl.wire import state_pb2, transaction_pb2

SPARE_VECTORS = 4
"""Distinct vectors that a slot may hold beside those that disputes can make its owner store.

A conviction opens a round again and excludes an aggregator for good; a vote or a model that nobody can read opens it
again without, at most `max_attempts` times; a turn begins again up to MAX_RESTARTS times with fewer updates. An honest
owner makes one vector for each, and another one where it crashed half-way and its result is not reproducible.
"""

# How far beyond what a task needs a promise may reach: an author asks for room for its transaction, and may see
# another height than this replica's node.
MAX_RETENTION_FACTOR = 4
SPARE_RETENTION_BLOCKS = 1000

_STARTED = (state_pb2.TASK_STATUS_RUNNING, state_pb2.TASK_STATUS_PAUSED)
_ENDED = (state_pb2.TASK_STATUS_COMPLETED, state_pb2.TASK_STATUS_ABORTED)


MAX_KEPT_BYTES = 64 << 20
"""Of models that are kept in memory as they are sent: every client reads the round's, and none waits for its hash."""


class TaskReader(Protocol):
    """Views of tasks, from the node that a replica trusts. Called from several threads at once."""

    def __call__(self, task_id: int, *, fresh: bool) -> state_pb2.TaskView | None:
        """The task's view, None if there is no such task; `fresh`: not one from before the call.

        Raises LedgerUnavailable.
        """
        ...


class ReplicaService:
    """A replica, as a function from request to answer. Safe to call from several threads."""

    def __init__(self, chain_id: str, key: SigningKey, store: BlobStore, read_task: TaskReader) -> None:
        self._chain_id = chain_id
        self._key = key
        self._store = store
        self._read_task = read_task
        self._lock = threading.Lock()  # guards _incoming
        self._incoming: Counter[tuple[Slot, bytes]] = Counter()  # being stored: these count for the quota already
        self._kept = _KeptAnswers(MAX_KEPT_BYTES)

    @property
    def address(self) -> bytes:
        return self._key.address

    def handle_put(self, message: bytes) -> bytes:
        """Store what is asked for and sign a receipt, or refuse; never raises for a peer's fault."""
        try:
            return protocol.encode_receipt_reply(self._put(protocol.decode_put(message)))
        except Malformed as error:
            return protocol.encode_refusal(Refusal("malformed", str(error)))
        except Refusal as refusal:
            return protocol.encode_refusal(refusal)

    def handle_get(self, message: bytes) -> bytes:
        """Send a vector or a chunk, or refuse; never raises for a peer's fault."""
        try:
            return self._get(protocol.decode_get(message))
        except Malformed as error:
            return protocol.encode_refusal(Refusal("malformed", str(error)))
        except Refusal as refusal:
            return protocol.encode_refusal(refusal)

    def _put(self, request: PutRequest) -> bytes:
        if request.chain_id != self._chain_id:
            raise Refusal("wrong-chain", f"this replica serves chain {self._chain_id}; use one of {request.chain_id}")
        if not request.is_signed():
            raise Refusal("bad-signature", "sign the digest of the statement, in the put domain, with the owner's key")
        view = self._get_view(request.task_id, request.seen_height)
        check_put(view, request)
        if self._key.public_key not in view.replica_keys:
            raise Refusal("not-a-replica", f"{self.address.hex()} is not among the task's replicas; ask those")
        shape = _shape_of(view, request)
        try:
            vector = make_vector(shape, request.data)
        except VectorError as error:
            raise Refusal("wrong-length", f"{error}; the task sets length and type") from None
        if vector.id != request.vector_id:
            raise Refusal("wrong-bytes", f"these bytes have the id {vector.id.hex()}; send those of the id you name")
        slot = Slot(request.task_id, request.round, request.owner, request.kind)
        self._store_within_quota(vector, slot, request.retain_until_height, _quota_of(view.task))
        return sign_receipt(self._key, request.statement)

    def _get_view(self, task_id: int, seen_height: int) -> state_pb2.TaskView:
        """The task's view, at least as new as the asker's if our node has one."""
        view = self._look_up(task_id, fresh=False)
        if view is None or view.height < seen_height:
            view = self._look_up(task_id, fresh=True)
        if view is None:
            raise Refusal("not-yet", f"this replica's node knows no task {task_id}; if there is one, try again soon")
        return view

    def _look_up(self, task_id: int, *, fresh: bool) -> state_pb2.TaskView | None:
        try:
            return self._read_task(task_id, fresh=fresh)
        except LedgerUnavailable:
            raise Refusal("node-unavailable", "this replica's node does not answer; try again soon") from None

    def _store_within_quota(self, vector: ChunkedVector, slot: Slot, retain_until_height: int, quota: int) -> None:
        entry = (slot, vector.id)
        with self._lock:
            incoming = {vector_id for other, vector_id in self._incoming if other == slot}
            if len(self._store.get_ids(slot) | incoming | {vector.id}) > quota:
                raise Refusal("quota", f"{quota} vectors of this owner are stored for this round; store one of those")
            self._incoming[entry] += 1
        try:
            self._store.put(vector, slot, retain_until_height)
        except StoreFull:
            raise Refusal("no-space", "this replica has no space left; its operator must free some") from None
        except StoreFailed:
            raise Refusal("storage-failed", "this replica's disk fails; its operator must look at it") from None
        finally:
            with self._lock:
                self._incoming[entry] -= 1
                if not self._incoming[entry]:
                    del self._incoming[entry]

    def _get(self, request: GetRequest) -> bytes:
        record = self._store.get_record(request.vector_id)
        if record is None or not (slots := [s for s in record.retain_until if s.task_id == request.task_id]):
            raise Refusal("not-stored", "this replica has no such vector of this task; ask another one")
        is_model = any(slot.kind == "model" for slot in slots)
        is_update = all(slot.kind == "update" for slot in slots)
        if is_update and not self._is_frozen(record, slots):
            raise Refusal("not-frozen", "an update can be read once its round is frozen; try again then")
        is_kept = is_model and request.chunk is None
        if is_kept and (answer := self._kept.get(request.vector_id)) is not None:
            return answer
        try:
            vector = self._store.read(request.vector_id)
        except (NotStored, CorruptBlob):
            raise Refusal("not-stored", "this replica lost the vector; ask another one") from None
        except StoreFailed:
            raise Refusal("storage-failed", "this replica's disk fails; ask another one") from None
        answer = answer_get(vector, request)
        if is_kept:
            self._kept.put(request.vector_id, answer)
        return answer

    def _is_frozen(self, record: Record, slots: list[Slot]) -> bool:
        task_id = slots[0].task_id
        for fresh in (False, True):  # the node that the asker trusts may be ahead of what we looked at last
            view = self._look_up(task_id, fresh=fresh)
            if view is not None and any(is_frozen(view, slot, record.root) for slot in slots):
                return True
        return False


class _KeptAnswers:
    """Answers by the ids that their vectors were checked against: those asked for last, up to `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._size_bytes = 0
        self._answers: OrderedDict[bytes, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, vector_id: bytes) -> bytes | None:
        with self._lock:
            if vector_id in self._answers:
                self._answers.move_to_end(vector_id)
            return self._answers.get(vector_id)

    def put(self, vector_id: bytes, answer: bytes) -> None:
        with self._lock:
            if vector_id in self._answers:
                return
            self._answers[vector_id] = answer
            self._size_bytes += len(answer)
            while self._size_bytes > self._max_bytes:
                _, dropped = self._answers.popitem(last=False)
                self._size_bytes -= len(dropped)


def answer_get(vector: ChunkedVector, request: GetRequest) -> bytes:
    """The answer to a get that is granted; raises Refusal if the vector has no such chunk."""
    if request.chunk is None:
        return protocol.encode_vector_reply(vector.buffer)
    if request.chunk >= vector.shape.chunks:
        raise Refusal("no-such-chunk", f"the vector has chunks 0 to {vector.shape.chunks - 1}; ask for one of them")
    return protocol.encode_opening_reply(vector.opening(request.chunk))


def check_put(view: state_pb2.TaskView, request: PutRequest) -> None:
    """Raise a Refusal unless the ledger entitles the owner to store this now.

    "not-yet" where the author's view was newer than ours: then it may well be entitled.
    """
    try:
        _check_phase(view, request)
        _check_retention(view, request)
    except Refusal as refusal:
        if view.height < request.seen_height:
            raise Refusal(
                "not-yet",
                f"this replica's node is at height {view.height}, you saw {request.seen_height}; try again soon "
                f"({refusal.message})",
            ) from None
        raise


def is_frozen(view: state_pb2.TaskView, slot: Slot, root: bytes) -> bool:
    """Whether nobody can gain from copying this update any more: its round takes no commits, or took this one.

    A round that was reverted may be training again while the updates of its first opening are still evidence.
    """
    if view.task.status in _ENDED or slot.round <= view.task.settled_round:
        return True
    current = _find_round(view, slot.round)
    if current is not None and current.status != state_pb2.ROUND_STATUS_TRAINING:
        return True
    return any(
        attempt.round == slot.round
        and any(entry.client == slot.owner and entry.update_root == root for entry in attempt.inputs)
        for attempt in view.attempts
    )


def _check_phase(view: state_pb2.TaskView, request: PutRequest) -> None:
    task = view.task
    if task.status in _ENDED:
        raise Refusal("task-over", f"task {task.task_id} has ended; nothing more is stored for it")
    if task.status not in _STARTED:
        _check_initial_model(task, request)
        return
    current = _find_round(view, request.round)
    if current is None:
        known = ", ".join(str(r.round) for r in view.rounds) or "none"
        raise Refusal("wrong-round", f"round {request.round} is not live at height {view.height}; live are: {known}")
    if request.kind == "update":
        if current.status != state_pb2.ROUND_STATUS_TRAINING:
            raise Refusal("wrong-phase", f"round {request.round} takes no updates any more; go on with the next one")
        if request.owner not in current.selected:
            raise Refusal("not-entitled", f"{request.owner.hex()} is not selected for round {request.round}")
        return
    if current.status != state_pb2.ROUND_STATUS_AGGREGATING:
        raise Refusal("wrong-phase", f"round {request.round} is not aggregating; models are stored while it is")
    if task.parameters.mode == transaction_pb2.MODE_PBFT:
        if request.owner not in [member.address for member in view.members]:
            raise Refusal("not-entitled", f"{request.owner.hex()} is no validator with power at height {view.height}")
    elif request.owner not in task.parameters.aggregators:
        raise Refusal("not-entitled", f"{request.owner.hex()} is no aggregator of task {task.task_id}")


def _check_initial_model(task: state_pb2.Task, request: PutRequest) -> None:
    if request.kind != "model" or request.round != 0:
        raise Refusal("wrong-round", f"task {task.task_id} has not started; only its initial model is stored, round 0")
    if request.owner != task.requester:
        raise Refusal("not-entitled", f"only the requester {task.requester.hex()} stores the initial model")
    expected = compute_vector_id(tasks.model_shape(task.parameters), task.initial_model_root)
    if request.vector_id != expected:
        raise Refusal("wrong-model", f"the task was created with the initial model {expected.hex()}; store that")


def _check_retention(view: state_pb2.TaskView, request: PutRequest) -> None:
    needed = view.height + view.task.retention_blocks
    most = view.height + MAX_RETENTION_FACTOR * view.task.retention_blocks + SPARE_RETENTION_BLOCKS
    if request.retain_until_height < needed:
        raise Refusal("retention-too-short", f"ask for height {needed} at least; it may be evidence until then (I5)")
    if request.retain_until_height > most:
        raise Refusal("retention-too-long", f"ask for height {most} at most")


def _find_round(view: state_pb2.TaskView, number: int) -> state_pb2.Round | None:
    return next((r for r in view.rounds if r.round == number), None)


def _shape_of(view: state_pb2.TaskView, request: PutRequest) -> Shape:
    parameters = view.task.parameters
    if request.kind == "update":
        return tasks.update_shape(parameters)
    if request.kind == "model":
        return tasks.model_shape(parameters)
    current = _find_round(view, request.round)
    if current is None or not current.committed or not tasks.needs_totals(parameters):
        raise Refusal("wrong-phase", f"{parameters.rule} of this round has no trace; store its model alone")
    return tasks.trace_shape(parameters, current.committed)


def _quota_of(task: state_pb2.Task) -> int:
    parameters = task.parameters
    return len(parameters.aggregators) + parameters.max_attempts + tasks.MAX_RESTARTS + SPARE_VECTORS
