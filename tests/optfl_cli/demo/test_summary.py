"""The last screen: short, readable without colour, and honest about what does not hold."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from optfl_cli.demo.summary import build_summary, format_accuracy, format_change
from support.demo_history import DemoRun, finish_run


@pytest.fixture(scope="module")
def run() -> DemoRun:
    return finish_run()


def render(run: DemoRun, width: int = 100, **changes: Any) -> list[str]:
    console = Console(width=width, file=io.StringIO(), color_system=None, legacy_windows=False)
    with console.capture() as capture:
        console.print(build_summary(run.history, run.compute_outcome() | changes, run.plan))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_accounts_that_stand_out_have_lines_of_their_own(run: DemoRun) -> None:
    lines = render(run)
    table = lines[next(i for i, line in enumerate(lines) if line.lstrip().startswith("who")) :]
    assert [line.split("  ")[0].strip() for line in table[2:11]] == [
        "requester",
        "aggregator0",
        "aggregator1",
        "aggregator2",
        "validator2",
        "3 other validators",
        "4 replicas",
        "5 clients",
        "burned",
    ]
    assert "50 000 000 → 0  slashed 50 000 000, excluded" in next(line for line in table if "aggregator1" in line)
    assert "proved the fraud: +1 125 000" in next(line for line in table if "validator2" in line)
    assert "+420 000 each" in next(line for line in table if "clients" in line)


def test_byzantine_clients_have_lines_of_their_own(run: DemoRun) -> None:
    plan = dataclasses.replace(run.plan, attack="sign_flip(factor=5)", byzantine_clients=(1, 3))
    lines = render(dataclasses.replace(run, plan=plan))
    for name in ("client1", "client3"):
        (line,) = (line for line in lines if line.lstrip().startswith(f"{name}  "))
        assert "Byzantine: sign_flip(factor=5)" in line
    assert any("3 other clients" in line for line in lines)


def test_accuracy_line(run: DemoRun) -> None:
    (line,) = (line for line in render(run) if line.startswith("Accuracy"))
    assert [part.split("% ")[1] for part in line.split(" · ")] == ["before", "with the fraud", "redone", "at the end"]


def test_checks(run: DemoRun) -> None:
    text = "\n".join(render(run))
    assert text.count("✓") == 7
    assert "✗" not in text


def test_what_does_not_hold_is_seen_without_colour(run: DemoRun) -> None:
    (line,) = (line for line in render(run, tokens_conserved=False) if "✗" in line)
    assert "✗ tokens conserved" in line


@pytest.mark.parametrize("width", [80, 100, 200])
@pytest.mark.parametrize("options", [{}, {"fraud": None}, {"rounds": 1, "fraud": None}])
def test_fits_the_terminal(width: int, options: dict[str, Any]) -> None:
    lines = render(finish_run(**options), width)
    assert max(cell_len(line) for line in lines) <= width
    assert len(lines) <= 29
    assert not any("…" in line for line in lines)


def test_duties(run: DemoRun) -> None:
    line = render(run)[-1]
    assert line == "0 of 48 audits answered · beacon revealed in 2 of the last 3 blocks"


def test_without_the_seconds(run: DemoRun) -> None:
    outcome = run.compute_outcome()
    del outcome["seconds"]
    console = Console(width=100, file=io.StringIO())
    with console.capture() as capture:
        console.print(build_summary(run.history, outcome, run.plan))
    assert "Task completed at height 44: 12 of 12 rounds settled." in capture.get()


@pytest.mark.parametrize(("tokens", "text"), [(1_200, "+1 200"), (0, "0"), (-50, "−50")])
def test_format_change(tokens: int, text: str) -> None:
    assert format_change(tokens) == text


@pytest.mark.parametrize(("accuracy", "text"), [(None, "–"), (0.0, "0.0%"), (0.9637, "96.4%"), (1.0, "100.0%")])
def test_format_accuracy(accuracy: float | None, text: str) -> None:
    assert format_accuracy(accuracy) == text
