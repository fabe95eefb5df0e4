"""What a claim of a round's model has to show for its totals: a stored trace, and a decision that can be executed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from abci_app.state.rounds import get_commitments
from abci_app.transitions import claims
from abci_app.transitions.claims import MAX_WEIGHTS
from optfl import errors
from optfl.aggregation import Aggregation
from optfl.vectors import ChunkedVector, Shape
from optfl.wire.transaction_pb2 import MODE_QUORUM, Reduction, SubmitCertifiedAggregate
from support.demands import demand
from support.ledger import AGGREGATORS, REPLICAS, STRANGER, TaskHarness


def frozen(rule: str = "multi_krum(f=1)", **overrides: Any) -> TaskHarness:
    task = TaskHarness.start(rule=rule, training_blocks=100, **overrides)
    task.commit_all(1)
    return task


@pytest.fixture
def task() -> TaskHarness:
    return frozen()


def test_a_reduction_is_part_of_the_record(task: TaskHarness) -> None:
    beacon = task.round(1).beacon
    message = task.submit_aggregate(1)
    task.ledger.accept(task.due_aggregator(1), message)
    attempt = task.ledger.attempt(1)
    assert attempt is not None
    assert attempt.reduction == message.reduction
    assert len(attempt.reduction.weights) == 1
    assert attempt.round_beacon == beacon
    assert attempt.beacon != beacon, "the submission's block has another: nobody can choose how updates are mixed"


def test_a_certified_model_has_it_too_and_its_members_sign_it() -> None:
    task = frozen(mode=MODE_QUORUM)
    signed = task.submit_certified(1, AGGREGATORS[:2])
    other = SubmitCertifiedAggregate.FromString(signed.SerializeToString())
    left_out = 0b11111 ^ other.reduction.weights[0]
    other.reduction.weights[0] = 0b11111 ^ (left_out << 1 if left_out < 16 else 1)  # another four of five
    task.ledger.reject(errors.BadBallots, AGGREGATORS[0], other)
    task.ledger.accept(AGGREGATORS[0], signed)
    attempt = task.ledger.attempt(1)
    assert attempt is not None
    assert attempt.reduction == signed.reduction


@pytest.mark.parametrize("mode", [0, MODE_QUORUM])
def test_a_rule_with_totals_needs_them(mode: int) -> None:
    task = frozen(mode=mode)
    message: Any = task.submit_certified(1, AGGREGATORS[:2]) if mode else task.submit_aggregate(1)
    message.ClearField("reduction")
    sender = AGGREGATORS[0] if mode else task.due_aggregator(1)
    task.ledger.reject(errors.BadReduction, sender, message)


@pytest.mark.parametrize("mode", [0, MODE_QUORUM])
def test_others_have_none(mode: int) -> None:
    """A trace would be bytes that nobody can be held to."""
    with_trace = frozen().submit_aggregate(1).reduction
    task = frozen("median()", mode=mode)
    message: Any = task.submit_certified(1, AGGREGATORS[:2]) if mode else task.submit_aggregate(1)
    message.reduction.CopyFrom(with_trace)
    sender = AGGREGATORS[0] if mode else task.due_aggregator(1)
    task.ledger.reject(errors.BadReduction, sender, message)


@pytest.mark.parametrize("root", [b"", bytes(31), bytes(33)])
def test_a_trace_has_a_root(task: TaskHarness, root: bytes) -> None:
    message = task.submit_aggregate(1)
    message.reduction.trace_root = root
    task.ledger.reject(errors.InvalidField, task.due_aggregator(1), message)


@pytest.mark.parametrize("weights", [[], [0], [0b1111, 0], [2**64 - 1], [0b111], [0b11111], [0b1111 << 2]], ids=str)
def test_weights_that_no_totals_decide_on_are_refused(task: TaskHarness, weights: list[int]) -> None:
    """Four of five updates are chosen. Of what is taken, every chunk's output can be computed, and proven wrong."""
    message = task.submit_aggregate(1)
    message.reduction.weights[:] = weights
    task.ledger.reject(errors.BadReduction, task.due_aggregator(1), message)


def unsigned(task: TaskHarness, made: Reduction, trace: ChunkedVector) -> None:
    made.certificate.CopyFrom(task.certify(task.due_aggregator(1), 1, trace, REPLICAS[:2]))


def of_another_round(task: TaskHarness, made: Reduction, trace: ChunkedVector) -> None:
    made.certificate.CopyFrom(task.certify(task.due_aggregator(1), 2, trace))


def of_another_owner(task: TaskHarness, made: Reduction, trace: ChunkedVector) -> None:
    made.certificate.CopyFrom(task.certify(STRANGER, 1, trace))


def of_fewer_updates(task: TaskHarness, made: Reduction, trace: ChunkedVector) -> None:
    """A3: the shape comes from the round. The same root over a shorter trace is another vector."""
    shorter = ChunkedVector(Shape("int64", 10, trace.shape.chunk_values), np.zeros(10, np.int64))
    made.certificate.CopyFrom(task.certify(task.due_aggregator(1), 1, shorter))


def of_the_model(task: TaskHarness, made: Reduction, trace: ChunkedVector) -> None:
    made.certificate.CopyFrom(task.certify(task.due_aggregator(1), 1, task.models[1]))


@pytest.mark.parametrize(
    "damage", [unsigned, of_another_round, of_another_owner, of_fewer_updates, of_the_model], ids=lambda d: d.__name__
)
def test_a_trace_that_is_not_stored_is_refused(
    task: TaskHarness, damage: Callable[[TaskHarness, Reduction, ChunkedVector], None]
) -> None:
    message = task.submit_aggregate(1)
    damage(task, message.reduction, task.traces[1])
    task.ledger.reject(errors.BadCertificate, task.due_aggregator(1), message)


def test_a_trace_is_stored_for_as_long_as_it_is_evidence(task: TaskHarness) -> None:
    message = task.submit_aggregate(1)
    short = task.ledger.height + task.task.retention_blocks - 1
    certificate = task.certify(task.due_aggregator(1), 1, task.traces[1], retain_until_height=short)
    message.reduction.certificate.CopyFrom(certificate)
    task.ledger.reject(errors.RetentionTooShort, task.due_aggregator(1), message)


def test_a_trace_is_of_the_updates_that_are_left() -> None:
    """An update is struck after all had computed: what they made of five is refused, what they make of four is not."""
    task = frozen(demand_blocks=4)
    task.submit_aggregate(1)
    before = task.traces[1]
    client, due = task.round(1).selected[0], task.due_aggregator(1)
    task.ledger.accept(due, demand(task, 1, 0))
    task.ledger.blocks(4)
    assert task.round(1).committed == 4
    stale = task.submit_aggregate(1)
    stale.reduction.weights[0] = 0b11110  # four of five
    task.ledger.reject(errors.BadReduction, due, stale)
    stale.reduction.trace_root = before.root
    stale.reduction.certificate.CopyFrom(task.certify(due, 1, before))
    task.ledger.reject(errors.BadCertificate, due, stale)
    task.ledger.accept(due, task.submit_aggregate(1))
    attempt = task.ledger.attempt(1)
    assert attempt is not None
    assert client not in [given.client for given in attempt.inputs]
    assert len(get_commitments(task.ledger.state, task.round(1))) == 4


def test_a_made_up_reduction_is_taken_if_it_is_stored(task: TaskHarness) -> None:
    """The ledger has not seen the updates. It takes what can be proven wrong."""
    made = task.misreduce(1, row=0)
    assert isinstance(made, Aggregation)
    task.ledger.accept(task.due_aggregator(1), task.claim(1, made))


def test_a_long_list_of_weights_is_refused_before_it_is_read(task: TaskHarness) -> None:
    """A transaction has room for a million words, which to read as one bit set takes minutes."""
    message = task.submit_aggregate(1)
    message.reduction.weights[:] = [0] * (MAX_WEIGHTS + 1)
    task.ledger.reject(errors.InvalidField, task.due_aggregator(1), message)
    message.reduction.weights[:] = [0] * MAX_WEIGHTS
    task.ledger.reject(errors.BadReduction, task.due_aggregator(1), message)


def test_weights_are_looked_at_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes long is done for nobody who is not a member, has no ballots, or has stored nothing."""
    monkeypatch.setattr(claims, "_check_weights", _never)
    task = frozen(mode=MODE_QUORUM)
    task.ledger.reject(errors.BadBallots, STRANGER, task.submit_certified(1, [STRANGER, AGGREGATORS[0]]))
    unsigned = task.submit_certified(1, AGGREGATORS[:2])
    unsigned.signatures[0].signature = bytes(64)
    task.ledger.reject(errors.BadBallots, AGGREGATORS[0], unsigned)
    unstored = task.submit_certified(1, AGGREGATORS[:2])
    del unstored.reduction.certificate.signatures[:]
    task.ledger.reject(errors.BadCertificate, AGGREGATORS[0], unstored)


def _never(*_: object) -> None:
    raise AssertionError("the weights were looked at")
