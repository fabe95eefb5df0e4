"""Rounding division and saturation, against Python's fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optfl.arithmetic import div_round_half_up, saturate32
from support import oracle

INT64 = st.integers(-(2**63), 2**63 - 1)


@given(st.integers(), st.integers(min_value=1))
def test_integers_of_any_size_divide_exactly(numerator: int, denominator: int) -> None:
    expected = oracle.round_half_up(Fraction(numerator, denominator))
    assert div_round_half_up(numerator, denominator) == expected
    assert expected == (2 * numerator + denominator) // (2 * denominator)


@given(st.lists(INT64, max_size=9), st.integers(1, 2**63 - 1))
def test_arrays_divide_like_integers_over_all_of_int64(numerators: list[int], denominator: int) -> None:
    result = div_round_half_up(np.array(numerators, dtype=np.int64), denominator)
    assert result.dtype == np.int64
    assert result.tolist() == [div_round_half_up(numerator, denominator) for numerator in numerators]


@pytest.mark.parametrize(
    ("numerator", "denominator", "expected"),
    [(1, 2, 1), (-1, 2, 0), (3, 2, 2), (-3, 2, -1), (5, 3, 2), (-5, 3, -2), (0, 7, 0), (-7, 7, -1)],
)
def test_halves_go_up(numerator: int, denominator: int, expected: int) -> None:
    assert div_round_half_up(numerator, denominator) == expected


@pytest.mark.parametrize("denominator", [0, -1])
def test_denominators_below_one_are_refused(denominator: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        div_round_half_up(1, denominator)
    with pytest.raises(ValueError, match="at least 1"):
        div_round_half_up(np.ones(1, dtype=np.int64), denominator)


@given(st.lists(INT64, max_size=9))
def test_saturation_gives_the_nearest_int32(values: list[int]) -> None:
    result = saturate32(np.array(values, dtype=np.int64))
    assert result.dtype == np.int32
    assert result.tolist() == [max(-(2**31), min(2**31 - 1, value)) for value in values]
