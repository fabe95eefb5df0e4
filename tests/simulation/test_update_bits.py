"""Federations whose updates are int8: all checkers, and liars convicted."""

from __future__ import annotations

import pytest

from optfl_sim.drawing import FLOAT_RULE, SMALL_UPDATES, TOLERANCES, compute_float_mean
from optfl_sim.federation import Result, Scenario, run_federation

CLIENTS, UPDATES, ROUNDS, LENGTH = 8, 6, 5, 64
QUORUM = 3  # of four replicas
FLOAT_TASK = {"rule": FLOAT_RULE, "floats": {"mean": compute_float_mean}}


def play(adversaries: dict[str, str] | None = None, bits: int = 8, **other: object) -> Result:
    """A small federation; raises CheckFailed if a checker objects."""
    parameters = {**(SMALL_UPDATES if bits == 8 else {}), **(TOLERANCES if other.get("rule") == FLOAT_RULE else {})}
    plain: dict[str, object] = {
        "seed": 3,
        "clients": CLIENTS,
        "aggregators": 4,
        "rounds": ROUNDS,
        "clients_per_round": UPDATES,
        "rule": "trimmed_mean(f=1)",
        "length": LENGTH,
        "mean_seconds_between_crashes": 0.0,
        "loss_rate": 0.0,
        "parameters": parameters,
    }
    return run_federation(Scenario(**{**plain, **other}, adversaries=adversaries or {}))  # type: ignore[arg-type]


def count_put_bytes(result: Result) -> int:
    return sum(meter.message_bytes["put"] for meter in result.meters.values())


@pytest.mark.parametrize("lie", ["coordinate", "wrong-chunk", "wrong-rule", "invented-client", "self-convicting"])
def test_who_lies_about_small_updates_is_convicted(lie: str) -> None:
    report = play({"aggregator1": f"{lie}@2"}).report
    assert (report.rounds, report.lies, report.settled_lies, report.unpunished) == (ROUNDS, 1, 0, 0)
    assert report.convicted == report.slashed == ("aggregator1",)
    assert report.honest_loss == 0


@pytest.mark.parametrize("lie", ["garbage-trace", "trace-entry", "wrong-weights", "wrong-chunk"])
def test_totals_are_those_of_the_expanded_values(lie: str) -> None:
    """A trace of int8 in place of int16 would make every honest aggregator of the task a liar."""
    report = play({"aggregator1": f"{lie}@2"}, rule="nnm(f=1) | trimmed_mean(f=1)").report
    assert (report.rounds, report.lies, report.unpunished) == (ROUNDS, 1, 0)
    assert report.convicted == ("aggregator1",)


def test_a_watcher_that_samples_chunks_expands_them() -> None:
    report = play({"aggregator1": "poison@2"}, watching={f"validator{i}": "sample(0.5)" for i in range(4)}).report
    assert report.convicted == ("aggregator1",)
    assert report.honest_loss == 0


def test_extreme_updates_and_weights_hurt_nobody() -> None:
    report = play({"client1": "extreme-weight@1", "client2": "copied-update@2"}).report
    assert (report.rounds, report.lies, report.slashed) == (ROUNDS, 0, ())


@pytest.mark.parametrize("other", [{"mode": "quorum", "aggregators": 5}, {"mode": "pbft"}, FLOAT_TASK])
def test_every_mode_takes_small_updates(other: dict[str, object]) -> None:
    report = play(**other).report
    assert (report.rounds, report.lies, report.slashed) == (ROUNDS, 0, ())


def test_a_client_that_crashes_loses_its_residual_and_nothing_else() -> None:
    result = play(mean_seconds_between_crashes=60.0, loss_rate=0.02, rounds=8)
    assert result.crashes > 0
    assert (result.report.rounds, result.report.slashed) == (8, ())


def test_each_put_of_an_update_has_half_the_bytes() -> None:
    small, usual = play(), play(bits=16)
    assert small.report.rounds == usual.report.rounds == ROUNDS
    assert count_put_bytes(usual) - count_put_bytes(small) >= QUORUM * UPDATES * ROUNDS * LENGTH
