"""The benchmarks of files, ids, first calls and sizes: they run, and say what they are to say. No time is asserted."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from benchmarks import curves, first_call, hashing, streaming
from benchmarks.curves import Point, compute_slope


def run(command: object, *options: str) -> list[dict[str, float]]:
    result = CliRunner().invoke(command, ["--json", *options])  # type: ignore[arg-type]  # a click command
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.output.splitlines()]


def test_files_and_memory_give_the_same_model() -> None:
    lines = run(streaming.command, "--updates", "5", "--length", "9000", "--turns", "1")
    assert [line["rule"] for line in lines] == [rule.format(f=1) for rule in streaming.RULES]
    for line in lines:
        assert line["ratio_to_memory"] == pytest.approx(line["stream_seconds"] / line["memory_seconds"])
        assert line["stream_peak_mib"] > 0


def test_ids_of_one_and_of_many() -> None:
    (line,) = run(hashing.command, "--updates", "3", "--length", "9000", "--threads", "2", "--turns", "1")
    assert line["ratio_to_flat"] == pytest.approx(line["id_seconds"] / line["flat_seconds"])


def test_first_calls_with_and_without_what_was_compiled() -> None:
    lines = run(first_call.command)
    assert [line["process"] for line in lines] == [name for name, *_ in first_call.PROCESSES]
    assert all(line["call_seconds"] > 0 for line in lines)


def test_curves_of_every_rule() -> None:
    points = [Point(**line) for line in run(curves.command, "--quick")]  # type: ignore[arg-type]  # names and numbers
    assert {(point.curve, point.rule) for point in points} == {(c, rule) for c in "KD" for rule in curves.RULES}


@pytest.mark.parametrize("power", [0, 1, 2])
def test_the_slope_of_a_power_is_its_exponent(power: int) -> None:
    points = [Point("K", "median", k, 1, 1, 3e-6 * k**power) for k in (10, 100, 1000, 10_000)]
    assert compute_slope(points) == pytest.approx(power)
