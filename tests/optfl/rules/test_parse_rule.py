"""Names of rules: canonical ones are read back, all else is refused with a way out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optfl.rules import FedAvg, Median, Rule, RuleError, TrimmedMean, parse_rule


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("fedavg()", FedAvg()),
        ("median()", Median()),
        ("trimmed_mean(f=0)", TrimmedMean(0)),
        ("trimmed_mean(f=1)", TrimmedMean(1)),
        ("trimmed_mean(f=2047)", TrimmedMean(2047)),
    ],
)
def test_canonical_names_round_trip(text: str, rule: Rule) -> None:
    assert parse_rule(text) == rule
    assert str(rule) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no rule ''; use fedavg"),
        ("median", "no rule"),
        ("Median()", "no rule"),
        ("median() ", "no rule"),
        ("median()\n", "no rule"),
        ("krum(f=1)", "no rule 'krum"),
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


@given(st.text(alphabet="abdefgimnrtv_()=, 0123456789", max_size=40))
def test_any_text_is_a_rule_that_prints_as_it_or_a_rule_error(text: str) -> None:
    try:
        rule = parse_rule(text)
    except RuleError:
        return
    assert str(rule) == text


def test_a_megabyte_of_text_is_refused_in_a_short_message() -> None:
    with pytest.raises(RuleError) as caught:
        parse_rule("a=1, " * 200_000)
    assert len(str(caught.value)) < 200
