"""The report: one file that is whole, needs nothing else, and lets nothing through that is not its own."""

from __future__ import annotations

import dataclasses
import html.parser
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from optfl_cli.demo.history import History
from optfl_cli.demo.outcome import compute_outcome
from optfl_cli.demo.report import WORDS, build_report, write_report
from optfl_cli.errors import UserError
from support.demo_history import NAMES, DemoRun, finish_run, start_run


class Page(html.parser.HTMLParser):
    """A page as a browser sees it: tags that match, attributes, and the text of each kind of element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.stack.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.stack:
            self.texts[self.stack[-1]][-1] += data


@pytest.fixture(scope="module")
def run() -> DemoRun:
    return finish_run()


def build(run: DemoRun, **changes: Any) -> Page:
    return Page(build_report(run.history, run.compute_outcome() | changes, run.plan))


def get_rows(page: Page, columns: int) -> list[list[str]]:
    """Cells of the table that comes first and has so many columns."""
    cells = page.texts["td"]
    return [cells[i : i + columns] for i in range(0, len(cells), columns)]


@pytest.mark.parametrize(
    "options",
    [{}, {"fraud": "coordinate"}, {"fraud": None}, {"rounds": 1, "fraud": None}, {"rounds": 100, "fraud_round": 40}],
    ids=["poison", "coordinate", "honest", "one round", "a hundred rounds"],
)
def test_page_is_whole(options: dict[str, Any]) -> None:
    run = finish_run(**options)
    page = build(run)
    models = get_rows(page, 10)[: len(run.history.attempts)]
    assert [row[0] for row in models] == [str(number) for number in run.history.attempts]
    assert [row[7].split()[-1] for row in models] == [a.status for a in run.history.attempts.values()]
    assert page.texts["h2"] == [
        "Accuracy",
        "Challenge windows",
        "Every model",
        "Who was paid, who was slashed",
        "What holds",
        "Words",
        "Facts",
    ]


def test_page_needs_nothing_else(run: DemoRun) -> None:
    text = build_report(run.history, run.compute_outcome(), run.plan)
    page = Page(text)
    for word in ("http:", "https:", "url(", "@import", "javascript"):
        assert word not in text
    assert not {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe", "a", "image", "use"}
    assert not {name for _, attributes in page.tags for name in attributes} & {"src", "href", "style", "onload"}
    policy = next(a["content"] for tag, a in page.tags if tag == "meta" and "http-equiv" in a)
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_title_and_story(run: DemoRun) -> None:
    page = build(run)
    assert page.texts["h1"] == ["12 of 12 rounds settled, 1 fraud proven"]
    assert page.texts["p"][0] == "Optimistic FL · digits · 4 nodes · 5 clients · median() · seed 7 · 61 s"
    assert page.texts["p"][1].startswith("aggregator1 lied in round 5")
    assert build(run, task_status="aborted").texts["h1"] == ["Task aborted: 12 of 12 rounds settled, 1 fraud proven"]


def test_figures(run: DemoRun) -> None:
    page = build(run)
    figures = dict(zip(page.texts["dt"][:6], page.texts["dd"][:6], strict=True))
    assert figures == {
        "final accuracy": "96.4%",
        "rounds settled": "12/12",
        "frauds proven": "1",
        "blocks to conviction": "5",
        "rounds void": "3",
        "tokens slashed": "50 000 000",
    }


def test_payments(run: DemoRun) -> None:
    page = build(run)
    cells = page.texts["td"][10 * len(run.history.attempts) :]
    rows = {cells[i + 1]: cells[i : i + 7] for i in range(0, len(cells), 7)}
    assert rows["aggregator1"] == [
        *("aggregator", "aggregator1", "−49 900 000", "50 000 000", "0", "−50 000 000", "excluded for good")
    ]
    assert rows["validator2"][-1] == "proved a fraud: +1 125 000"
    assert rows["burned"][2] == "+47 602 500"


def test_lie_that_does_not_show_is_said(run: DemoRun) -> None:
    text = "The lie does not show in the accuracy"
    assert not any(text in p for p in build(run).texts["p"])
    assert any(text in p for p in build(finish_run(fraud="coordinate")).texts["p"])


def test_checks(run: DemoRun) -> None:
    items = [attributes.get("class") for tag, attributes in build(run, tokens_conserved=False).tags if tag == "li"]
    assert (items.count("yes"), items.count("no")) == (6, 1)


def test_words_are_explained(run: DemoRun) -> None:
    page = build(run)
    assert dict(zip(page.texts["dt"], page.texts["dd"], strict=True)).items() >= WORDS.items()


def test_facts_are_the_outcome(run: DemoRun) -> None:
    page = build(run)
    assert json.loads(page.texts["pre"][0]) == run.compute_outcome()
    assert page.texts["code"][1] == "optfl demo --rounds 12 --clients 5 --rule 'median()' --seed 7 --fraud poison"


def test_the_command_names_the_bits_of_small_updates(run: DemoRun) -> None:
    page = Page(build_report(run.history, run.compute_outcome(), replace(run.plan, update_bits=8)))
    assert " --rule 'median()' --update-bits 8 --seed 7 " in page.texts["code"][1]


def test_honest_command() -> None:
    assert build(finish_run(rounds=1, fraud=None)).texts["code"][1].endswith("--honest")


def test_byzantine_clients() -> None:
    run = finish_run(fraud=None)
    run.plan = dataclasses.replace(run.plan, attack="mimic(member=1)", byzantine_clients=(0, 4))
    page = build_report(run.history, run.compute_outcome(), run.plan)
    assert "client0 and client4 were Byzantine in each round" in page
    assert page.count("Byzantine: mimic(member=1)") == 2
    assert "--honest --attack &#x27;mimic(member=1)&#x27; --byzantine-clients 2" in page


def test_names_get_through_as_text_only(run: DemoRun) -> None:
    hostile = {address: f"<script>alert('{name}')</script>\"&" for address, name in NAMES.items()}
    history = History(hostile)
    history.observe(*run.get_views())
    outcome = compute_outcome(run.get_answers(), hostile)
    page = Page(build_report(history, outcome, run.plan))
    assert "script" not in {tag for tag, _ in page.tags}
    assert hostile[next(iter(NAMES))] in page.texts["td"]


def test_page_of_a_task_that_nobody_worked_on() -> None:
    page = build(start_run())
    assert page.texts["h1"] == ["Task running: 0 of 12 rounds settled, nobody convicted"]
    assert "No model was submitted." in page.texts["p"]


def test_same_run_same_page(run: DemoRun) -> None:
    assert build_report(run.history, run.compute_outcome(), run.plan) == build_report(
        run.history, run.compute_outcome(), run.plan
    )


def test_file(tmp_path: Path, run: DemoRun) -> None:
    path = tmp_path / "report.html"
    write_report(path, run.history, run.compute_outcome(), run.plan)
    assert path.read_bytes().decode("utf-8").startswith('<!doctype html>\n<html lang="en">')


def test_file_that_cannot_be_written(tmp_path: Path, run: DemoRun) -> None:
    path = tmp_path / "missing" / "report.html"
    with pytest.raises(UserError, match=r"cannot write the report to .*No such file.*choose another --report"):
        write_report(path, run.history, run.compute_outcome(), run.plan)
