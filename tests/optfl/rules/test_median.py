"""Coordinate-wise median."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optfl.rules import Median, RuleError
from support import oracle

COLUMNS = st.lists(st.integers(-(2**15), 2**15 - 1), min_size=1, max_size=40)


def compute(column: list[int]) -> int:
    output = Median().output(np.array([column], dtype=np.int16).T, ())
    assert output.dtype == np.int32
    return int(output[0])


@given(COLUMNS)
def test_median_is_the_oracle_s(column: list[int]) -> None:
    assert compute(column) == oracle.median(column, ())


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ([7], 7),
        ([3, 1, 2], 2),
        ([1, 2], 2),  # 1.5: halves up
        ([-1, -2], -1),  # -1.5
        ([-1, 0], 0),  # -0.5
        ([1, 2, 4, 9], 3),
        ([32767, 32767], 32767),
        ([-32768, -32768], -32768),
        ([-32768, 32767], 0),  # -0.5; their sum leaves int16
    ],
)
def test_by_hand(column: list[int], expected: int) -> None:
    assert compute(column) == expected


@given(st.lists(st.integers(-100, 100), min_size=1, max_size=15), st.data())
def test_a_minority_cannot_leave_the_range_of_the_honest(honest: list[int], data: st.DataObject) -> None:
    """Seed 002, IV-A1: of 2f+1 inputs, f arbitrary ones do not move the median out of the others' range."""
    f = len(honest) - 1
    byzantine = data.draw(st.lists(st.integers(-(2**15), 2**15 - 1), min_size=f, max_size=f))
    assert min(honest) <= compute(data.draw(st.permutations(honest + byzantine))) <= max(honest)


def test_no_update_is_refused() -> None:
    with pytest.raises(RuleError, match=r"median\(\) of 0 updates; use 1 to"):
        Median().output(np.zeros((0, 3), dtype=np.int16), ())


def test_it_needs_one_update_no_totals_and_no_weights() -> None:
    rule = Median()
    assert rule.minimum_updates == 1
    assert rule.partial(np.zeros((2, 3), dtype=np.int16)) is None
    assert rule.weights(None, [5, 7]) == ()
    assert rule.operations(50, 2048) == 50 * 2048


def test_weights_that_it_ignores_must_be_in_bounds_all_the_same() -> None:
    with pytest.raises(RuleError, match="weight 0"):
        Median().weights(None, [0])
