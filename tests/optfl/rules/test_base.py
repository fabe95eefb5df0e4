"""Recipes carried out by the reference, within the bounds that keep int64 exact."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optfl.rules import MAX_UPDATES, MAX_WEIGHT, Nearest, Recipe, RuleError, Trim, parse_rule
from optfl.rules.base import (
    MAX_MEAN_DENOMINATOR,
    MAX_MIX_DENOMINATOR,
    check_parameter,
    compute_output,
    fit_rows,
    output_operations,
)
from support import oracle


def test_the_bounds_keep_every_intermediate_in_int64() -> None:
    assert MAX_UPDATES * MAX_WEIGHT < MAX_MEAN_DENOMINATOR
    for combinations_, denominator in ((1, MAX_MEAN_DENOMINATOR), (MAX_UPDATES, MAX_MIX_DENOMINATOR)):
        sums = combinations_ * denominator * 2**15
        assert 2 * sums < 2**63  # twice: of the median's two neighbours
        assert denominator * combinations_ < 2**63


@pytest.mark.parametrize("value", [-(2**15), 2**15 - 1])
@pytest.mark.parametrize("column", [Trim(0), Trim(2047), Nearest(MAX_UPDATES), Nearest(1)])
@pytest.mark.parametrize("denominator", [1, MAX_MIX_DENOMINATOR])
def test_the_largest_sums_do_not_overflow(value: int, column: Trim | Nearest, denominator: int) -> None:
    rows = np.full((MAX_UPDATES, 1), denominator, dtype=np.int64)
    output = compute_output(Recipe(column, rows, denominator), np.array([[value]], dtype=np.int16))
    assert output.dtype == np.int32
    assert output.tolist() == [value]


@given(st.lists(st.lists(st.integers(0, 50), min_size=4, max_size=4), min_size=1, max_size=5), st.data())
def test_a_recipe_is_combined_then_reduced_then_rounded_once(rows: list[list[int]], data: st.DataObject) -> None:
    column = data.draw(st.lists(st.integers(-(2**15), 2**15 - 1), min_size=4, max_size=4))
    denominator = data.draw(st.integers(max(1, *(sum(row) for row in rows)), 300))
    kept = data.draw(st.integers(1, len(rows)))
    trimmed = data.draw(st.integers(0, (len(rows) - 1) // 2))
    values = [Fraction(sum(a * b for a, b in zip(row, column, strict=True)), denominator) for row in rows]
    matrix, chunk = np.array(rows, dtype=np.int64), np.array([column], dtype=np.int16).T
    nearest = compute_output(Recipe(Nearest(kept), matrix, denominator), chunk)
    assert nearest.tolist() == [oracle.round_half_up(oracle.mean_around_median(values, kept))]
    trim = compute_output(Recipe(Trim(trimmed), matrix, denominator), chunk)
    assert trim.tolist() == [oracle.round_half_up(oracle.trim(values, trimmed))]


@given(st.lists(st.integers(-6, 6), min_size=1, max_size=8), st.data())
def test_no_other_values_are_nearer_to_the_median(column: list[int], data: st.DataObject) -> None:
    """Of all choices: the one with the least furthest distance, then the least sum."""
    kept = data.draw(st.integers(1, len(column)))
    median = oracle.middle(column)
    choices = combinations(sorted(column), kept)
    best = min(choices, key=lambda chosen: (sorted(abs(v - median) for v in chosen)[::-1], sum(chosen)))
    output = compute_output(Recipe(Nearest(kept)), np.array([column], dtype=np.int16).T)
    assert output.tolist() == [oracle.round_half_up(Fraction(sum(best), kept))]


@given(st.lists(st.integers(0, 2**80), min_size=1, max_size=6), st.integers(1, 2**20))
def test_rows_that_fit_stay_and_others_are_rounded_down(row: list[int], more: int) -> None:
    denominator = sum(row) + more
    fitted, most = fit_rows(np.array([row], dtype=object), denominator, MAX_MIX_DENOMINATOR)
    assert fitted.dtype == np.int64
    assert most == min(denominator, MAX_MIX_DENOMINATOR)
    for entry, before in zip(fitted[0].tolist(), row, strict=True):
        assert 0 <= Fraction(before, denominator) - Fraction(entry, most) < Fraction(1, most)


def test_work_counts_reading_combining_and_sorting() -> None:
    for name, updates, values in (
        ("fedavg()", 50, 50 + 7),
        ("median()", 50, 50 + 50 * 6),
        ("nnm(f=1) | median()", 50, 50 + 313 + 50 * 6),
        ("median()", 1, 1),
    ):
        rule = parse_rule(name)
        for chunk_values in (1, 2048):
            expected = values * chunk_values + rule.recipe_operations(updates)
            assert output_operations(rule, updates, chunk_values) == expected


def test_recipes_of_products_of_matrices_are_work_of_their_own() -> None:
    alone, two = parse_rule("nnm(f=1) | median()"), parse_rule("nnm(f=1) | nnm(f=1) | median()")
    assert two.recipe_operations(100) > 100**3 / 2 > alone.recipe_operations(100) > 100**2
    assert parse_rule("krum(f=1)").recipe_operations(100) == 100


@pytest.mark.parametrize("value", [1, 5])
def test_parameters_within_bounds_pass(value: int) -> None:
    check_parameter("a rule", "f", value, 1, 5)


@pytest.mark.parametrize("value", [0, 6, 2.0, True, "3"])
def test_parameters_out_of_bounds_or_no_integers_are_refused(value: int) -> None:
    with pytest.raises(RuleError, match="a rule; use f from 1 to 5"):
        check_parameter("a rule", "f", value, 1, 5)
