"""What is seen while the demo runs: it fits the terminal, needs no colour, and a pipe gets every line once."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from optfl.wire import state_pb2
from optfl_cli.demo.history import History
from optfl_cli.demo.live import LiveView, PlainView, build_rows, draw_bar
from support.demo_history import NAMES, DemoRun, finish_run, start_run


def render(run: DemoRun, width: int = 100, height: int = 30, history: History | None = None) -> list[str]:
    """Lines of the view, without colours."""
    console = Console(width=width, height=height, file=io.StringIO(), color_system=None, legacy_windows=False)
    view = LiveView(history or run.history, run.plan, chain_id="optfl-local-5f0c31aa", clock=iter([0.0, 83.2]).__next__)
    with console.capture() as capture:
        console.print(view)
    return capture.get().splitlines()


def run_until(height: int, **options: object) -> DemoRun:
    run = start_run(**options)  # type: ignore[arg-type]
    while run.ledger.height < height:
        run.step()
    return run


@pytest.fixture(scope="module")
def disputed() -> DemoRun:
    """Four rounds are open or settled, round 5 was convicted, its redo is open, and round 6 is training again."""
    run = run_until(19)
    run.prove()
    run.step()
    return run


def test_header(disputed: DemoRun) -> None:
    assert render(disputed)[0] == "optfl-local-5f0c31aa · height 21 · task running · 3/12 settled · 1:23"


def test_every_state_can_be_read(disputed: DemoRun) -> None:
    text = "\n".join(render(disputed))
    for state in ("✓ settled", "○ open until 22", "✗ convicted at 20", "– void", "· training 0/5 committed"):
        assert state in text


def test_who_has_joined_is_seen_before_the_start(disputed: DemoRun) -> None:
    view, tokens = start_run().get_views()
    view.task.status = state_pb2.TASK_STATUS_CREATED
    del view.task.joined[:]
    view.task.joined.extend(view.task.parameters.aggregators[:2])
    history = History(NAMES)
    history.observe(view, tokens)
    assert "task created · 2/3 joined" in render(disputed, history=history)[0]


def test_exclusion_for_a_time_is_seen() -> None:
    run = start_run(rounds=1, fraud=None)
    run.step()
    while not any(stake.excluded_until_height for stake in run.get_views()[1].stakes):
        run.ledger.block()
    run.observe()
    until = next(s.excluded_until_height for s in run.get_views()[1].stakes if s.excluded_until_height)
    assert any(line.endswith(f"late: excluded until {until}") for line in render(run))


def test_rows_go_back_with_the_rollback(disputed: DemoRun) -> None:
    rows = build_rows(disputed.history)
    assert [row.round for row in rows] == [1, 2, 3, 4, 5, 6, 7, 5, 6]
    assert [row.turn for row in rows] == [0, 0, 0, 0, 0, 0, 0, 1, -1]
    redo = next(line for line in render(disputed) if "2nd" in line)
    assert redo.split()[:3] == ["5", "aggregator2", "2nd"]


def test_aggregating_round_names_whose_turn_it_is() -> None:
    run = run_until(6)
    assert "· aggregating" in next(line for line in render(run) if "aggregator0  1st" in line)


def test_slash_and_exclusion_are_seen(disputed: DemoRun) -> None:
    line = next(line for line in render(disputed) if "excluded" in line and "stake" in line)
    assert [part.strip() for part in line.split("  ") if part] == [
        "aggregator1",
        "stake 0",
        "╌╌╌╌╌╌╌╌╌╌",
        "50 000 000 slashed",
        "excluded for good",
    ]


def test_last_events(disputed: DemoRun) -> None:
    lines = [line.strip() for line in render(disputed)[-4:]]
    assert lines[1] == "20  fraud: validator2 proved that aggregator1 lied in round 5"
    assert lines[3] == "20  reverted: back to round 5; 3 later rounds void"


@pytest.mark.parametrize("size", [(100, 30), (80, 24), (80, 30), (120, 50)])
@pytest.mark.parametrize("rounds", [12, 40])
def test_fits_the_terminal(size: tuple[int, int], rounds: int) -> None:
    width, height = size
    run = finish_run(rounds=rounds, fraud_round=min(rounds, 30))
    lines = render(run, width, height)
    assert max(cell_len(line) for line in lines) <= width
    assert len(lines) < height
    assert any(line.lstrip().startswith(f"{rounds}  aggregator") for line in lines)
    assert not any("…" in line for line in lines)


def test_earlier_rounds_give_way(disputed: DemoRun) -> None:
    lines = render(disputed, 80, 16)
    assert next(line for line in lines if "⋮" in line).split() == ["⋮", "6", "earlier"]
    assert len([line for line in lines if "aggregator" in line and "%" in line]) == 2


def test_before_the_task_is_seen() -> None:
    run = start_run()
    assert render(run, history=History(NAMES)) == ["optfl-local-5f0c31aa · 12 rounds, 5 clients, median() · 1:23"]


def test_names_are_no_markup() -> None:
    run = finish_run(rounds=1, fraud=None)
    odd = History(dict.fromkeys(NAMES, "[red]x[/red]"))
    odd.observe(*run.get_views())
    assert "[red]x[/red]" in "\n".join(render(run, history=odd))


@pytest.mark.parametrize(
    ("share", "bar"), [(0.0, ""), (0.5, "━━"), (0.62, "━━╸"), (1.0, "━━━━"), (1.7, "━━━━"), (-1.0, "")]
)
def test_draw_bar(share: float, bar: str) -> None:
    assert draw_bar(share, 4) == bar


def test_plain_view_tells_everything_once() -> None:
    run = start_run(rounds=2, fraud_round=1)
    lines: list[str] = []
    view = PlainView(run.history, lines.append)
    while not run.task.task.ended_height:
        view.update()
        view.update()
        if run.ledger.height == 9:
            run.prove()
        else:
            run.step()
    view.update()
    assert all(", accuracy " in line for line in lines if "submitted" in line)
    assert [line.removeprefix("height ").strip().split(", accuracy")[0] for line in lines] == [
        "3  task 1 (digits): 2 rounds",
        "7  round 1: aggregator0 submitted a model of 5 updates, challengeable until height 16",
        "9  round 2: aggregator1 submitted a model of 5 updates, challengeable until height 18",
        "10  fraud: validator2 proved that aggregator0 lied in round 1",
        "10  slashed: aggregator0 loses 50 000 000 tokens and is excluded for good",
        "10  reverted: back to round 1; 1 later round void",
        "11  round 1: aggregator1 submitted a model of 5 updates, challengeable until height 21",
        "13  round 2: aggregator1 submitted a model of 5 updates, challengeable until height 22",
        "21  settled: round 1 by aggregator1",
        "22  settled: round 2 by aggregator1",
        "22  task completed: 2 rounds settled",
    ]


def test_plain_view_adds_an_accuracy_that_comes_later() -> None:
    run = run_until(7, rounds=1, fraud=None)
    run.history.attempts[1].accuracy = None
    lines: list[str] = []
    view = PlainView(run.history, lines.append)
    view.update()
    run.history.attempts[1].accuracy = 0.5
    view.update()
    view.update()
    assert lines[1:] == [
        "height    7  round 1: aggregator0 submitted a model of 5 updates, challengeable until height 16",
        "height    7  round 1: the model of aggregator0 has accuracy 50.0%",
    ]
