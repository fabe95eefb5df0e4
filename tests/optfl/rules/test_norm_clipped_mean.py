"""Weighted mean of norm-clipped updates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optfl.rules import MAX_UPDATES, MAX_WEIGHT, NormClippedMean, RuleError
from optfl.rules.base import MAX_MEAN_DENOMINATOR, compute_output
from support.inputs import FILLS
from support.rules import make_facts, run_rule

FULL = 1 << 20


def test_by_hand() -> None:
    """Norms 5 and 10, clipped to 5; weights 3 and 1: (3·(3, 4) + (3, 4)) / 4."""
    assert run_rule("norm_clipped_mean(norm=5)", [[3, 4], [6, 8]], [3, 1]) == [3, 4]
    assert run_rule("norm_clipped_mean(norm=5)", [[3, 4], [-6, -8]], [3, 1]) == [2, 2]  # 1.5, halves up
    assert run_rule("norm_clipped_mean(norm=0)", [[10], [20], [-900]], [1, 1, 2]) == [-2]  # (10 + 20 - 40) / 4 = -2.5


@given(st.integers(1, 9), st.sampled_from(sorted(FILLS)), st.integers(0, 2**32), st.data())
def test_what_is_not_clipped_is_fedavg(updates: int, fill: str, seed: int, data: st.DataObject) -> None:
    matrix = FILLS[fill](np.random.default_rng(seed), updates, 8)
    weights = data.draw(st.lists(st.integers(1, 1000), min_size=updates, max_size=updates))
    assert run_rule("norm_clipped_mean(norm=999999)", matrix, weights) == run_rule("fedavg()", matrix, weights)


@given(st.integers(1, 9), st.integers(1, 3000), st.integers(0, 2**32), st.data())
def test_an_update_moves_it_by_its_share_of_norm_at_most(
    updates: int, norm: int, seed: int, data: st.DataObject
) -> None:
    random = np.random.default_rng(seed)
    matrix = random.integers(-norm, norm, (updates + 1, 6)).clip(-32768, 32767)
    weights = data.draw(st.lists(st.integers(1, MAX_WEIGHT), min_size=updates + 1, max_size=updates + 1))
    moved = matrix.copy()
    moved[0] = random.choice([-32768, 32767], 6)
    name = f"norm_clipped_mean(norm={norm})"
    difference = np.subtract(run_rule(name, matrix, weights), run_rule(name, moved, weights))
    # Both outputs are rounded, and a factor of the moved update is floored.
    assert np.linalg.norm(difference) <= 2 * norm * weights[0] / sum(weights) + 2 * np.sqrt(6)


def test_the_largest_weights_of_the_most_updates_stay_in_bounds() -> None:
    facts = make_facts(MAX_UPDATES, [MAX_WEIGHT] * MAX_UPDATES)
    recipe = NormClippedMean(5).recipe((FULL,) * MAX_UPDATES, facts)
    assert recipe.denominator == MAX_MEAN_DENOMINATOR
    assert recipe.rows is not None
    assert 0 <= MAX_MEAN_DENOMINATOR - int(recipe.rows.sum()) < MAX_UPDATES
    for value in (-(2**15), 2**15 - 1):
        output = compute_output(recipe, np.full((MAX_UPDATES, 1), value, dtype=np.int16))
        assert output.tolist() == [value]


def test_half_at_least_stay_whole_if_clipped_to_their_median() -> None:
    with pytest.raises(RuleError, match="fewer than 2 of the factors are 1048576"):
        NormClippedMean(0).recipe((FULL, 5, 5), make_facts(3))
    assert NormClippedMean(7).recipe((0, 5, 5), make_facts(3)).denominator == 3 * FULL


@pytest.mark.parametrize("factors", [(), (FULL,), (FULL, FULL, FULL, FULL), (FULL, FULL, FULL + 1), (FULL, FULL, -1)])
def test_factors_that_no_totals_give_are_refused(factors: tuple[int, ...]) -> None:
    with pytest.raises(RuleError, match="3 integers from 0 to 1048576"):
        NormClippedMean(0).recipe(factors, make_facts(3))


@pytest.mark.parametrize("norm", [-1, 10**9])
def test_norms_out_of_bounds_are_refused(norm: int) -> None:
    with pytest.raises(RuleError, match="use norm from 0 to 999999999"):
        NormClippedMean(norm)
