"""Messages about blobs that cannot be had, and about what replicas show."""

from __future__ import annotations

from typing import Any

from abci_app.state.keyspace import demand_key
from optfl import tasks
from optfl.audits import compute_demanded_chunk, draw_audit
from optfl.keys import SigningKey
from optfl.vectors import ChunkedVector
from optfl.wire import state_pb2, transaction_pb2
from support.ledger import REPLICAS, VALIDATORS, TaskHarness


def demand(task: TaskHarness, number: int, *inputs: int, **overrides: Any) -> transaction_pb2.DemandBlob:
    """Of a round's turn, or with `attempt_id`, and `model` or `trace`, of its open attempt."""
    fields = {"task_id": task.task_id, "round": number, "parent_attempt": task.round(number).parent_attempt}
    return transaction_pb2.DemandBlob(**{**fields, "inputs": inputs, **overrides})


def answer(
    task: TaskHarness, number: int, *inputs: int, by: SigningKey = VALIDATORS[0], **overrides: Any
) -> transaction_pb2.AnswerDemand:
    """What `by` sends of blobs that it found; of what nobody demands, with openings of nothing."""
    message = demand(task, number, *inputs, **overrides)
    return open_demanded(task, transaction_pb2.AnswerDemand.FromString(message.SerializeToString()), by)


def open_demanded(
    task: TaskHarness, message: transaction_pb2.AnswerDemand, by: SigningKey
) -> transaction_pb2.AnswerDemand:
    """The same answer with the chunks that were drawn for `by`."""
    del message.openings[:]
    current = task.ledger.round(message.round, task.task_id)
    scope = (message.task_id, message.round, message.parent_attempt, message.attempt_id)
    for blob in [*message.inputs, *([tasks.MODEL_BLOB] if message.model else [])]:
        key = demand_key(*scope, 0 if current is None else current.turn, blob)
        found = task.ledger.state.demands.get(key)
        if found is None:
            message.openings.add()
            continue
        vector = next(v for v in [*task.updates.values(), *task.models.values()] if v.root == found.root)
        opening = vector.opening(compute_demanded_chunk(found, by.address, vector.shape.chunks))
        message.openings.add(data=opening.data, path=opening.path)
    return message


def answer_all(task: TaskHarness, count: int, message: transaction_pb2.AnswerDemand) -> None:
    """The first `count` validators answer with what is in `message`, in one block."""
    signed = [task.ledger.sign(v, open_demanded(task, message, v)) for v in VALIDATORS[:count]]
    results = task.ledger.block(*signed).results
    if any(result.code for result in results):
        raise AssertionError([result.log for result in results])


def find_demand(task: TaskHarness, number: int, blob: int, attempt_id: int = 0) -> state_pb2.Demand | None:
    current = task.round(number)
    key = demand_key(task.task_id, number, current.parent_attempt, attempt_id, current.turn, blob)
    return task.ledger.state.demands.get(key)


def get_demand(task: TaskHarness, number: int, blob: int, attempt_id: int = 0) -> state_pb2.Demand:
    found = find_demand(task, number, blob, attempt_id)
    if found is None:
        raise AssertionError(f"blob {blob} of round {number} is not demanded")
    return found


def answer_audit(task: TaskHarness, number: int, replica: int, **overrides: Any) -> transaction_pb2.AnswerAudit:
    """What the `replica`-th of the task's replicas has to show of attempt `number`."""
    attempt = task.ledger.attempt(number, task.task_id)
    if attempt is None:
        raise AssertionError(f"attempt {number} is not on record")
    audit = draw_audit(task.parameters, attempt, replica)
    vector = get_audited(task, attempt, audit.blob)
    opening = vector.opening(audit.chunk)
    fields = {
        "task_id": task.task_id,
        "attempt_id": number,
        "opening": transaction_pb2.Opening(data=opening.data, path=opening.path),
    }
    return transaction_pb2.AnswerAudit(**{**fields, **overrides})


def get_audited(task: TaskHarness, attempt: state_pb2.Attempt, blob: int) -> ChunkedVector:
    if blob == tasks.MODEL_BLOB:
        return task.models[attempt.attempt_id]
    if blob == tasks.TRACE_BLOB:
        return task.traces[attempt.attempt_id]
    return task.updates[attempt.inputs[blob].update_root]


def answer_audits(task: TaskHarness, attempt_id: int, replicas: int = len(REPLICAS)) -> None:
    """The first `replicas` of the task's replicas answer, in one block."""
    messages = [answer_audit(task, attempt_id, i) for i in range(replicas)]
    results = task.ledger.block(*(task.ledger.sign(k, m) for k, m in zip(REPLICAS, messages, strict=False))).results
    if any(result.code for result in results):
        raise AssertionError([result.log for result in results])
