"""The benchmark of small updates: the same federation for every variant, and figures that add up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

pytest.importorskip("torch")

from benchmarks.compression import (
    CLIENTS,
    FLOAT_RULES,
    LAST_ROUNDS,
    SHIFTS,
    VARIANTS,
    Line,
    Setting,
    Storing,
    Variant,
    build_table,
    run,
)
from offchain.learning import digits
from offchain.learning.quantisation import FloatVector
from optfl.aggregation import aggregate
from optfl.rules import RoundFacts, parse_rule

UPDATES = arrays.arrays(np.int16, (5, 7), elements=st.integers(-(2**15), 2**15 - 1))


def test_sizes_are_those_that_a_task_stores() -> None:
    sizes = {variant.dtype: variant.update_bytes for variant in VARIANTS}
    assert sizes == {
        name: size * digits.LENGTH for name, size in {"float64": 8, "float32": 4, "int16": 2, "int8": 1}.items()
    }


@pytest.mark.parametrize("rule", FLOAT_RULES)
@given(updates=UPDATES)
def test_float_rules_are_the_exact_ones_but_for_rounding(rule: str, updates: FloatVector) -> None:
    weights = [3, 1, 4, 1, 5]
    exact = aggregate(parse_rule(rule), np.zeros(7, np.int32), list(updates), RoundFacts(tuple(weights), bytes(32)), 7)
    assert np.abs(FLOAT_RULES[rule](updates.astype(np.float64), weights) - exact.model).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("rounding", ["nearest", "stochastic", "feedback"])
@pytest.mark.parametrize("shift", SHIFTS)
def test_what_is_stored_is_within_a_step(shift: int, rounding: str) -> None:
    update = np.random.default_rng(1).integers(-(100 << shift), 100 << shift, 50).astype(np.int16)
    storing = Storing(Variant("int8", shift, rounding))
    for client in range(CLIENTS):
        assert np.abs(storing.store(client, update, seed=client) - update).max() <= 1 << shift
    assert storing.values == 50 * CLIENTS


def test_every_variant_has_the_same_federation() -> None:
    setting = Setting("usual", "fedavg()", seed=1, rounds=1)
    lines = [run(setting, Variant(dtype)) for dtype in ("float64", "float64", "int16")]
    assert lines[0] == lines[1]
    assert lines[2].zeros is not None
    assert lines[2].chosen_shift == digits.UPDATE_SHIFT
    assert abs(lines[2].final_accuracy - lines[0].final_accuracy) < 0.05


def test_losses_are_against_float64_of_the_same_seed() -> None:
    def line(variant: str, seed: int, accuracy: float) -> Line:
        return Line("usual", "median()", variant, seed, digits.LENGTH, (0.0, *[accuracy] * LAST_ROUNDS), 0.5, 6)

    lines = [line("float64", 1, 0.9), line("float64", 2, 0.8), line("int8", 1, 0.89), line("int8", 2, 0.79)]
    columns = [list(column.cells) for column in build_table(lines).columns]
    assert columns[5] == ["85.00 ± 7.07", "84.00 ± 7.07"]
    assert columns[6] == ["+0.00 ± 0.00", "-1.00 ± 0.00"]
