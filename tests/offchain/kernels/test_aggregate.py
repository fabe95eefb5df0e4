"""The kernels: bit-identical to the reference and to the oracle, at every K, edge and border of a block."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offchain.kernels import compiled
from offchain.kernels.aggregate import MIN_RANGE_VALUES, aggregate, warm_up
from optfl import aggregation
from optfl.rules import MAX_UPDATES, MAX_WEIGHT, RoundFacts, RuleError, parse_rule
from optfl.rules.base import Int16Array, Int32Array
from support import oracle
from support.inputs import FILLS, local_rule_names, make_base, rule_names

RULES = ["fedavg()", "median()", "trimmed_mean(f=1)", "krum(f=1)", "multi_krum(f=1)", "nnm(f=1) | trimmed_mean(f=1)"]
RULES += ["norm_clipped_mean(norm=0)", "arc(f=1) | median()"]
KERNELS: list[Any] = [
    compiled.add_weighted_mean,
    compiled.add_column_mean,
    compiled.add_mixed_column_mean,
    compiled.add_widely_mixed_column_mean,
    compiled.add_scaled_column_mean,
    compiled.add_squares,
    compiled.add_products,
]


def check_against_reference(name: str, base: Int32Array, updates: Sequence[Int16Array], weights: Sequence[int]) -> None:
    rule, facts = parse_rule(name), RoundFacts(tuple(weights))
    expected = aggregation.aggregate(rule, base, updates, facts, chunk_values=2048)
    actual = aggregate(rule, base, updates, facts, threads=2)
    assert actual.model.dtype == np.int32
    np.testing.assert_array_equal(actual.model, expected.model)
    assert actual.weights == expected.weights
    assert (actual.trace is None) == (expected.trace is None)
    if actual.trace is not None:
        np.testing.assert_array_equal(actual.trace, expected.trace)


def compute_model(name: str, base: Int32Array, updates: Sequence[Int16Array], weights: Sequence[int]) -> Int32Array:
    return aggregate(parse_rule(name), base, updates, RoundFacts(tuple(weights))).model


@pytest.mark.parametrize("updates", range(1, 201))
def test_every_number_of_updates(updates: int) -> None:
    """K = 1..200: reference, kernel and oracle agree, ties and extremes included."""
    random = np.random.default_rng(updates)
    blocks = [fill(random, updates, 3) for fill in FILLS.values()]
    matrix = np.concatenate(blocks, axis=1)
    base = make_base(random, matrix.shape[1])
    weights = random.integers(1, 2000, updates).tolist()
    for name in local_rule_names(updates):  # the oracle takes its time over inner products
        check_against_reference(name, base, list(matrix), weights)
        model = compute_model(name, base, list(matrix), weights)
        assert model.tolist() == oracle.aggregate(name, base.tolist(), matrix.tolist(), weights)


@given(st.integers(1, 60), st.integers(1, 1100), st.sampled_from(sorted(FILLS)), st.integers(0, 2**32), st.data())
def test_any_input(updates: int, length: int, fill: str, seed: int, data: st.DataObject) -> None:
    random = np.random.default_rng(seed)
    largest = data.draw(st.sampled_from([1, 1000, 2**20, MAX_WEIGHT]))
    weights = random.integers(1, largest + 1, updates).tolist()
    name = data.draw(st.sampled_from(rule_names(updates)))
    check_against_reference(name, make_base(random, length), list(FILLS[fill](random, updates, length)), weights)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize(
    "length",
    [
        1,
        compiled.BLOCK_VALUES - 1,
        compiled.BLOCK_VALUES,
        compiled.BLOCK_VALUES + 1,
        3 * compiled.BLOCK_VALUES + 17,
        MIN_RANGE_VALUES - 1,
        MIN_RANGE_VALUES + 1,
        5 * MIN_RANGE_VALUES + 333,
    ],
)
def test_blocks_and_ranges_that_do_not_divide_the_vector(name: str, threads: int, length: int) -> None:
    random = np.random.default_rng(length)
    updates, base = list(FILLS["uniform"](random, 5, length)), make_base(random, length)
    rule, facts = parse_rule(name), RoundFacts((3, 1, 4, 1, 5))
    expected = aggregation.aggregate(rule, base, updates, facts, chunk_values=1 << 20)
    np.testing.assert_array_equal(aggregate(rule, base, updates, facts, threads).model, expected.model)


@pytest.mark.parametrize("weights", [[MAX_WEIGHT] * MAX_UPDATES, [1] * MAX_UPDATES, [16] * (MAX_UPDATES - 1) + [15]])
@pytest.mark.parametrize("fill", ["lowest", "highest", "extremes"])
def test_the_largest_sums_that_the_bounds_allow(weights: list[int], fill: str) -> None:
    """Both widths of FedAvg's sums at their limits: W = 2^16 - 1 is the last of int32."""
    updates = list(FILLS[fill](np.random.default_rng(0), MAX_UPDATES, 3))
    check_against_reference("fedavg()", np.zeros(3, dtype=np.int32), updates, weights)


@pytest.mark.parametrize("weight", [*range(1, 50), 2**15 - 1, 10**6 + 3, MAX_WEIGHT])
def test_every_mean_that_is_exactly_a_half(weight: int) -> None:
    """All of them go up, whatever a float makes of the reciprocal of their denominator."""
    lower = np.arange(-(2**15), 2**15 - 1, dtype=np.int16)
    base = np.zeros(len(lower), dtype=np.int32)
    model = compute_model("fedavg()", base, [lower, lower + np.int16(1)], [weight] * 2)
    np.testing.assert_array_equal(model, lower.astype(np.int32) + 1)


@pytest.mark.parametrize("half", ["just below", "just above"])
def test_means_one_part_in_2_to_the_45_from_a_half(half: str) -> None:
    """Nearer than a float can tell: the kernel's estimate of a quotient must be put right in integers."""
    lower = np.arange(-(2**15), 2**15 - 1, 61, dtype=np.int16)
    light, heavy = [MAX_WEIGHT - 1] + [MAX_WEIGHT] * (MAX_UPDATES // 2 - 1), [MAX_WEIGHT] * (MAX_UPDATES // 2)
    at_upper = light if half == "just below" else heavy
    weights = at_upper + (heavy if half == "just below" else light)
    updates = [lower + np.int16(1)] * len(at_upper) + [lower] * (MAX_UPDATES - len(at_upper))
    model = compute_model("fedavg()", np.zeros(len(lower), dtype=np.int32), updates, weights)
    np.testing.assert_array_equal(model, lower if half == "just below" else lower.astype(np.int32) + 1)


@pytest.mark.parametrize("f", [0, 1, 700, (MAX_UPDATES - 1) // 2])
def test_as_many_updates_as_a_rule_takes(f: int) -> None:
    updates = list(FILLS["uniform"](np.random.default_rng(f), MAX_UPDATES, 3))
    check_against_reference(f"trimmed_mean(f={f})", np.zeros(3, dtype=np.int32), updates, [1] * MAX_UPDATES)


@pytest.mark.parametrize("total_weight", [2**16 - 1, 2**16])
@pytest.mark.parametrize("fill", ["lowest", "highest", "uniform"])
def test_both_sides_of_the_change_from_int32_to_int64_sums(total_weight: int, fill: str) -> None:
    random = np.random.default_rng(total_weight)
    updates = list(FILLS[fill](random, 2, 999))
    check_against_reference("fedavg()", make_base(random, 999), updates, [1, total_weight - 1])


@pytest.mark.parametrize("name", RULES)
def test_updates_of_any_memory_layout(name: str) -> None:
    """Strided, reversed, read-only, unaligned: by value, and left as they were."""
    random = np.random.default_rng(7)
    length = compiled.BLOCK_VALUES + 9
    plain = FILLS["uniform"](random, 5, length)
    strided = np.repeat(plain[0], 2)[::2]
    backwards = plain[1][::-1].copy()[::-1]
    read_only = np.frombuffer(plain[2].tobytes(), dtype=np.int16)
    unaligned = np.frombuffer(b"\x00" + plain[3].tobytes(), dtype=np.int16, offset=1)
    assert not unaligned.flags.aligned
    base = np.frombuffer(b"\x00" + make_base(random, length).tobytes(), dtype=np.int32, offset=1)
    before = base.copy()
    check_against_reference(name, base, [strided, backwards, read_only, unaligned, plain[4]], [1, 2, 3, 4, 5])
    np.testing.assert_array_equal(base, before)
    np.testing.assert_array_equal(np.stack([strided, backwards, read_only, unaligned]), plain[:4])


def test_an_empty_vector() -> None:
    assert compute_model("median()", zeros(0, np.int32), [zeros(0)], [1]).shape == (0,)


def test_calls_from_several_threads_do_not_disturb_each_other() -> None:
    """A watcher re-executes several attempts at once, in threads of one process."""
    length = 3 * MIN_RANGE_VALUES

    def compute(seed: int) -> bool:
        random = np.random.default_rng(seed)
        updates, base = list(FILLS["uniform"](random, 6, length)), make_base(random, length)
        rule = parse_rule(RULES[seed % len(RULES)])
        facts = RoundFacts((1,) * 6)
        expected = aggregation.aggregate(rule, base, updates, facts, chunk_values=1 << 20)
        return np.array_equal(aggregate(rule, base, updates, facts, threads=2).model, expected.model)

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(compute, range(12)))


def zeros(length: int, dtype: Any = np.int16) -> npt.NDArray[Any]:
    return np.zeros(length, dtype=dtype)


@pytest.mark.parametrize(
    ("base", "updates", "weights"),
    [
        (zeros(4, np.int32), [zeros(4)] * 2, [1, 1]),
        (zeros(4, np.int32), [zeros(4)] * 3, [1, 1]),
        (zeros(4, np.int32), [zeros(4)] * 3, [1, 1, 0]),
        (zeros(4, np.int64), [zeros(4)] * 3, [1, 1, 1]),
        (zeros(4, np.int32), [zeros(4), zeros(4), zeros(3)], [1, 1, 1]),
        (zeros(4, np.int32), [zeros(4), zeros(4), zeros(4, np.int8)], [1, 1, 1]),
    ],
)
def test_inputs_that_do_not_fit_are_refused_before_memory_is_read_by_address(
    base: npt.NDArray[Any], updates: list[npt.NDArray[Any]], weights: list[int]
) -> None:
    with pytest.raises(RuleError):
        aggregate(parse_rule("trimmed_mean(f=1)"), base, updates, RoundFacts(tuple(weights)))


def test_no_threads_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        aggregate(parse_rule("median()"), zeros(4, np.int32), [zeros(4)], RoundFacts((1,)), threads=0)


def count_compilations() -> list[int]:
    return [len(kernel.signatures) for kernel in KERNELS]


def test_another_k_compiles_nothing() -> None:
    warm_up()
    before = count_compilations()
    for updates in (2, 3, 33):
        for name in rule_names(updates):
            for weight in (1, 1 << 20):
                compute_model(name, zeros(5, np.int32), [zeros(5)] * updates, [weight] * updates)
    assert count_compilations() == before == [3, 1, 1, 1, 1, 1, 1]


def test_a_second_process_compiles_nothing(tmp_path: Path) -> None:
    code = """
import json
from offchain.kernels import aggregate, compiled
aggregate.warm_up()
kernels = [compiled.add_weighted_mean, compiled.add_column_mean, compiled.add_mixed_column_mean]
kernels += [compiled.add_widely_mixed_column_mean, compiled.add_scaled_column_mean]
kernels += [compiled.add_squares, compiled.add_products]
print(json.dumps([[sum(k.stats.cache_hits.values()), sum(k.stats.cache_misses.values())] for k in kernels]))
"""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", code]
    hits_and_misses = [
        json.loads(subprocess.run(command, env=environment, check=True, capture_output=True).stdout) for _ in range(2)
    ]
    compiled_once = count_compilations()
    assert hits_and_misses == [[[0, n] for n in compiled_once], [[n, 0] for n in compiled_once]]
