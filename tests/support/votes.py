"""Challenges by vote in tests: what challengers and voters send, and whole votes at once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from abci_app.state.keyspace import attempt_key
from abci_app.state_machine import BlockResults
from optfl.ballots import sign_ballot
from optfl.keys import SigningKey
from optfl.sketch import compute_sketch
from optfl.tasks import model_shape
from optfl.vectors import ChunkedVector
from optfl.votes import build_ballot, compute_commitment
from optfl.wire import state_pb2
from optfl.wire.transaction_pb2 import (
    ABSTAIN_REASON_UNAVAILABLE,
    ARITHMETIC_FLOAT,
    CommitVote,
    OpenChallenge,
    RevealVote,
    Sketch,
    Vote,
)
from support.ledger import CHAIN_ID, STRANGER, VALIDATORS, LedgerHarness, TaskHarness

ABSTAIN = Vote(abstain=ABSTAIN_REASON_UNAVAILABLE)
FLOAT_TASK: dict[str, Any] = {
    "arithmetic": ARITHMETIC_FLOAT,
    "rule": "float(mean)",
    "vote_epsilon": 100,
    "vote_theta": 200,
    "max_attempts": 5,
}
Votes = Mapping[SigningKey, Vote]


def get_attempt(task: TaskHarness, attempt_id: int) -> state_pb2.Attempt:
    attempt = task.ledger.attempt(attempt_id, task.task_id)
    if attempt is None:
        raise AssertionError(f"attempt {attempt_id} is not on record")
    return attempt


def get_challenge(task: TaskHarness, attempt_id: int) -> state_pb2.Challenge:
    return task.ledger.state.challenges[attempt_key(task.task_id, attempt_id)]


def find_challenge(task: TaskHarness, attempt_id: int) -> state_pb2.Challenge | None:
    return task.ledger.state.challenges.get(attempt_key(task.task_id, attempt_id))


def open_challenge(task: TaskHarness, attempt_id: int) -> OpenChallenge:
    return OpenChallenge(task_id=task.task_id, attempt_id=attempt_id)


def salt(voter: SigningKey) -> bytes:
    return hashlib.sha256(b"salt" + voter.address).digest()


def commit_vote(task: TaskHarness, attempt_id: int, voter: SigningKey, vote: Vote, /, **overrides: Any) -> CommitVote:
    commitment = compute_commitment(CHAIN_ID, task.task_id, attempt_id, voter.address, vote, salt(voter))
    ballot = build_ballot(CHAIN_ID, get_attempt(task, attempt_id), commitment)
    fields = {
        "task_id": task.task_id,
        "attempt_id": attempt_id,
        "commitment": commitment,
        "signature": sign_ballot(voter, ballot),
    }
    return CommitVote(**{**fields, **overrides})


def reveal_vote(task: TaskHarness, attempt_id: int, voter: SigningKey, vote: Vote, /, **overrides: Any) -> RevealVote:
    fields = {"task_id": task.task_id, "attempt_id": attempt_id, "vote": vote, "salt": salt(voter)}
    return RevealVote(**{**fields, **overrides})


def challenge(task: TaskHarness, attempt_id: int, *challengers: SigningKey) -> None:
    """Open and join, in one block; by a stranger unless others are named."""
    senders = challengers or (STRANGER,)
    _send_all(task.ledger, [(sender, open_challenge(task, attempt_id)) for sender in senders])


def await_seed(task: TaskHarness, attempt_id: int) -> None:
    """Nobody votes in a float task before its projection is drawn."""
    while not get_challenge(task, attempt_id).seed:
        task.ledger.block()


def commit_all(task: TaskHarness, attempt_id: int, votes: Votes) -> None:
    await_seed(task, attempt_id)
    _send_all(task.ledger, [(voter, commit_vote(task, attempt_id, voter, vote)) for voter, vote in votes.items()])


def reveal_all(task: TaskHarness, attempt_id: int, votes: Votes) -> BlockResults:
    return _send_all(
        task.ledger, [(voter, reveal_vote(task, attempt_id, voter, vote)) for voter, vote in votes.items()]
    )


def run_vote(task: TaskHarness, attempt_id: int, votes: Votes) -> BlockResults:
    """Commit, wait for the reveals, reveal, wait for the verdict; return the block that decides."""
    commit_all(task, attempt_id, votes)
    while get_challenge(task, attempt_id).status == state_pb2.CHALLENGE_STATUS_COMMITTING:
        task.ledger.block()
    results = reveal_all(task, attempt_id, votes)
    while is_voting(task, attempt_id):
        results = task.ledger.block()
    return results


def is_voting(task: TaskHarness, attempt_id: int) -> bool:
    found = find_challenge(task, attempt_id)
    return found is not None and found.status != state_pb2.CHALLENGE_STATUS_DECIDED


def _send_all(ledger: LedgerHarness, messages: Sequence[tuple[SigningKey, Any]]) -> BlockResults:
    results = ledger.block(*(ledger.sign(sender, message) for sender, message in messages))
    if any(result.code for result in results.results):
        raise AssertionError([result.log for result in results.results])
    return results


def votes_for(*roots: bytes | None) -> dict[SigningKey, Vote]:
    """Exact votes of the validators in their order; None: silent."""
    return {v: Vote(root=root) for v, root in zip(VALIDATORS, roots, strict=False) if root is not None}


# Float tasks: models are made by hand, since the ledger knows no rule for them.


def make_model(task: TaskHarness, number: int, offset: int = 0) -> ChunkedVector:
    """What a float aggregator makes of a round: some model, with `offset` on its first coordinate."""
    values = np.full(task.parameters.length, number, dtype=np.int32)
    values[0] += offset
    return ChunkedVector(model_shape(task.parameters), values)


def sketch_of(task: TaskHarness, attempt_id: int, own: ChunkedVector) -> Vote:
    """The vote of a validator whose own result is `own`, where the projection is drawn."""
    seed = get_challenge(task, attempt_id).seed
    claimed = task.models[attempt_id]
    return Vote(sketch=Sketch(values=compute_sketch(seed, own.values, claimed.values)))


def offset_votes(task: TaskHarness, attempt_id: int, *offsets: int | None) -> dict[SigningKey, Vote]:
    """Sketches of validators whose results lie so far from the claimed model; None: silent."""
    await_seed(task, attempt_id)
    claimed = task.models[attempt_id].values
    votes = {}
    for voter, offset in zip(VALIDATORS, offsets, strict=False):
        if offset is not None:
            own = claimed.copy()
            own[0] += offset
            votes[voter] = sketch_of(task, attempt_id, ChunkedVector(task.models[attempt_id].shape, own))
    return votes


def start_float_task(**overrides: Any) -> TaskHarness:
    """A float task whose first round is open with attempt 1."""
    task = TaskHarness.start(**{**FLOAT_TASK, **overrides})
    task.commit_all(1)
    task.aggregate(1, make_model(task, 1))
    return task
