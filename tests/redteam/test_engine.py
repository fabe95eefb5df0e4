"""Red team: rules with totals, and proofs that are too large, too slow or not exact (F1 to F6)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import optfl
from abci_app.state.keyspace import round_key
from abci_app.transitions import demand_blob, submit_fraud_proof
from optfl import errors, fraud, tasks
from optfl.aggregation import aggregate, derive_weights
from optfl.rules import Gram, RoundFacts, TotalsKind, parse_rule
from optfl.rules.gram import count_totals, find_total, unpack_totals
from optfl.traces import Entry
from optfl.transactions import MAX_TRANSACTION_BYTES
from optfl.wire import state_pb2
from optfl.wire.transaction_pb2 import SubmitFraudProof
from support.demands import demand
from support.ledger import AGGREGATOR, REQUESTER, STRANGER, VALIDATORS, LedgerHarness, TaskHarness


@pytest.fixture(autouse=True)
def _judged_anew() -> Iterator[None]:
    """What is judged with a guard out must not be remembered."""
    fraud.forget_judgements()
    yield
    fraud.forget_judgements()


def claimed(task: TaskHarness, *, row: int | None = None) -> TaskHarness:
    """Round 1 has an attempt that is wrong in its totals, or in what they decide, and follows from that truly."""
    task.commit_all(1)
    task.ledger.accept(task.due_aggregator(1), task.claim(1, task.misreduce(1, row=row)))
    return task


def settled_attempt(task: TaskHarness) -> int:
    """Whose model round 1 has settled with."""
    return task.ledger.state.digests[round_key(1, 1)].attempt_id


def test_F1_a_made_up_trace_and_an_output_that_follows_from_it(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The attacker's totals select its sybil. No chunk of the model is wrong; one step of the trace is."""
    if not guarded:  # nobody can look into the reduction
        monkeypatch.setattr(fraud, "_is_wrong_step", lambda *_: False)
    task = claimed(TaskHarness.start(rule="krum(f=1)"), row=0)
    culprit = task.ledger.attempt(1)
    assert culprit is not None
    assert all(not _is_convicting(task, chunk) for chunk in range(4)), "the output is what the weights make"
    task.ledger.accept(STRANGER, task.prove_reduction(1))
    stake = task.ledger.state.stakes[bytes([AGGREGATOR]) + culprit.aggregator]
    assert stake.excluded == guarded
    if guarded:
        (conviction,) = [c for _, c in task.ledger.state.disputes.items()]
        assert conviction.proof_kind == "step"
    else:
        task.ledger.blocks(20)
        assert settled_attempt(task) == 1, "the lie has settled"


def _is_convicting(task: TaskHarness, chunk: int) -> bool:
    attempt = task.ledger.attempt(1)
    if attempt is None:
        raise AssertionError("attempt 1 is gone")
    return fraud.is_fraud(task.parameters, attempt, task.prove(1, chunk).output)


def test_F1_true_totals_and_another_decision(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not guarded:
        monkeypatch.setattr(fraud, "_are_wrong_weights", lambda *_: False)
    task = claimed(TaskHarness.start(rule="krum(f=1)"))
    task.ledger.accept(STRANGER, task.prove_reduction(1))
    kinds = [c.proof_kind for _, c in task.ledger.state.disputes.items()]
    assert kinds == (["weights"] if guarded else [])
    if not guarded:
        task.ledger.blocks(20)
        assert settled_attempt(task) == 1, "the lie has settled"


def test_F1_a_trace_that_nobody_can_read(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """f_s+1 replicas sign for a trace that is nowhere: no entry of it can be proven wrong (I2)."""
    if not guarded:
        monkeypatch.setattr(demand_blob, "get_blobs", lambda message: [])
    task = claimed(TaskHarness.start(rule="krum(f=1)", min_window_blocks=10), row=0)
    culprit = task.ledger.attempt(1)
    assert culprit is not None
    message = demand(task, 1, attempt_id=1, trace=True)
    if not guarded:
        task.ledger.reject(errors.AlreadyDemanded, STRANGER, message)
        task.ledger.blocks(20)
        assert settled_attempt(task) == 1, "the lie has settled"
        return
    task.ledger.accept(STRANGER, message)
    task.ledger.blocks(5)
    attempt = task.ledger.attempt(1)
    assert attempt is not None
    assert attempt.status == state_pb2.ATTEMPT_STATUS_VOID
    stake = task.ledger.state.stakes[bytes([AGGREGATOR]) + culprit.aggregator]
    assert stake.faults == 1, "its author could have kept it: it counts as silent"


def test_F2_a_proof_that_would_not_fit(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks so large that none of the attempt could be opened in a transaction."""
    if not guarded:
        monkeypatch.setattr(tasks, "compute_proof_bytes", lambda _: 0)
    wide = {"length": 1 << 18, "chunk_values": 1 << 16, "bandwidth_bytes_per_second": 1 << 30}
    if guarded:
        ledger = LedgerHarness()
        ledger.register_participants()
        harness = TaskHarness(ledger)
        with pytest.raises(AssertionError, match="fraud proof would take"):
            harness.create(**wide, rule="krum(f=1)")
        return
    monkeypatch.setattr(tasks, "compute_proof_operations", lambda _: 0)
    task = TaskHarness.start(**wide, rule="median()", training_blocks=100)
    task.commit_all(1)
    task.aggregate(1, task.poisoned_model(1))
    proof = task.prove(1)
    assert proof.ByteSize() > MAX_TRANSACTION_BYTES
    task.ledger.reject(errors.TransactionTooLarge, STRANGER, proof)


@pytest.mark.parametrize(
    ("rule", "clients"), [("krum(f=1)", 600), ("nnm(f=100) | median()", 700), ("geometric_median(steps=3)", 1000)]
)
def test_F2_totals_that_would_not_fit_are_refused(rule: str, clients: int) -> None:
    """A round's totals are K(K+1)/2 numbers, and a proof of what they decide opens all of them."""
    ledger = LedgerHarness()
    ledger.register_participants()
    with pytest.raises(AssertionError, match="fraud proof would take"):
        TaskHarness(ledger).create(
            rule=rule, clients=[], clients_per_round=clients, min_updates=clients, chunk_values=16
        )


def test_F3_sums_of_distances_do_not_wrap(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lone client at 32767 in each of 2^27 coordinates, the others near 0: 64 bits make its score the lowest."""
    if not guarded:
        monkeypatch.setattr(Gram, "squared_distances", property(_compute_in_64_bits))
        monkeypatch.setattr("optfl.rules.krum.compute_scores", _score_in_64_bits)
    updates, attacker, rule = 150, 149, parse_rule("krum(f=40)")
    totals = np.zeros(count_totals(rule.totals, updates), dtype=np.int64)
    totals[find_total(rule.totals, attacker, attacker, updates)] = (1 << 27) * 32767**2
    facts = RoundFacts((1,) * updates)
    (row,) = rule.recipe(derive_weights(rule, totals, facts), facts).rows  # type: ignore[misc]
    assert bool(row[attacker]) != guarded


def _compute_in_64_bits(gram: Gram) -> Any:
    products = gram.products.astype(np.int64)
    squares = np.diagonal(products)
    return squares[:, None] + squares[None, :] - 2 * products


def _score_in_64_bits(squared_distances: Any, neighbours: int) -> list[int]:
    ordered = np.sort(squared_distances, axis=1)[:, 1 : neighbours + 1]
    return [int(score) for score in ordered.sum(axis=1, dtype=np.int64)]


def test_F4_centred_clipping_starts_from_zero() -> None:
    """What it decides follows from the updates alone: the last round's momentum is in no totals."""
    rule = parse_rule("centred_clipping(norm=0, steps=3)")
    draw = np.random.default_rng(4)
    updates = [draw.integers(-1000, 1000, 50, dtype=np.int16) for _ in range(5)]
    facts = RoundFacts((1,) * 5)
    bases = [np.zeros(50, np.int32), draw.integers(-(2**30), 2**30, 50, dtype=np.int32)]
    first, second = (aggregate(rule, base, updates, facts, 16) for base in bases)
    assert first.weights == second.weights
    assert (first.model - bases[0]).tolist() == (second.model - bases[1]).tolist()


JUDGES = ("rules/*.py", "aggregation.py", "arithmetic.py", "fraud.py", "traces.py", "vectors.py", "merkle.py")


@pytest.mark.parametrize(
    "path", sorted(p for pattern in JUDGES for p in Path(optfl.__file__).parent.glob(pattern)), ids=lambda p: p.name
)
def test_F5_nothing_that_judges_a_proof_knows_a_float(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), node.value
        assert not (isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div)), ast.unparse(node)
        names = {getattr(node, "id", ""), getattr(node, "attr", "")}
        assert not names & {"float", "float32", "float64", "sqrt", "mean", "average", "linalg"}, names


@pytest.mark.parametrize(
    ("rule", "clients"), [("bulyan(f=5)", 480), ("nnm(f=10) | bulyan(f=5)", 400), ("minimum_diameter(f=13)", 60)]
)
def test_F6_a_decision_that_would_hold_up_the_block(
    guarded: bool, rule: str, clients: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seconds of a block for a bond. The task is refused before anybody can ask for it."""
    if not guarded:
        monkeypatch.setattr(tasks, "compute_proof_operations", lambda _: 0)
    ledger = LedgerHarness(params={"max_proof_operations": 1 << 24})
    ledger.register_participants()
    harness = TaskHarness(ledger)
    fields = {"rule": rule, "clients": [], "clients_per_round": clients, "chunk_values": 16, "min_updates": clients}
    fields["bandwidth_bytes_per_second"] = 1 << 30
    if guarded:
        with pytest.raises(AssertionError, match=r"operations of at most|defined for"):
            harness.create(**fields)
    elif "minimum" not in rule:
        harness.create(**fields)


def test_F6_a_block_judges_few_proofs_of_any_kind() -> None:
    """Two, here: a step, then a decision; the third waits, whatever it shows."""
    task = TaskHarness.start(rule="krum(f=1)", min_window_blocks=20)
    task.commit_all(1)
    task.aggregate(1)
    attempt = task.ledger.attempt(1)
    assert attempt is not None
    updates = [task.updates[given.update_root] for given in attempt.inputs]
    decision = fraud.wrap_proof(attempt, fraud.build_weights_proof(TotalsKind.PRODUCTS, task.traces[1], 5))
    step = fraud.wrap_proof(
        attempt, fraud.build_step_proof(TotalsKind.PRODUCTS, Entry(0, 1, 2), updates, task.traces[1])
    )
    first = [task.ledger.sign(REQUESTER, decision), task.ledger.sign(STRANGER, task.prove(1))]
    task.ledger.reject(errors.TooManyProofs, VALIDATORS[0], step, after=first)


def test_totals_of_any_numbers_decide_something() -> None:
    """A6: whatever 64-bit numbers somebody claims, the ledger gets to a decision."""
    extremes = np.array([-(2**63), 2**63 - 1, 0, 1, -1], dtype=np.int64)
    draw = np.random.default_rng(6)
    for name in (
        "krum(f=2)",
        "bulyan(f=1)",
        "geometric_median(steps=3)",
        "nnm(f=2) | median()",
        "norm_clipped_mean(norm=0)",
    ):
        rule, facts = parse_rule(name), RoundFacts((1,) * 7)
        for _ in range(50):
            totals = draw.choice(extremes, count_totals(rule.totals, 7))
            rule.recipe(derive_weights(rule, totals, facts), facts)
            assert len(unpack_totals(rule.totals, totals, 7).norms.squares) == 7


def test_every_kind_of_proof_is_judged_by_the_ledger() -> None:
    """The transaction's kinds are those that `is_fraud` knows."""
    kinds = {field.name for field in SubmitFraudProof.DESCRIPTOR.oneofs_by_name["proof"].fields}
    assert kinds == {"output", "step", "weights"}
    assert submit_fraud_proof.is_fraud is fraud.is_fraud
