"""The table of turns: what docs/experiments.md shows is what the ledger does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.rotation import command, count_turns

EXPERIMENTS = Path(__file__).parents[2] / "docs" / "experiments.md"


def test_R9_the_papers_rule_piles_turns_up_and_ours_does_not() -> None:
    """N = 10, E = {0, 1, 2}, R = 100."""
    literal, even = (count_turns(rule, 10, (0, 1, 2), 100) for rule in ("literal", "even"))
    assert literal.turns == (0, 0, 0, 40, 10, 10, 10, 10, 10, 10)
    assert literal.ratio == 4
    assert even.turns == (0, 0, 0, 15, 15, 14, 14, 14, 14, 14)


@pytest.mark.parametrize("rule", ["even", "literal"])
def test_without_exclusions_everybody_has_its_share(rule: str) -> None:
    assert count_turns(rule, 10, (), 100).turns == (10,) * 10


def test_who_never_has_a_turn_is_infinitely_behind() -> None:
    assert count_turns("even", 10, (), 5).ratio == float("inf")


def test_one_json_object_a_line() -> None:
    lines = CliRunner().invoke(command, ["--json", "--aggregators", "4", "--excluded", "0,2"]).output.splitlines()
    found = [json.loads(line) for line in lines]
    assert [(line["rule"], line["turns"], line["ratio"]) for line in found] == [
        ("even", [0, 50, 0, 50], 1.0),
        ("literal", [0, 50, 0, 50], 1.0),
    ]


@pytest.mark.parametrize("arguments", [["--excluded", "x"], ["--excluded", "10"], ["--excluded", "-1"]])
def test_places_are_those_of_aggregators(arguments: list[str]) -> None:
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    assert "--excluded" in result.output


def test_with_everybody_excluded_there_is_nothing_to_count() -> None:
    assert CliRunner().invoke(command, ["--aggregators", "1", "--excluded", "0"]).exit_code == 2


def test_the_documented_table_is_what_the_command_prints() -> None:
    rows = [line.split("│")[1:-1] for line in CliRunner().invoke(command, []).output.splitlines() if "│" in line]
    printed = [tuple(cell.strip() for cell in row) for row in rows]
    assert len(printed) == 11
    text = EXPERIMENTS.read_text(encoding="utf-8")
    for row in printed:
        assert f"| {' | '.join(row)} |" in text
