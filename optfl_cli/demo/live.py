"""What `optfl demo` shows while it runs: a view that redraws itself in a terminal, and plain lines anywhere else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from rich import box
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderResult
from rich.table import Table
from rich.text import Text

from optfl.wire import state_pb2, transaction_pb2
from optfl_cli.demo.history import AttemptRecord, History, HistoryEvent, count, format_tokens
from optfl_cli.demo.plan import Plan
from optfl_cli.demo.summary import format_accuracy

# Marks say the same as the colours, for those who see none.
_MARKS = {
    "training": ("·", "default"),
    "aggregating": ("·", "default"),
    "open": ("○", "cyan"),
    "settled": ("✓", "green"),
    "convicted": ("✗", "bold red"),
    "void": ("–", "dim"),
    "dropped": ("–", "dim"),
}
_EVENT_STYLES = {
    "fraud": "bold red",
    "slashed": "red",
    "reverted": "yellow",
    "missed": "yellow",
    "paused": "yellow",
    "ended": "bold",
}
_WIDE_COLUMNS = 98
_EVENTS_SHOWN = 5
_MIN_ROWS = 4


class LiveView:
    """A renderable for `rich.live.Live`: it draws `history` as it is at that moment, as high as the terminal is."""

    def __init__(
        self, history: History, plan: Plan, *, chain_id: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._history = history
        self._plan = plan
        self._chain_id = chain_id
        self._clock = clock
        self._started = clock()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self._history.view is None:
            yield self._build_header()
            return
        stakes, events = self._build_stakes(), self._build_events()
        # Header and its blank, the head of the table, two blanks between the blocks, one line below for the cursor.
        room = options.size.height - stakes.row_count - events.row_count - 7
        yield self._build_header()
        yield Text()
        yield self._build_rounds(max(room, _MIN_ROWS), is_wide=options.max_width >= _WIDE_COLUMNS)
        yield Text()
        yield stakes
        if events.row_count:
            yield Text()
            yield events

    def _build_header(self) -> Text:
        seconds = int(self._clock() - self._started)
        parts = [Text(self._chain_id or "optfl demo", style="bold")]
        view = self._history.view
        if view is None:
            plan = self._plan
            parts.append(Text(f"{count(plan.rounds, 'round')}, {count(plan.clients, 'client')}, {plan.rule}"))
        else:
            status = state_pb2.TaskStatus.Name(view.task.status).removeprefix("TASK_STATUS_").lower()
            parts.append(Text(f"height {view.height}"))
            parts.append(Text(f"task {status}", style="bold green" if status == "completed" else ""))
            if view.task.status == state_pb2.TASK_STATUS_CREATED:
                parts.append(Text(f"{len(view.task.joined)}/{len(view.task.parameters.aggregators)} joined"))
            else:
                parts.append(Text(f"{view.task.settled_round}/{view.task.parameters.rounds} settled"))
        parts.append(Text(f"{seconds // 60}:{seconds % 60:02}"))
        header = Text(no_wrap=True, overflow="ellipsis")
        for i, part in enumerate(parts):
            header.append(" · " if i else "", style="dim").append_text(part)
        return header

    def _build_rounds(self, room: int, *, is_wide: bool) -> Table:
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
        widths = {"round": 5, "aggregator": 11, "turn": 4, "state": 24 if is_wide else 18, "height": 6, "updates": 7}
        for name, width in widths.items():  # of a width from the start, or the columns would dance
            justify: JustifyMethod = "right" if name in ("round", "height", "updates") else "left"
            table.add_column(name, justify=justify, min_width=width, no_wrap=True, overflow="ellipsis")
        table.add_column("accuracy", min_width=7 + (bar_width := 20 if is_wide else 8), no_wrap=True)
        rows = build_rows(self._history)
        hidden = 0 if len(rows) <= room else len(rows) - room + 1
        if hidden:
            table.add_row("⋮", f"{hidden} earlier", style="dim")
        for row in rows[hidden:]:
            mark, style = _MARKS[row.status]
            state = row.state if is_wide else row.state.removesuffix(" committed")
            table.add_row(
                str(row.round),
                Text(row.aggregator),
                _format_turn(row.turn),
                Text(f"{mark} {state}", style=style),
                str(row.height or ""),
                row.updates,
                _draw_accuracy(row.accuracy, bar_width, style),
                style="dim" if row.status in ("void", "dropped") else "",
            )
        return table

    def _build_stakes(self) -> Table:
        history = self._history
        table = Table.grid(padding=(0, 2, 0, 1))
        table.add_column(no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis")
        stakes = history.tokens.stakes if history.tokens is not None else ()
        of_aggregators = {s.address: s for s in stakes if s.role == transaction_pb2.ROLE_AGGREGATOR}
        for address in history.view.task.parameters.aggregators if history.view is not None else ():
            stake = of_aggregators.get(address, state_pb2.Stake())
            slashed = sum(c.slashed for c in history.convictions.values() if c.aggregator == address)
            whole = max(stake.amount + slashed, 1)
            bar = draw_bar(stake.amount / whole, 10)
            note = Text(bar, style="green").append("╌" * (10 - len(bar)), style="red")
            if slashed:
                note.append(f"  {format_tokens(slashed)} slashed", style="red")
            if stake.excluded:
                note.append("  excluded for good", style="bold red")
            elif stake.excluded_until_height:
                note.append(f"  late: excluded until {stake.excluded_until_height}", style="yellow")
            table.add_row(Text(history.name(address)), f"stake {format_tokens(stake.amount)}", note)
        return table

    def _build_events(self) -> Table:
        table = Table.grid(padding=(0, 2, 0, 1))
        table.add_column(justify="right", no_wrap=True, min_width=5)
        table.add_column(no_wrap=True, overflow="ellipsis")
        events = [event for event in self._history.events if event.kind != "settled"]  # the table shows those
        for event in events[-_EVENTS_SHOWN:]:
            table.add_row(Text(str(event.height), style="dim"), _describe_event(event))
        return table


class PlainView:
    """The same for a pipe or a log: `update` prints each thing that is new, once, as a line of its own."""

    def __init__(self, history: History, write: Callable[[str], None]) -> None:
        self._history = history
        self._write = write
        self._events = 0
        self._submitted: set[int] = set()
        self._evaluated: set[int] = set()

    def update(self) -> None:
        """Print what has come since the last call, by height."""
        lines = [(event.height, _describe_event(event).plain) for event in self._history.events[self._events :]]
        self._events = len(self._history.events)
        lines += self._list_attempts()
        for height, line in sorted(lines, key=lambda line: line[0]):
            self._write(f"height {height:>4}  {line}")

    def _list_attempts(self) -> Iterable[tuple[int, str]]:
        for attempt in self._history.attempts.values():
            accuracy = f"accuracy {format_accuracy(attempt.accuracy)}"
            is_new = attempt.attempt_id not in self._submitted
            is_evaluated = attempt.accuracy is not None and attempt.attempt_id not in self._evaluated
            if is_new and attempt.submit_height and attempt.status != "dropped":
                line = f"round {attempt.round}: {attempt.aggregator} submitted a model of {attempt.updates} updates"
                line += f", challengeable until height {attempt.window_close_height}"
                yield attempt.submit_height, line + (f", {accuracy}" if is_evaluated else "")
            elif is_evaluated:
                height = self._history.view.height if self._history.view is not None else 0
                yield height, f"round {attempt.round}: the model of {attempt.aggregator} has {accuracy}"
            self._submitted.add(attempt.attempt_id)
            if is_evaluated:
                self._evaluated.add(attempt.attempt_id)


class Row(NamedTuple):
    """A line of the table of rounds. `height` 0 and `turn` -1: not yet."""

    round: int
    aggregator: str
    turn: int
    status: str
    state: str
    height: int
    updates: str
    accuracy: float | None


def build_rows(history: History) -> list[Row]:
    """Every attempt in the order of submission, so that a rollback is seen to go back; then what is being worked on."""
    rows = [
        Row(a.round, a.aggregator, a.turn, a.status, _get_state(a), a.submit_height, str(a.updates), a.accuracy)
        for a in history.attempts.values()
    ]
    for current in history.view.rounds if history.view is not None else ():
        selected = len(current.selected)
        if current.status == state_pb2.ROUND_STATUS_TRAINING:
            state = f"training {current.committed}/{selected} committed"
            rows.append(Row(current.round, "", -1, "training", state, 0, "", None))
        elif current.status == state_pb2.ROUND_STATUS_AGGREGATING:
            name = history.name(current.aggregator)
            rows.append(
                Row(current.round, name, current.turn, "aggregating", "aggregating", 0, str(current.committed), None)
            )
    return rows


def draw_bar(share: float, width: int) -> str:
    """A thin bar, to half a character; `width` characters at a share of 1."""
    halves = round(min(max(share, 0.0), 1.0) * width * 2)
    return "━" * (halves // 2) + "╸" * (halves % 2)


def _get_state(attempt: AttemptRecord) -> str:
    if attempt.status == "open":
        return f"open until {attempt.window_close_height}"
    return f"{attempt.status} at {attempt.status_height}" if attempt.status == "convicted" else attempt.status


def _format_turn(turn: int) -> str:
    """The ledger counts from 0; the first turn of a round is no news."""
    if turn < 0:
        return ""
    return ("1st", "2nd", "3rd")[turn] if turn < 3 else f"{turn + 1}th"


def _draw_accuracy(accuracy: float | None, width: int, style: str) -> Text:
    if accuracy is None:
        return Text("")
    return Text(f"{format_accuracy(accuracy):>6} ").append(draw_bar(accuracy, width), style=style)


def _describe_event(event: HistoryEvent) -> Text:
    style = _EVENT_STYLES.get(event.kind, "")
    label = "" if event.kind in ("ended", "started") else f"{event.kind}: "
    return Text(f"{label}{event.text}", style=style)
