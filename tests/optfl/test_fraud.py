"""One-step fraud proofs: they convict the wrong chunk, never the right one, and malformed ones show nothing."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optfl import tasks, traces
from optfl.aggregation import aggregate, aggregate_chunk, derive_weights
from optfl.fraud import Proof, ProofError, build_output_proof, build_step_proof, build_weights_proof, is_fraud
from optfl.rules import RoundFacts, Rule, TotalsKind, parse_rule
from optfl.rules.gram import count_totals, find_total, is_total, list_pairs
from optfl.vectors import ChunkedVector
from optfl.wire import state_pb2, transaction_pb2

RULES = ["median()", "fedavg()", "trimmed_mean(f=1)"]
TOTALS_RULES = [
    "krum(f=1)",
    "multi_krum(f=2)",
    "bulyan(f=1)",
    "geometric_median(steps=3)",
    "centred_clipping(norm=0, steps=2)",
    "norm_clipped_mean(norm=0)",
    "minimum_diameter(f=1)",
    "nnm(f=2) | trimmed_mean(f=1)",
    "arc(f=1) | median()",
    "clipping(norm=900) | arc(f=1) | norm_clipped_mean(norm=0)",
    "bucketing(s=2) | clipping(norm=0) | median()",
    "clipping(norm=9000) | bucketing(s=2) | krum(f=1)",
]
CLIENTS = 7  # enough for each of them
BLOCK = 64
INT32 = np.iinfo(np.int32)


@dataclass
class Case:
    """An attempt with all its vectors; the claimed model is the honest one until a value is changed."""

    parameters: transaction_pb2.TaskParameters
    updates: list[ChunkedVector]
    base: ChunkedVector
    claimed: ChunkedVector
    attempt: state_pb2.Attempt
    trace: ChunkedVector | None = None

    @property
    def rule(self) -> Rule:
        return parse_rule(self.attempt.rule)

    @property
    def facts(self) -> RoundFacts:
        return tasks.get_facts(self.attempt)

    @property
    def kind(self) -> TotalsKind:
        return self.rule.totals

    def claim_totals(self, trace: npt.NDArray[np.int64], totals: npt.NDArray[np.int64] | None = None) -> None:
        """Claim `trace`, and decide by its last row or by `totals`, with a model that follows from that."""
        shape = tasks.trace_shape(self.parameters, len(self.updates))
        self.trace = ChunkedVector(shape, trace)
        weights = derive_weights(
            self.rule, traces.get_totals(self.kind, trace, len(self.updates)) if totals is None else totals, self.facts
        )
        self.attempt.reduction.trace_root = self.trace.root
        self.attempt.reduction.weights[:] = weights
        stacked = tasks.expand_update(self.parameters, np.stack([update.values for update in self.updates]))
        model = aggregate_chunk(self.rule, self.base.values, stacked, self.facts, weights)
        self.claimed = ChunkedVector(self.base.shape, model)
        self.attempt.model_root = self.claimed.root

    def step(self, row: int, j: int, k: int) -> transaction_pb2.StepProof:
        if self.trace is None:
            raise AssertionError("no trace")
        return build_step_proof(self.kind, traces.Entry(row, j, k), self.updates, self.trace)

    def all_steps(self) -> Iterator[transaction_pb2.StepProof]:
        for row in range(traces.count_rows(self.parameters.length)):
            for j, k in zip(*list_pairs(self.kind, len(self.updates)), strict=True):
                yield self.step(row, int(j), int(k))

    def decision(self) -> transaction_pb2.WeightsProof:
        if self.trace is None:
            raise AssertionError("no trace")
        return build_weights_proof(self.kind, self.trace, len(self.updates))

    def claim(self, coordinate: int, difference: int) -> None:
        values = self.claimed.values.copy()
        values[coordinate] += difference
        self.claimed = ChunkedVector(self.claimed.shape, values)
        self.attempt.model_root = self.claimed.root

    def prove(self, chunk: int) -> transaction_pb2.OutputProof:
        return build_output_proof(chunk, self.updates, self.base, self.claimed)

    def is_fraud(self, proof: Proof) -> bool:
        return is_fraud(self.parameters, self.attempt, proof)


def make_case(
    rule: str = "median()",
    length: int = 100,
    chunk_values: int = 32,
    clients: int = 5,
    seed: int = 0,
    shift: int | None = None,
) -> Case:
    """With a `shift`, of a task whose updates have 8 bits."""
    random = np.random.default_rng(seed)
    parameters = transaction_pb2.TaskParameters(length=length, chunk_values=chunk_values, rule=rule)
    if shift is not None:
        parameters.update_bits, parameters.update_shift = 8, shift
    shape = tasks.update_shape(parameters)
    limits = np.iinfo(shape.dtype)
    updates = [
        ChunkedVector(shape, random.integers(limits.min, limits.max + 1, length, dtype=shape.dtype))
        for _ in range(clients)
    ]
    base = ChunkedVector(tasks.model_shape(parameters), random.integers(INT32.min, INT32.max, length, dtype=np.int32))
    weights = tuple(int(weight) for weight in random.integers(1, 1000, clients))
    facts = RoundFacts(weights, bytes([seed % 256] * 32))
    values = [tasks.expand_update(parameters, update.values) for update in updates]
    made = aggregate(parse_rule(rule), base.values, values, facts, chunk_values)
    claimed = ChunkedVector(tasks.model_shape(parameters), made.model)
    attempt = state_pb2.Attempt(
        base_root=base.root,
        rule=rule,
        model_root=claimed.root,
        inputs=[state_pb2.Input(update_root=u.root, weight=w) for u, w in zip(updates, weights, strict=True)],
        round_beacon=facts.beacon,
    )
    case = Case(parameters, updates, base, claimed, attempt)
    if made.trace is not None:
        case.claim_totals(made.trace)
    return case


@settings(max_examples=60)
@given(
    st.sampled_from(RULES), st.integers(1, 120), st.sampled_from([16, 32, 64]), st.integers(3, 9), st.integers(0, 99)
)
def test_invariant_2_no_chunk_of_an_honest_model_is_a_fraud(
    rule: str, length: int, chunk_values: int, clients: int, seed: int
) -> None:
    case = make_case(rule, length, chunk_values, clients, seed)
    chunks = case.base.shape.chunks
    assert not any(case.is_fraud(case.prove(chunk)) for chunk in range(chunks))


@settings(max_examples=60)
@given(st.sampled_from(RULES), st.data())
def test_any_single_value_off_by_one_is_a_fraud_in_its_chunk_alone(rule: str, data: st.DataObject) -> None:
    case = make_case(rule)
    coordinate = data.draw(st.integers(0, 99))
    difference = 1 if case.claimed.values[coordinate] < INT32.max else -1
    case.claim(coordinate, difference)
    assert [case.is_fraud(case.prove(chunk)) for chunk in range(4)] == [chunk == coordinate // 32 for chunk in range(4)]


def test_saturated_values_are_honest() -> None:
    case = make_case()
    values = case.base.values.copy()
    values[:] = INT32.max
    case.base = ChunkedVector(case.base.shape, values)
    case.attempt.base_root = case.base.root
    model = aggregate(parse_rule("median()"), values, [u.values for u in case.updates], RoundFacts((1,) * 5), 32).model
    case.claimed = ChunkedVector(case.base.shape, model)
    case.attempt.model_root = case.claimed.root
    assert INT32.max in model
    assert not any(case.is_fraud(case.prove(chunk)) for chunk in range(4))


def test_weights_of_the_record_count() -> None:
    """The proof carries none: a prover cannot convict by lying about them."""
    case = make_case("fedavg()")
    case.attempt.inputs[0].weight += 500
    assert any(case.is_fraud(case.prove(chunk)) for chunk in range(4))


def test_order_of_the_record_counts() -> None:
    case = make_case()
    proof = case.prove(0)
    first, second = copy.deepcopy(proof.updates[0]), copy.deepcopy(proof.updates[1])
    proof.updates[0].CopyFrom(second)
    proof.updates[1].CopyFrom(first)
    with pytest.raises(ProofError, match="update 0"):
        case.is_fraud(proof)


@pytest.mark.parametrize("chunk", [4, 5, 2**31, 2**32 - 1])
def test_chunk_that_is_not_there_is_malformed(chunk: int) -> None:
    case = make_case()
    proof = case.prove(0)
    proof.chunk = chunk
    with pytest.raises(ProofError):
        case.is_fraud(proof)


def test_chunk_number_of_another_opening_is_malformed() -> None:
    case = make_case()
    proof = case.prove(0)
    proof.chunk = 1
    with pytest.raises(ProofError):
        case.is_fraud(proof)


@pytest.mark.parametrize("count", [0, 4, 6])
def test_another_number_of_updates_is_malformed(count: int) -> None:
    case = make_case()
    proof = case.prove(0)
    openings = [copy.deepcopy(proof.updates[i % 5]) for i in range(count)]
    del proof.updates[:]
    proof.updates.extend(openings)
    with pytest.raises(ProofError, match=f"{count} updates are opened"):
        case.is_fraud(proof)


@pytest.mark.parametrize("where", ["base", "claimed"])
def test_missing_opening_is_malformed(where: str) -> None:
    case = make_case()
    proof = case.prove(0)
    proof.ClearField(where)  # type: ignore[arg-type]
    with pytest.raises(ProofError, match=where):
        case.is_fraud(proof)


def test_empty_proof_is_malformed() -> None:
    with pytest.raises(ProofError):
        make_case().is_fraud(transaction_pb2.OutputProof())


@pytest.mark.parametrize("where", ["updates", "base", "claimed"])
@pytest.mark.parametrize("damage", ["data", "short", "long", "no path", "long path", "short hash", "other path"])
def test_I3_what_does_not_open_the_record_shows_nothing(where: str, damage: str) -> None:
    """Whoever could convict with bytes that the attempt does not name could convict anybody."""
    case = make_case()
    case.claim(0, 1 if case.claimed.values[0] < INT32.max else -1)
    proof = case.prove(0)
    opening = proof.updates[0] if where == "updates" else getattr(proof, where)
    match damage:
        case "data":
            opening.data = bytes([opening.data[0] ^ 1]) + opening.data[1:]
        case "short":
            opening.data = opening.data[:-2]
        case "long":
            opening.data += b"\0\0"
        case "no path":
            del opening.path[:]
        case "long path":
            opening.path.append(bytes(32))
        case "short hash":
            opening.path[0] = opening.path[0][:31]
        case "other path":
            opening.path[0] = bytes(32)
    with pytest.raises(ProofError):
        case.is_fraud(proof)


def test_R1_another_base_is_malformed_not_convicting() -> None:
    """The base chunk of a redone round's model does not open an attempt that was built on the old one."""
    case = make_case()
    other = ChunkedVector(case.base.shape, case.base.values ^ 1)
    with pytest.raises(ProofError, match="the base"):
        case.is_fraud(build_output_proof(0, case.updates, other, case.claimed))


def test_I3_an_inner_node_is_no_chunk() -> None:
    """Second preimage: 64 bytes of a node, offered as a chunk of 32 int16, do not open at the level above."""
    case = make_case(length=128, chunk_values=32)
    proof = case.prove(0)
    leaves = [case.updates[0].opening(i) for i in range(2)]
    proof.updates[0].data = b"".join(leaf.path[0] for leaf in reversed(leaves))
    proof.updates[0].path[:] = proof.updates[0].path[1:]
    with pytest.raises(ProofError):
        case.is_fraud(proof)


# Rules with totals. With blocks of 64 values, so that a short vector has several rows.


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "BLOCK_VALUES", BLOCK)


@pytest.mark.parametrize("rule", TOTALS_RULES)
@pytest.mark.parametrize(("length", "chunk_values"), [(1, 16), (64, 64), (150, 16), (200, 32)])
@pytest.mark.usefixtures("small_blocks")
def test_invariant_2_no_step_of_an_honest_reduction_is_a_fraud(rule: str, length: int, chunk_values: int) -> None:
    """Each entry of each row, the decision, and each chunk of the model: some hundred proofs a case."""
    for seed in range(3):
        case = make_case(rule, length, chunk_values, CLIENTS, seed)
        assert not any(case.is_fraud(proof) for proof in case.all_steps())
        assert not case.is_fraud(case.decision())
        assert not any(case.is_fraud(case.prove(chunk)) for chunk in range(case.base.shape.chunks))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(TOTALS_RULES), st.integers(1, 300), st.sampled_from([16, 32, 64]), st.integers(7, 12),
    st.integers(0, 10**6),
)  # fmt: skip
@pytest.mark.usefixtures("small_blocks")
def test_invariant_2_fuzz(rule: str, length: int, chunk_values: int, clients: int, seed: int) -> None:
    case = make_case(rule, length, chunk_values, clients, seed)
    assert not any(case.is_fraud(proof) for proof in case.all_steps())
    assert not case.is_fraud(case.decision())
    assert not any(case.is_fraud(case.prove(chunk)) for chunk in range(case.base.shape.chunks))


@pytest.mark.parametrize("rule", TOTALS_RULES)
@pytest.mark.parametrize("row", [0, 1, 2])
@pytest.mark.parametrize(("j", "k"), [(0, 0), (0, CLIENTS - 1), (3, 4), (CLIENTS - 1, CLIENTS - 1)])
@pytest.mark.usefixtures("small_blocks")
def test_one_wrong_step_is_a_fraud_and_no_other_is(rule: str, row: int, j: int, k: int) -> None:
    """What comes after it adds up truly, and the model is what it decides: only this one step shows the lie."""
    case = make_case(rule, 150, 32, CLIENTS)
    trace = case.trace.values.copy().reshape(3, count_totals(case.kind, CLIENTS)) if case.trace else None
    if trace is None:
        raise AssertionError
    if not is_total(case.kind, j, k, CLIENTS):
        k = j
    trace[row:, find_total(case.kind, j, k, CLIENTS)] += 1
    case.claim_totals(trace.reshape(-1))
    wrong = {(p.row, p.j, p.k) for p in case.all_steps() if case.is_fraud(p)}
    assert wrong == {(row, j, k)}
    assert not case.is_fraud(case.decision())
    assert not any(case.is_fraud(case.prove(chunk)) for chunk in range(5))


@pytest.mark.parametrize("rule", TOTALS_RULES)
@pytest.mark.usefixtures("small_blocks")
def test_deciding_otherwise_is_a_fraud_and_nothing_else_is(rule: str) -> None:
    case = make_case(rule, 150, 32, CLIENTS)
    honest = list(case.attempt.reduction.weights)
    for seed in range(20):  # a draw may decide the same
        draw = np.random.default_rng(seed)
        case.claim_totals(case.trace.values, draw.integers(0, 2**40, count_totals(case.kind, CLIENTS)))  # type: ignore[union-attr]
        if list(case.attempt.reduction.weights) != honest:
            break
    assert list(case.attempt.reduction.weights) != honest
    assert case.is_fraud(case.decision())
    assert not any(case.is_fraud(proof) for proof in case.all_steps())
    assert not any(case.is_fraud(case.prove(chunk)) for chunk in range(5))


@pytest.mark.parametrize("rule", TOTALS_RULES)
@pytest.mark.usefixtures("small_blocks")
def test_a_wrong_value_is_a_fraud_of_the_output_alone(rule: str) -> None:
    case = make_case(rule, 150, 32, CLIENTS)
    case.claim(70, 1 if case.claimed.values[70] < INT32.max else -1)
    assert [case.is_fraud(case.prove(chunk)) for chunk in range(5)] == [chunk == 2 for chunk in range(5)]
    assert not any(case.is_fraud(proof) for proof in case.all_steps())
    assert not case.is_fraud(case.decision())


def test_blocks_of_full_size() -> None:
    """Two rows, of 2^17 values and of what is left; chunks that divide neither."""
    case = make_case("krum(f=0)", traces.BLOCK_VALUES + 5000, 2048, 3)
    assert not any(case.is_fraud(proof) for proof in case.all_steps())
    trace = case.trace.values.copy()  # type: ignore[union-attr]
    trace[-1] += 1
    case.claim_totals(trace)
    assert [(p.row, p.j, p.k) for p in case.all_steps() if case.is_fraud(p)] == [(1, 2, 2)]


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63)])
@pytest.mark.usefixtures("small_blocks")
def test_F3_entries_at_the_ends_of_int64_do_not_wrap(value: int) -> None:
    """A step from one end to the other, which would look right modulo 2^64, is wrong."""
    case = make_case("krum(f=1)", 150, 32, CLIENTS)
    trace = case.trace.values.copy().reshape(3, -1)  # type: ignore[union-attr]
    product = int(trace[1, 0]) - int(trace[0, 0])
    wrapped = (value + product + 2**63) % 2**64 - 2**63
    trace[0, 0], trace[1, 0] = value, wrapped
    case.claim_totals(trace.reshape(-1))
    assert case.is_fraud(case.step(0, 0, 0))
    assert case.is_fraud(case.step(1, 0, 0)) == (wrapped != value + product)


def without_trace(case: Case, proof: Any) -> None:
    case.attempt.ClearField("reduction")


def far_row(case: Case, proof: transaction_pb2.StepProof) -> None:
    proof.row = 3


def far_input(case: Case, proof: transaction_pb2.StepProof) -> None:
    proof.k = CLIENTS


def wrong_order(case: Case, proof: transaction_pb2.StepProof) -> None:
    proof.j, proof.k = 4, 3


def no_row_before(case: Case, proof: transaction_pb2.StepProof) -> None:
    proof.ClearField("before")


def a_row_before_the_first(case: Case, proof: transaction_pb2.StepProof) -> None:
    proof.row = 0


def no_second_update(case: Case, proof: transaction_pb2.StepProof) -> None:
    proof.ClearField("update_k")


def a_second_update_where_there_is_one(case: Case, proof: transaction_pb2.StepProof) -> None:
    proof.j = proof.k


def swapped_updates(case: Case, proof: transaction_pb2.StepProof) -> None:
    first = copy.deepcopy(proof.update_j)
    proof.update_j.CopyFrom(proof.update_k)
    proof.update_k.CopyFrom(first)


def another_block(case: Case, proof: transaction_pb2.StepProof) -> None:
    proof.update_j.CopyFrom(case.step(0, 3, 4).update_j)


def another_entry(case: Case, proof: transaction_pb2.StepProof) -> None:
    proof.after.data = proof.after.data[:-8]


def a_bit_of_the_block(case: Case, proof: transaction_pb2.StepProof) -> None:
    proof.update_j.data = bytes([proof.update_j.data[0] ^ 1]) + proof.update_j.data[1:]


def a_longer_path(case: Case, proof: transaction_pb2.StepProof) -> None:
    proof.update_j.path.append(bytes(32))


def a_shorter_path(case: Case, proof: transaction_pb2.StepProof) -> None:
    del proof.update_j.path[-1]


def a_hash_of_another_length(case: Case, proof: transaction_pb2.StepProof) -> None:
    proof.update_j.path[0] = b""


@pytest.mark.parametrize(
    "damage",
    [
        without_trace, far_row, far_input, wrong_order, no_row_before, a_row_before_the_first, no_second_update,
        a_second_update_where_there_is_one, swapped_updates, another_block, another_entry, a_bit_of_the_block,
        a_longer_path, a_shorter_path, a_hash_of_another_length,
    ],
    ids=lambda damage: damage.__name__,
)  # fmt: skip
@pytest.mark.usefixtures("small_blocks")
def test_a_step_that_does_not_open_the_record_shows_nothing(
    damage: Callable[[Case, transaction_pb2.StepProof], None],
) -> None:
    case = make_case("krum(f=1)", 150, 16, CLIENTS)
    proof = case.step(1, 3, 4)
    assert not case.is_fraud(proof)
    damage(case, proof)
    with pytest.raises(ProofError):
        case.is_fraud(proof)


@pytest.mark.usefixtures("small_blocks")
def test_norms_alone_have_no_step_of_two_updates() -> None:
    """And where there are all products, a step of two is no step of a norm."""
    case = make_case("norm_clipped_mean(norm=0)", 150, 16, CLIENTS)
    proof = case.step(1, 3, 3)
    assert not case.is_fraud(proof)
    assert not proof.HasField("update_k")
    proof.k = 4
    proof.update_k.CopyFrom(case.step(1, 4, 4).update_j)
    with pytest.raises(ProofError, match=r"no entry \(3, 4\) in row 1"):
        case.is_fraud(proof)


@pytest.mark.parametrize("damage", ["bit", "short", "path", "empty", "none"])
@pytest.mark.usefixtures("small_blocks")
def test_totals_that_do_not_open_the_trace_show_nothing(damage: str) -> None:
    case = make_case("krum(f=1)", 1000, 16, 12)  # 16 rows of 78 totals: the last row begins within a chunk
    proof = case.decision()
    assert not case.is_fraud(proof)
    match damage:
        case "bit":
            proof.totals.data = proof.totals.data[:-1] + bytes([proof.totals.data[-1] ^ 1])
        case "short":
            proof.totals.data = proof.totals.data[8:]
        case "path":
            proof.totals.path[0] = bytes(32)
        case "empty":
            proof.ClearField("totals")
        case "none":
            case.attempt.ClearField("reduction")
    with pytest.raises(ProofError):
        case.is_fraud(proof)


# Updates of 8 bits, with and without totals: proofs open int8, and judge what it stands for.


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(RULES + TOTALS_RULES), st.integers(0, tasks.MAX_UPDATE_SHIFT), st.data())
@pytest.mark.usefixtures("small_blocks")
def test_small_updates_convict_who_lies_and_nobody_else(rule: str, shift: int, data: st.DataObject) -> None:
    case = make_case(rule, 150, 32, CLIENTS, data.draw(st.integers(0, 99)), shift)
    honest = [case.prove(chunk) for chunk in range(5)]
    assert {len(opening.data) for opening in honest[0].updates} == {32}
    if case.trace is not None:
        assert not case.is_fraud(case.decision())
        assert not any(case.is_fraud(proof) for proof in case.all_steps())
    assert not any(case.is_fraud(proof) for proof in honest)
    coordinate = data.draw(st.integers(0, 149))
    case.claim(coordinate, 1 if case.claimed.values[coordinate] < INT32.max else -1)
    assert [case.is_fraud(case.prove(chunk)) for chunk in range(5)] == [chunk == coordinate // 32 for chunk in range(5)]


@pytest.mark.parametrize("rule", ["median()", "krum(f=1)"])
@pytest.mark.usefixtures("small_blocks")
def test_the_shift_of_the_task_counts(rule: str) -> None:
    """Another shift than the task's makes another model, and another trace: both are provable."""
    case = make_case(rule, 150, 32, CLIENTS, shift=4)
    case.parameters.update_shift = 5
    assert any(case.is_fraud(case.prove(chunk)) for chunk in range(5))
    assert case.trace is None or all(case.is_fraud(proof) for proof in case.all_steps() if proof.j == proof.k)


def test_an_opening_of_the_other_size_is_malformed() -> None:
    case = make_case(shift=4)
    proof = case.prove(0)
    proof.updates[0].data = bytes(64)
    with pytest.raises(ProofError, match="update 0"):
        case.is_fraud(proof)


@pytest.mark.parametrize("rule", ["norm_clipped_mean(norm=0)", "clipping(norm=0) | median()"])
@pytest.mark.usefixtures("small_blocks")
def test_a_thousand_norms_are_judged_within_the_bounds_that_a_task_is_held_to(rule: str) -> None:
    case = make_case(rule, 150, 32, 1000)
    case.parameters.clients_per_round = 1000
    largest = tasks.compute_proof_bytes(case.parameters)
    for proof in (case.prove(2), case.step(1, 999, 999), case.decision()):
        assert not case.is_fraud(proof)
        assert proof.ByteSize() < largest
    trace = case.trace.values.copy()  # type: ignore[union-attr]
    trace[-1] += 1
    case.claim_totals(trace)
    assert case.is_fraud(case.step(2, 999, 999))
    assert not case.is_fraud(case.decision())
    honest = case.trace.values.copy()  # type: ignore[union-attr]
    case.claim_totals(honest, np.arange(1000))
    assert case.is_fraud(case.decision())


@pytest.mark.parametrize("rule", ["norm_clipped_mean(norm=0)", "arc(f=1) | median()"])
@pytest.mark.parametrize("value", [2**63 - 1, -(2**63)])
@pytest.mark.usefixtures("small_blocks")
def test_norms_that_no_update_has_are_judged_like_any_others(rule: str, value: int) -> None:
    """All of them claimed: each step from the first row's on is a lie, and the decision follows from the last."""
    case = make_case(rule, 150, 32, CLIENTS)
    case.claim_totals(np.full(3 * CLIENTS, value))
    assert not case.is_fraud(case.decision())
    assert not any(case.is_fraud(case.prove(chunk)) for chunk in range(5))
    assert all(case.is_fraud(proof) for proof in case.all_steps())
