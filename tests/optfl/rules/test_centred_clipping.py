"""Centred clipping."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optfl.rules import CentredClipping, RuleError
from support.inputs import FILLS
from support.rules import decide, make_facts, run_rule

ONE = 1 << 40


def test_one_step_is_the_mean_of_clipped_updates() -> None:
    """Norms 5 and 10, clipped to 5: a half of the second."""
    assert decide("centred_clipping(norm=5, steps=1)", [[3, 4], [6, 8]]) == (ONE // 2, ONE // 4)


def test_steps_come_from_where_the_last_one_ended() -> None:
    """0 → (10 + 10) / 2 = 10 of 10 and 30; then differences 0 and 20, clipped to 10: + 5."""
    assert run_rule("centred_clipping(norm=10, steps=1)", [[10], [30]]) == [10]
    assert run_rule("centred_clipping(norm=10, steps=2)", [[10], [30]]) == [15]


def test_norm_0_clips_to_the_lower_median_of_each_step_s_distances() -> None:
    """(12 + 20 + 20) / 3 = 17.33; then of 5.33, 2.67 and 72.67 to 5.33: (-5.33 + 2.67 + 5.33) / 3 = 0.89 more."""
    updates = [[12], [20], [90]]
    assert run_rule("centred_clipping(norm=0, steps=1)", updates) == [17]
    assert run_rule("centred_clipping(norm=0, steps=2)", updates) == [18]
    assert run_rule("centred_clipping(norm=0, steps=1)", [*updates, [90]]) == [18]  # to 20, not 55


def test_updates_at_the_centre_leave_it_there() -> None:
    assert run_rule("centred_clipping(norm=0, steps=3)", [[0], [0], [9]]) == [0]
    assert decide("centred_clipping(norm=7, steps=2)", [[0], [0]]) == (ONE * 3 // 4 // 2 + ONE // 8,) * 2


@given(st.integers(1, 9), st.integers(1, 40_000), st.integers(1, 4), st.sampled_from(sorted(FILLS)), st.integers(0, 99))
def test_it_never_goes_further_than_norm_a_step(updates: int, norm: int, steps: int, fill: str, seed: int) -> None:
    matrix = FILLS[fill](np.random.default_rng(seed), updates, 6)
    output = np.array(run_rule(f"centred_clipping(norm={norm}, steps={steps})", matrix))
    assert np.linalg.norm(output) <= norm * steps + np.sqrt(6)  # outputs are rounded


@pytest.mark.parametrize("weights", [(ONE, 1), (ONE // 2, ONE // 2 + 1), (-1, 5), (5,), (5, 5, 5), (ONE + 1, 0)])
def test_weights_that_no_totals_give_are_refused(weights: tuple[int, ...]) -> None:
    with pytest.raises(RuleError, match="weights"):
        CentredClipping(5, 1).recipe(weights, make_facts(2))


@pytest.mark.parametrize(
    ("norm", "steps", "message"),
    [
        (-1, 1, "use norm from 0 to 999999999"),
        (10**9, 1, "use norm from 0"),
        (1, 0, "use steps from 1 to 32"),
        (1, 33, "use steps from 1"),
    ],
)
def test_parameters_out_of_bounds_are_refused(norm: int, steps: int, message: str) -> None:
    with pytest.raises(RuleError, match=message):
        CentredClipping(norm, steps)
