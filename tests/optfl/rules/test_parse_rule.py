"""Names of rules: canonical ones are read back, all else is refused with a way out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optfl.rules import (
    AdaptiveRobustClipping,
    Bucketing,
    Bulyan,
    CentredClipping,
    Clipping,
    FedAvg,
    GeometricMedian,
    Krum,
    MeanAroundMedian,
    Median,
    MinimumDiameterAveraging,
    MultiKrum,
    NearestNeighbourMixing,
    NormClippedMean,
    Pipeline,
    Rule,
    RuleError,
    TrimmedMean,
    parse_rule,
)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("fedavg()", FedAvg()),
        ("median()", Median()),
        ("trimmed_mean(f=0)", TrimmedMean(0)),
        ("trimmed_mean(f=1)", TrimmedMean(1)),
        ("trimmed_mean(f=2047)", TrimmedMean(2047)),
        ("meamed(f=2)", MeanAroundMedian(2)),
        ("krum(f=2)", Krum(2)),
        ("multi_krum(f=2)", MultiKrum(2)),
        ("bulyan(f=2)", Bulyan(2)),
        ("geometric_median(steps=3)", GeometricMedian(3)),
        ("centred_clipping(norm=0, steps=2)", CentredClipping(0, 2)),
        ("norm_clipped_mean(norm=999999999)", NormClippedMean(999_999_999)),
        ("minimum_diameter(f=2)", MinimumDiameterAveraging(2)),
        ("nnm(f=2) | krum(f=2)", Pipeline((NearestNeighbourMixing(2),), Krum(2))),
        ("bucketing(s=2) | clipping(norm=9) | median()", Pipeline((Bucketing(2), Clipping(9)), Median())),
        ("arc(f=1) | fedavg()", Pipeline((AdaptiveRobustClipping(1),), FedAvg())),
    ],
)
def test_canonical_names_round_trip(text: str, rule: Rule) -> None:
    assert parse_rule(text) == rule
    assert str(rule) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"no rule ''; use bulyan\(f=…\), centred_clipping\(norm=…, steps=…\), fedavg"),
        ("median", "no rule"),
        ("Median()", "no rule"),
        ("median() ", "no rule"),
        ("median()\n", "no rule"),
        ("brute(f=1)", "no rule 'brute"),
        ("nnm(f=1)", "no rule 'nnm"),
        ("median() | median()", "no pre-aggregator 'median"),
        ("nnm(f=1)|median()", "no rule"),
        ("nnm(f=1) |  median()", "no rule"),
        ("nnm(f=01) | median()", r"write 'nnm\(f=1\) | median\(\)'"),
        (" | ".join(["nnm(f=1)"] * 5 + ["median()"]), "5 pre-aggregators; use at most 4"),
        ("centred_clipping(steps=1, norm=5)", "other parameters"),
        ("centred_clipping(norm=5)", "other parameters"),
        ("centred_clipping(norm=5,steps=1)", "no rule"),
        ("geometric_median(steps=33)", "use steps from 1 to 32"),
        ("bucketing(s=0) | median()", "use s from 1 to 4096"),
        ("minimum_diameter(f=14)", "use f from 0 to 13"),
        ("trimmed_mean(f=-1)", "no rule"),
        ("trimmed_mean(f=1.0)", "no rule"),
        ("trimmed_mean(f=١)", "no rule"),
        ("trimmed_mean(f=1,)", "no rule"),
        ("trimmed_mean(f=9999999999)", "no rule"),
        ("trimmed_mean()", "other parameters"),
        ("trimmed_mean(g=1)", "other parameters"),
        ("trimmed_mean(f=1, f=1)", "other parameters"),
        ("median(f=1)", "other parameters"),
        ("trimmed_mean(f=01)", r"write 'trimmed_mean\(f=1\)'"),
        ("trimmed_mean(f=1, )", "not in canonical form"),
        ("trimmed_mean(f=2048)", "use f from 0 to 2047"),
    ],
)
def test_other_names_are_refused_with_a_way_out(text: str, message: str) -> None:
    with pytest.raises(RuleError, match=message):
        parse_rule(text)


@given(st.text(alphabet="abdefgimnrtv_()=,| 0123456789", max_size=40))
def test_any_text_is_a_rule_that_prints_as_it_or_a_rule_error(text: str) -> None:
    try:
        rule = parse_rule(text)
    except RuleError:
        return
    assert str(rule) == text


def test_a_megabyte_of_text_is_refused_in_a_short_message() -> None:
    with pytest.raises(RuleError) as caught:
        parse_rule("a=1, " * 200_000)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "name",
    ["fedavg()", "trimmed_mean(f=3)", "centred_clipping(norm=7, steps=2)", "arc(f=1) | krum(f=2)"],
)
def test_any_change_of_a_character_is_another_rule_or_none(name: str) -> None:
    for position in range(len(name)):
        for character in "a_(=1 |":
            changed = name[:position] + character + name[position + 1 :]
            try:
                assert str(parse_rule(changed)) == changed
            except RuleError:
                continue
