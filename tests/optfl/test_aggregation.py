"""The reference aggregate: against the oracle, over chunks that do not divide the vector, at saturation."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optfl.aggregation import aggregate, aggregate_chunk
from optfl.rules import MAX_WEIGHT, RoundFacts, RuleError, parse_rule
from support import oracle
from support.inputs import FILLS, INT32_MAX, INT32_MIN, make_base, rule_names


@given(st.integers(1, 12), st.integers(1, 40), st.sampled_from(sorted(FILLS)), st.integers(0, 2**32), st.data())
def test_aggregate_is_the_oracle_s(updates: int, length: int, fill: str, seed: int, data: st.DataObject) -> None:
    random = np.random.default_rng(seed)
    matrix, base = FILLS[fill](random, updates, length), make_base(random, length)
    weights = data.draw(st.lists(st.integers(1, MAX_WEIGHT), min_size=updates, max_size=updates))
    name = data.draw(st.sampled_from(rule_names(updates)))
    chunk_values = data.draw(st.integers(1, 50))
    facts = RoundFacts(tuple(weights), random.bytes(32))
    model, derived, trace = aggregate(parse_rule(name), base, list(matrix), facts, chunk_values)
    assert model.dtype == np.int32
    assert model.tolist() == oracle.aggregate(name, base.tolist(), matrix.tolist(), weights, facts.beacon)
    assert (trace is not None) == bool(parse_rule(name).totals)
    if trace is not None:
        assert trace.tolist() == oracle.compute_totals(name, matrix.tolist())
        assert list(derived) == oracle.decide_from_totals(name, trace.tolist(), weights, facts.beacon)


@given(st.integers(1, 9), st.integers(1, 40), st.integers(1, 16), st.integers(0, 2**32), st.data())
def test_every_chunk_of_an_aggregate_is_the_aggregate_of_that_chunk(
    updates: int, length: int, chunk_values: int, seed: int, data: st.DataObject
) -> None:
    """What makes an aggregate provable in one step (design §5)."""
    random = np.random.default_rng(seed)
    matrix, base = FILLS["uniform"](random, updates, length), make_base(random, length)
    facts = RoundFacts(tuple(random.integers(1, 1000, updates).tolist()), random.bytes(32))
    rule = parse_rule(data.draw(st.sampled_from(rule_names(updates))))
    model, weights, _ = aggregate(rule, base, list(matrix), facts, chunk_values)
    for start in range(0, length, chunk_values):
        chunk = slice(start, start + chunk_values)
        assert aggregate_chunk(rule, base[chunk], matrix[:, chunk], facts, weights).tolist() == model[chunk].tolist()


@pytest.mark.parametrize("name", ["fedavg()", "median()", "trimmed_mean(f=1)"])
@pytest.mark.parametrize(
    ("base", "update", "expected"),
    [
        (INT32_MAX, 1, INT32_MAX),
        (INT32_MAX - 1, 1, INT32_MAX),
        (INT32_MAX - 2, 1, INT32_MAX - 1),
        (INT32_MAX, 32767, INT32_MAX),
        (INT32_MIN, -1, INT32_MIN),
        (INT32_MIN + 1, -1, INT32_MIN),
        (INT32_MIN, -32768, INT32_MIN),
        (INT32_MIN, 32767, INT32_MIN + 32767),
        (0, 0, 0),
    ],
)
def test_the_model_saturates(name: str, base: int, update: int, expected: int) -> None:
    updates = np.full((3, 2), update, dtype=np.int16)
    model = aggregate_chunk(parse_rule(name), np.full(2, base, dtype=np.int32), updates, RoundFacts((1, 2, 3)))
    assert model.tolist() == [expected] * 2


def test_totals_are_summed_over_all_chunks_before_the_first_output() -> None:
    """Chunk by chunk, Krum would choose another update each time."""
    updates = [np.array(values, dtype=np.int16) for values in ([9, 0, 0, 0, 0], [0, 0, 0, 5, 5], [0, 0, 0, 5, 6])]
    made = aggregate(parse_rule("krum(f=1)"), zeros(5, np.int32), updates, RoundFacts((1, 1, 1)), 2)
    assert made.model.tolist() == [0, 0, 0, 5, 5]
    assert made.weights == (0b010,)
    assert made.trace is not None
    assert made.trace.tolist() == [81, 0, 0, 50, 55, 61]


def zeros(length: int, dtype: Any = np.int16) -> npt.NDArray[Any]:
    return np.zeros(length, dtype=dtype)


@pytest.mark.parametrize(
    ("base", "updates", "weights", "message"),
    [
        (zeros(4, np.int32), [], [], "of 0 updates; use 3"),
        (zeros(4, np.int32), [zeros(4)] * 2, [1, 1], "of 2 updates; use 3"),
        (zeros(4, np.int32), [zeros(4)] * 3, [1, 1], "2 weights for 3 updates"),
        (zeros(4, np.int32), [zeros(4)] * 3, [1, 1, 0], "weight 0"),
        (zeros(4, np.int64), [zeros(4)] * 3, [1, 1, 1], "the base is int64"),
        (zeros(4, np.int32).reshape(2, 2), [zeros(4)] * 3, [1, 1, 1], "the base is int32 of shape"),
        (zeros(4, np.int32), [zeros(4), zeros(4), zeros(5)], [1, 1, 1], "update 2 is int16 of shape"),
        (zeros(4, np.int32), [zeros(4), zeros(4, np.int32), zeros(4)], [1, 1, 1], "update 1 is int32"),
        (zeros(4, np.int32), [zeros(4), zeros(4, ">i2"), zeros(4)], [1, 1, 1], "update 1 is >i2"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(
    base: npt.NDArray[Any], updates: list[npt.NDArray[Any]], weights: list[int], message: str
) -> None:
    with pytest.raises(RuleError, match=message):
        aggregate(parse_rule("trimmed_mean(f=1)"), base, updates, RoundFacts(tuple(weights)), 2)


def test_chunks_of_nothing_are_refused() -> None:
    with pytest.raises(RuleError, match="use at least 1"):
        aggregate(parse_rule("median()"), zeros(4, np.int32), [zeros(4)], RoundFacts((1,)), 0)


def test_the_protocol_does_not_load_numba() -> None:
    """Invariant 1: no JIT reaches what the ledger executes."""
    code = "import optfl.aggregation, optfl.vectors, sys; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
