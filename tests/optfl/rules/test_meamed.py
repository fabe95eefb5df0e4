"""Mean around the median."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optfl.rules import MAX_UPDATES, MeanAroundMedian, Median, RoundFacts, RuleError, TotalsKind
from support import oracle
from support.rules import run_rule

COLUMNS = st.lists(st.integers(-(2**15), 2**15 - 1), min_size=1, max_size=40) | st.lists(
    st.integers(-2, 2), min_size=1, max_size=12
)


def compute(column: list[int], f: int) -> int:
    return run_rule(MeanAroundMedian(f), [[value] for value in column])[0]


@given(COLUMNS, st.data())
def test_it_is_the_oracle_s_in_any_order(column: list[int], data: st.DataObject) -> None:
    f = data.draw(st.integers(0, (len(column) - 1) // 2))
    expected = oracle.round_half_up(oracle.mean_around_median(column, len(column) - f))
    assert compute(data.draw(st.permutations(column)), f) == expected


@pytest.mark.parametrize(
    ("column", "f", "expected"),
    [
        ([5], 0, 5),
        ([0, 10, 20], 1, 5),  # 0 and 20 are equally near to 10: the lower one
        ([0, 10, 10, 20], 1, 7),  # (0 + 10 + 10) / 3
        ([1, 2, 1000], 1, 2),  # 1.5, halves up
        ([-1, -2, -1000], 1, -1),
        ([0, 0, 3, 4, 100], 2, 2),  # 3 and 4, then 0 is as near to 3 as nothing else: 7 / 3
        ([-32768, -32768, 32767, 32767, 32767], 2, 32767),
        ([-32768, 32767], 0, 0),
    ],
)
def test_by_hand(column: list[int], f: int, expected: int) -> None:
    assert compute(column, f) == expected


@given(COLUMNS)
def test_it_lies_between_the_values_kept_furthest_from_the_median(column: list[int]) -> None:
    f = (len(column) - 1) // 2
    median = run_rule(Median(), [[value] for value in column])[0]
    reach = sorted(abs(value - median) for value in column)[len(column) - f - 1]
    assert abs(compute(column, f) - median) <= reach + 1


@given(st.lists(st.integers(-100, 100), min_size=1, max_size=15), st.data())
def test_a_minority_cannot_move_it_further_than_the_honest_are_apart(honest: list[int], data: st.DataObject) -> None:
    f = len(honest) - 1
    byzantine = data.draw(st.lists(st.integers(-(2**15), 2**15 - 1), min_size=f, max_size=f))
    spread = max(honest) - min(honest)
    assert min(honest) - spread <= compute(honest + byzantine, f) <= max(honest) + spread


@pytest.mark.parametrize("f", [-1, MAX_UPDATES // 2, 1.0])
def test_f_out_of_bounds_is_refused(f: int) -> None:
    with pytest.raises(RuleError, match=r"meamed\(f=.*\); use f from 0 to 2047"):
        MeanAroundMedian(f)


def test_it_needs_2f_plus_1_updates_and_no_totals() -> None:
    rule = MeanAroundMedian(3)
    assert (rule.minimum_updates, rule.totals, rule.mixed_updates(9)) == (7, TotalsKind.NONE, 0)
    assert rule.weights(None, RoundFacts((1,) * 7)) == ()
