"""`optfl simulate`: adversaries by name, one line a run, an exit code, and a command that runs it again."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from optfl_cli.commands import simulate
from optfl_cli.main import main
from optfl_sim.adversaries import ADVERSARIES
from optfl_sim.federation import Result, Scenario, run_and_report

ARGUMENTS = ["simulate", "--rounds", "3"]


def read_lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_one_run_is_a_line_and_a_summary(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ARGUMENTS, "--adversary", "wrong-chunk:aggregator1@2", "--seed", "7"]) == 0
    first, deviate, summary = capsys.readouterr().out.splitlines()
    assert re.match(
        r"seed 7: ok, optimistic, trimmed_mean\(f=1\), 3 rounds, 1 of 5 attempts wrong, 1 convicted, .*"
        r"honest loss 0, trace [0-9a-f]{12}$",
        first,
    )
    assert deviate == "  deviate: aggregator1 wrong-chunk@2"
    assert re.match(
        r"1 run, 3 rounds settled, 1 part played: 1 of 5 attempts wrong, .*honest loss 0; 0 runs .* 0 failed; ", summary
    )


def test_runs_as_json_have_all_of_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--adversary", "silent", "--adversary", "lying-replica", "--runs", "2", "--json"]
    assert main([*ARGUMENTS, *options]) == 0
    first, second, last = read_lines(capsys)
    assert (first["seed"], second["seed"]) == (1, 2)
    assert first["adversaries"] == {"aggregator0": "silent@1", "replica0": "lying-replica@1"}
    assert first["excluded"] == ["aggregator0"]
    assert first["gains"]["aggregator0"] < 0
    assert first["trace_hash"] != second["trace_hash"]
    assert last["summary"]["rounds"] == 6
    assert last["summary"]["failed"] == 0


@pytest.mark.parametrize("mode", ["quorum", "pbft"])
def test_the_other_modes(mode: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ARGUMENTS, "--mode", mode, "--adversary", "poison", "--json"]) == 0
    assert read_lines(capsys)[0]["mode"] == mode


def test_adversaries_are_drawn_without_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ARGUMENTS, "--seed", "5", "--json"]) == 0
    assert read_lines(capsys)[0]["adversaries"]


def test_the_list_has_every_adversary(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--list"]) == 0
    listed = capsys.readouterr().out
    assert all(f" {name} " in listed for name in ADVERSARIES)
    assert main(["simulate", "--list", "--json"]) == 0
    assert [row["name"] for row in read_lines(capsys)] == list(ADVERSARIES)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--adversary", "posion"], "there is no adversary 'posion'; `optfl simulate --list` shows"),
        (["--adversary", "poison:aggregator9"], "poison is played by aggregator0 to aggregator4, not by 'aggregator9'"),
        (["--adversary", "poison@soon"], "behind the @ stands the round"),
        (["--adversary", "poison@999"], "poison@999 would never deviate: there are"),
        (["--adversary", "poison:"], "is played by"),
        (["--adversary", "free-training", "--adversary", "free-training"], "no requester is left"),
        (
            ["--adversary", "silent:aggregator1", "--adversary", "late:aggregator1"],
            "aggregator1 plays silent@1 already",
        ),
        (
            ["--adversary", "lying-replica", "--adversary", "lying-replica"],
            "2 of 4 replicas are bad, where at most 1 may be; add --beyond",
        ),
    ],
)
def test_a_mistake_is_one_line(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ARGUMENTS, *options]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error


@pytest.mark.parametrize("options", [["--runs", "0"], ["--rounds", "0"], ["--seed", "-1"], ["--mode", "fast"]])
def test_a_wrong_option_is_a_usage_error(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", *options]) == 2
    assert "Usage: optfl simulate" in capsys.readouterr().err


def test_beyond_the_assumptions_is_excused(capsys: pytest.CaptureFixture[str]) -> None:
    blind = [word for i in range(4) for word in ("--adversary", f"colluding-validator:validator{i}")]
    assert main([*ARGUMENTS, "--adversary", "coordinate:aggregator1", *blind, "--beyond"]) == 0
    out = capsys.readouterr().out
    assert "  outside the assumptions: nobody honest re-executes attempts in full\n" in out
    assert "  excused: block" in out


def test_a_broken_invariant_fails_with_the_command_that_runs_it_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(scenario: Scenario) -> Result:
        result = run_and_report(scenario)
        if scenario.seed == 2:
            return replace(result, report=replace(result.report, violations=("block 5: the sky fell",)))
        return result

    monkeypatch.setattr(simulate, "run_and_report", run)
    assert main([*ARGUMENTS, "--adversary", "late", "--runs", "2"]) == 1
    captured = capsys.readouterr()
    assert "seed 1: ok" in captured.out
    assert "seed 2: FAILED" in captured.out
    assert "  broken: block 5: the sky fell\n" in captured.out
    assert captured.err == (
        "error: 1 of 2 runs broke an invariant; "
        "the first one again: optfl simulate --seed 2 --rounds 3 --adversary late\n"
    )


def test_a_crash_of_the_ledger_or_a_role_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(scenario: Scenario) -> Result:
        raise ExceptionGroup("roles", [KeyError("attempt")])

    monkeypatch.setattr(simulate, "run_and_report", run)
    assert main([*ARGUMENTS, "--adversary", "late"]) == 1
    assert "seed 1: FAILED: KeyError: 'attempt'" in capsys.readouterr().out


def test_a_run_that_does_not_replay_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = 0

    def run(scenario: Scenario) -> Result:
        nonlocal runs
        runs += 1
        return run_and_report(replace(scenario, seed=runs))

    monkeypatch.setattr(simulate, "run_and_report", run)
    assert main([*ARGUMENTS, "--adversary", "late"]) == 1
    assert "the same seed gave another trace" in capsys.readouterr().out
