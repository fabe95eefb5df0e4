"""What a sampling watcher finds is what the probabilities say, within chance."""

from __future__ import annotations

import asyncio
import math

import pytest

from benchmarks.detection import CHUNKS, Finding, measure


@pytest.mark.parametrize(("corrupted", "share"), [(1, 0.25), (10, 0.05), (25, 0.1)])
def test_the_validator_finds_as_often_as_independent_draws_do(corrupted: int, share: float) -> None:
    finding = asyncio.run(measure(corrupted, share, trials=200, seed=3))
    spread = math.sqrt(finding.independent * (1 - finding.independent) / finding.trials)
    assert abs(finding.measured - finding.independent) < 5 * spread


def test_who_looks_at_all_of_it_finds_a_single_wrong_chunk() -> None:
    finding = asyncio.run(measure(1, 1.0, trials=3, seed=3))
    assert (finding.found, finding.chunks_looked_at) == (3, CHUNKS)
    assert finding.break_even == math.inf


def test_an_honest_model_is_never_found() -> None:
    assert asyncio.run(measure(0, 0.25, trials=20, seed=3)).found == 0


def test_the_hypergeometric_probability() -> None:
    """One wrong chunk of a hundred, ten looked at: one in ten."""
    finding = Finding(corrupted=1, share=0.1, trials=1, found=0, chunks_looked_at=10)
    assert finding.hypergeometric == pytest.approx(0.1)
    assert finding.break_even == pytest.approx(1 / 9)
