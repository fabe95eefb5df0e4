"""Weighted FedAvg: exact at every weight and value that it takes, a RuleError at all others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optfl.rules import MAX_UPDATES, MAX_WEIGHT, FedAvg, RuleError
from support import oracle

WEIGHTED_COLUMNS = st.lists(
    st.tuples(st.integers(-(2**15), 2**15 - 1), st.integers(1, MAX_WEIGHT)), min_size=1, max_size=30
)


@given(WEIGHTED_COLUMNS)
def test_weighted_mean_is_exact(pairs: list[tuple[int, int]]) -> None:
    column, weights = zip(*pairs, strict=True)
    output = FedAvg().output(np.array([column], dtype=np.int16).T, FedAvg().weights(None, weights))
    assert output.dtype == np.int32
    assert output.tolist() == [oracle.fedavg(column, weights)]


def test_seed_002_equation_2_by_hand() -> None:
    """n = (1, 3): (1·10 + 3·20) / 4 = 17.5, halves up; and -17.5 to -17."""
    chunk = np.array([[10, -10], [20, -20]], dtype=np.int16)
    assert FedAvg().output(chunk, (1, 3)).tolist() == [18, -17]


@pytest.mark.parametrize("value", [-(2**15), 2**15 - 1])
def test_the_largest_sums_that_the_bounds_allow_do_not_overflow(value: int) -> None:
    chunk = np.full((MAX_UPDATES, 1), value, dtype=np.int16)
    assert FedAvg().output(chunk, [MAX_WEIGHT] * MAX_UPDATES).tolist() == [value]


def test_the_bounds_keep_every_intermediate_in_int64() -> None:
    total_weight = MAX_UPDATES * MAX_WEIGHT
    assert 2 * total_weight * 2**15 + total_weight < 2**63


@pytest.mark.parametrize("weight", [0, -1, MAX_WEIGHT + 1, 2**64])
def test_weights_out_of_bounds_are_refused(weight: int) -> None:
    """Red team I6, F3: no division by 0 and no overflow can be asked for."""
    with pytest.raises(RuleError, match=f"weight {weight}; use 1 to"):
        FedAvg().weights(None, [1, weight])
    with pytest.raises(RuleError, match=f"weight {weight}; use 1 to"):
        FedAvg().output(np.zeros((2, 3), dtype=np.int16), [1, weight])


@pytest.mark.parametrize("weights", [[], [1], [1, 1, 1]])
def test_each_update_needs_a_weight(weights: list[int]) -> None:
    with pytest.raises(RuleError, match="for 2 updates"):
        FedAvg().output(np.zeros((2, 3), dtype=np.int16), weights)


@pytest.mark.parametrize("updates", [0, MAX_UPDATES + 1])
def test_numbers_of_updates_out_of_bounds_are_refused(updates: int) -> None:
    with pytest.raises(RuleError, match=f"of {updates} updates; use 1 to"):
        FedAvg().output(np.zeros((updates, 1), dtype=np.int16), [1] * updates)


def test_it_needs_one_update_no_totals_and_the_clients_weights() -> None:
    rule = FedAvg()
    assert rule.minimum_updates == 1
    assert rule.partial(np.zeros((2, 3), dtype=np.int16)) is None
    assert rule.weights(None, [5, 7]) == (5, 7)
    assert rule.operations(50, 2048) == 50 * 2048
