"""Who takes part: draws that anyone can recompute, and turns that always come to somebody eligible."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abci_app.state.participants import compute_turn, draw_clients, get_registered
from optfl.wire.transaction_pb2 import AddStake, RegisterRole, Unbond
from support.ledger import (
    AGGREGATOR,
    CLIENT,
    CLIENT_STAKE,
    CLIENTS,
    REQUESTER,
    STRANGER,
    LedgerHarness,
    TaskHarness,
)

NAMES = [f"client {i:02d}".encode().ljust(20) for i in range(12)]
AGGREGATORS = [bytes([i]) * 20 for i in range(10)]


def draw_slowly(beacon: bytes, task_id: int, number: int, weighted: list[tuple[bytes, int]], count: int) -> list[bytes]:
    """The definition: as many tickets as weight, in order; a draw takes an account's tickets out."""
    left = [pair for pair in weighted if pair[1] > 0]
    selected = []
    for i in range(min(count, len(left))):
        message = b"optfl/selection/v1" + beacon + task_id.to_bytes(8, "big") + number.to_bytes(4, "big")
        digest = hashlib.sha256(message + i.to_bytes(4, "big")).digest()
        ticket = int.from_bytes(digest, "big") % sum(weight for _, weight in left)
        ends = list(itertools.accumulate(weight for _, weight in left))
        winner = next(index for index, end in enumerate(ends) if ticket < end)
        selected.append(left.pop(winner)[0])
    return selected


@given(
    st.binary(min_size=32, max_size=32),
    st.integers(0, 2**64 - 1),
    st.integers(1, 2**32 - 1),
    st.lists(st.one_of(st.integers(0, 5), st.integers(0, 2**58)), max_size=12),
    st.integers(0, 15),
)
def test_A9_anyone_can_recompute_a_draw(
    beacon: bytes, task_id: int, number: int, weights: list[int], count: int
) -> None:
    weighted = list(zip(NAMES, weights, strict=False))
    drawn = draw_clients(beacon, task_id, number, weighted, count)
    assert drawn == draw_slowly(beacon, task_id, number, weighted, count)
    positive = [name for name, weight in weighted if weight]
    assert len(drawn) == len(set(drawn)) == min(count, len(positive))
    assert set(drawn) <= set(positive)


def test_known_draws() -> None:
    """For whoever writes a second implementation."""
    equal = [(bytes([i]) * 20, 1) for i in range(6)]
    staked = [(bytes([i]) * 20, 10**i) for i in range(6)]
    assert [a[0] for a in draw_clients(bytes(32), 1, 1, equal, 4)] == KNOWN_EQUAL
    assert [a[0] for a in draw_clients(bytes(range(32)), 7, 300, staked, 4)] == KNOWN_STAKED


KNOWN_EQUAL = [5, 0, 4, 1]
KNOWN_STAKED = [5, 4, 3, 1]


def test_another_beacon_task_or_round_is_another_draw() -> None:
    weighted = [(name, 1) for name in NAMES]
    draws = [
        tuple(draw_clients(beacon, task_id, number, weighted, 6))
        for beacon, task_id, number in [
            (bytes(32), 1, 1), (b"\1" + bytes(31), 1, 1), (bytes(32), 2, 1), (bytes(32), 1, 2)
        ]
    ]  # fmt: skip
    assert len(set(draws)) == 4


def test_E2_who_stakes_more_is_drawn_more_often() -> None:
    """3 of 4 tickets: 750 of 1000 first draws, give or take; the beacons are fixed, so this is no matter of luck."""
    weighted = [(NAMES[0], 3), (NAMES[1], 1)]
    first = Counter(draw_clients(i.to_bytes(32, "big"), 1, 1, weighted, 1)[0] for i in range(1000))
    assert 700 < first[NAMES[0]] < 800


def test_the_greatest_weights_there_can_be_do_not_overflow() -> None:
    drawn = draw_clients(bytes(32), 1, 1, [(NAMES[0], 1), (NAMES[1], (1 << 62) - 1)], 2)
    assert drawn == [NAMES[1], NAMES[0]]


def test_a_full_draw_of_the_largest_task_is_quick() -> None:
    """Not a measurement: a sum over all for each draw took most of a second, of every block, for each live task."""
    weighted = [(i.to_bytes(20, "big"), 1) for i in range(10_000)]
    drawn = draw_clients(bytes(32), 1, 1, weighted, 1000)
    assert len(set(drawn)) == 1000


@pytest.mark.parametrize(
    ("number", "turn", "due"), [(1, 0, 0), (2, 0, 1), (10, 0, 9), (11, 0, 0), (1, 1, 1), (10, 1, 0), (7, 99, 5)]
)
def test_turns_go_round(number: int, turn: int, due: int) -> None:
    """a = (r - 1 + turn) mod N.  # seed 001, Alg. 1"""
    assert compute_turn(AGGREGATORS, AGGREGATORS, number, turn) == AGGREGATORS[due]


def test_A11_an_excluded_turn_goes_to_the_same_index_of_those_who_are_eligible() -> None:
    eligible = AGGREGATORS[3:]
    turns = [compute_turn(AGGREGATORS, eligible, number, 0) for number in range(1, 11)]
    assert turns == [AGGREGATORS[i] for i in (3, 4, 5, 3, 4, 5, 6, 7, 8, 9)]


def test_R9_excluded_turns_do_not_pile_up_on_one_successor() -> None:
    """Literally, Algorithm 1 gives aggregator 3 forty of a hundred rounds."""
    turns = Counter(compute_turn(AGGREGATORS, AGGREGATORS[3:], number, 0) for number in range(1, 101))
    assert max(turns.values()) <= 20
    assert set(turns) == set(AGGREGATORS[3:])


def test_R8_with_nobody_eligible_there_is_no_turn() -> None:
    assert compute_turn(AGGREGATORS, [], 1, 0) is None


@given(
    st.integers(1, 10), st.sets(st.integers(0, 9)), st.integers(1, 2**32 - 1), st.integers(0, 100)
)  # fmt: skip
def test_a_turn_always_comes_to_somebody_eligible(count: int, excluded: set[int], number: int, turn: int) -> None:
    aggregators = AGGREGATORS[:count]
    eligible = [a for i, a in enumerate(aggregators) if i not in excluded]
    assert (compute_turn(aggregators, eligible, number, turn) in eligible) == bool(eligible)


def test_without_exclusions_every_aggregator_has_its_share() -> None:
    """R/N aggregations each: what the whole design is for."""
    turns = Counter(compute_turn(AGGREGATORS, AGGREGATORS, number, 0) for number in range(1, 101))
    assert set(turns.values()) == {10}


def test_registered_accounts_have_stake_and_are_not_excluded() -> None:
    ledger = LedgerHarness()
    ledger.register_participants()
    assert get_registered(ledger.state, CLIENT) == sorted(c.address for c in CLIENTS)
    ledger.accept(CLIENTS[0], Unbond(role=CLIENT, amount=CLIENT_STAKE))
    assert CLIENTS[0].address not in get_registered(ledger.state, CLIENT)
    ledger.accept(CLIENTS[0], AddStake(role=CLIENT, amount=1))
    assert CLIENTS[0].address in get_registered(ledger.state, CLIENT)
    assert len(get_registered(ledger.state, AGGREGATOR)) == 3


def test_a_rounds_clients_are_those_of_its_beacon() -> None:
    """What a watcher does: the round's record names the beacon, and nothing else is needed."""
    task = TaskHarness.start(clients_per_round=3, min_updates=2)
    current = task.round(1)
    assert list(current.selected) == draw_slowly(current.beacon, 1, 1, [(c.address, 1) for c in CLIENTS], 3)


def test_E2_without_an_allow_list_the_draw_is_by_stake() -> None:
    ledger = LedgerHarness()
    ledger.register_participants()
    ledger.accept(STRANGER, RegisterRole(role=CLIENT, stake=10**6))
    task = TaskHarness(ledger)
    task.create(clients=[], clients_per_round=3, min_updates=2)
    ledger.accept(REQUESTER, task.start_task())
    current = task.round(1)
    weights = sorted([*((c.address, CLIENT_STAKE) for c in CLIENTS), (STRANGER.address, 10**6)])
    assert list(current.selected) == draw_slowly(current.beacon, 1, 1, weights, 3)
    assert current.selected[0] == STRANGER.address


def test_who_has_too_little_stake_is_not_drawn() -> None:
    task = TaskHarness.start()
    task.ledger.accept(CLIENTS[0], Unbond(role=CLIENT, amount=CLIENT_STAKE))
    task.run_round(1)
    assert CLIENTS[0].address in task.round(1).selected  # was drawn before it left
    assert sorted(task.round(2).selected) == sorted(c.address for c in CLIENTS[1:])
