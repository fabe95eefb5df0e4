"""The report of a demo: one HTML file that needs nothing else, to look at, to print, and to send to somebody."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optfl_cli.demo.charts import draw_accuracy, draw_timeline
from optfl_cli.demo.history import AttemptRecord, History, count, format_tokens
from optfl_cli.demo.markup import Markup, join, tag
from optfl_cli.demo.plan import Plan
from optfl_cli.demo.story import (
    Payment,
    compute_burned,
    compute_payments,
    get_final_accuracy,
    is_byzantine,
    is_lie_invisible,
    list_checks,
    tell_story,
)
from optfl_cli.demo.summary import format_accuracy, format_change
from optfl_cli.errors import UserError

WORDS = {
    "task": "what a requester pays for: so many rounds of training, by a rule, with an escrow that pays everybody",
    "round": "clients train from one model, commit their updates, and one aggregator makes the next model of them",
    "update": "what a client learned, as 16-bit integers; stored by replicas before the ledger takes its id",
    "aggregator": "does a round's work alone, in turn, and answers for it with its stake",
    "attempt": "a model that an aggregator submitted for a round, with everything that it can be judged by",
    "height": "number of a block of the chain: the time that everybody agrees on",
    "challenge window": "blocks after a submission in which a fraud proof undoes it; training goes on meanwhile",
    "fraud proof": "one chunk of all the updates and of the model: the ledger re-executes it, in the block it comes in",
    "convicted": "proven wrong on the ledger: its author is slashed and excluded, and its round is done again",
    "void": "built on a model that was undone: it is not settled, and its clients are compensated out of the slash",
    "redone": "made from the very same updates by the next aggregator; no client trains again for it",
    "settled": "past its window: final, paid for, and never reverted",
    "stake": "tokens that vouch for a role; slashing takes them, and burns the better part",
}

_TALL_ROWS = 40  # more of them scroll in a box of their own
_STATES = {"settled": "✓ settled", "convicted": "✗ convicted", "void": "○ void", "dropped": "– dropped", "open": "open"}


def write_report(path: Path, history: History, outcome: Mapping[str, Any], plan: Plan) -> None:
    """Write the file; `outcome` is what `optfl demo --json` prints. Raises UserError."""
    try:
        path.write_text(build_report(history, outcome, plan), encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write the report to {path} ({error.strerror}); choose another --report") from None


def build_report(history: History, outcome: Mapping[str, Any], plan: Plan) -> str:
    """The whole page."""
    title = _build_title(outcome)
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content="default-src 'none'; style-src 'unsafe-inline'"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"Optimistic FL: {title}"),
        tag("style", Markup(_STYLE)),
    )
    body = tag(
        "body",
        _build_header(title, history, outcome, plan),
        tag(
            "main",
            _build_figures(history, outcome),
            _build_accuracy(history),
            _build_timeline(history),
            _build_attempts(history),
            _build_payments(history, plan),
            _build_checks(history, outcome, plan),
            _build_words(),
            _build_facts(outcome, plan),
        ),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _build_title(outcome: Mapping[str, Any]) -> str:
    status, frauds = outcome["task_status"], outcome["frauds_proven"]
    settled = f"{outcome['rounds_settled']} of {count(outcome['rounds'], 'round')} settled"
    found = f"{count(frauds, 'fraud')} proven" if frauds else "nobody convicted"
    return f"{settled}, {found}" if status == "completed" else f"Task {status}: {settled}, {found}"


def _build_header(title: str, history: History, outcome: Mapping[str, Any], plan: Plan) -> Markup:
    name = history.view.task.parameters.name if history.view is not None else ""
    facts = [name, count(outcome["nodes"], "node"), count(plan.clients, "client"), plan.rule, f"seed {plan.seed}"]
    facts += [f"{outcome['seconds']:.0f} s"] if "seconds" in outcome else []
    return tag(
        "header",
        tag("p", " · ".join(["Optimistic FL", *filter(None, facts)]), class_="kicker"),
        tag("h1", title),
        *(tag("p", sentence, class_="story") for sentence in tell_story(history, outcome, plan)[1:]),
    )


def _build_figures(history: History, outcome: Mapping[str, Any]) -> Markup:
    blocks = outcome["blocks_to_conviction"]
    figures = {
        "final accuracy": format_accuracy(get_final_accuracy(history)),
        "rounds settled": f"{outcome['rounds_settled']}/{outcome['rounds']}",
        "frauds proven": str(outcome["frauds_proven"]),
        "blocks to conviction": "–" if blocks is None else str(blocks),
        "rounds void": str(outcome["rounds_voided"]),
        "tokens slashed": format_tokens(outcome["slashed"]),
    }
    return tag(
        "dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in figures.items()), class_="figures"
    )


def _build_accuracy(history: History) -> Markup:
    legend = [("model", "settled")]
    if history.convictions:
        legend += [("redone", "done again after a fraud"), ("lied", "proven a fraud")]
    if any(a.status == "void" for a in history.attempts.values()):
        legend.append(("lost", "void: built on it"))
    text = "On held-out data that no client has, of every model that an aggregator submitted. "
    text += "The line runs through the models that stand."
    if is_lie_invisible(history):
        text += " The lie does not show in the accuracy; re-execution found it all the same."
    return tag(
        "section",
        tag("h2", "Accuracy"),
        tag("p", text),
        _build_figure(draw_accuracy(history), legend),
    )


def _build_timeline(history: History) -> Markup:
    legend = [("window", "window open"), ("waiting", "over, waits for the rounds before"), ("model", "settled")]
    if history.convictions:
        legend.append(("lied", "fraud proven"))
    if any(a.status == "void" for a in history.attempts.values()):
        legend.append(("cut", "void"))
    return tag(
        "section",
        tag("h2", "Challenge windows"),
        tag(
            "p",
            "Each model can be challenged for some blocks. The next round does not wait for that: it starts from the "
            "model as soon as it is submitted, and training never stops for a dispute.",
        ),
        _build_figure(draw_timeline(history), legend),
    )


def _build_figure(chart: Markup, legend: Sequence[tuple[str, str]]) -> Markup:
    keys = [tag("li", _draw_key(kind), text) for kind, text in legend]
    return tag("figure", tag("div", chart, class_="scroll"), *([tag("ul", *keys, class_="legend")] if keys else []))


def _draw_key(kind: str) -> Markup:
    if kind in ("window", "waiting", "cut"):
        shape = tag("rect", x=1, y=5, width=22, height=10, rx=2, class_="lost" if kind == "cut" else kind)
    elif kind == "lied":
        shape = join(
            [tag("circle", cx=12, cy=10, r=8, class_="lied"), tag("path", d="M9 7 l6 6 m0 -6 l-6 6", class_="cross")]
        )
    elif kind == "redone":
        shape = join(
            [tag("circle", cx=12, cy=10, r=8.5, class_="ring"), tag("circle", cx=12, cy=10, r=4.5, class_="model")]
        )
    else:
        shape = tag("circle", cx=12, cy=10, r=4.5, class_=kind)
    return tag("svg", shape, viewBox="0 0 24 20", width=24, height=20, aria_hidden="true")


def _build_attempts(history: History) -> Markup:
    columns = [
        "model",
        "round",
        "turn",
        "aggregator",
        "updates",
        "submitted",
        "window until",
        "state",
        "at height",
        "accuracy",
    ]
    rows = [(_describe_attempt(a), a.status) for a in history.attempts.values()]
    return tag(
        "section",
        tag("h2", "Every model"),
        tag(
            "p", "The data of both charts, in the order of submission. A turn counts from 0: the second is a hand-over."
        ),
        _build_table("Every model that was submitted", columns, rows, text_columns=("aggregator", "state")),
    )


def _describe_attempt(attempt: AttemptRecord) -> list[str]:
    return [
        str(attempt.attempt_id),
        str(attempt.round),
        str(attempt.turn),
        attempt.aggregator,
        str(attempt.updates),
        str(attempt.submit_height or "–"),
        str(attempt.window_close_height or "–"),
        _STATES[attempt.status],
        str(attempt.status_height) if attempt.status != "open" else "–",
        format_accuracy(attempt.accuracy),
    ]


def _build_payments(history: History, plan: Plan) -> Markup:
    columns = ["role", "account", "change of tokens", "stake before", "stake after", "slashed", "note"]
    payments = compute_payments(history)
    rows = [(_describe_payment(payment, plan), "convicted" if payment.slashed else "") for payment in payments]
    rows.append((["", "burned", format_change(compute_burned(history)), "", "", "", ""], ""))
    return tag(
        "section",
        tag("h2", "Who was paid, who was slashed"),
        tag(
            "p",
            "By how much all that an account has, its stake included, became more: rewards for settled rounds, less "
            "fees and slashes. Validators also earn the fees of the blocks that they propose. It adds up to zero.",
        ),
        _build_table("Tokens by account", columns, rows, text_columns=("role", "account", "note")),
    )


def _describe_payment(payment: Payment, plan: Plan) -> list[str]:
    notes = [f"Byzantine: {plan.attack}"] if is_byzantine(payment, plan) else []
    notes += ["excluded for good"] if payment.is_excluded else []
    notes += [f"proved a fraud: {format_change(payment.prover_reward)}"] if payment.prover_reward else []
    return [
        payment.role,
        payment.name,
        format_change(payment.change),
        format_tokens(payment.first_stake) if payment.first_stake else "–",
        format_tokens(payment.stake) if payment.stake or payment.first_stake else "–",
        format_change(-payment.slashed) if payment.slashed else "–",
        ", ".join(notes),
    ]


def _build_table(
    caption: str, columns: Sequence[str], rows: Sequence[tuple[Sequence[str], str]], *, text_columns: Sequence[str]
) -> Markup:
    """`rows` are cells and a class. What is no text is a number, to the right."""
    kinds = ["text" if column in text_columns else "number" for column in columns]
    heads = [tag("th", name, scope="col", class_=kind) for name, kind in zip(columns, kinds, strict=True)]
    body = [
        tag("tr", *(tag("td", cell, class_=k) for cell, k in zip(cells, kinds, strict=True)), class_=style or None)
        for cells, style in rows
    ]
    table = tag("table", tag("caption", caption), tag("thead", tag("tr", *heads)), tag("tbody", *body))
    style = "scroll tall" if len(rows) > _TALL_ROWS else "scroll"
    return tag("div", table, class_=style, tabindex=0, role="region", aria_label=caption)


def _build_checks(history: History, outcome: Mapping[str, Any], plan: Plan) -> Markup:
    items = [
        tag(
            "li",
            tag("span", "✓" if check.is_passed else "✗", class_="mark"),
            f" {check.text}",
            class_="yes" if check.is_passed else "no",
        )
        for check in list_checks(history, outcome, plan)
    ]
    return tag(
        "section",
        tag("h2", "What holds"),
        tag(
            "p", "Computed at the end from what each node answers by itself, and from nothing that the demo remembers."
        ),
        tag("ul", *items, class_="checks"),
    )


def _build_words() -> Markup:
    words = [tag("div", tag("dt", word), tag("dd", meaning)) for word, meaning in WORDS.items()]
    return tag("section", tag("h2", "Words"), tag("dl", *words, class_="words"))


def _build_facts(outcome: Mapping[str, Any], plan: Plan) -> Markup:
    fraud = f"--fraud {plan.fraud}" if plan.fraud else "--honest"
    bits = f" --update-bits {plan.update_bits}" if plan.update_bits != 16 else ""
    command = (
        f"optfl demo --rounds {plan.rounds} --clients {plan.clients} --rule '{plan.rule}'{bits}"
        f" --seed {plan.seed} {fraud}"
    )
    if plan.byzantine_clients:
        command += f" --attack '{plan.attack}' --byzantine-clients {len(plan.byzantine_clients)}"
    return tag(
        "section",
        tag("h2", "Facts"),
        tag("p", "As ", tag("code", "optfl demo --json"), " prints them. To run it again: ", tag("code", command)),
        tag("pre", json.dumps(outcome, indent=2, ensure_ascii=False, default=str)),
    )


_STYLE = """
:root {
  --paper: #fff; --ink: #1c2127; --muted: #5f6b76; --grid: #e4e7eb; --panel: #f5f7f9;
  --blue: #1f6fb2; --blue-soft: #a9cdea; --blue-faint: #dcebf7;
  --red: #c22f1d; --red-faint: #fbe9e6; --grey: #8b959e; --back: #8a5a00; --green: #1d7a3c;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14181c; --ink: #e6e9ec; --muted: #9aa5af; --grid: #2b3238; --panel: #1d2328;
    --blue: #63aee8; --blue-soft: #2f628c; --blue-faint: #20394d;
    --red: #ff7b68; --red-faint: #35201e; --grey: #77828c; --back: #e0ac4f; --green: #62c483;
  }
}
@media print {
  :root {
    --paper: #fff; --ink: #000; --muted: #444; --grid: #ddd; --panel: #f5f5f5;
    --blue: #1f6fb2; --blue-soft: #a9cdea; --blue-faint: #dcebf7;
    --red: #c22f1d; --red-faint: #fbe9e6; --grey: #777; --back: #8a5a00; --green: #1d7a3c;
  }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 2.5rem 1.5rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: .2rem 0 1rem; letter-spacing: -.01em; }
h2 { font-size: 1.2rem; margin: 2.75rem 0 .35rem; }
p { margin: .35rem 0; max-width: 46rem; }
section > p { color: var(--muted); }
.kicker { color: var(--muted); font-size: .85rem; }
.story { font-size: 1.05rem; }
.figures { display: flex; flex-wrap: wrap; gap: 0 2.25rem; margin: 1.75rem 0 0; padding: .9rem 0;
  border-block: 1px solid var(--grid); }
.figures dt { color: var(--muted); font-size: .8rem; }
.figures dd { margin: 0; font-size: 1.45rem; font-variant-numeric: tabular-nums; white-space: nowrap; }
figure { margin: .75rem 0 0; break-inside: avoid; }
.scroll { overflow-x: auto; }
.tall { max-height: 34rem; overflow-y: auto; }
.chart { display: block; width: 100%; min-width: 40rem; height: auto; }
.chart text { font-size: 12px; fill: var(--muted); font-variant-numeric: tabular-nums; }
.chart text.figure, .chart text.lie, .chart text.back { font-size: 12.5px; font-weight: 600; }
.chart text.figure, .chart text.lie { paint-order: stroke; stroke: var(--paper); stroke-width: 3px; }
.chart text.figure { fill: var(--ink); }
.chart text.lie { fill: var(--red); }
.chart text.back { fill: var(--back); }
.chart text.gone { fill: var(--grey); text-decoration: line-through; }
.chart text.name { fill: var(--ink); }
.timeline text.name, .timeline text.gone, .timeline text.lie { font-size: 11px; font-weight: 400; }
.grid { stroke: var(--grid); }
.stands { fill: none; stroke: var(--blue); stroke-width: 2; stroke-linejoin: round; }
.branch { fill: none; stroke: var(--red); stroke-width: 1.5; stroke-dasharray: 4 4; }
.undone { fill: var(--red-faint); }
.thread { stroke: var(--red); stroke-dasharray: 1 3; stroke-linecap: round; }
.rollback { fill: none; stroke: var(--back); stroke-width: 1.75; stroke-linejoin: round; stroke-linecap: round; }
.model { fill: var(--blue); stroke: var(--paper); stroke-width: 1; }
.ring { fill: none; stroke: var(--blue); stroke-width: 1.75; }
.lost { fill: var(--paper); stroke: var(--grey); stroke-width: 1.5; }
.lied { fill: var(--red); stroke: var(--paper); stroke-width: 1.5; }
.cross { fill: none; stroke: var(--paper); stroke-width: 1.9; stroke-linecap: round; }
.unknown { stroke: var(--muted); stroke-width: 2; }
.fraud { fill: var(--red); opacity: .75; }
.window { fill: var(--blue-soft); }
.waiting { fill: var(--blue-faint); }
.proof { stroke: var(--red); stroke-dasharray: 3 3; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.4rem; margin: .4rem 0 0; padding: 0; list-style: none;
  color: var(--muted); font-size: .85rem; }
.legend li { display: flex; align-items: center; gap: .4rem; }
table { border-collapse: collapse; width: 100%; margin-top: .6rem; font-size: .88rem;
  font-variant-numeric: tabular-nums; }
caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
th, td { padding: .28rem .6rem; white-space: nowrap; border-bottom: 1px solid var(--grid); }
th { color: var(--muted); font-weight: 500; position: sticky; top: 0; background: var(--paper); }
.text { text-align: left; }
.number { text-align: right; }
tr.convicted td { color: var(--red); background: var(--red-faint); }
tr.void td, tr.dropped td { color: var(--grey); }
.checks { list-style: none; padding: 0; margin: .5rem 0 0; columns: 2 18rem; }
.yes .mark { color: var(--green); font-weight: 700; }
.no, .no .mark { color: var(--red); font-weight: 700; }
.words { margin: .5rem 0 0; }
.words div { display: grid; grid-template-columns: 10rem 1fr; gap: 0 1rem; padding: .15rem 0; }
.words dt { font-weight: 600; }
.words dd { margin: 0; color: var(--muted); }
pre { background: var(--panel); padding: 1rem; overflow-x: auto; font-size: .82rem; line-height: 1.45; }
code { font-size: .88em; background: var(--panel); padding: .1em .3em; }
@media (max-width: 36rem) { .words div { grid-template-columns: 1fr; } }
@media print {
  body { max-width: none; padding: 0; font-size: 11pt; }
  .scroll, .tall { overflow: visible; max-height: none; }
  .chart { min-width: 0; }
  h2, section > p { break-after: avoid; }
  tr, .words div { break-inside: avoid; }
  pre { white-space: pre-wrap; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
"""
