"""The shared harness: real counters, lines that come back as they were, and processes that change nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import costs, federations
from benchmarks.federations import Case, build_scenario, compute_slope, measure, measure_all, parse_run, place_liars
from optfl_sim.federation import run_federation

TINY = Case("test", "tiny", rounds=4, aggregators=2, validators=4)


def test_meters_agree_with_what_the_roles_say_of_themselves() -> None:
    result = run_federation(build_scenario(TINY))
    for name, lives in result.costs.items():
        assert result.meters[name].values == TINY.length * sum(life.aggregations for life in lives), name
    assert result.meters["validator0"].message_bytes["get"] > sum(life.bytes for life in result.costs["validator0"])


def test_a_line_comes_back_as_it_was() -> None:
    run = measure(replace(TINY, adversaries={"aggregator1": "poison"}))
    assert len(run.disputes) == 1
    assert parse_run(run.to_json()) == run


def test_jobs_change_nothing() -> None:
    cases = [TINY, replace(TINY, seed=2)]
    assert list(measure_all(cases, 2)) == list(measure_all(cases, 1))


def test_tables_come_from_lines_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = tmp_path / "runs.jsonl"
    case = replace(TINY, table=costs.SETTING, name="a row of its own")
    lines.write_text(measure(case).to_json() + "\n")
    monkeypatch.setattr(federations, "measure", lambda case: pytest.fail("measured"))
    result = CliRunner().invoke(costs.command, ["--from", str(lines)])
    assert result.exit_code == 0, result.output
    assert "a row of its own" in result.output
    assert CliRunner().invoke(costs.command, ["--from", str(lines), "--json"]).output == lines.read_text()


@pytest.mark.parametrize("line", ["", "{}", "[]", '{"case": {}}', "nonsense"])
def test_other_lines_are_a_usage_error(tmp_path: Path, line: str) -> None:
    lines = tmp_path / "runs.jsonl"
    lines.write_text(line + "\n")
    result = CliRunner().invoke(costs.command, ["--from", str(lines)])
    assert (result.exit_code, "line 1" in result.output) == (2, True)


def test_lines_of_another_experiment_are_a_usage_error(tmp_path: Path) -> None:
    lines = tmp_path / "runs.jsonl"
    lines.write_text(measure(TINY).to_json() + "\n")
    assert CliRunner().invoke(costs.command, ["--from", str(lines)]).exit_code == 2


def test_liars_stand_among_the_others() -> None:
    assert list(place_liars(3, 10)) == ["aggregator1", "aggregator5", "aggregator8"]
    assert len(place_liars(5, 10)) == 5


@pytest.mark.parametrize("power", [0, 1, 2])
def test_slopes(power: int) -> None:
    assert compute_slope([(x, 3.0 * x**power) for x in (2, 5, 11)]) == pytest.approx(power)
