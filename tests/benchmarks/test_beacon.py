"""The beacon's bias: same rounds for every strategy, and the order that theory gives them."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from benchmarks.beacon import Setting, Trial, command, compute_worth_of_waiting

SMALL = ["--clients", "20", "--sybils", "6", "--k", "4", "--trials", "60", "--tries", "4", "--tries", "16"]


def run(*options: str) -> dict[str, dict[str, float]]:
    """The lines by strategy."""
    result = CliRunner().invoke(command, ["--json", *SMALL, *options])
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.output.splitlines()]
    return {line["strategy"]: line for line in lines}


def test_L4_grinding_beats_withholding_beats_honesty() -> None:
    lines = run("--power", "0.5")
    means = {name: line["mean_sybils"] for name, line in lines.items()}
    assert means["honest"] < means["withhold"] < means["grind-4"] < means["grind-16"]
    assert means["withhold"] < means["choose-block"] < means["choose-block-grind-16"]
    assert lines["honest"]["withheld_blocks"] == lines["grind-16"]["withheld_blocks"] == 0
    assert lines["withhold"]["withheld_blocks"] > 0


@pytest.mark.parametrize("strategy", ["withhold", "choose-block", "grind-16", "choose-block-grind-16"])
def test_who_proposes_nothing_changes_nothing(strategy: str) -> None:
    lines = run("--power", "0")
    if strategy == "choose-block":  # another honest draw, at its deadline
        assert abs(lines[strategy]["mean_sybils"] - lines["honest"]["mean_sybils"]) < 0.5
    else:
        assert lines[strategy]["mean_sybils"] == lines["honest"]["mean_sybils"]
    assert lines[strategy]["withheld_blocks"] == 0


def test_the_same_seed_gives_the_same_lines() -> None:
    assert run("--power", "0.5") == run("--power", "0.5")
    assert run("--power", "0.5", "--seed", "2") != run("--power", "0.5")


def test_a_table_without_json() -> None:
    result = CliRunner().invoke(command, [*SMALL, "--power", "0.5"])
    assert result.exit_code == 0
    assert "choose-block-grind-16" in result.output


def test_more_sybils_than_clients_is_a_usage_error() -> None:
    assert CliRunner().invoke(command, ["--clients", "5", "--sybils", "6"]).exit_code == 2


def test_more_ways_to_choose_are_never_worse() -> None:
    trial = Trial(Setting(clients=20, sybils=6, k=4, trials=1, seed=1), 0)
    best = [trial.withhold(run).sybils for run in range(6)]
    assert best == sorted(best)
    assert best[0] == trial.honest.sybils


def test_waiting_is_worth_more_with_more_time_and_power() -> None:
    setting = Setting(clients=20, sybils=6, k=4, trials=1, seed=1)
    worth = compute_worth_of_waiting(setting, 0.25)
    assert worth == sorted(worth)
    assert worth[0] == pytest.approx(4 * 6 / 20)
    assert all(a < b for a, b in zip(worth[1:], compute_worth_of_waiting(setting, 0.5)[1:], strict=True))
    assert compute_worth_of_waiting(setting, 0) == [pytest.approx(1.2)] * len(worth)
