"""Geometric median."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optfl.rules import GeometricMedian, RuleError
from support.inputs import FILLS
from support.rules import decide, make_facts, run_rule

FULL = 1 << 30


def test_the_first_step_weighs_by_one_over_the_norm() -> None:
    assert decide("geometric_median(steps=1)", [[3, 4], [0, 10], [-20, 0]]) == (FULL, FULL // 2, FULL // 4)


def test_norms_below_one_count_as_one() -> None:
    assert decide("geometric_median(steps=1)", [[0, 0], [1, 0], [2, 0]]) == (FULL, FULL, FULL // 2)


def test_two_steps_by_hand() -> None:
    """Weights 1, 1/2 give 4/3; distances are 1/3 and 2/3 then, and count as one. At ten times that they do not."""
    assert decide("geometric_median(steps=2)", [[1], [2]]) == (FULL, FULL)
    first, second = decide("geometric_median(steps=2)", [[10], [20]])
    assert first == FULL
    assert abs(second - FULL // 2) <= 1


@given(st.integers(2, 9), st.integers(0, 2**32))
def test_steps_bring_the_sum_of_distances_down(updates: int, seed: int) -> None:
    matrix = FILLS["uniform"](np.random.default_rng(seed), updates, 12)

    def measure(steps: int) -> float:
        point = np.array(run_rule(f"geometric_median(steps={steps})", matrix))
        return float(np.linalg.norm(matrix - point, axis=1).sum())

    distances = [measure(steps) for steps in (1, 2, 4, 8)]
    slack = updates * 12  # outputs are rounded
    assert all(later <= earlier + slack for earlier, later in pairwise(distances))


@given(st.integers(1, 6), st.integers(0, 2**32))
def test_a_minority_far_away_hardly_moves_it(f: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    honest = random.integers(-100, 100, (2 * f + 1, 20))
    byzantine = np.full((f, 20), 32_767)
    point = np.array(run_rule("geometric_median(steps=16)", np.concatenate([byzantine, honest])))
    assert np.abs(point).max() < 400
    assert np.abs(np.concatenate([byzantine, honest]).mean(axis=0)).min() > 2_000


@pytest.mark.parametrize("weights", [(FULL - 1, 5, 5), (FULL + 1, 5, 5), (FULL, 5), (FULL, 5, 5, 5), (FULL, -1, 5)])
def test_weights_that_no_totals_give_are_refused(weights: tuple[int, ...]) -> None:
    with pytest.raises(RuleError, match="weight"):
        GeometricMedian(3).recipe(weights, make_facts(3))


@pytest.mark.parametrize("steps", [0, -1, 33])
def test_steps_out_of_bounds_are_refused(steps: int) -> None:
    with pytest.raises(RuleError, match="use steps from 1 to 32"):
        GeometricMedian(steps)
