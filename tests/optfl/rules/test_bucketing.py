"""Bucketing by the round's beacon."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optfl.rules import MAX_UPDATES, MAX_WEIGHT, Bucketing, RoundFacts, RuleError, TotalsKind
from optfl.rules.base import MAX_MIX_DENOMINATOR
from optfl.rules.bucketing import shuffle
from support.rules import make_facts, run_rule


@given(st.integers(1, 200), st.integers(1, 30), st.binary(max_size=40))
def test_every_update_is_in_one_bucket(updates: int, s: int, beacon: bytes) -> None:
    facts = RoundFacts(tuple(range(1, updates + 1)), beacon)
    mixture = Bucketing(s).mixture((), facts)
    assert len(mixture.rows) == Bucketing(s).count_mixed(updates) == -(-updates // s)
    assert ((mixture.rows > 0).sum(axis=0) == 1).all()
    assert (mixture.rows.sum(axis=1) == mixture.denominator).all()
    sizes = (mixture.rows > 0).sum(axis=1).tolist()
    assert sizes[:-1] == [s] * (len(sizes) - 1)
    members = [np.flatnonzero(row) for row in mixture.rows]
    assert mixture.sample_weights == tuple(int((of + 1).sum()) for of in members)


def test_orders_are_equally_likely() -> None:
    """Of 3 updates each of 6 orders has 1/6 of 3000 beacons: 500, with a deviation of 20."""
    orders = Counter(tuple(shuffle(3, i.to_bytes(4, "big"))) for i in range(3000))
    assert len(orders) == 6
    assert all(400 < count < 600 for count in orders.values())


def test_buckets_by_hand() -> None:
    """One bucket of everything is the mean, whatever the beacon; of two updates the order cannot matter."""
    assert run_rule("bucketing(s=3) | median()", [[1], [2], [6]]) == [3]
    assert run_rule("bucketing(s=2) | median()", [[1], [2], [6]]) in ([3], [4])  # (1.5 or 4 or 3.5 and the third) / 2


def test_weights_beyond_an_update_s_bound_are_those_of_a_bucket() -> None:
    assert run_rule("bucketing(s=2) | fedavg()", [[5], [6], [7]], [MAX_WEIGHT] * 3) == [6]


@pytest.mark.parametrize(("updates", "s"), [(MAX_UPDATES, MAX_UPDATES), (MAX_UPDATES, 2049), (4095, 2048), (4093, 64)])
def test_denominators_stay_in_bounds(updates: int, s: int) -> None:
    mixture = Bucketing(s).mixture((), make_facts(updates))
    assert mixture.denominator < 1 << 24 < MAX_MIX_DENOMINATOR


def test_it_decides_nothing_by_totals() -> None:
    assert Bucketing(2).totals == TotalsKind.NONE
    assert Bucketing(2).count_weights(9) == 0
    assert Bucketing(2).weights(None, make_facts(9)) == ()
    with pytest.raises(RuleError, match="has none"):
        Bucketing(2).mixture((1,), make_facts(9))


@pytest.mark.parametrize("s", [0, -1, MAX_UPDATES + 1])
def test_sizes_out_of_bounds_are_refused(s: int) -> None:
    with pytest.raises(RuleError, match="use s from 1 to 4096"):
        Bucketing(s)
