"""Clipping to a norm, as a pre-aggregator, and the factors that all clipping shares."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optfl.rules import Clipping, RuleError
from optfl.rules.clipping import compute_factor, count_lower_half, find_lower_median
from support import oracle
from support.rules import make_facts, make_gram, run_rule

FULL = 1 << 20
WILD = st.integers(-(2**130), 2**130) | st.integers(-3, 3)


@given(WILD, WILD, st.sampled_from([20, 30]))
def test_factors_are_the_oracle_s_for_any_integers(square: int, limit: int, bits: int) -> None:
    factor = compute_factor(square, limit, bits)
    assert factor == oracle.clip_factor(Fraction(square), Fraction(limit), bits)
    assert 0 <= factor <= 1 << bits


@given(st.integers(1, 2**60), st.integers(1, 2**60))
def test_a_clipped_square_is_just_below_the_limit(square: int, limit: int) -> None:
    factor = compute_factor(square, limit, 20)
    assert factor**2 * square <= limit * FULL**2 or factor == FULL
    assert (factor + 1) ** 2 * square > limit * FULL**2 or factor == FULL


def test_by_hand() -> None:
    """Norms 5, 10, 20 to 10, or to their median."""
    gram = make_gram([[3, 4], [6, 8], [12, 16]])
    for norm in (10, 0):
        assert Clipping(norm).weights(gram, make_facts(3)) == (FULL, FULL, FULL // 2)
    assert Clipping(1).weights(gram, make_facts(3)) == (FULL // 5, FULL // 10, FULL // 20)
    assert run_rule("clipping(norm=10) | fedavg()", [[3, 4], [6, 8], [12, 16]]) == [5, 7]  # 15 / 3, 20 / 3


def test_where_most_are_zero_everything_is_clipped_to_zero() -> None:
    assert run_rule("clipping(norm=0) | fedavg()", [[0], [0], [900]]) == [0]


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=9))
def test_the_lower_median_leaves_at_least_half_as_they_are(squares: list[int]) -> None:
    median = find_lower_median(squares)
    assert median in squares
    assert sum(square <= median for square in squares) >= count_lower_half(len(squares)) >= len(squares) / 2


def test_norms_are_those_of_what_stands_before() -> None:
    """Buckets of one, then a mean of 30 and 50 that is clipped, not the updates themselves."""
    assert run_rule("bucketing(s=2) | clipping(norm=10) | fedavg()", [[30], [50]]) == [10]
    assert run_rule("bucketing(s=2) | clipping(norm=100) | fedavg()", [[0], [180]]) == [90]


@pytest.mark.parametrize("factors", [(FULL, 0, 0), (FULL, FULL), (FULL, FULL, FULL + 1), (FULL, FULL, -1)])
def test_factors_that_no_totals_give_are_refused(factors: tuple[int, ...]) -> None:
    with pytest.raises(RuleError):
        Clipping(0).mixture(factors, make_facts(3))


def test_a_fixed_norm_may_clip_everything() -> None:
    assert Clipping(5).mixture((1, 0, 2), make_facts(3)).rows.tolist() == [1, 0, 2]


@pytest.mark.parametrize("norm", [-1, 10**9])
def test_norms_out_of_bounds_are_refused(norm: int) -> None:
    with pytest.raises(RuleError, match=r"clipping\(norm=.*\); use norm from 0 to 999999999"):
        Clipping(norm)
