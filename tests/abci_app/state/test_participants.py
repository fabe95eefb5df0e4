"""Who takes part: draws that anyone can recompute, and turns that always come to somebody eligible."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import support.ledger
from abci_app.state.participants import compute_turn, draw_clients, get_registered
from optfl.wire.transaction_pb2 import ROTATION_EVEN, ROTATION_LITERAL, AddStake, RegisterRole, Unbond
from support.ledger import (
    AGGREGATOR,
    AGGREGATOR_STAKE,
    CLIENT,
    CLIENT_STAKE,
    CLIENTS,
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


def test_A11_turns_of_excluded_ones_go_round_those_who_are_eligible() -> None:
    """Three in each cycle of ten, and the next cycle goes on where the last one stopped."""
    eligible = AGGREGATORS[3:]
    turns = [compute_turn(AGGREGATORS, eligible, number, 0) for number in range(1, 21)]
    own = [3, 4, 5, 6, 7, 8, 9]
    assert turns == [AGGREGATORS[i] for i in (3, 4, 5, *own, 6, 7, 8, *own)]


def test_R9_excluded_turns_do_not_pile_up_on_one_successor() -> None:
    """The paper's rule gives aggregator 3 forty of a hundred rounds, and ten to each of the others."""
    literal = Counter(compute_turn(AGGREGATORS, AGGREGATORS[3:], r, 0, literal=True) for r in range(1, 101))
    assert literal == {AGGREGATORS[3]: 40, **dict.fromkeys(AGGREGATORS[4:], 10)}
    even = Counter(compute_turn(AGGREGATORS, AGGREGATORS[3:], r, 0) for r in range(1, 101))
    assert set(even) == set(AGGREGATORS[3:])
    assert set(even.values()) == {14, 15}


@given(st.integers(1, 12), st.sets(st.integers(0, 11)), st.integers(0, 200))
def test_R9_even_rotation_shares_the_rounds_out(count: int, excluded: set[int], rounds: int) -> None:
    """Whatever N and E: own turns R/N, give or take one; and an equal part of the excluded ones', give or take one."""
    aggregators = [bytes([i]) for i in range(count)]
    eligible = [a for i, a in enumerate(aggregators) if i not in excluded]
    assume(eligible)
    turns = Counter(compute_turn(aggregators, eligible, r, 0) for r in range(1, rounds + 1))
    own = Counter(compute_turn(aggregators, aggregators, r, 0) for r in range(1, rounds + 1))
    assert sum(turns.values()) == rounds
    passed_on = rounds - sum(own[a] for a in eligible)
    for aggregator in eligible:
        assert own[aggregator] in (rounds // count, -(-rounds // count))
        more = turns[aggregator] - own[aggregator]
        assert more in (passed_on // len(eligible), -(-passed_on // len(eligible)))
    assert max(turns.values(), default=0) - min((turns[a] for a in eligible), default=0) <= 2


@pytest.mark.parametrize("excluded", [{0, 2}, {1, 3}])
def test_R9_every_second_one_excluded_shifts_nothing_onto_one(excluded: set[int]) -> None:
    """The same index into the list of those who are eligible would give all of it to one of two: 2 divides 4."""
    aggregators = AGGREGATORS[:4]
    eligible = [a for i, a in enumerate(aggregators) if i not in excluded]
    turns = Counter(compute_turn(aggregators, eligible, number, 0) for number in range(1, 101))
    assert set(turns.values()) == {50}


@pytest.mark.parametrize("literal", [False, True])
def test_R8_with_nobody_eligible_there_is_no_turn(literal: bool) -> None:
    """The paper's loop looks for one for ever."""
    assert compute_turn(AGGREGATORS, [], 1, 0, literal=literal) is None


@given(
    st.integers(1, 10), st.sets(st.integers(0, 9)), st.integers(1, 2**32 - 1), st.integers(0, 100), st.booleans()
)  # fmt: skip
def test_a_turn_always_comes_to_somebody_eligible(
    count: int, excluded: set[int], number: int, turn: int, literal: bool
) -> None:
    aggregators = AGGREGATORS[:count]
    eligible = [a for i, a in enumerate(aggregators) if i not in excluded]
    assert (compute_turn(aggregators, eligible, number, turn, literal=literal) in eligible) == bool(eligible)


@given(st.integers(1, 10), st.sets(st.integers(0, 9)), st.integers(1, 10_000), st.integers(0, 100), st.booleans())
def test_nobody_eligible_loses_its_own_turns(
    count: int, excluded: set[int], number: int, turn: int, literal: bool
) -> None:
    """An exclusion elsewhere moves nobody's turn: who prepares for round r is asked in round r."""
    aggregators = AGGREGATORS[:count]
    eligible = [a for i, a in enumerate(aggregators) if i not in excluded]
    due = aggregators[(number - 1 + turn) % count]
    if due in eligible:
        assert compute_turn(aggregators, eligible, number, turn, literal=literal) == due


def test_a_task_says_which_rule_its_turns_follow() -> None:
    """The first of three has left. Round 4 would be its second: it goes to the same one as round 1, or the other."""
    for rotation, due in ((ROTATION_LITERAL, [1, 1, 2, 1]), (ROTATION_EVEN, [1, 1, 2, 2])):
        task = TaskHarness.start(rotation=rotation, min_window_blocks=30)
        task.ledger.accept(support.ledger.AGGREGATORS[0], Unbond(role=AGGREGATOR, amount=AGGREGATOR_STAKE))
        found = []
        for number in (1, 2, 3, 4):
            task.commit_all(number)
            found.append(support.ledger.AGGREGATORS.index(task.due_aggregator(number)))
            task.aggregate(number)
        assert found == due


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
    task.launch(clients=[], clients_per_round=3, min_updates=2)
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
