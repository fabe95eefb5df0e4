"""Watching policies: how they are written, which chunks they draw, and what is an odd time."""

from __future__ import annotations

import pytest

from offchain.roles.watching import Policy, PolicyError, draw_chunks, is_odd_time, parse_policy


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("full", Policy()),
        ("idle", Policy(share=0)),
        ("sample(0.05)", Policy(share=0.05)),
        ("sample(.5), history", Policy(share=0.5, history=True)),
        ("idle,accuracy(0.1),timing(3)", Policy(share=0, accuracy_drop=0.1, timing_factor=3)),
        ("sample(1)", Policy(share=1)),
    ],
)
def test_a_policy_is_read_and_written(text: str, policy: Policy) -> None:
    assert parse_policy(text) == policy
    assert parse_policy(str(policy)) == policy
    assert policy.has_triggers == ("," in text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "all",
        "full(1)",
        "sample",
        "sample()",
        "sample(2)",
        "sample(-1)",
        "history",
        "history, full",
        "full, full",
        "full, sample(0.1)",
        "idle, history, history",
        "idle, timing(1)",
        "idle, timing",
        "idle, accuracy(1.5)",
        "idle,",
    ],
)
def test_what_is_no_policy_is_refused(text: str) -> None:
    with pytest.raises(PolicyError):
        parse_policy(text)


def test_chunks_are_drawn_each_with_the_probability_and_alike_for_one_seed() -> None:
    drawn = [draw_chunks(seed, 100, 0.25) for seed in range(200)]
    assert 0.22 < sum(map(len, drawn)) / 20_000 < 0.28
    assert drawn[7] == draw_chunks(7, 100, 0.25) != drawn[8]
    assert draw_chunks(1, 100, 0.0) == []
    assert draw_chunks(1, 100, 1.0) == list(range(100))


@pytest.mark.parametrize(
    ("blocks", "usual", "is_odd"),
    [
        (4, [4, 4, 4], False),
        (9, [3, 3, 4], False),
        (10, [3, 3, 4], True),
        (2, [9, 9, 9], True),
        (9, [3, 3], False),
        (1, [2, 2, 2], False),
        (0, [2, 2, 2], True),
    ],
)
def test_an_odd_time_is_a_factor_off_the_median(blocks: int, usual: list[int], is_odd: bool) -> None:
    assert is_odd_time(blocks, usual, 3.0) is is_odd
