"""Weighted FedAvg: exact at every weight and value that it takes, a RuleError at all others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optfl.rules import MAX_UPDATES, MAX_WEIGHT, FedAvg, RoundFacts, RuleError, TotalsKind
from optfl.rules.base import MAX_MEAN_DENOMINATOR
from support import oracle
from support.rules import run_rule

WEIGHTED_COLUMNS = st.lists(
    st.tuples(st.integers(-(2**15), 2**15 - 1), st.integers(1, MAX_WEIGHT)), min_size=1, max_size=30
)


@given(WEIGHTED_COLUMNS)
def test_weighted_mean_is_exact(pairs: list[tuple[int, int]]) -> None:
    column, weights = zip(*pairs, strict=True)
    assert run_rule(FedAvg(), np.array([column]).T, weights) == [oracle.fedavg(column, weights)]


def test_seed_002_equation_2_by_hand() -> None:
    """n = (1, 3): (1·10 + 3·20) / 4 = 17.5, halves up; and -17.5 to -17."""
    assert run_rule(FedAvg(), [[10, -10], [20, -20]], [1, 3]) == [18, -17]


@pytest.mark.parametrize("value", [-(2**15), 2**15 - 1])
def test_the_largest_sums_that_the_bounds_allow_do_not_overflow(value: int) -> None:
    assert run_rule(FedAvg(), np.full((MAX_UPDATES, 1), value), [MAX_WEIGHT] * MAX_UPDATES) == [value]


def test_the_bounds_keep_every_intermediate_in_int64() -> None:
    total_weight = MAX_UPDATES * MAX_WEIGHT
    assert 2 * total_weight * 2**15 + total_weight < 2**63


@pytest.mark.parametrize("weight", [0, -1, MAX_WEIGHT + 1, 2**64])
def test_weights_out_of_bounds_are_refused(weight: int) -> None:
    """Red team I6, F3: no division by 0 and no overflow can be asked for."""
    with pytest.raises(RuleError, match=f"weight {weight}; use 1 to"):
        run_rule(FedAvg(), [[0], [0]], [1, weight])


@pytest.mark.parametrize("weights", [(0, 5), (-1, 2), (MAX_MEAN_DENOMINATOR, 1), (2**64, 1)])
def test_a_recipe_bounds_what_buckets_weigh_by_their_sum(weights: tuple[int, ...]) -> None:
    with pytest.raises(RuleError, match="add up to"):
        FedAvg().recipe((), RoundFacts(weights))
    row = (MAX_MEAN_DENOMINATOR - 1, 1)
    assert FedAvg().recipe((), RoundFacts(row)).denominator == MAX_MEAN_DENOMINATOR


def test_rule_weights_are_refused_where_no_totals_decide() -> None:
    with pytest.raises(RuleError, match="has none"):
        FedAvg().recipe((5,), RoundFacts((1,)))


@pytest.mark.parametrize("updates", [0, MAX_UPDATES + 1])
def test_numbers_of_updates_out_of_bounds_are_refused(updates: int) -> None:
    with pytest.raises(RuleError, match=f"of {updates} updates; use 1 to"):
        run_rule(FedAvg(), np.zeros((updates, 1)), [1] * updates)


def test_it_needs_one_update_no_totals_and_the_clients_weights() -> None:
    rule = FedAvg()
    assert (rule.minimum_updates, rule.totals, rule.mixed_updates(50)) == (1, TotalsKind.NONE, 1)
    assert rule.weights(None, RoundFacts((5, 7))) == ()
