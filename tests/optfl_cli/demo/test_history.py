"""What the demo notes of a run: every attempt's fate and every event, once, however seldom it looks."""

from __future__ import annotations

import dataclasses

import pytest

from optfl.wire import state_pb2
from optfl_cli.demo.history import AttemptRecord, History, HistoryEvent, count, format_tokens
from optfl_cli.demo.story import count_audits
from support.demo_history import NAMES, DemoRun, finish_run, start_run


def kinds(history: History) -> list[str]:
    return [event.kind for event in history.events]


def fates(history: History) -> list[tuple[int, str, str]]:
    return [(a.round, a.aggregator, a.status) for a in history.attempts.values()]


def idle(run: DemoRun, blocks: int) -> None:
    """Blocks in which nobody does anything."""
    for _ in range(blocks):
        run.ledger.block()
        run.observe()


def test_run_with_a_fraud() -> None:
    run = finish_run(rounds=6, fraud_round=4)
    assert fates(run.history) == [
        (1, "aggregator0", "settled"),
        (2, "aggregator1", "settled"),
        (3, "aggregator2", "settled"),
        (4, "aggregator0", "convicted"),
        (5, "aggregator1", "void"),
        (6, "aggregator2", "void"),
        (4, "aggregator1", "settled"),
        (5, "aggregator1", "settled"),
        (6, "aggregator2", "settled"),
    ]
    lie = run.history.attempts[4]
    assert (lie.submit_height, lie.window_close_height, lie.status_height, lie.updates) == (13, 22, 18, 5)
    assert [dataclasses.astuple(e) for e in run.history.events if e.kind in ("fraud", "slashed", "reverted")] == [
        (18, "fraud", "validator2 proved that aggregator0 lied in round 4"),
        (18, "slashed", "aggregator0 loses 50 000 000 tokens and is excluded for good"),
        (18, "reverted", "back to round 4; 2 later rounds void"),
    ]
    assert kinds(run.history).count("settled") == 6
    assert run.history.events[0] == HistoryEvent(3, "started", "task 1 (digits): 6 rounds")
    assert run.history.events[-1] == HistoryEvent(run.ledger.height, "ended", "task completed: 6 rounds settled")


def test_answered_audits_are_counted() -> None:
    run = start_run(rounds=1, fraud=None)
    for _ in range(2):
        run.step()
    view, tokens = run.get_views()
    view.audits.add(attempt_id=1, replica=0)
    view.audits.add(attempt_id=1, replica=3)
    run.history.observe(view, tokens)
    assert run.history.attempts[1].audits == 2
    assert count_audits(run.history) == (0, 0), "it is not settled yet"
    run.run()
    assert count_audits(run.history) == (2, 4)


def test_events_stand_in_order_of_their_height() -> None:
    heights = [event.height for event in finish_run().history.events]
    assert heights == sorted(heights)


def test_same_view_again_adds_nothing() -> None:
    run = finish_run(rounds=3, fraud_round=2)
    attempts, events = dict(run.history.attempts), list(run.history.events)
    run.history.observe(*run.get_views())
    assert (run.history.attempts, run.history.events) == (attempts, events)


def test_view_of_a_node_that_is_behind_is_left_out() -> None:
    run = start_run(rounds=2, fraud=None)
    run.step()
    old = run.get_views()
    run.run()
    fate, events = fates(run.history), list(run.history.events)
    run.history.observe(*old)
    assert run.history.view is not None
    assert run.history.view.height == run.ledger.height
    assert (fates(run.history), run.history.events) == (fate, events)


def test_run_that_is_looked_at_only_at_its_end() -> None:
    """Settled attempts are gone from the ledger by then: their digests tell of them."""
    run = finish_run(rounds=6, fraud_round=4)
    late = History(NAMES)
    late.observe(*run.get_views())
    assert sorted(fates(late)) == sorted(fates(run.history))
    assert [(e.height, e.kind) for e in late.events] == [(e.height, e.kind) for e in run.history.events]
    unseen = late.attempts[1]
    assert unseen == AttemptRecord(1, 1, 0, "aggregator0", 5, 0, 0, unseen.model_root, "settled", 16)
    assert late.attempts[4].submit_height == 13


def test_round_that_nobody_trained_for_is_dropped() -> None:
    run = start_run(rounds=1, fraud=None)
    idle(run, 8)
    assert fates(run.history) == [(1, "nobody", "dropped")]
    assert run.history.events[-2].text == "round 1 without a model of its own: it was dropped"


def test_dropped_round_becomes_void_with_an_earlier_one() -> None:
    run = start_run(rounds=3, fraud_round=1)
    run.step()
    run.step()
    idle(run, 6)  # round 2: no commits
    run.prove()
    assert fates(run.history)[:2] == [(1, "aggregator0", "convicted"), (2, "nobody", "void")]


def test_late_aggregator_is_noted_once() -> None:
    run = start_run(rounds=1, fraud=None)
    run.step()
    idle(run, 6)
    assert kinds(run.history) == ["started", "missed"]
    assert run.history.events[-1].text == "aggregator0 was late in round 1: its turn is over"
    run.run()
    assert fates(run.history) == [(1, "aggregator1", "settled")]
    assert kinds(run.history).count("missed") == 1


def test_convicted_aggregator_was_not_late() -> None:
    """Its turn is over too, and the demo may have seen nothing between."""
    run = start_run(rounds=2, fraud_round=1)
    seldom = History(NAMES)
    run.step()
    seldom.observe(*run.get_views())
    run.step()
    run.prove()
    seldom.observe(*run.get_views())
    assert kinds(seldom) == ["started", "fraud", "slashed", "reverted"]


def test_pause_and_going_on_are_noted() -> None:
    run = start_run(rounds=2, fraud=None)
    view, tokens = run.get_views()
    for status in (state_pb2.TASK_STATUS_PAUSED, state_pb2.TASK_STATUS_PAUSED, state_pb2.TASK_STATUS_RUNNING):
        view = state_pb2.TaskView.FromString(view.SerializeToString())
        view.height += 1
        view.task.status = status
        view.task.paused_height = 4
        run.history.observe(view, tokens)
    assert [(e.height, e.kind) for e in run.history.events[1:]] == [(4, "paused"), (8, "resumed")]


def test_accounts_without_a_name() -> None:
    history = History({b"\x01" * 20: "one"})
    assert [history.name(a) for a in (b"\x01" * 20, b"\xab" * 20, b"")] == ["one", "abababab", "nobody"]


@pytest.mark.parametrize(("number", "text"), [(0, "0 rounds"), (1, "1 round"), (2, "2 rounds")])
def test_count(number: int, text: str) -> None:
    assert count(number, "round") == text


def test_format_tokens() -> None:
    assert format_tokens(1_234_567) == "1 234 567"


def test_stakes_that_are_registered_before_the_task_runs_are_no_gain() -> None:
    """What people are said to have had first is what they had when the task began, whenever the first look was."""
    waiting, running = state_pb2.TaskView(height=1), state_pb2.TaskView(height=2)
    waiting.task.status, running.task.status = state_pb2.TASK_STATUS_CREATED, state_pb2.TASK_STATUS_RUNNING
    later = state_pb2.TaskView(height=3)
    later.task.status = state_pb2.TASK_STATUS_RUNNING
    history = History({})
    for view in (waiting, running, later):
        history.observe(view, state_pb2.TokenView(height=view.height))
    assert history.first_tokens is not None
    assert history.first_tokens.height == 2
