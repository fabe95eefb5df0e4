"""Pre-aggregators before a rule."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optfl.aggregation import derive_weights
from optfl.rules import MAX_UPDATES, Gram, Pipeline, RoundFacts, RuleError, TotalsKind, parse_rule
from optfl.rules.base import MAX_MIX_DENOMINATOR
from optfl.rules.gram import compute_totals
from support.inputs import FILLS
from support.rules import make_facts, make_gram, run_rule


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("nnm(f=3) | median()", 7, MAX_UPDATES),
        ("nnm(f=1) | trimmed_mean(f=3)", 7, MAX_UPDATES),
        ("bucketing(s=2) | trimmed_mean(f=3)", 13, MAX_UPDATES),  # 7 buckets, the last of one
        ("bucketing(s=3) | bucketing(s=2) | krum(f=1)", 13, MAX_UPDATES),
        ("bucketing(s=2) | minimum_diameter(f=10)", 41, 124),
        ("bucketing(s=4096) | krum(f=1)", MAX_UPDATES + 1, MAX_UPDATES),
    ],
)
def test_as_many_updates_are_needed_as_the_parts_need_and_no_more_allowed(name: str, least: int, most: int) -> None:
    rule = parse_rule(name)
    assert (rule.minimum_updates, rule.maximum_updates) == (least, most)
    with pytest.raises(RuleError, match=rf"of {least - 1} updates; use {least} to {most}"):
        derive_weights(
            rule, compute_totals(rule.totals, np.zeros((least - 1, 1), dtype=np.int16)), make_facts(least - 1)
        )


@pytest.mark.parametrize("name", ["bucketing(s=2) | minimum_diameter(f=3)", "nnm(f=2) | bucketing(s=3) | bulyan(f=1)"])
def test_every_number_of_updates_in_between_has_a_result(name: str) -> None:
    rule = parse_rule(name)
    for updates in range(rule.minimum_updates, rule.minimum_updates + 12):
        assert run_rule(rule, np.ones((updates, 3))) == [1, 1, 1]


def test_each_part_decides_on_what_the_parts_before_have_made() -> None:
    """Mixed, the outlier's neighbourhood is no longer the last one by itself."""
    updates = [[0], [1], [2], [90], [100]]
    facts = make_facts(5)
    words = parse_rule("nnm(f=2) | krum(f=2)").weights(make_gram(updates), facts)
    assert words[:5] == (0b00111, 0b00111, 0b00111, 0b11100, 0b11100)
    assert words[5:] == (0b00001,)
    assert run_rule("nnm(f=2) | krum(f=2)", updates) == [1]


def test_totals_are_mixed_only_where_a_later_part_needs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    mixed = list[int]()
    mix = Gram.mix

    def count(self: Gram, rows: np.ndarray, denominator: int) -> Gram:
        mixed.append(denominator)
        return mix(self, rows, denominator)

    monkeypatch.setattr(Gram, "mix", count)
    matrix = FILLS["uniform"](np.random.default_rng(0), 7, 5)
    for name, expected in (
        ("nnm(f=2) | median()", []),
        ("bucketing(s=2) | median()", []),
        ("nnm(f=2) | krum(f=2)", [5]),
        ("bucketing(s=2) | nnm(f=1) | bucketing(s=2) | median()", [2]),
        ("arc(f=1) | nnm(f=2) | median()", [1 << 20]),
    ):
        mixed.clear()
        run_rule(name, matrix)
        assert mixed == expected, name


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("norm_clipped_mean(norm=0)", TotalsKind.NORMS),
        ("clipping(norm=0) | median()", TotalsKind.NORMS),
        ("arc(f=1) | fedavg()", TotalsKind.NORMS),
        ("arc(f=1) | clipping(norm=5) | norm_clipped_mean(norm=0)", TotalsKind.NORMS),
        ("clipping(norm=5) | bucketing(s=2) | trimmed_mean(f=1)", TotalsKind.NORMS),
        ("bucketing(s=2) | median()", TotalsKind.NONE),
        ("bucketing(s=2) | clipping(norm=5) | median()", TotalsKind.PRODUCTS),
        ("clipping(norm=5) | bucketing(s=2) | norm_clipped_mean(norm=5)", TotalsKind.PRODUCTS),
        ("clipping(norm=5) | krum(f=1)", TotalsKind.PRODUCTS),
        ("arc(f=1) | geometric_median(steps=1)", TotalsKind.PRODUCTS),
        ("nnm(f=1) | median()", TotalsKind.PRODUCTS),
        ("nnm(f=1) | clipping(norm=5) | fedavg()", TotalsKind.PRODUCTS),
    ],
)
def test_norms_suffice_where_they_are_those_of_multiples_of_the_updates(name: str, kind: TotalsKind) -> None:
    rule, matrix = parse_rule(name), FILLS["uniform"](np.random.default_rng(3), 7, 9)
    assert rule.totals == kind
    if kind == TotalsKind.NORMS:
        from_all = rule.weights(make_gram(matrix), make_facts(7))
        assert derive_weights(rule, compute_totals(kind, matrix), make_facts(7)) == from_all


def test_rules_that_decide_by_distances_are_given_more_than_norms() -> None:
    norms = make_gram([[1], [2], [3]]).norms
    for name in ("krum(f=1)", "nnm(f=1) | median()", "geometric_median(steps=1)"):
        with pytest.raises(RuleError, match="totals of all pairs"):
            parse_rule(name).weights(norms, make_facts(3))


def test_the_largest_denominators_are_rounded_down_and_the_error_is_small() -> None:
    """Four times 2^20 would be 2^80. Rounding to 2^30 costs less than K · 2^15 / 2^30 of a unit for each part."""
    matrix = FILLS["uniform"](np.random.default_rng(1), 9, 50)
    name = " | ".join(["clipping(norm=1000)"] * 4 + ["trimmed_mean(f=2)"])
    recipe = parse_rule(name).recipe(
        derive_weights(parse_rule(name), compute_totals(TotalsKind.NORMS, matrix), make_facts(9)), make_facts(9)
    )
    assert recipe.denominator == MAX_MIX_DENOMINATOR
    once = run_rule("clipping(norm=1000) | trimmed_mean(f=2)", matrix)
    assert np.abs(np.subtract(run_rule(name, matrix), once)).max() <= 1


@given(st.integers(1, 12), st.integers(1, 4), st.integers(0, 2**32))
def test_bucketing_before_the_mean_of_equal_buckets_is_the_mean(buckets: int, s: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    matrix = FILLS["uniform"](random, buckets * s, 6)
    assert run_rule(f"bucketing(s={s}) | trimmed_mean(f=0)", matrix) == run_rule("trimmed_mean(f=0)", matrix)


@pytest.mark.parametrize("extra", [(), (1,)])
def test_weights_are_split_among_the_parts_and_none_may_be_left(extra: tuple[int, ...]) -> None:
    rule, facts = parse_rule("nnm(f=1) | arc(f=1) | krum(f=1)"), make_facts(3)
    weights = derive_weights(rule, compute_totals(rule.totals, np.eye(3, dtype=np.int16)), facts)
    assert len(weights) == 3 + 3 + 1
    assert rule.recipe(weights, facts).rows is not None
    with pytest.raises(RuleError):
        rule.recipe((weights + extra)[: 6 + 2 * len(extra)], facts)


def test_a_pipeline_without_totals_has_no_weights() -> None:
    rule = parse_rule("bucketing(s=2) | trimmed_mean(f=1)")
    assert isinstance(rule, Pipeline)
    assert rule.totals == TotalsKind.NONE
    assert rule.weights(None, RoundFacts((1,) * 6)) == ()
    assert rule.mixed_updates(7) == 4
    with pytest.raises(RuleError, match="of 3 updates; use 5 to"):
        rule.recipe((), RoundFacts((1,) * 3))
