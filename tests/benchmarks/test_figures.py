from __future__ import annotations

import pytest

from benchmarks.figures import (
    OF_BLOCKS,
    CpuSample,
    LedgerCount,
    RunFailed,
    compute_figures,
    compute_watch_seconds,
    interpolate,
    share_time,
)
from benchmarks.meters import AGGREGATION, BYTES
from benchmarks.setting import Setting
from benchmarks.trace import Span

SETTING = Setting("optimistic", 2, 10, 2, 1, "none", "fedavg()", 1, 1, 300)


def span(phase: str, what: str, start: float, end: float, number: int = 0, size: int = 0, who: str = "a") -> Span:
    return Span(who, phase, what, start, end, number, size)


def test_a_moment_is_shared_by_what_is_under_way_and_belongs_to_what_came_last_otherwise() -> None:
    spans = [
        span("train", "train", 0, 4),
        span("store", "put", 2, 6),
        span("watch", "get", 0, 10),
        span("publish", "submit submit_aggregate", 8, 9),
        span("store", BYTES, 3, 3, size=7),
    ]
    seconds, pieces = share_time(spans, 1, 10)
    assert seconds == {"train": 1 + 1, "store": 1 + 2 + 2, "commit": 0, "aggregate": 0, "publish": 1 + 1, "watch": 0}
    assert [(before, after) for before, after, _ in pieces] == [(1, 2), (2, 4), (4, 6), (6, 8), (8, 9), (9, 10)]
    assert all(sum(share.values()) == pytest.approx(1) for _, _, share in pieces)


def test_cpu_time_is_read_between_samples() -> None:
    samples = [CpuSample(0, {"clients": 1.0}), CpuSample(2, {"clients": 3.0, "ledger": 4.0})]
    assert interpolate(samples, 1) == {"clients": 2.0, "ledger": 2.0}
    assert interpolate(samples, -1) == {"clients": 1.0}
    assert interpolate(samples, 9) == {"clients": 3.0, "ledger": 4.0}
    with pytest.raises(RunFailed):
        interpolate([], 1)


def test_a_watcher_is_timed_from_its_first_read_to_its_verdict() -> None:
    spans = [span("watch", "get", 1, 2), span("watch", AGGREGATION, 2, 4), span("watch", "get", 7, 8)]
    assert compute_watch_seconds([*spans, span("watch", AGGREGATION, 8, 8.5)]) == (3 + 1.5) / 2
    assert compute_watch_seconds([]) == 0


def test_counts_are_of_all_rounds_and_times_of_those_after_the_first() -> None:
    spans = [span("publish", "submit submit_aggregate", end - 1, end, i) for i, end in enumerate((5.0, 8.0, 12.0), 1)]
    spans += [span("aggregate", AGGREGATION, end - 2, end - 1) for end in (5.0, 8.0, 12.0)]
    spans += [span("watch", AGGREGATION, end, end + 1, who="w") for end in (5.0, 8.0, 12.0)]
    spans += [span("store", BYTES, 4, 4, size=300)]
    samples = [CpuSample(0, {"clients": 0.0, "watchers": 0.0}), CpuSample(20, {"clients": 20.0, "watchers": 10.0})]
    ledger = LedgerCount({"commit_update": 6, "submit_aggregate": 3, "create_task": 1, OF_BLOCKS: 99}, 600)
    figures = compute_figures(SETTING, sorted(spans, key=lambda s: s.end), samples, ledger)
    assert figures.round_seconds == (3.0, 4.0)
    assert figures.aggregations == 2
    assert figures.size_bytes == 100
    assert figures.ledger_transactions == {"commit_update": 2, "submit_aggregate": 1}
    assert figures.ledger_bytes == 200
    assert figures.cpu_seconds == pytest.approx({"clients": 3.5, "watchers": 1.75})
    timed = {phase: seconds for phase, seconds in figures.phase_seconds.items() if phase != "watch"}
    assert sum(timed.values()) == pytest.approx(3.5)
    assert sum(figures.phase_cpu_seconds.values()) == pytest.approx(3.5 + 1.75)


def test_a_round_that_is_missing_fails_the_run() -> None:
    with pytest.raises(RunFailed, match="round 1 of 3"):
        compute_figures(SETTING, [], [CpuSample(0, {})], LedgerCount({}, 0))
