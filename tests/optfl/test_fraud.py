"""One-step fraud proofs: they convict the wrong chunk, never the right one, and malformed ones show nothing."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optfl import tasks
from optfl.aggregation import aggregate
from optfl.fraud import ProofError, build_output_proof, is_fraud
from optfl.rules import RoundFacts, parse_rule
from optfl.vectors import ChunkedVector
from optfl.wire import state_pb2, transaction_pb2

RULES = ["median()", "fedavg()", "trimmed_mean(f=1)"]
INT32 = np.iinfo(np.int32)


@dataclass
class Case:
    """An attempt with all its vectors; the claimed model is the honest one until a value is changed."""

    parameters: transaction_pb2.TaskParameters
    updates: list[ChunkedVector]
    base: ChunkedVector
    claimed: ChunkedVector
    attempt: state_pb2.Attempt

    def claim(self, coordinate: int, difference: int) -> None:
        values = self.claimed.values.copy()
        values[coordinate] += difference
        self.claimed = ChunkedVector(self.claimed.shape, values)
        self.attempt.model_root = self.claimed.root

    def prove(self, chunk: int) -> transaction_pb2.OutputProof:
        return build_output_proof(chunk, self.updates, self.base, self.claimed)

    def is_fraud(self, proof: transaction_pb2.OutputProof) -> bool:
        return is_fraud(self.parameters, self.attempt, proof)


def make_case(
    rule: str = "median()", length: int = 100, chunk_values: int = 32, clients: int = 5, seed: int = 0
) -> Case:
    random = np.random.default_rng(seed)
    parameters = transaction_pb2.TaskParameters(length=length, chunk_values=chunk_values, rule=rule)
    updates = [
        ChunkedVector(tasks.update_shape(parameters), random.integers(-(2**15), 2**15, length, dtype=np.int16))
        for _ in range(clients)
    ]
    base = ChunkedVector(tasks.model_shape(parameters), random.integers(INT32.min, INT32.max, length, dtype=np.int32))
    weights = tuple(int(weight) for weight in random.integers(1, 1000, clients))
    facts = RoundFacts(weights)
    made = aggregate(parse_rule(rule), base.values, [u.values for u in updates], facts, chunk_values)
    claimed = ChunkedVector(tasks.model_shape(parameters), made.model)
    attempt = state_pb2.Attempt(
        base_root=base.root,
        rule=rule,
        model_root=claimed.root,
        inputs=[state_pb2.Input(update_root=u.root, weight=w) for u, w in zip(updates, weights, strict=True)],
    )
    return Case(parameters, updates, base, claimed, attempt)


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
    model = aggregate(parse_rule("median()"), values, [u.values for u in case.updates], [1] * 5, 32)
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
