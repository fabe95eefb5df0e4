"""How long a lie lives: `python -m benchmarks.latency`. With `--json`, one run a line.

Blocks from a fraud's submission to its conviction, by proof (exact tasks) and by vote (float tasks), against its
window; and the rounds that began in the meantime, since training waits for no dispute. One aggregator of five lies in
the third round of a simulated federation; many seeds, so many orders of watchers and proposers.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from benchmarks.federations import (
    FLOAT,
    Case,
    Dispute,
    Run,
    add_options,
    format_number,
    print_table,
    report_all,
)

TABLE = "latency"
ROUNDS = 10  # a vote ends before the task does
LIAR = "aggregator2"  # has the third round's turn


def list_cases(*, full: bool) -> list[Case]:
    sizes, seeds = ((4, 7, 21), range(1, 7)) if full else ((4, 7), range(1, 4))
    return [replace(case, seed=seed) for v in sizes for case in build_situations(v) for seed in seeds]


def build_situations(validators: int) -> list[Case]:
    """Who watches, and who stands in the way, up to what is assumed: less than a third."""
    exact = Case(TABLE, "proof, 1 watcher", ROUNDS, 5, validators, adversaries={LIAR: "poison@3"})
    votes = replace(exact, name="vote, 1 watcher", arithmetic=FLOAT)
    bad = range(validators - (validators - 1) // 3, validators)
    censors = {LIAR: "poison@3"} | {f"proposer{i}": "censoring-proposer" for i in bad}
    silent = {LIAR: "poison@3"} | {f"validator{i}": "silent-validator" for i in bad}
    return [
        exact,
        replace(exact, name="proof, all V watch", watchers=validators),
        replace(exact, name="proof, 1 watcher, f proposers censor", adversaries=censors),
        replace(
            exact, name="proof by the liar itself, at the end", adversaries={LIAR: "self-convicting@3"}, watchers=0
        ),
        votes,
        replace(votes, name="vote, all V watch", watchers=validators),
        replace(votes, name="vote, 1 watcher, f proposers censor", adversaries=censors),
        replace(votes, name="vote, 1 watcher, f validators silent", adversaries=silent),
    ]


def group(runs: Sequence[Run]) -> dict[tuple[str, int], list[Run]]:
    """By situation and V, in the order of the situations."""
    names = list(dict.fromkeys(run.case.name for run in runs))
    ordered = sorted(runs, key=lambda run: (names.index(run.case.name), run.case.validators))
    groups: dict[tuple[str, int], list[Run]] = {}
    for run in ordered:
        groups.setdefault((run.case.name, run.case.validators), []).append(run)
    return groups


def show(runs: Sequence[Run]) -> None:
    columns = (
        "",
        "V",
        "convicted",
        "lie to challenge",
        "to verdict",
        "window",
        "rounds begun until the verdict",
        "of these during the vote",
        "rounds voided",
    )
    rows = []
    for (name, validators), found in group(runs).items():
        disputes = [dispute for run in found for dispute in run.disputes]
        rows.append(
            (
                name,
                str(validators),
                f"{sum(LIAR in run.convicted for run in found)} of {len(found)}",
                *_format(disputes),
            )
        )
    print_table("Blocks, median (most)", columns, rows)


def _format(disputes: Sequence[Dispute]) -> list[str]:
    return [
        _format_values([d.opened - d.submitted for d in disputes]),
        _format_values([d.decided - d.submitted for d in disputes]),
        _format_values([d.window_closes - d.submitted for d in disputes]),
        _format_values([d.began for d in disputes]),
        _format_values([d.began_while_open for d in disputes]),
        _format_values([d.voided for d in disputes]),
    ]


def _format_values(values: Sequence[int]) -> str:
    if not values:
        return "–"
    return f"{format_number(statistics.median(values))} ({max(values)})"


def plot(runs: Sequence[Run]) -> None:
    from benchmarks.plots import COLOURS, save_plot

    groups = group(runs)

    def draw(axes) -> None:  # type: ignore[no-untyped-def]  # matplotlib's axes
        labels = []
        for place, ((name, validators), found) in enumerate(reversed(groups.items())):
            blocks = [d.decided - d.submitted for run in found for d in run.disputes]
            labels.append(f"{name}, V = {validators}")
            if blocks:
                colour = COLOURS["vote" in name]
                axes.plot([min(blocks), max(blocks)], [place, place], color=colour, lw=2, alpha=0.5)
                axes.plot([statistics.median(blocks)], [place], "o", color=colour)
        windows = [d.window_closes - d.submitted for run in runs for d in run.disputes]
        axes.axvline(statistics.median(windows), color=COLOURS[-1], ls="--", lw=1)
        axes.set(xlabel="blocks from lie to conviction (dashed: the window)", xlim=(0, None))
        axes.set_yticks(range(len(labels)), labels, fontsize=8)

    save_plot("latency", draw, height=1.0 + 0.25 * len(groups))


@click.command()
@add_options
def command(*, as_json: bool, with_plot: bool, full: bool, jobs: int, source: Path | None) -> None:
    """Measure how many blocks a lie lives, and how many rounds begin in the meantime."""
    report_all(list_cases(full=full), source, jobs, as_json=as_json, show=show, plot=plot if with_plot else None)


if __name__ == "__main__":
    command()
