"""What holds for every rule and pipeline: the oracle's results, for updates and for totals that somebody made up."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optfl.aggregation import derive_weights
from optfl.rules import MAX_WEIGHT, RuleError, parse_rule
from optfl.rules.base import MAX_MEAN_DENOMINATOR, MAX_MIX_DENOMINATOR, Int16Array, compute_output, output_operations
from optfl.rules.gram import compute_totals
from support import oracle
from support.inputs import FILLS, INT16_MAX, INT16_MIN, make_wild_totals, rule_names
from support.rules import make_facts, run_rule


@st.composite
def rounds(draw: st.DrawFn) -> tuple[str, Int16Array, list[int], bytes]:
    """A rule's name, updates that suffice for it, their sample weights, a beacon."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    updates, length = draw(st.integers(1, 11)), draw(st.integers(1, 9))
    matrix = FILLS[draw(st.sampled_from(sorted(FILLS)))](random, updates, length)
    weights = draw(st.lists(st.integers(1, MAX_WEIGHT), min_size=updates, max_size=updates))
    return draw(st.sampled_from(rule_names(updates))), matrix, weights, random.bytes(32)


@given(rounds())
@settings(max_examples=400)
def test_it_is_the_oracle_s(case: tuple[str, Int16Array, list[int], bytes]) -> None:
    name, matrix, weights, beacon = case
    assert run_rule(name, matrix, weights, beacon) == oracle.apply_rule(name, matrix.tolist(), weights, beacon)


@given(st.integers(1, 11), st.integers(0, 2**32), st.data())
@settings(max_examples=400)
def test_any_claimed_totals_decide_what_the_oracle_says_and_give_a_recipe(
    updates: int, seed: int, data: st.DataObject
) -> None:
    """A6: nobody can crash or split the ledger by totals that no updates have."""
    random = np.random.default_rng(seed)
    name = data.draw(st.sampled_from(rule_names(updates)))
    rule = parse_rule(name)
    totals, facts = make_wild_totals(random, updates, rule.totals), make_facts(updates)
    weights = derive_weights(rule, totals if rule.totals else None, facts)
    assert list(weights) == oracle.decide_from_totals(name, totals.tolist(), facts.sample_weights, facts.beacon)
    assert all(type(weight) is int and 0 <= weight < 2**64 for weight in weights)
    recipe = rule.recipe(weights, facts)
    if recipe.rows is not None:
        assert recipe.rows.dtype == np.int64
        assert recipe.rows.min() >= 0
        multiples = recipe.rows.ndim == 1
        assert (recipe.rows if multiples else recipe.rows.sum(axis=1)).max() <= recipe.denominator
        one_row = not multiples and len(recipe.rows) == 1
        assert recipe.denominator <= (MAX_MEAN_DENOMINATOR if one_row else MAX_MIX_DENOMINATOR)
    assert (0 if recipe.rows is None or recipe.rows.ndim == 1 else len(recipe.rows)) == rule.mixed_updates(updates)
    for value in (INT16_MIN, INT16_MAX):
        output = compute_output(recipe, np.full((updates, 1), value, dtype=np.int16))
        assert min(value, 0) <= output[0] <= max(value, 0)


@pytest.mark.parametrize("updates", [1, 2, 3, 7])
@pytest.mark.parametrize("value", [INT16_MIN, INT16_MAX, 0, 1, -1])
def test_updates_that_all_agree_give_what_they_say(updates: int, value: int) -> None:
    """Unless their norm is clipped."""
    for name in rule_names(updates):
        if "norm=" not in name or value == 0:
            assert run_rule(name, np.full((updates, 5), value)) == [value] * 5, name


@pytest.mark.parametrize("updates", [2, 3, 6, 7])
def test_alternating_extremes_are_the_oracle_s(updates: int) -> None:
    matrix = np.array([[INT16_MIN, INT16_MAX] * 3 if k % 2 else [INT16_MAX, INT16_MIN] * 3 for k in range(updates)])
    weights = [MAX_WEIGHT] * updates
    for name in rule_names(updates):
        assert run_rule(name, matrix, weights) == oracle.apply_rule(name, matrix.tolist(), weights, bytes(range(32)))


@pytest.mark.parametrize("updates", [1, 3, 7, 70])
def test_weights_that_no_totals_give_are_refused(updates: int) -> None:
    """Also more or fewer of them, and such that no uint64 holds."""
    random = np.random.default_rng(updates)
    matrix, facts = FILLS["uniform"](random, updates, 5), make_facts(updates)
    for name in rule_names(updates):
        rule = parse_rule(name)
        weights = derive_weights(rule, compute_totals(rule.totals, matrix), facts)
        wrong = [(*weights, 0), (*weights, 1), weights[:-1] if weights else (0,)]
        for index, value in product({0, len(weights) // 2, len(weights) - 1} if weights else (), (-1, 2**64)):
            wrong.append((*weights[:index], value, *weights[index + 1 :]))
        for unlikely in wrong:
            with pytest.raises(RuleError):
                rule.recipe(unlikely, facts)


def test_rules_that_decide_by_totals_ask_for_them() -> None:
    for name in rule_names(7):
        rule, facts = parse_rule(name), make_facts(7)
        if rule.totals:
            with pytest.raises(RuleError, match="give it totals"):
                derive_weights(rule, None, facts)
        else:
            assert derive_weights(rule, None, facts) == ()


@pytest.mark.parametrize("updates", [1, 2, 3, 6, 7, 11])
def test_too_few_updates_are_refused_before_anything_is_computed(updates: int) -> None:
    for name in rule_names(11):
        rule = parse_rule(name)
        if updates < rule.minimum_updates:
            with pytest.raises(RuleError, match=f"of {updates} updates; use {rule.minimum_updates} to"):
                derive_weights(
                    rule, compute_totals(rule.totals, np.zeros((updates, 1), dtype=np.int16)), make_facts(updates)
                )


@given(st.integers(3, 9), st.integers(0, 2**32), st.data())
def test_rules_that_choose_no_updates_see_no_order(updates: int, seed: int, data: st.DataObject) -> None:
    random = np.random.default_rng(seed)
    matrix = FILLS["uniform"](random, updates, 12)
    weights = random.integers(1, 100, updates).tolist()
    order = data.draw(st.permutations(range(updates)))
    choosing = ("krum", "bulyan", "minimum_diameter", "nnm", "bucketing")  # ties: two are each other's nearest
    names = [name for name in rule_names(updates) if not any(part in name for part in choosing)]
    name = data.draw(st.sampled_from(names))
    assert run_rule(name, matrix[order], [weights[k] for k in order]) == run_rule(name, matrix, weights)


def test_work_is_counted_for_every_rule_and_grows_with_the_updates() -> None:
    for name in rule_names(20):
        rule = parse_rule(name)
        assert (rule.weight_operations(20) > 0) == (bool(rule.totals) or "bucketing" in name)
        assert rule.weight_operations(40) >= rule.weight_operations(20)
        assert output_operations(rule, 40, 16) > output_operations(rule, 20, 16) >= 20 * 16
        assert output_operations(rule, 20, 32) < 2 * output_operations(rule, 20, 16)  # one recipe


def test_a_beacon_matters_to_buckets_alone() -> None:
    matrix = FILLS["uniform"](np.random.default_rng(5), 9, 12)
    for name in rule_names(9):
        models = {tuple(run_rule(name, matrix, beacon=bytes([byte]) * 32)) for byte in range(6)}
        assert len(models) == 1 or "bucketing" in name
        assert len(models) > 1 or name != "bucketing(s=2) | median()"
