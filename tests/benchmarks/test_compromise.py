"""No lie settles under one diligent watcher; under samplers, no more than the bound says."""

from __future__ import annotations

import itertools

import pytest

from benchmarks.compromise import LIES, build_colluding, build_diligent, build_sampling, compute_vote_broken, summarise
from benchmarks.federations import measure


def test_one_diligent_watcher_is_enough() -> None:
    proofs = list(itertools.islice(build_diligent(len(LIES), 4), len(LIES)))
    runs = [measure(case) for case in proofs]
    assert all((run.lies, run.settled_lies) == (1, 0) for run in runs)
    assert all(run.convicted == ["aggregator0"] for run in runs)


def test_samplers_let_pass_what_they_did_not_look_at() -> None:
    runs = [measure(case) for case in build_sampling(24, 4) if case.name.startswith("1 × sample(0.5)")]
    (line,) = summarise(runs)
    assert line.bound == 0.5
    assert 0 < line.broken < line.trials
    assert abs(line.measured - line.bound) < 4 * line.standard_error


def test_a_third_of_the_voters_break_a_vote() -> None:
    """2 of 4 acquit; 1 of 4 does not."""
    runs = [measure(case) for case in build_colluding(12, 4) if case.name.startswith("1 × sample(1)")]
    for run in runs:
        colluding = sum(part == "colluding-validator" for part in run.case.adversaries.values())
        assert run.settled_lies == (colluding >= 2), run.case.adversaries


@pytest.mark.parametrize(("q", "expected"), [(0.0, 0.0), (1.0, 1.0), (0.5, 0.5)])
def test_the_probability_of_a_broken_vote(q: float, expected: float) -> None:
    """Of three others, two or three collude."""
    assert compute_vote_broken(4, q) == pytest.approx(expected)
