"""What each node is counted to have computed, mode by mode."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.cost_model import Setting
from benchmarks.costs import OVER_V, build_setting, describe_slopes, list_cases, plot, show
from benchmarks.federations import Case, Run, measure, place_liars

ROUNDS, N, V = 6, 3, 4
PLAIN = Case(OVER_V, "plain", ROUNDS, N, V, watchers=0)


def test_optimistic_without_faults_costs_one_turn_in_n() -> None:
    run = measure(PLAIN)
    assert run.list_loads("aggregator") == [ROUNDS / N] * N
    assert run.list_loads("voter") == [0] * V
    assert run.total == run.attempts == ROUNDS


def test_each_watcher_costs_one_aggregation_a_round() -> None:
    run = measure(replace(PLAIN, watchers=2))
    assert run.list_loads("watcher") == [ROUNDS] * 2
    assert run.list_loads("voter") == [0] * (V - 2)


def test_the_next_aggregator_costs_as_much_as_a_watcher() -> None:
    run = measure(replace(PLAIN, verify_parents=True))
    assert sum(run.list_loads("voter")) == 0
    assert ROUNDS < run.total <= 2 * ROUNDS  # nobody has the turn after the last


def test_in_pbft_each_validator_makes_every_round() -> None:
    run = measure(replace(PLAIN, mode="pbft"))
    assert run.list_loads("voter") == [ROUNDS] * V
    assert run.list_loads("aggregator") == [0] * N
    assert run.requests["ballot"] >= ROUNDS * V * (V - 1)


def test_in_quorum_each_aggregator_makes_every_round() -> None:
    run = measure(replace(PLAIN, mode="quorum"))
    assert run.list_loads("aggregator") == [ROUNDS] * N
    assert run.list_loads("voter") == [0] * V


def test_a_vote_on_every_round_costs_as_much_as_pbft() -> None:
    run = measure(replace(PLAIN, adversaries={"challenger0": "serial-challenges@1"}))
    assert run.list_loads("voter") == [ROUNDS] * V
    assert run.transactions["commit_vote"] == run.transactions["reveal_vote"] == ROUNDS * V


@pytest.mark.parametrize(("arithmetic", "votes"), [("exact", 0), ("float", 1)])
def test_an_excluded_culprit_faults_once(arithmetic: str, votes: int) -> None:
    """By proof nobody votes; by vote every validator recomputes once."""
    case = replace(PLAIN, watchers=1, arithmetic=arithmetic, adversaries=place_liars(1, N))
    run = measure(case)
    assert (run.lies, run.settled_lies, run.convicted) == (1, 0, list(case.adversaries))
    assert run.list_loads("voter") == [votes] * (V - 1)
    assert [dispute.kind for dispute in run.disputes] == ["vote" if votes else "proof"]
    assert run.settled == ROUNDS


def test_nobody_watches_and_lies_settle() -> None:
    run = measure(replace(PLAIN, adversaries=place_liars(1, N)))
    assert run.settled_lies == run.lies == ROUNDS / N
    assert run.convicted == []


def test_every_row_of_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    runs = [measure(case) for case in build_setting(Setting(rounds=6, aggregators=3, validators=4, faulty=1))]
    show(runs)
    printed = capsys.readouterr().out
    assert all(run.case.name in printed for run in runs)
    assert "counted" in printed


def test_slopes_are_said_in_words() -> None:
    def make(validators: int) -> Run:
        parties = {f"aggregator{i}": 2.0 for i in range(N)} | {f"validator{i}": 6.0 for i in range(validators)}
        case = replace(PLAIN, validators=validators)
        return Run(case, 6, 6, 0, 0, [], parties, {}, {}, {"commit_update": 4}, 0, [])

    words = describe_slopes([make(10), make(100)], "V", lambda run: run.case.validators)
    assert "a validator's load as V^0.00" in words
    assert "transactions as V^0.00" in words
    assert "ballots" not in words


def test_the_papers_setting_is_among_the_full_cases() -> None:
    case = list_cases(full=True)[0]
    assert (case.rounds, case.aggregators, case.validators) == (100, 10, 21)
    assert callable(plot)
