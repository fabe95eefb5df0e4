"""The report's charts: SVG that scales, prints, and takes its colours from the page's style sheet.

accuracy   every model in the order of submission: what stands, what was undone, and where it went back to
timeline   a lane a round, along the chain's heights: challenge windows, and how they ended
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from optfl.wire import state_pb2
from optfl_cli.demo.history import AttemptRecord, History, count
from optfl_cli.demo.markup import Markup, join, tag
from optfl_cli.demo.story import get_redo, get_undone
from optfl_cli.demo.summary import format_accuracy

_WIDTH = 920
_UNDONE = ("void", "convicted")

# The accuracy chart: margins of the plot, and the two lines above it that tell of a rollback.
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 60, 56, 300
_LIE_Y, _ROLLBACK_Y = 14, 36
_MIN_LABEL_STEP = 17  # between the round numbers under the plot

# The timeline.
_LANES_LEFT, _LANES_TOP = 120, 30
_LANE_HEIGHTS = ((20, 22), (40, 14), (1000, 7))  # (rounds at most, height of a lane)
_MIN_NAMED_LANE = 14


def draw_accuracy(history: History) -> Markup:
    """Test accuracy of every submitted model."""
    attempts = list(history.attempts.values())
    if not attempts:
        return tag("p", "No model was submitted.")
    step = (_WIDTH - _LEFT - _RIGHT) / len(attempts)
    places = {a.attempt_id: (_LEFT + (i + 0.5) * step, _y_of(a.accuracy)) for i, a in enumerate(attempts)}
    reverts = [c for c in history.convictions.values() if c.reverted]
    standing = [places[a.attempt_id] for a in attempts if a.status not in _UNDONE and a.accuracy is not None]
    parts = [_draw_accuracy_grid()]
    parts += [_draw_undone(history, c, places, step) for c in reverts]
    parts.append(tag("polyline", points=_points(standing), class_="stands"))
    parts += [_draw_rollback(history, c, places, step) for c in reverts]
    redone = {redo.attempt_id for c in reverts if (redo := get_redo(history, c)) is not None}
    radius = min(4.5, max(2.2, step * 0.28))
    parts += [_draw_model(a, *places[a.attempt_id], radius, is_redo=a.attempt_id in redone) for a in attempts]
    parts.append(_draw_round_numbers(attempts, places, step))
    last = [a for a in attempts if a.status not in _UNDONE and a.accuracy is not None][-1:]
    for attempt in last:
        x, y = places[attempt.attempt_id]
        parts.append(_text(format_accuracy(attempt.accuracy), x + 10, y + 4, class_="figure"))
    description = f"Test accuracy of {count(len(attempts), 'model')} in the order of submission. " + " ".join(
        f"The model of round {c.round} by {history.name(c.aggregator)} was a lie; "
        f"Undone with it: {count(len(get_undone(history, c)), 'model')}. Round {c.round} was done again."
        for c in reverts
    )
    top = 0 if reverts else _TOP - 16  # what tells of rollbacks is left out where there is none
    return _svg("accuracy", "Test accuracy, model by model", description, top, _BOTTOM + 46, parts)


def _y_of(accuracy: float | None) -> float:
    return _BOTTOM - (accuracy or 0.0) * (_BOTTOM - _TOP)


def _draw_accuracy_grid() -> Markup:
    parts = []
    for percent in range(0, 101, 20):
        y = _y_of(percent / 100)
        parts.append(tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y, class_="grid"))
        parts.append(_text(f"{percent}%", _LEFT - 8, y + 4, anchor="end", class_="tick"))
    return join(parts)


def _draw_undone(
    history: History, conviction: state_pb2.Conviction, places: dict[int, tuple[float, float]], step: float
) -> Markup:
    """Behind everything else: the band of what was undone, and the branch that it was."""
    undone = get_undone(history, conviction)
    first, last = places[undone[0].attempt_id][0], places[undone[-1].attempt_id][0]
    band = tag("rect", x=first - step / 2, y=_TOP, width=last - first + step, height=_BOTTOM - _TOP, class_="undone")
    base = _get_base(history, conviction)
    branch = [base] if base is not None and base.accuracy is not None else []
    branch += [a for a in undone if a.accuracy is not None]
    return join([band, tag("polyline", points=_points(places[a.attempt_id] for a in branch), class_="branch")])


def _draw_rollback(
    history: History, conviction: state_pb2.Conviction, places: dict[int, tuple[float, float]], step: float
) -> Markup:
    """The two lines above the plot: who lied, with a thread down to the lie; and the arrow back."""
    undone = get_undone(history, conviction)
    lie_x, lie_y = places[conviction.attempt_id]
    end_x = places[undone[-1].attempt_id][0] + step / 2
    is_right = lie_x > _WIDTH * 0.6
    lie = f"✗ {history.name(conviction.aggregator)} lied in round {conviction.round}"
    parts = [
        tag("line", x1=lie_x, x2=lie_x, y1=_LIE_Y + 5, y2=lie_y - 9, class_="thread"),
        _text(lie, lie_x + (4 if is_right else -4), _LIE_Y, anchor="end" if is_right else "start", class_="lie"),
    ]
    base = _get_base(history, conviction)
    if base is None:
        back_x, target, down = float(_LEFT), "the initial model", ""
        head = f"M{back_x + 6:.1f} {_ROLLBACK_Y - 4} l-6 4 l6 4"
    else:
        back_x, base_y = places[base.attempt_id]
        target, down = f"round {base.round}'s model", f"V{base_y - 9:.1f}"
        head = f"M{back_x - 4:.1f} {base_y - 14:.1f} l4 6 l4 -6"
    parts.append(tag("path", d=f"M{end_x:.1f} {_ROLLBACK_Y} H{back_x:.1f} {down}", class_="rollback"))
    parts.append(tag("path", d=head, class_="rollback"))
    text = f"proven at height {conviction.convicted_height}: back to {target}"
    x, anchor = (back_x - 8, "end") if is_right else (end_x + 8, "start")
    parts.append(_text(text, x, _ROLLBACK_Y + 4, anchor=anchor, class_="back"))
    return join(parts)


def _get_base(history: History, conviction: state_pb2.Conviction) -> AttemptRecord | None:
    """The attempt whose model the convicted one was built on; None for the initial model."""
    before = [a for a in history.attempts.values() if a.attempt_id < conviction.attempt_id]
    return next((a for a in reversed(before) if a.round == conviction.round - 1), None)


def _draw_model(attempt: AttemptRecord, x: float, y: float, radius: float, *, is_redo: bool) -> Markup:
    title = tag("title", _describe(attempt))
    if attempt.accuracy is None and attempt.status != "convicted":
        return tag("g", title, tag("line", x1=x - radius, x2=x + radius, y1=y, y2=y, class_="unknown"))
    if attempt.status == "convicted":
        shapes = [
            tag("circle", cx=x, cy=y, r=8, class_="lied"),
            tag("path", d=_cross(x, y, 3.5), class_="cross"),
        ]
        if attempt.accuracy is not None:
            is_low = y > _BOTTOM - 24
            at = (x - 13, y + 4) if is_low else (x, y + 23)
            label = format_accuracy(attempt.accuracy)
            shapes.append(_text(label, *at, anchor="end" if is_low else "middle", class_="lie"))
        return tag("g", title, *shapes)
    style = "lost" if attempt.status == "void" else "model"
    ring = [tag("circle", cx=x, cy=y, r=radius + 4, class_="ring")] if is_redo else []
    return tag("g", title, *ring, tag("circle", cx=x, cy=y, r=radius, class_=style))


def _draw_round_numbers(
    attempts: Sequence[AttemptRecord], places: dict[int, tuple[float, float]], step: float
) -> Markup:
    every = next(n for n in (1, 2, 5, 10, 20, 50, 100, 1000) if n * step >= _MIN_LABEL_STEP or n == 1000)
    parts = []
    for attempt in attempts:
        is_undone = attempt.status in _UNDONE
        if every == 1 or (attempt.round % every == 0 and not is_undone):
            x = places[attempt.attempt_id][0]
            parts.append(
                _text(str(attempt.round), x, _BOTTOM + 18, anchor="middle", class_="gone" if is_undone else "tick")
            )
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(_text("round, in the order of submission", middle, _BOTTOM + 38, anchor="middle", class_="axis"))
    return join(parts)


def draw_timeline(history: History) -> Markup:
    """Challenge windows by height."""
    attempts = [a for a in history.attempts.values() if a.submit_height]
    if not attempts or history.view is None:
        return tag("p", "No challenge window was opened.")
    now = history.view.height
    rounds = max(a.round for a in attempts)
    lane = next((height for most, height in _LANE_HEIGHTS if rounds <= most), _LANE_HEIGHTS[-1][1])
    bottom = _LANES_TOP + rounds * lane
    first = min(a.submit_height for a in attempts)
    last = max(max(_end_of(a, now), a.window_close_height) for a in attempts if a.status != "void")
    right = _WIDTH - (104 if lane >= _MIN_NAMED_LANE else 24)
    scale = (right - _LANES_LEFT) / max(last - first, 1)

    def x_of(height: int) -> float:
        return _LANES_LEFT + (height - first) * scale

    parts = [_draw_heights(first, last, x_of, bottom)]
    every = 1 if lane >= _MIN_NAMED_LANE else 10
    parts += [
        _text(str(number), 30, _lane_y(number, lane) + 4, anchor="end", class_="tick")
        for number in range(every, rounds + 1, every)
    ]
    for conviction in history.convictions.values():
        x, top = x_of(conviction.convicted_height), _lane_y(conviction.round, lane) - lane / 2
        parts.append(tag("line", x1=x, x2=x, y1=top, y2=bottom, class_="proof"))
    seen: set[int] = set()
    for attempt in attempts:
        y, is_first = _lane_y(attempt.round, lane), attempt.round not in seen
        parts.append(_draw_window(attempt, x_of, y, lane, now, is_first=is_first))
        seen.add(attempt.round)
    parts.append(_text("round", 0, _LANES_TOP - 10, class_="axis"))
    described = [
        f"The one of round {c.round} by {history.name(c.aggregator)} ended at height {c.convicted_height}, "
        f"{count(c.convicted_height - c.submit_height, 'block')} after it was opened, with a fraud proof."
        for c in history.convictions.values()
    ]
    description = " ".join([f"Challenge windows of {count(len(attempts), 'model')} by height.", *described])
    return _svg("timeline", "Challenge windows, round by round", description, 0, bottom + 44, parts)


def _lane_y(number: int, lane: int) -> float:
    return _LANES_TOP + (number - 0.5) * lane


def _end_of(attempt: AttemptRecord, now: int) -> int:
    return now if attempt.status == "open" else attempt.status_height


def _draw_heights(first: int, last: int, x_of: Callable[[int], float], bottom: int) -> Markup:
    step = next((n for n in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if (last - first) / n <= 10), 5000)
    parts = []
    for height in range(-(-first // step) * step, last + 1, step):
        parts.append(tag("line", x1=x_of(height), x2=x_of(height), y1=_LANES_TOP - 4, y2=bottom + 4, class_="grid"))
        parts.append(_text(str(height), x_of(height), bottom + 18, anchor="middle", class_="tick"))
    middle = (x_of(first) + x_of(last)) / 2
    parts.append(_text("height of the chain", middle, bottom + 38, anchor="middle", class_="axis"))
    return join(parts)


def _draw_window(
    attempt: AttemptRecord, x_of: Callable[[int], float], y: float, lane: int, now: int, *, is_first: bool
) -> Markup:
    """A bar from submission to the end; the name before it, or behind it where the lane is taken already."""
    thick = lane * 0.55
    start, end = x_of(attempt.submit_height), x_of(_end_of(attempt, now))
    close = x_of(attempt.window_close_height)
    box = {"y": y - thick / 2, "height": thick, "rx": min(2.0, thick / 4)}
    parts = [tag("title", _describe(attempt))]
    if attempt.status == "convicted":
        parts.append(tag("rect", x=start, width=max(end - start, 1), class_="fraud", **box))
        if lane >= _MIN_NAMED_LANE:
            parts.append(tag("circle", cx=end, cy=y, r=7, class_="lied"))
        parts.append(tag("path", d=_cross(end, y, 3.0 if lane >= _MIN_NAMED_LANE else 2.0), class_="cross"))
    elif attempt.status == "void":
        parts.append(tag("rect", x=start, width=max(end - start, 1), class_="lost", **box))
    else:
        parts.append(tag("rect", x=start, width=max(end - start, 1), class_="waiting", **box))
        parts.append(tag("rect", x=start, width=max(min(close, end) - start, 1), class_="window", **box))
        if attempt.status == "settled":
            parts.append(tag("circle", cx=end, cy=y, r=min(4.0, thick / 2), class_="model"))
    if lane >= _MIN_NAMED_LANE:
        style = "lie" if attempt.status == "convicted" else "gone" if attempt.status == "void" else "name"
        if is_first:
            parts.append(_text(attempt.aggregator, start - 6, y + 4, anchor="end", class_=style))
        else:
            parts.append(_text(attempt.aggregator, end + 9, y + 4, class_=style))
    return tag("g", *parts)


def _describe(attempt: AttemptRecord) -> str:
    """What a pointer that rests on a mark is told."""
    turn = f", turn {attempt.turn}" if attempt.turn else ""
    accuracy = "" if attempt.accuracy is None else f", accuracy {format_accuracy(attempt.accuracy)}"
    return f"round {attempt.round}{turn}, {attempt.aggregator}: {attempt.status}{accuracy}"


def _svg(name: str, title: str, description: str, top: float, bottom: float, parts: Iterable[str]) -> Markup:
    return tag(
        "svg",
        tag("title", title, id=f"{name}-title"),
        tag("desc", description, id=f"{name}-description"),
        *parts,
        viewBox=f"0 {top:.0f} {_WIDTH} {bottom - top:.0f}",
        role="img",
        aria_labelledby=f"{name}-title {name}-description",
        class_=f"chart {name}",
    )


def _text(text: str, x: float, y: float, *, class_: str, anchor: str = "start") -> Markup:
    return tag("text", text, x=x, y=y, text_anchor=anchor, class_=class_)


def _points(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _cross(x: float, y: float, size: float) -> str:
    side = f"{2 * size:.1f}"
    return f"M{x - size:.1f} {y - size:.1f} l{side} {side} m0 -{side} l-{side} {side}"
