"""What the votes decide: each finding of the red team about votes, the boundaries, and what must hold of any votes."""

from __future__ import annotations

import math
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optfl.sketch import MAX_VALUE, ROWS, compute_squared_norm
from optfl.votes import (
    MAX_EPSILON,
    Decision,
    VoteError,
    build_ballot,
    check_vote,
    compute_commitment,
    compute_lower_median,
    decide,
)
from optfl.wire import state_pb2
from optfl.wire.state_pb2 import (
    VERDICT_NO_QUORUM as NO_QUORUM,
)
from optfl.wire.state_pb2 import (
    VERDICT_REJECTED as REJECTED,
)
from optfl.wire.state_pb2 import (
    VERDICT_UPHELD as UPHELD,
)
from optfl.wire.state_pb2 import Voter
from optfl.wire.transaction_pb2 import (
    ABSTAIN_REASON_UNAVAILABLE,
    ABSTAIN_REASON_UNSUPPORTED,
    ARITHMETIC_FLOAT,
    BALLOT_KIND_COMMITMENT,
    Sketch,
    TaskParameters,
    Vote,
)

EXACT = TaskParameters()
FLOAT = TaskParameters(arithmetic=ARITHMETIC_FLOAT, vote_epsilon=100, vote_theta=200)
CLAIMED, OTHER, THIRD = (bytes([number]) * 32 for number in (1, 2, 3))
ABSTAIN = Vote(abstain=ABSTAIN_REASON_UNAVAILABLE)


def address(number: int) -> bytes:
    return number.to_bytes(20, "big")


def root(value: bytes) -> Vote:
    return Vote(root=value)


def sketch(*values: int) -> Vote:
    """A sketch with these first rows, and 0 in the others."""
    return Vote(sketch=Sketch(values=[*values, *[0] * (ROWS - len(values))]))


def voters(*votes: Vote | None, power: int = 1) -> list[Voter]:
    """Voters 1, 2, … of one power; None: silent."""
    found = [Voter(operator=address(i + 1), power=power) for i in range(len(votes))]
    for voter, vote in zip(found, votes, strict=True):
        if vote is not None:
            voter.vote.CopyFrom(vote)
    return found


def weighted(*votes: tuple[int, Vote | None]) -> list[Voter]:
    found = voters(*(vote for _, vote in votes))
    for voter, (power, _) in zip(found, votes, strict=True):
        voter.power = power
    return found


def who(*numbers: int) -> tuple[bytes, ...]:
    return tuple(address(number) for number in numbers)


def judge(parameters: TaskParameters, found: list[Voter]) -> Decision:
    return decide(parameters, CLAIMED, found)


# Exact tasks: groups by root.


def test_a_quorum_for_another_root_upholds_the_challenge() -> None:
    found = voters(root(OTHER), root(OTHER), root(OTHER), root(CLAIMED))
    assert judge(EXACT, found) == Decision(UPHELD, who(1, 2, 3))


def test_a_quorum_for_the_claimed_root_rejects_it() -> None:
    found = voters(root(CLAIMED), root(CLAIMED), root(OTHER), root(CLAIMED))
    assert judge(EXACT, found) == Decision(REJECTED, who(1, 2, 4))


def test_a_quorum_is_more_than_two_thirds_of_the_whole_snapshot() -> None:
    assert judge(EXACT, voters(root(OTHER), root(OTHER), None)).verdict == NO_QUORUM
    assert judge(EXACT, weighted((67, root(OTHER)), (33, None))).verdict == UPHELD
    assert judge(EXACT, weighted((66, root(OTHER)), (33, None))).verdict == NO_QUORUM  # 66 of 99 is two thirds
    assert judge(EXACT, weighted((2, root(OTHER)), (1, ABSTAIN))).verdict == NO_QUORUM


def test_without_a_quorum_all_who_judged_agreed() -> None:
    found = voters(root(OTHER), root(CLAIMED), ABSTAIN, None)
    assert judge(EXACT, found) == Decision(NO_QUORUM, who(1, 2))


def test_nobody_voted() -> None:
    assert judge(EXACT, voters(None, None)) == Decision(NO_QUORUM, ())
    assert judge(FLOAT, voters(None, ABSTAIN)) == Decision(NO_QUORUM, ())


def test_V1_two_disjoint_groups_cannot_both_be_a_quorum() -> None:
    """V = 6: f = 1 and 2f+1 = 3, so by heads each of these two groups would win."""
    found = voters(*[root(OTHER)] * 3, *[root(THIRD)] * 3)
    assert judge(EXACT, found).verdict == NO_QUORUM
    near, far = sketch(1000), sketch(-1000)
    assert judge(FLOAT, voters(near, near, near, far, far, far)).verdict == NO_QUORUM


def test_V1_67_dust_validators_of_100_decide_nothing() -> None:
    dust = [(1, root(OTHER))] * 67
    stake = [(100, root(CLAIMED))] * 33
    assert judge(EXACT, weighted(*dust, *stake)).verdict == REJECTED
    dust, stake = [(1, sketch(10_000))] * 67, [(100, sketch(0))] * 33
    assert judge(FLOAT, weighted(*dust, *stake)).verdict == REJECTED


@pytest.mark.parametrize("total", [4, 5, 6, 7, 21, 100])
def test_f_liars_and_f_silent_ones_are_outvoted_or_nothing_is_decided(total: int) -> None:
    f = (total - 1) // 3
    honest = [root(OTHER)] * (total - f)
    assert judge(EXACT, voters(*honest, *[root(CLAIMED)] * f)).verdict == UPHELD
    assert judge(EXACT, voters(*honest[f:], *[None] * f, *[root(CLAIMED)] * f)).verdict == NO_QUORUM


# Float tasks: groups by distance.


def test_all_far_away_and_together_convict() -> None:
    found = voters(sketch(300), sketch(310), sketch(290), sketch(0))
    assert judge(FLOAT, found) == Decision(UPHELD, who(1, 2, 3))


@pytest.mark.parametrize(("distance", "verdict"), [(199, REJECTED), (200, REJECTED), (201, UPHELD)])
def test_at_theta_innocent_just_above_it_guilty(distance: int, verdict: int) -> None:
    assert judge(FLOAT, voters(*[sketch(distance)] * 4)).verdict == verdict


def test_theta_is_compared_without_rounding() -> None:
    parameters = TaskParameters(arithmetic=ARITHMETIC_FLOAT, vote_epsilon=1, vote_theta=2**48)
    assert judge(parameters, voters(*[sketch(2**48)] * 4)).verdict == REJECTED
    assert judge(parameters, voters(*[sketch(2**48, 1)] * 4)).verdict == UPHELD


def test_more_than_a_third_close_to_the_claim_acquit() -> None:
    far = [sketch(1000)] * 2
    assert judge(FLOAT, weighted((34, sketch(200)), (33, far[0]), (33, far[1]))) == Decision(REJECTED, who(1))
    assert judge(FLOAT, weighted((33, sketch(200)), (34, far[0]), (32, far[1]))).verdict == NO_QUORUM  # 33 of 99
    assert judge(FLOAT, weighted((33, sketch(200)), (35, far[0]), (32, far[1]))).verdict == UPHELD  # 33 of 100


def test_V7_closeness_is_a_ball_and_no_chain() -> None:
    """Each 100 from the next: a chain would take in all five, though the ends are 400 apart."""
    chain = [sketch(1000 + 100 * step) for step in range(5)]
    assert judge(FLOAT, voters(*chain)).verdict == NO_QUORUM  # the best ball has three of five
    assert judge(FLOAT, voters(*chain[:4])).verdict == UPHELD  # three of four: that round the second


def test_epsilon_is_within() -> None:
    apart = TaskParameters(arithmetic=ARITHMETIC_FLOAT, vote_epsilon=99, vote_theta=200)
    found = voters(sketch(1000), sketch(1100), sketch(1000))
    assert judge(FLOAT, found).verdict == UPHELD
    assert judge(apart, found).verdict == NO_QUORUM


def test_of_equal_balls_that_of_the_lowest_address_counts() -> None:
    """Two votes between two ends: the left ball and the right one weigh the same."""
    ends = (sketch(1000), sketch(1090), sketch(1110), sketch(1200))
    found = judge(FLOAT, voters(*ends))
    assert found == Decision(UPHELD, who(1, 2, 3))  # round the second; round the third it were 2, 3 and 4
    swapped = judge(FLOAT, voters(ends[0], ends[2], ends[1], ends[3]))
    assert swapped == Decision(UPHELD, who(2, 3, 4))


def test_a_ball_counts_power_and_not_heads() -> None:
    found = weighted((1, sketch(1000)), (1, sketch(1000)), (1, sketch(1000)), (10, sketch(5000)))
    assert judge(FLOAT, found) == Decision(UPHELD, who(4))


def honest_votes_of_V7(a: int) -> list[Vote]:
    """Ten rows, one for each pair of the five honest: whoever is in the pair has `a` there."""
    pairs = [(i, j) for i in range(5) for j in range(i)]
    return [sketch(*(a if k in pair else 0 for pair in pairs)) for k in range(5)]


def test_V7_the_median_of_close_votes_cannot_convict_whom_every_honest_vote_is_close_to() -> None:
    """V = 7, f = 2: all seven within ε of one another, the claim within 0.82 ε of each honest vote, and the median at
    1.29 ε from the claim. By the median alone and θ = ε, the honest aggregator would be slashed."""
    a = 1000
    epsilon = math.isqrt(6 * a * a) + 1
    votes = [*honest_votes_of_V7(a), *[sketch(*[a] * 10)] * 2]
    norms = [compute_squared_norm(vote.sketch.values) for vote in votes]
    assert norms[:5] == [4 * a * a] * 5
    assert all(norm < epsilon**2 for norm in norms[:5])
    median = compute_lower_median([vote.sketch.values for vote in votes], [1] * 7)
    assert compute_squared_norm(median) == 10 * a * a > (1.29 * epsilon) ** 2  # it would convict with θ = ε
    tight = TaskParameters(arithmetic=ARITHMETIC_FLOAT, vote_epsilon=epsilon, vote_theta=epsilon)
    assert judge(tight, voters(*votes)) == Decision(REJECTED, who(1, 2, 3, 4, 5))
    # Whoever is not close to the claim is also no third: in a smaller quorum, the honest in it still acquit.
    assert judge(tight, voters(votes[0], None, None, *votes[3:])).verdict == REJECTED
    # And with a bound on θ, as tasks have it, all seven are within it.
    wide = TaskParameters(arithmetic=ARITHMETIC_FLOAT, vote_epsilon=epsilon, vote_theta=2 * epsilon)
    assert judge(wide, voters(*votes)) == Decision(REJECTED, who(1, 2, 3, 4, 5, 6, 7))


def test_the_lower_median_is_a_value_that_somebody_has() -> None:
    assert compute_lower_median([[1, 5], [2, 4], [3, 3], [4, 2]], [1, 1, 1, 1]) == [2, 3]
    assert compute_lower_median([[1], [2], [3]], [1, 1, 1]) == [2]
    assert compute_lower_median([[1], [2], [3]], [1, 1, 3]) == [3]
    assert compute_lower_median([[1], [2], [3]], [2, 1, 1]) == [1]
    assert compute_lower_median([[7]], [1]) == [7]
    assert compute_lower_median([[2**70], [-(2**70)]], [2**59, 2**59]) == [-(2**70)]


def test_extreme_sketches_are_as_far_apart_as_they_are() -> None:
    """Nothing wraps into closeness, whatever the rows are."""
    for epsilon in (1, MAX_EPSILON):
        parameters = TaskParameters(arithmetic=ARITHMETIC_FLOAT, vote_epsilon=epsilon, vote_theta=2 * epsilon)
        extremes = [Vote(sketch=Sketch(values=[value] * ROWS)) for value in (MAX_VALUE, -MAX_VALUE, MAX_VALUE - 1)]
        assert judge(parameters, voters(*extremes)).verdict == NO_QUORUM
        assert judge(parameters, voters(*extremes[:1] * 3)).verdict == UPHELD


def test_the_largest_epsilon_is_exact() -> None:
    parameters = TaskParameters(arithmetic=ARITHMETIC_FLOAT, vote_epsilon=MAX_EPSILON, vote_theta=2 * MAX_EPSILON)
    far = 2**40
    near, just_out = sketch(far + MAX_EPSILON), sketch(far + MAX_EPSILON, 1)
    assert judge(parameters, voters(sketch(far), near, near)).verdict == UPHELD
    assert judge(parameters, voters(sketch(far), just_out, sketch(far + 2 * MAX_EPSILON + 2))).verdict == NO_QUORUM


def test_an_epsilon_that_is_not_exact_is_our_own_bug() -> None:
    parameters = TaskParameters(arithmetic=ARITHMETIC_FLOAT, vote_epsilon=MAX_EPSILON + 1, vote_theta=2**40)
    with pytest.raises(ValueError, match="epsilon"):
        judge(parameters, voters(*[sketch(2**50)] * 3))


# Of any votes.

POWERS = st.integers(1, 50)
ROOTS = st.sampled_from([root(CLAIMED), root(OTHER), root(THIRD), ABSTAIN, None])
SKETCHES = st.one_of(
    st.sampled_from([ABSTAIN, None]),
    st.lists(st.sampled_from([-300, -210, -100, 0, 60, 100, 150, 200, 250]), min_size=1, max_size=3).map(
        lambda values: sketch(*values)
    ),
)


@pytest.mark.parametrize(("parameters", "votes"), [(EXACT, ROOTS), (FLOAT, SKETCHES)])
@given(data=st.data())
def test_the_order_of_votes_does_not_matter(parameters: TaskParameters, votes: Any, data: st.DataObject) -> None:
    found = weighted(*data.draw(st.lists(st.tuples(POWERS, votes), min_size=1, max_size=7)))
    shuffled = data.draw(st.permutations(found))
    assert judge(parameters, shuffled) == judge(parameters, found)


@pytest.mark.parametrize(("parameters", "votes"), [(EXACT, ROOTS), (FLOAT, SKETCHES)])
@given(data=st.data())
def test_who_agreed_is_a_quorum_or_acquits(parameters: TaskParameters, votes: Any, data: st.DataObject) -> None:
    found = weighted(*data.draw(st.lists(st.tuples(POWERS, votes), min_size=1, max_size=7)))
    decision = judge(parameters, found)
    total = sum(voter.power for voter in found)
    power = sum(voter.power for voter in found if voter.operator in decision.agreed)
    assert list(decision.agreed) == sorted(set(decision.agreed))
    if decision.verdict == UPHELD or (decision.verdict == REJECTED and parameters is EXACT):
        assert 3 * power > 2 * total
    elif decision.verdict == REJECTED:
        assert 3 * power > total
    choices = {voter.operator: voter.vote.WhichOneof("choice") for voter in found}
    assert all(choices[operator] in ("root", "sketch") for operator in decision.agreed)


@settings(max_examples=300)
@given(
    f=st.integers(1, 3),
    honest_noise=st.lists(st.integers(-20, 20), min_size=40, max_size=40),
    lies=st.lists(st.lists(st.integers(-400, 400), min_size=4, max_size=4), min_size=3, max_size=3),
    absent=st.integers(0, 3),
)
def test_V7_an_honest_attempt_within_epsilon_of_honest_votes_is_never_convicted(
    f: int, honest_noise: list[int], lies: list[list[int]], absent: int
) -> None:
    """Every honest vote lies within ε of the claim (|y| <= 2 · 20); f lie at will, up to f honest are absent."""
    honest = [sketch(*honest_noise[4 * k : 4 * k + 4]) for k in range(2 * f + 1)]
    for k in range(min(absent, f)):
        honest[k] = ABSTAIN
    votes = [*honest, *(sketch(*lies[k]) for k in range(f))]
    assert judge(FLOAT, voters(*votes)).verdict != UPHELD


@given(st.integers(1, 6), st.data())
def test_a_third_of_the_power_cannot_convict_or_acquit_against_the_others(f: int, data: st.DataObject) -> None:
    total = 3 * f + 1
    lie = data.draw(SKETCHES)
    guilty = voters(*[sketch(5000 + data.draw(st.integers(0, 40))) for _ in range(total - f)], *[lie] * f)
    assert judge(FLOAT, guilty).verdict == UPHELD


def test_every_order_of_a_small_vote() -> None:
    found = voters(sketch(1000), sketch(1090), sketch(1110), sketch(1200))
    assert {judge(FLOAT, list(order)) for order in permutations(found)} == {Decision(UPHELD, who(1, 2, 3))}


# What a vote may be.


@pytest.mark.parametrize(
    ("parameters", "vote"),
    [
        (EXACT, root(CLAIMED)),
        (EXACT, ABSTAIN),
        (EXACT, Vote(abstain=ABSTAIN_REASON_UNSUPPORTED)),
        (FLOAT, sketch()),
        (FLOAT, ABSTAIN),
        (FLOAT, Vote(sketch=Sketch(values=[MAX_VALUE, -MAX_VALUE] * 128))),
    ],
)
def test_votes_that_a_task_takes(parameters: TaskParameters, vote: Vote) -> None:
    check_vote(parameters, vote)


@pytest.mark.parametrize(
    ("parameters", "vote", "message"),
    [
        (EXACT, Vote(), "empty"),
        (EXACT, sketch(), "vote with a root"),
        (EXACT, root(b""), "0 bytes"),
        (EXACT, root(bytes(31)), "31 bytes"),
        (EXACT, root(bytes(33)), "33 bytes"),
        (EXACT, Vote(abstain=0), "no reason"),  # type: ignore[arg-type]  # the default, set
        (EXACT, Vote(abstain=3), "no reason"),  # type: ignore[arg-type]  # of a later version
        (FLOAT, Vote(), "empty"),
        (FLOAT, root(CLAIMED), "vote with a sketch"),
        (FLOAT, Vote(sketch=Sketch()), "0 rows"),
        (FLOAT, Vote(sketch=Sketch(values=[0] * 255)), "255 rows"),
        (FLOAT, Vote(sketch=Sketch(values=[0] * 257)), "257 rows"),
        (FLOAT, Vote(sketch=Sketch(values=[0] * 255 + [MAX_VALUE + 1])), "out of its bounds"),
        (FLOAT, Vote(sketch=Sketch(values=[-(2**63)] + [0] * 255)), "out of its bounds"),
    ],
)
def test_votes_that_it_does_not(parameters: TaskParameters, vote: Vote, message: str) -> None:
    with pytest.raises(VoteError, match=message):
        check_vote(parameters, vote)


# Commitments and ballots.


def commitment(**overrides: Any) -> bytes:
    fields: dict[str, Any] = {
        "chain_id": "chain",
        "task_id": 1,
        "attempt_id": 2,
        "voter": address(1),
        "vote": root(OTHER),
        "salt": bytes(32),
    }
    return compute_commitment(**{**fields, **overrides})


@pytest.mark.parametrize(
    "overrides",
    [
        {"chain_id": "chain2"},
        {"task_id": 2},
        {"attempt_id": 1},
        {"voter": address(2)},
        {"vote": root(CLAIMED)},
        {"vote": ABSTAIN},
        {"vote": sketch(1)},
        {"salt": bytes(31) + b"\1"},
    ],
)
def test_L8_a_commitment_binds_chain_task_attempt_voter_vote_and_salt(overrides: dict[str, Any]) -> None:
    assert commitment(**overrides) != commitment()
    assert len(commitment(**overrides)) == 32


@pytest.mark.parametrize("overrides", [{"voter": bytes(19)}, {"salt": bytes(31)}])
def test_a_commitment_has_one_reading(overrides: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="bytes"):
        commitment(**overrides)


def test_a_ballot_names_the_attempt_by_what_makes_it_the_only_one() -> None:
    attempt = state_pb2.Attempt(task_id=1, attempt_id=9, round=2, parent_attempt=3, turn=4)
    ballot = build_ballot("chain", attempt, bytes(32))
    assert (ballot.chain_id, ballot.task_id, ballot.round, ballot.parent_attempt, ballot.turn) == ("chain", 1, 2, 3, 4)
    assert (ballot.kind, ballot.restarts, ballot.digest) == (BALLOT_KIND_COMMITMENT, 0, bytes(32))
