"""The benchmark of rules: every line is complete, and peers compute what we compute. No time is asserted."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from benchmarks import aggregation
from benchmarks.peers import Case, make_cases, to_numpy
from offchain.kernels.aggregate import aggregate
from optfl.rules import PRE_AGGREGATORS, RULES, RoundFacts, parse_rule

UPDATES, LENGTH = 25, 400
WEIGHTS = np.arange(1, UPDATES + 1, dtype=np.float32)
VALUES = np.random.default_rng(5).normal(0, 9000, (UPDATES, LENGTH)).astype(np.int16)
CASES = make_cases(UPDATES, WEIGHTS)
UNLIKE = {"bucketing | median"}  # buckets are drawn
WEIGHED = {"fedavg", "norm_clipped_mean"}  # by us, not by ByzFL


def compute_ours(case: Case) -> np.ndarray:
    facts = RoundFacts(tuple(int(weight) for weight in WEIGHTS), b"beacon")
    return aggregate(parse_rule(case.rule), np.zeros(LENGTH, dtype=np.int32), list(VALUES), facts).model


def test_every_rule_and_pre_aggregator_is_measured() -> None:
    measured = " ".join(case.name for case in CASES).replace("|", "").split()
    assert {*RULES, *PRE_AGGREGATORS} == set(measured)


@pytest.mark.parametrize("case", [case for case in CASES if case.name not in UNLIKE], ids=lambda case: case.name)
def test_peers_compute_the_same(case: Case) -> None:
    ours, floats = compute_ours(case), VALUES.astype(np.float32)
    for peer, vectors in ((case.numpy, floats), (case.torch, torch.from_numpy(floats))):
        assert peer is not None
        np.testing.assert_allclose(to_numpy(peer(vectors)), ours, atol=0.6)
    if case.byzfl is not None and case.name not in WEIGHED:
        np.testing.assert_allclose(to_numpy(case.byzfl(floats.copy())), ours, atol=0.6)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_peers_leave_their_input_alone(case: Case) -> None:
    """It is the next turn's."""
    floats = VALUES.astype(np.float32)
    for peer in (case.numpy, case.torch, case.byzfl):
        if peer is not None:
            peer(torch.from_numpy(floats) if peer is case.torch else floats)
            np.testing.assert_array_equal(floats, VALUES)


def test_quick_lines_have_all_fields() -> None:
    result = CliRunner().invoke(
        aggregation.command, ["--quick", "--json", "--rule", "median", "--rule", "nnm | median"]
    )
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.output.splitlines()]
    assert [line["rule"] for line in lines] == ["median", "nnm | median"]
    for line in lines:
        assert (line["k"], line["d"], line["dtype"]) == (12, 20_000, "int16")
        assert set(line["peers"]) == {"numpy", "torch", "byzfl"}
        assert line["ratio_to_limit"] == pytest.approx(line["seconds"] / line["limit_seconds"])
        assert line["ratio_to_best_peer"] == pytest.approx(min(line["peers"].values()) / line["seconds"])


def test_a_quick_table_has_every_rule() -> None:
    result = CliRunner().invoke(aggregation.command, ["--quick"])
    assert result.exit_code == 0, result.output
    for case in make_cases(12, WEIGHTS[:12]):
        assert case.rule.replace("|", "\\|") in result.output or case.rule in result.output


def test_an_unknown_rule_is_refused() -> None:
    result = CliRunner().invoke(aggregation.command, ["--quick", "--rule", "mean"])
    assert result.exit_code == 2
    assert "no rule 'mean'; use fedavg" in result.output


def test_who_fails_is_told_and_takes_no_more_turns() -> None:
    calls: list[str] = []

    def fail() -> None:
        calls.append("failed")
        raise MemoryError("too large")

    best, failed = aggregation.take_turns(
        {"limit": lambda: None, "ours": lambda: calls.append("ours"), "peer": fail}, 3
    )
    assert calls == ["ours", "failed", "ours", "ours"]
    assert set(best) == {"limit", "ours"}
    assert failed == {"peer": "MemoryError: too large"}
