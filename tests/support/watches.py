"""Watches in tests: what validators that have read an attempt commit to, and show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optfl import tasks
from optfl.keys import SigningKey
from optfl.merkle import MerkleTree
from optfl.vectors import ChunkedVector
from optfl.watches import compute_leaves, compute_watch_key, draw_chunk
from optfl.wire import state_pb2, transaction_pb2
from support.ledger import CHAIN_ID, VALIDATORS, TaskHarness


def get_vectors(task: TaskHarness, attempt: state_pb2.Attempt) -> list[ChunkedVector]:
    """All that an attempt is made of, in the order of a watch's tree."""
    return [*(task.updates[given.update_root] for given in attempt.inputs), task.models[attempt.attempt_id]]


def make_tree(task: TaskHarness, attempt_id: int, operator: SigningKey) -> MerkleTree:
    attempt = task.ledger.must_attempt(attempt_id, task.task_id)
    key = compute_watch_key(CHAIN_ID, operator.address, task.task_id, attempt_id)
    return MerkleTree(compute_leaves(key, get_vectors(task, attempt)))


def attest(
    task: TaskHarness, attempt_id: int, operator: SigningKey, *failed: int, **overrides: Any
) -> transaction_pb2.AttestWatch:
    """`operator` has read the attempt, and could not read from the `failed` replicas."""
    fields = {
        "task_id": task.task_id,
        "attempt_id": attempt_id,
        "digest": make_tree(task, attempt_id, operator).root,
        "failed_replicas": sum(1 << replica for replica in failed),
    }
    return transaction_pb2.AttestWatch(**{**fields, **overrides})


def open_watch(task: TaskHarness, attempt_id: int, operator: SigningKey, **overrides: Any) -> transaction_pb2.OpenWatch:
    """What was drawn for the watch of `operator`."""
    attempt = task.ledger.must_attempt(attempt_id, task.task_id)
    beacon = task.round(attempt.round).watch_beacon
    chunks = tasks.model_shape(task.parameters).chunks
    blob, chunk = draw_chunk(beacon, task.task_id, attempt_id, operator.address, len(attempt.inputs), chunks)
    number = len(attempt.inputs) if blob == tasks.MODEL_BLOB else blob
    opening = get_vectors(task, attempt)[number].opening(chunk)
    fields = {
        "task_id": task.task_id,
        "attempt_id": attempt_id,
        "opening": transaction_pb2.Opening(data=opening.data, path=opening.path),
        "watch_path": make_tree(task, attempt_id, operator).path(number * chunks + chunk),
    }
    return transaction_pb2.OpenWatch(**{**fields, **overrides})


def send_all(task: TaskHarness, messages: Sequence[tuple[SigningKey, Any]]) -> None:
    """In one block, all of them accepted."""
    results = task.ledger.block(*(task.ledger.sign(sender, message) for sender, message in messages)).results
    if any(result.code for result in results):
        raise AssertionError([result.log for result in results])


def attest_all(task: TaskHarness, attempt_id: int, operators: Sequence[SigningKey] = VALIDATORS) -> None:
    """In one block."""
    send_all(task, [(operator, attest(task, attempt_id, operator)) for operator in operators])


def await_draw(task: TaskHarness, number: int) -> None:
    """Until a chunk is drawn for each watch of the round's attempt."""
    while not task.round(number).watch_beacon:
        task.ledger.block()


def show_all(task: TaskHarness, attempt_id: int, operators: Sequence[SigningKey] = VALIDATORS) -> None:
    """Wait for the draw, then open, in one block."""
    await_draw(task, task.ledger.must_attempt(attempt_id, task.task_id).round)
    send_all(task, [(operator, open_watch(task, attempt_id, operator)) for operator in operators])
