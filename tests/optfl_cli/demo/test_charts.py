"""The charts show what happened: every model once, the lie as a lie, what was undone as undone."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from optfl_cli.demo.charts import draw_accuracy, draw_timeline
from optfl_cli.demo.history import History
from support.demo_history import DemoRun, finish_run, start_run

CASES: dict[str, dict[str, Any]] = {
    "poison": {},
    "coordinate": {"fraud": "coordinate"},
    "honest": {"fraud": None},
    "one round": {"rounds": 1, "fraud": None},
    "one round, a lie": {"rounds": 1, "fraud_round": 1},
    "a lie at the end": {"fraud_round": 11},
    "a hundred rounds": {"rounds": 100, "fraud_round": 40},
}


@pytest.fixture(scope="module", params=list(CASES))
def run(request: pytest.FixtureRequest) -> DemoRun:
    return finish_run(**CASES[request.param])


@pytest.fixture(scope="module")
def poisoned() -> DemoRun:
    return finish_run()


def find(chart: str, class_: str) -> list[ET.Element]:
    return [e for e in ET.fromstring(chart).iter() if e.get("class") == class_]


def x_of(circle: ET.Element) -> float:
    return float(circle.attrib["cx"])


def get_numbers(chart: str) -> list[float]:
    """Every coordinate in a chart."""
    root = ET.fromstring(chart)
    names = ("x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "width", "height", "points")
    return [float(n) for e in root.iter() for k in names for n in re.findall(r"-?[\d.]+", e.get(k, ""))]


def test_every_model_has_its_mark(run: DemoRun) -> None:
    statuses = [a.status for a in run.history.attempts.values()]
    for chart in (draw_accuracy(run.history), draw_timeline(run.history)):
        titles = [t.text or "" for g in ET.fromstring(chart).iter("g") for t in g.findall("title")]
        assert len(titles) == len(statuses)
        assert [re.search("settled|void|convicted", title)[0] for title in titles] == statuses  # type: ignore[index]


def test_lies_are_marked_whatever_their_accuracy(run: DemoRun) -> None:
    chart = draw_accuracy(run.history)
    statuses = [a.status for a in run.history.attempts.values()]
    assert len(find(chart, "lied")) == len(find(chart, "cross")) == statuses.count("convicted")
    assert len(find(chart, "lost")) == statuses.count("void")
    assert len(find(chart, "model")) == statuses.count("settled")
    assert len(find(chart, "undone")) == len(find(chart, "ring")) == len(run.history.convictions)
    assert ("lied in round" in chart) == bool(run.history.convictions)


def test_everything_is_inside(run: DemoRun) -> None:
    for chart in (draw_accuracy(run.history), draw_timeline(run.history)):
        left, top, width, height = map(float, ET.fromstring(chart).attrib["viewBox"].split())
        assert min(get_numbers(chart)) >= min(left, top)
        assert max(get_numbers(chart)) <= max(width, top + height)


def test_charts_say_what_they_are(run: DemoRun) -> None:
    for chart in (draw_accuracy(run.history), draw_timeline(run.history)):
        root = ET.fromstring(chart)
        assert root.get("role") == "img"
        labels = root.attrib["aria-labelledby"].split()
        assert [e.get("id") for e in root[:2]] == labels
        assert all(e.text for e in root[:2])


def test_accuracy_goes_by_order_of_submission(poisoned: DemoRun) -> None:
    chart = draw_accuracy(poisoned.history)
    (lie,), (ring,) = find(chart, "lied"), find(chart, "ring")
    undone = sorted([x_of(lie), *(x_of(e) for e in find(chart, "lost"))])
    assert undone[0] == x_of(lie)
    assert x_of(ring) > undone[-1]
    (band,) = find(chart, "undone")
    start, end = float(band.attrib["x"]), float(band.attrib["x"]) + float(band.attrib["width"])
    assert [start < x < end for x in [*undone, x_of(ring)]] == [True, True, True, False]


def test_only_what_stands_is_joined(poisoned: DemoRun) -> None:
    chart = draw_accuracy(poisoned.history)
    (line,), (branch,) = find(chart, "stands"), find(chart, "branch")
    assert len(line.attrib["points"].split()) == 12
    assert len(branch.attrib["points"].split()) == 4  # round 4's model, and three that were undone
    assert branch.attrib["points"].split()[0] in line.attrib["points"].split()


def test_models_without_an_accuracy() -> None:
    run = finish_run(rounds=4, fraud_round=2)
    for attempt in run.history.attempts.values():
        attempt.accuracy = None
    chart = draw_accuracy(run.history)
    assert len(find(chart, "lied")) == 1
    assert len(find(chart, "unknown")) == len(run.history.attempts) - 1
    assert "%" not in "".join(e.text or "" for e in find(chart, "figure") + find(chart, "lie"))


def test_windows_end_where_they_did(poisoned: DemoRun) -> None:
    chart = draw_timeline(poisoned.history)
    (proof,) = find(chart, "proof")
    at = float(proof.attrib["x1"])
    cut = [float(e.attrib["x"]) + float(e.attrib["width"]) for e in find(chart, "fraud") + find(chart, "lost")]
    assert cut == pytest.approx([at] * 3, abs=0.2)
    assert len(find(chart, "window")) == 12


def test_a_run_that_goes_on() -> None:
    run = start_run(rounds=3, fraud=None)
    for _ in range(6):
        run.step()
    chart = draw_timeline(run.history)
    assert len(find(chart, "window")) == 3
    assert not find(chart, "model")


def test_a_run_that_was_seen_only_at_its_end(poisoned: DemoRun) -> None:
    late = History(poisoned.history.names)
    late.observe(*poisoned.get_views())
    assert len(find(draw_timeline(late), "fraud")) == 1
    assert len(find(draw_accuracy(late), "lied")) == 1


def test_nothing_to_draw() -> None:
    history = start_run().history
    assert draw_accuracy(history) == "<p>No model was submitted.</p>"
    assert draw_timeline(history) == "<p>No challenge window was opened.</p>"
