"""From spans, CPU samples and blocks to the figures of a run."""

from __future__ import annotations

import bisect
import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.meters import AGGREGATION, BYTES, SUBMIT
from benchmarks.setting import Setting
from benchmarks.trace import PHASES, WATCH, Span

WATCHERS = "watchers"

# What happens once in a task's life, before its first round.
_SETUP_KINDS = frozenset({"register_role", "create_task", "join_task", "start_task", "register_beacon"})
# A proposer's reveal for the beacon stands in every block, whatever the rounds do.
OF_BLOCKS = "of_blocks"
_ROUND_ENDS = frozenset({AGGREGATION, f"{SUBMIT} submit_aggregate", f"{SUBMIT} submit_certified_aggregate"})


class RunFailed(Exception):
    """A run did not do what it was to measure."""


@dataclass(frozen=True)
class CpuSample:
    """CPU seconds that each kind of process has used up to `time`."""

    time: float
    seconds: Mapping[str, float]


@dataclass(frozen=True)
class LedgerCount:
    """Transactions that stand in blocks, by kind, and their bytes."""

    transactions: Mapping[str, int]
    size_bytes: int


@dataclass(frozen=True)
class Figures:
    """One run. Times are of the rounds after the first; counts are of all rounds, with what ended after the last."""

    setting: Setting
    round_seconds: tuple[float, ...]
    cpu_seconds: Mapping[str, float]  # a round, by kind of process
    phase_seconds: Mapping[str, float]  # a round; all but `watch` add up to the round
    phase_cpu_seconds: Mapping[str, float]  # a round
    aggregations: float  # a round
    size_bytes: float  # a round
    ledger_transactions: Mapping[str, float]  # a round, by kind; without OF_BLOCKS
    ledger_bytes: float  # a round


def compute_figures(
    setting: Setting, spans: Sequence[Span], samples: Sequence[CpuSample], ledger: LedgerCount
) -> Figures:
    """Raises RunFailed if a round is missing."""
    ends = find_round_ends(spans, setting.total_rounds)
    start, stop = ends[0], ends[-1]
    rounds, total = setting.rounds, setting.total_rounds
    first, last = interpolate(samples, start), interpolate(samples, stop)
    cpu = {kind: (last[kind] - first.get(kind, 0.0)) / rounds for kind in last}
    seconds, shares = share_time(spans, start, stop)
    watch = [s for s in spans if s.phase == WATCH and s.what != BYTES]
    phase_cpu = dict.fromkeys(PHASES, 0.0)
    for before, after, share in shares:
        used, earlier = interpolate(samples, after), interpolate(samples, before)
        spent = sum(used[kind] - earlier.get(kind, 0.0) for kind in used if kind != WATCHERS)
        for phase, part in share.items():
            phase_cpu[phase] += spent * part / rounds
    phase_cpu[WATCH] = cpu.get(WATCHERS, 0.0)
    left_out = {*_SETUP_KINDS, OF_BLOCKS}
    transactions = {k: n / total for k, n in sorted(ledger.transactions.items()) if k not in left_out}
    return Figures(
        setting=setting,
        round_seconds=tuple(after - before for before, after in itertools.pairwise(ends)),
        cpu_seconds=cpu,
        phase_seconds={p: seconds[p] / rounds for p in PHASES} | {WATCH: compute_watch_seconds(watch)},
        phase_cpu_seconds=phase_cpu,
        aggregations=sum(s.what == AGGREGATION for s in spans) / total,
        size_bytes=sum(s.size_bytes for s in spans if s.what == BYTES) / total,
        ledger_transactions=transactions,
        ledger_bytes=ledger.size_bytes / total,
    )


def find_round_ends(spans: Iterable[Span], rounds: int) -> list[float]:
    """When each round ended: its aggregate was made (without a ledger), or first seen to be on the ledger."""
    ends: dict[int, float] = {}
    for span in spans:
        if span.what in _ROUND_ENDS and span.round > 0:
            ends[span.round] = min(span.end, ends.get(span.round, span.end))
    missing = [number for number in range(1, rounds + 1) if number not in ends]
    if missing:
        raise RunFailed(f"round {missing[0]} of {rounds} has no aggregate; read the logs")
    return [ends[number] for number in range(1, rounds + 1)]


def share_time(
    spans: Sequence[Span], start: float, stop: float
) -> tuple[dict[str, float], list[tuple[float, float, dict[str, float]]]]:
    """Seconds from `start` to `stop` by phase, and the pieces of time with each phase's share in them.

    A moment is shared evenly by all spans that are under way (watching happens beside the round, and has no share); one
    without any belongs to the phase whose span ended last: it waits for what comes of it.
    """
    changes: list[tuple[float, int, str]] = []
    for span in spans:
        if span.phase != WATCH and span.what != BYTES and span.end > span.start:
            changes += [(span.start, 1, span.phase), (span.end, -1, span.phase)]
    changes.sort()
    active: Counter[str] = Counter()
    seconds = dict.fromkeys(PHASES, 0.0)
    pieces: list[tuple[float, float, dict[str, float]]] = []
    ended, before = "train", start
    for time, change, phase in [*changes, (stop, 0, "")]:
        after = min(max(time, start), stop)
        if after > before:
            count = sum(active.values())
            share = {p: n / count for p, n in active.items() if n} if count else {ended: 1.0}
            pieces.append((before, after, share))
            for p, part in share.items():
                seconds[p] += part * (after - before)
            before = after
        if change:
            active[phase] += change
        if change < 0:
            ended = phase
    return seconds, pieces


def compute_watch_seconds(spans: Sequence[Span]) -> float:
    """Mean time that a watcher needs for an attempt: from its first read to the end of its re-execution."""
    durations: list[float] = []
    started: dict[str, float] = {}
    for span in sorted(spans, key=lambda s: s.end):
        started[span.who] = min(started.get(span.who, span.start), span.start)
        if span.what == AGGREGATION:
            durations.append(span.end - started.pop(span.who))
    return sum(durations) / len(durations) if durations else 0.0


def interpolate(samples: Sequence[CpuSample], time: float) -> dict[str, float]:
    """CPU seconds by kind of process at `time`."""
    position = bisect.bisect_left([sample.time for sample in samples], time)
    if not samples:
        raise RunFailed("no CPU time was sampled")
    if position == 0 or position == len(samples):
        return dict(samples[min(position, len(samples) - 1)].seconds)
    before, after = samples[position - 1], samples[position]
    part = (time - before.time) / (after.time - before.time)
    return {k: before.seconds.get(k, 0.0) + part * (s - before.seconds.get(k, 0.0)) for k, s in after.seconds.items()}
