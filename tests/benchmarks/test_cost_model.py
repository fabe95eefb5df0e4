"""The paper's formulas give the paper's numbers, and the corrected ones what its protocol does."""

from __future__ import annotations

import pytest

from benchmarks import cost_model
from benchmarks.cost_model import PAPERS_EXAMPLE, Setting


def test_the_papers_example() -> None:
    """S1-43: R = 100, N = 10, V = 21, f = 3 → 10 / 2100 / 640."""
    assert cost_model.compute_optimistic(PAPERS_EXAMPLE) == 10
    assert cost_model.compute_pbft(PAPERS_EXAMPLE) == 2100
    assert cost_model.compute_hybrid(PAPERS_EXAMPLE) == 640


def test_the_printed_ratio_and_like_for_like() -> None:
    """S1-44: 68.9 as printed divides a system's total by a node's load; of the same kind it is 3.28."""
    assert cost_model.compute_printed_ratio(PAPERS_EXAMPLE) == pytest.approx(68.9, abs=0.05)
    assert cost_model.compute_like_for_like_ratio(PAPERS_EXAMPLE) == pytest.approx(3.28, abs=0.005)


def test_an_excluded_culprit_faults_once() -> None:
    assert cost_model.compute_hybrid_with_exclusion(PAPERS_EXAMPLE) == 100 + 3 * 22
    assert cost_model.compute_hybrid_with_proofs(PAPERS_EXAMPLE, watchers=1) == 206


def test_without_faults_there_is_no_dispute() -> None:
    honest = Setting(rounds=100, aggregators=10, validators=21, faulty=0)
    assert cost_model.compute_hybrid_with_exclusion(honest) == 100
    assert cost_model.compute_hybrid(honest) == cost_model.compute_optimistic(honest)
