"""The last thing that `optfl demo` shows: what happened, what it did to the model, who was paid, and what held."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby, zip_longest
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from optfl_cli.demo.history import History, count, format_tokens
from optfl_cli.demo.plan import Plan
from optfl_cli.demo.story import (
    Check,
    Payment,
    compute_burned,
    compute_payments,
    count_audits,
    get_milestones,
    is_byzantine,
    list_checks,
    tell_story,
)


def build_summary(history: History, outcome: Mapping[str, Any], plan: Plan) -> RenderableType:
    """Something to `Console.print`; `outcome` is that of `compute_outcome`, with `seconds` if it is known."""
    checks = list_checks(history, outcome, plan)
    lines = [Text(sentence) for sentence in tell_story(history, outcome, plan)]
    return Group(
        Rule(Text("What happened", style="bold"), align="left", style="dim"),
        *lines,
        _build_milestones(history),
        Text(),
        _build_payments(compute_payments(history), compute_burned(history), plan),
        Text(),
        Text("What holds, by the nodes' own answers", style="bold"),
        _build_checks(checks),
        _build_duties(history, outcome),
    )


def format_accuracy(accuracy: float | None) -> str:
    return "–" if accuracy is None else f"{accuracy:.1%}"


def format_change(tokens: int) -> str:
    """Signed, with a real minus: "+1 200", "−50", "0"."""
    sign = "+" if tokens > 0 else "−" if tokens < 0 else ""
    return sign + format_tokens(abs(tokens))


def _build_milestones(history: History) -> Text:
    line = Text("Accuracy: ")
    for i, (when, accuracy) in enumerate(get_milestones(history)):
        line.append(" · " if i else "", style="dim").append(format_accuracy(accuracy), style="bold").append(f" {when}")
    return line


def _build_payments(payments: Iterable[Payment], burned: int, plan: Plan) -> Table:
    """A line for each account that stands out, one for all others of its role."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("who")
    table.add_column("change", justify="right")
    table.add_column("stake", justify="right")
    table.add_column("")
    for role, group in groupby(payments, key=lambda payment: payment.role):
        members = list(group)
        alone = [p for p in members if role in ("aggregator", "requester") or _describe(p, plan)]
        for payment in alone:
            style = "red" if payment.slashed else ""
            cells = (payment.name, format_change(payment.change), _format_stake(payment), _describe(payment, plan))
            table.add_row(*cells, style=style)
        others = [p for p in members if p not in alone]
        if others:
            table.add_row(*_sum_up(role, others, is_rest=bool(alone)))
    table.add_row("burned", format_change(burned), "", "", style="dim")
    return table


def _sum_up(role: str, members: list[Payment], *, is_rest: bool) -> tuple[str, str, str, str]:
    changes, stakes = [p.change for p in members], [p.stake for p in members]
    who = count(len(members), f"other {role}" if is_rest else role)
    each = format_change(min(changes))
    if min(changes) != max(changes):
        each += f" to {format_change(max(changes))}"
    return who, format_change(sum(changes)), format_tokens(sum(stakes)), f"{each} each" if len(members) > 1 else ""


def _format_stake(payment: Payment) -> str:
    if payment.first_stake == payment.stake:
        return format_tokens(payment.stake) if payment.stake else ""
    return f"{format_tokens(payment.first_stake)} → {format_tokens(payment.stake)}"


def _describe(payment: Payment, plan: Plan) -> str:
    """What is out of the ordinary about an account."""
    notes = [f"Byzantine: {plan.attack}"] if is_byzantine(payment, plan) else []
    if payment.slashed:
        notes.append(f"slashed {format_tokens(payment.slashed)}")
    if payment.is_excluded:
        notes.append("excluded")
    if payment.prover_reward:
        notes.append(f"proved the fraud: {format_change(payment.prover_reward)}")
    return ", ".join(notes)


def _build_checks(checks: list[Check]) -> Table:
    table = Table.grid(padding=(0, 3, 0, 0))
    marked = [_mark(check) for check in checks]
    half = (len(marked) + 1) // 2
    for left, right in zip_longest(marked[:half], marked[half:], fillvalue=Text()):
        table.add_row(left, right)
    return table


def _build_duties(history: History, outcome: Mapping[str, Any]) -> Text:
    """What replicas and proposers are paid for; whoever does not do it goes without, so it is no check."""
    answered, audits = count_audits(history)
    text = f"{answered} of {audits} audits answered"
    text += f" · beacon revealed in {outcome['beacon_reveals']} of the last {count(outcome['beacon_blocks'], 'block')}"
    return Text(text, style="dim")


def _mark(check: Check) -> Text:
    mark, style = ("✓", "green") if check.is_passed else ("✗", "bold red")
    return Text.assemble((mark, style), " ", (check.text, "" if check.is_passed else style))
