"""Deviating costs what it is said to cost; where it does not, the table says so."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from benchmarks.economics import DEVIATIONS, Line, command, measure, show
from optfl_sim.adversaries import ADVERSARIES
from optfl_sim.federation import STAKES

# Lies that end as one in the table does: the chunk, or the total, that is wrong convicts them.
LIKE_ANOTHER_LIE = {"wrong-chunk", "wrong-rule", "dropped-client", "invented-client", "stale-base"}

COMMON = {
    "runs": 2,
    "error": 3,
    "worst_difference": -1,
    "participants": 30,
    "requester": 0,
    "unsettled_rounds": 0.0,
    "settled_lies": 0.0,
    "saves": "",
    "beyond": "",
}


def measure_one(name: str) -> Line:
    (deviation,) = (deviation for deviation in DEVIATIONS if deviation.name == name)
    return measure(deviation, runs=1)


def test_a_late_turn_costs_more_than_the_slash() -> None:
    """And somebody else earns its reward."""
    line = measure_one("aggregator: late")
    assert line.beaten == "yes"
    assert line.difference < -STAKES["aggregator"] // 100
    assert line.participants > 0
    assert (line.requester, line.unsettled_rounds) == (0, 0)


def test_a_copied_update_is_not_paid() -> None:
    line = measure_one("client: copies an older update")
    assert line.beaten == "yes"
    assert line.deviant_gain < line.honest_gain // 2


def test_noise_is_paid_like_any_other_update() -> None:
    """Not beaten: nothing shows that an update was trained."""
    line = measure_one("client: sends noise")
    assert line.beyond
    assert line.beaten == "no"
    assert abs(line.difference) < line.honest_gain // 10


def test_R6_updates_are_not_cheaper_for_who_cancels() -> None:
    """For as many updates as it got, the requester has paid as much."""
    line = measure_one("requester: takes the updates and cancels")
    assert line.difference <= 0
    assert abs(line.difference) < -line.honest_gain // 100
    assert line.unsettled_rounds > 0


def test_every_adversary_is_in_the_table() -> None:
    played = {
        part.partition("@")[0]
        for deviation in DEVIATIONS
        for part in [*deviation.plays.values(), *deviation.among.values()]
    }
    assert set(ADVERSARIES) - played == LIKE_ANOTHER_LIE
    assert len({deviation.name for deviation in DEVIATIONS}) == len(DEVIATIONS)


def test_a_table_says_where_honesty_does_not_pay(capsys: pytest.CaptureFixture[str]) -> None:
    worse = Line(deviation="a", honest_gain=100, deviant_gain=-2000, difference=-2100, played=2, **COMMON)  # type: ignore[arg-type]
    even = {**COMMON, "worst_difference": 2}
    same = Line(deviation="b", honest_gain=5, deviant_gain=5, difference=0, played=0, **even)  # type: ignore[arg-type]
    mostly = Line(deviation="c", honest_gain=5, deviant_gain=-5, difference=-10, played=2, **even)  # type: ignore[arg-type]
    luck = Line(deviation="d", honest_gain=5, deviant_gain=0, difference=-5, played=2, **even)  # type: ignore[arg-type]
    once = Line(deviation="e", honest_gain=5, deviant_gain=0, difference=-5, played=1, **COMMON)  # type: ignore[arg-type]
    show([worse, same, mostly, luck, once])
    rows = [line.split("|") for line in capsys.readouterr().out.splitlines() if line.count("|") > 5][-5:]
    assert [[cell.strip() for cell in row[1:6]] for row in rows] == [
        ["a", "100", "-2,000", "-2,100", "yes"],
        ["b", "5", "5", "0 ± 3", "**no**"],
        ["c", "5", "-5", "-10 ± 3", "on average"],
        ["d", "5", "0", "-5 ± 3", "**no**"],
        ["e", "5", "0", "-5", "yes (1)"],
    ]


def test_a_name_that_there_is_not_is_a_usage_error() -> None:
    assert CliRunner().invoke(command, ["--only", "a dragon"]).exit_code == 2
