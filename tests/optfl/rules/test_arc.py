"""Adaptive robust clipping."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optfl.rules import AdaptiveRobustClipping, RuleError
from support.rules import make_facts, make_gram, run_rule

FULL = 1 << 20


def test_by_hand() -> None:
    """n = 5, f = 1: 2·1·4 / 5 = 1.6, so one is clipped, to the norm before it."""
    gram = make_gram([[30], [-40], [10], [20], [5]])
    assert AdaptiveRobustClipping(1).weights(gram, make_facts(5)) == (FULL, FULL * 3 // 4, FULL, FULL, FULL)
    # f = 2: 2·2·3 / 5 = 2.4, so two
    factors = AdaptiveRobustClipping(2).weights(gram, make_facts(5))
    assert factors == (FULL * 2 // 3, FULL // 2, FULL, FULL, FULL)
    assert run_rule("arc(f=2) | fedavg()", [[30], [-40], [10], [20], [5]]) == [7]  # (20 - 20 + 10 + 20 + 5) / 5


@given(st.integers(1, 40), st.data())
def test_less_than_half_are_clipped_and_none_where_none_are_byzantine(updates: int, data: st.DataObject) -> None:
    f = data.draw(st.integers(0, (updates - 1) // 2))
    whole = AdaptiveRobustClipping(f).count_whole(updates)
    assert updates / 2 < whole <= updates
    assert whole == updates or f > 0


def test_equal_norms_are_left() -> None:
    gram = make_gram([[7], [-7], [7], [7], [-7]])
    assert AdaptiveRobustClipping(2).weights(gram, make_facts(5)) == (FULL,) * 5


@pytest.mark.parametrize("factors", [(1, 2, 3, FULL, FULL), (FULL,) * 4, (FULL,) * 6, (FULL, FULL, FULL, FULL, -1)])
def test_factors_that_no_totals_give_are_refused(factors: tuple[int, ...]) -> None:
    with pytest.raises(RuleError):
        AdaptiveRobustClipping(2).mixture(factors, make_facts(5))


def test_2f_plus_1_updates_are_needed() -> None:
    assert AdaptiveRobustClipping(2).minimum_updates == 5
    for f in (-1, 2048):
        with pytest.raises(RuleError, match="use f from 0 to 2047"):
            AdaptiveRobustClipping(f)
