"""Coordinate-wise trimmed mean."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optfl.rules import MAX_UPDATES, Median, RoundFacts, RuleError, TotalsKind, TrimmedMean
from support import oracle
from support.rules import run_rule

COLUMNS = st.lists(st.integers(-(2**15), 2**15 - 1), min_size=1, max_size=40)


def compute(column: list[int], f: int) -> int:
    return run_rule(TrimmedMean(f), [[value] for value in column])[0]


@given(COLUMNS, st.data())
def test_trimmed_mean_is_the_oracle_s(column: list[int], data: st.DataObject) -> None:
    f = data.draw(st.integers(0, (len(column) - 1) // 2))
    assert compute(column, f) == oracle.trimmed_mean(column, f)


@given(COLUMNS)
def test_trimming_all_but_the_middle_is_the_median(column: list[int]) -> None:
    assert [compute(column, (len(column) - 1) // 2)] == run_rule(Median(), [[value] for value in column])


@pytest.mark.parametrize(
    ("column", "f", "expected"),
    [
        ([5], 0, 5),
        ([1, 2, 4], 0, 2),
        ([1, 2, 2], 0, 2),
        ([100, 1, 2, -100], 1, 2),
        ([-100, -1, -2, 100], 1, -1),
        ([9, 9, 9, 0, 0], 2, 9),
        ([32767] * 4, 1, 32767),
        ([-32768] * 4, 1, -32768),
    ],
)
def test_by_hand(column: list[int], f: int, expected: int) -> None:
    assert compute(column, f) == expected


@pytest.mark.parametrize("value", [-(2**15), 2**15 - 1])
def test_as_many_updates_as_allowed_at_an_extreme(value: int) -> None:
    assert compute([value] * MAX_UPDATES, 0) == value


@given(st.lists(st.integers(-100, 100), min_size=1, max_size=15), st.integers(0, 7), st.data())
def test_f_outliers_cannot_leave_the_range_of_the_honest(honest: list[int], f: int, data: st.DataObject) -> None:
    f = min(f, len(honest) - 1)
    byzantine = data.draw(st.lists(st.integers(-(2**15), 2**15 - 1), min_size=f, max_size=f))
    assert min(honest) <= compute(data.draw(st.permutations(honest + byzantine)), f) <= max(honest)


@pytest.mark.parametrize(("updates", "f"), [(0, 0), (2, 1), (4, 2), (MAX_UPDATES + 1, 1)])
def test_numbers_of_updates_out_of_bounds_are_refused(updates: int, f: int) -> None:
    with pytest.raises(RuleError, match=rf"of {updates} updates; use {2 * f + 1} to"):
        run_rule(TrimmedMean(f), np.zeros((updates, 1)))


@pytest.mark.parametrize("f", [-1, MAX_UPDATES // 2])
def test_f_that_no_number_of_updates_suffices_for_is_refused(f: int) -> None:
    with pytest.raises(RuleError, match="use f from 0 to"):
        TrimmedMean(f)


def test_it_needs_2f_plus_1_updates_no_totals_and_no_weights() -> None:
    rule = TrimmedMean(3)
    assert (rule.minimum_updates, rule.totals, rule.mixed_updates(50)) == (7, TotalsKind.NONE, 0)
    assert rule.weights(None, RoundFacts((1,) * 7)) == ()
