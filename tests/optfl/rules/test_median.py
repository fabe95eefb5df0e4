"""Coordinate-wise median."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optfl.rules import Median, RoundFacts, RuleError, TotalsKind
from support import oracle
from support.rules import run_rule

COLUMNS = st.lists(st.integers(-(2**15), 2**15 - 1), min_size=1, max_size=40)


def compute(column: list[int]) -> int:
    return run_rule(Median(), [[value] for value in column])[0]


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
        run_rule(Median(), np.zeros((0, 3)))


def test_it_needs_one_update_no_totals_and_no_weights() -> None:
    rule = Median()
    assert (rule.minimum_updates, rule.totals, rule.mixed_updates(50)) == (1, TotalsKind.NONE, 0)
    assert rule.weights(None, RoundFacts((5, 7))) == ()
    with pytest.raises(RuleError, match="has none"):
        rule.recipe((1,), RoundFacts((5, 7)))


def test_weights_that_it_ignores_must_be_in_bounds_all_the_same() -> None:
    with pytest.raises(RuleError, match="weight 0"):
        run_rule(Median(), [[1], [2]], [1, 0])
