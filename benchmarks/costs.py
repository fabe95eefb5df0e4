"""What a node computes: `python -m benchmarks.costs`. With `--json`, one run a line.  # seed 001, section I

Aggregations that each node really executed, counted at its kernel in simulated federations, in the modes `optimistic`,
`quorum` and `pbft`; beside what the paper's formulas say, as printed, and corrected (`cost_model`). `--full` has the
paper's setting, R = 100, N = 10, V = 21, f = 3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import click

from benchmarks import cost_model
from benchmarks.cost_model import PAPERS_EXAMPLE, Setting
from benchmarks.federations import (
    FLOAT,
    Case,
    Run,
    add_options,
    compute_slope,
    flatten,
    format_loads,
    format_number,
    list_table,
    place_liars,
    print_table,
    report_all,
)

QUICK = Setting(rounds=20, aggregators=5, validators=7, faulty=1)

SETTING, OVER_N, OVER_V = "setting", "aggregators", "validators"

# Rows of the first table that others are held against.
HONEST, PROVEN, VOTED, EVERY_ROUND, PBFT = (
    "no faults, 1 watcher",
    "liars, 1 watcher, by proof",
    "liars, 1 watcher, by vote",
    "a vote on every round",
    "pbft",
)


def list_cases(*, full: bool) -> list[Case]:
    setting = PAPERS_EXAMPLE if full else QUICK
    return flatten([build_setting(setting), build_sweep_over_n(full=full), build_sweep_over_v(full=full)])


def build_setting(setting: Setting) -> list[Case]:
    """All that can become of the paper's setting."""
    plain = Case(SETTING, HONEST, setting.rounds, setting.aggregators, setting.validators)
    everybody = setting.validators
    liars = replace(plain, adversaries=place_liars(setting.faulty, setting.aggregators))
    # Without exclusion, the turns of f liars of N would all be challenged: as many votes as here.
    their_turns = round(setting.rounds * setting.faulty / setting.aggregators)
    signers = 2 * setting.faulty + 1
    return [
        replace(plain, name="no faults, nobody watches", watchers=0),
        plain,
        replace(plain, name="no faults, all V watch", watchers=everybody),
        replace(liars, name="liars, nobody watches", watchers=0),
        replace(liars, name=PROVEN),
        replace(liars, name="liars, next aggregator watches", watchers=0, verify_parents=True),
        replace(liars, name="liars, all V watch", watchers=everybody),
        replace(liars, name=VOTED, arithmetic=FLOAT),
        replace(
            plain,
            name="a vote on f/N of the rounds",
            watchers=0,
            adversaries=_challenge_last(plain.rounds, their_turns),
        ),
        replace(plain, name=EVERY_ROUND, watchers=0, adversaries=_challenge_last(plain.rounds, plain.rounds)),
        replace(
            plain,
            name=f"quorum, N = {signers}",
            mode="quorum",
            watchers=0,
            aggregators=signers,
            adversaries=place_liars(setting.faulty, signers),
        ),
        replace(plain, name=PBFT, mode="pbft", watchers=0),
    ]


def _challenge_last(rounds: int, challenged: int) -> dict[str, str]:
    """Somebody has the validators vote on each of so many rounds. All are right: nobody is excluded."""
    return {"challenger0": f"serial-challenges@{rounds - challenged + 1}"}


def build_sweep_over_n(*, full: bool) -> list[Case]:
    counts, signers, rounds = ((2, 5, 10, 20, 50), (3, 5, 11, 21), 100) if full else ((2, 4, 8, 16), (3, 5, 9), 16)
    optimistic = [Case(OVER_N, "optimistic", rounds, n, 4) for n in counts]
    quorum = [Case(OVER_N, "quorum", rounds, n, 4, mode="quorum", watchers=0) for n in signers]
    return optimistic + quorum


def build_sweep_over_v(*, full: bool) -> list[Case]:
    counts, rounds = ((4, 7, 13, 21, 31, 43), 20) if full else ((4, 7, 13), 6)
    cases = []
    for v in counts:
        plain = Case(OVER_V, HONEST, rounds, 5, v)
        liar = replace(plain, adversaries=place_liars(1, 5))
        cases += [
            plain,
            replace(liar, name="one lie, by proof"),
            replace(liar, name="one lie, by vote", arithmetic=FLOAT),
            replace(plain, name=EVERY_ROUND, watchers=0, adversaries=_challenge_last(rounds, rounds)),
            replace(plain, name=PBFT, mode="pbft", watchers=0),
        ]
    return cases


def show(runs: Sequence[Run]) -> None:
    if setting := list_table(runs, SETTING):
        _show_setting(setting)
        _show_formulas(setting)
    if over_n := list_table(runs, OVER_N):
        _show_sweep(over_n, "N", lambda run: run.case.aggregators)
    if over_v := list_table(runs, OVER_V):
        _show_sweep(over_v, "V", lambda run: run.case.validators)


def _show_setting(runs: Sequence[Run]) -> None:
    case = runs[0].case
    columns = ("", "each aggregator", "each watcher", "each other validator", "all nodes", "attempts", "lies settled")
    rows = [
        (
            run.case.name,
            format_loads(run.list_loads("aggregator")),
            format_loads(run.list_loads("watcher")),
            format_loads(run.list_loads("voter")),
            format_number(run.total),
            str(run.attempts),
            f"{run.settled_lies} of {run.lies}" if run.lies else "–",
        )
        for run in runs
    ]
    print_table(
        f"Aggregations executed, R = {case.rounds}, N = {case.aggregators}, V = {case.validators}", columns, rows
    )


def _show_formulas(runs: Sequence[Run]) -> None:
    """Each formula beside the counters of the row that it is about."""
    found = {run.case.name: run for run in runs}
    liars = [run for run in runs if run.lies and run.case.mode == "optimistic"]
    if not {HONEST, PROVEN, VOTED, EVERY_ROUND, PBFT} <= found.keys():
        return
    case, faulty = found[HONEST].case, len(liars[0].case.adversaries)
    setting = Setting(case.rounds, case.aggregators, case.validators, faulty)
    each = _mean(found[HONEST].list_loads("aggregator"))
    proven, voted, pbft = found[PROVEN].total, found[VOTED].total, found[PBFT].total
    without_watcher = voted - sum(found[VOTED].list_loads("watcher")) + faulty  # it votes too
    by_votes = found["a vote on f/N of the rounds"]
    rows = [
        ("R/N, an aggregator", format_number(cost_model.compute_optimistic(setting)), format_number(each)),
        ("R·V, all validators of pbft", str(cost_model.compute_pbft(setting)), format_number(pbft)),
        ("R of each of them", str(setting.rounds), format_number(_mean(found[PBFT].list_loads("voter")))),
        (
            "(R/N)(1 + f·V), printed; every lie of f challenged, nobody excluded",
            format_number(cost_model.compute_hybrid(setting)),
            f"{format_number(each + by_votes.total - setting.rounds)} = one aggregator + all validators",
        ),
        (
            "R + f(1 + V): excluded after one lie, by vote; without the watcher",
            str(cost_model.compute_hybrid_with_exclusion(setting)),
            format_number(without_watcher),
        ),
        (
            "(R + f)(1 + w), by proof, w = 1",
            str(cost_model.compute_hybrid_with_proofs(setting, 1)),
            format_number(proven),
        ),
        ("N·V²/(1 + f·V), printed ratio", format_number(cost_model.compute_printed_ratio(setting)), "–"),
        (
            "R·V / (R/N)(1 + f·V), like for like",
            format_number(cost_model.compute_like_for_like_ratio(setting)),
            "–",
        ),
        (
            "a validator that does not watch, pbft / optimistic by vote",
            format_number(setting.rounds / faulty),
            format_number(_mean(found[PBFT].list_loads("voter")) / _mean(found[VOTED].list_loads("voter"))),
        ),
        ("all nodes, pbft / optimistic by proof", "–", format_number(pbft / proven)),
        ("all nodes, pbft / optimistic by vote", "–", format_number(pbft / voted)),
    ]
    print_table("Formulas, and what was counted", ("", "formula", "counted"), rows)


def _show_sweep(runs: Sequence[Run], letter: str, get_size: Callable[[Run], int]) -> None:
    names = list(dict.fromkeys(run.case.name for run in runs))
    columns = ("", letter, "each aggregator", "each validator", "all nodes", "transactions", "ballots asked for")
    rows = [
        (
            run.case.name,
            str(get_size(run)),
            format_loads(run.list_loads("aggregator")),
            format_number(_mean(run.list_loads("watcher") + run.list_loads("voter"))),
            format_number(run.total),
            str(sum(run.transactions.values())),
            str(run.requests.get("ballot", 0)),
        )
        for run in sorted(runs, key=lambda run: names.index(run.case.name))
    ]
    print_table(f"Over {letter}, R = {runs[0].case.rounds}", columns, rows)
    for name in names:
        click.echo(f"{name}: {describe_slopes([run for run in runs if run.case.name == name], letter, get_size)}")


def describe_slopes(runs: Sequence[Run], letter: str, get_size: Callable[[Run], int]) -> str:
    """In words: what grows with the size, and how fast."""
    measures: dict[str, Callable[[Run], float]] = {
        "an aggregator's load": lambda run: _mean(run.list_loads("aggregator")),
        "a validator's load": lambda run: _mean(run.list_loads("watcher") + run.list_loads("voter")),
        "all aggregations": lambda run: run.total,
        "transactions": lambda run: sum(run.transactions.values()),
        "ballots": lambda run: run.requests.get("ballot", 0),
    }
    words = []
    for what, get_value in measures.items():
        points = [(get_size(run), get_value(run)) for run in runs]
        if len(points) > 1 and all(value > 0 for _, value in points):
            words.append(f"{what} as {letter}^{compute_slope(points):.2f}")
    return ", ".join(words)


def plot(runs: Sequence[Run]) -> None:
    from benchmarks.plots import save_plot

    def over_v(axes) -> None:  # type: ignore[no-untyped-def]  # matplotlib's axes
        for name in dict.fromkeys(run.case.name for run in list_table(runs, OVER_V)):
            row = [run for run in list_table(runs, OVER_V) if run.case.name == name]
            axes.plot([r.case.validators for r in row], [r.total / r.settled for r in row], "o-", label=name)
        axes.set(xlabel="validators", ylabel="aggregations a round, all nodes", xscale="log", yscale="log")
        _set_ticks(axes, [run.case.validators for run in list_table(runs, OVER_V)], (2, 5, 10, 20, 40))
        axes.legend(frameon=False)

    def over_n(axes) -> None:  # type: ignore[no-untyped-def]  # matplotlib's axes
        for name in dict.fromkeys(run.case.name for run in list_table(runs, OVER_N)):
            row = [run for run in list_table(runs, OVER_N) if run.case.name == name]
            loads = [_mean(r.list_loads("aggregator")) / r.settled for r in row]
            axes.plot([r.case.aggregators for r in row], loads, "o-", label=name)
        axes.set(xlabel="aggregators", ylabel="aggregations a round, of each", xscale="log", yscale="log")
        _set_ticks(
            axes,
            [run.case.aggregators for run in list_table(runs, OVER_N) if run.case.mode == "optimistic"],
            (0.02, 0.05, 0.1, 0.2, 0.5, 1),
        )
        axes.legend(frameon=False)

    if list_table(runs, OVER_V):
        save_plot("costs_validators", over_v)
    if list_table(runs, OVER_N):
        save_plot("costs_aggregators", over_n)


def _set_ticks(axes, sizes: Sequence[int], loads: Sequence[float]) -> None:  # type: ignore[no-untyped-def]
    places = sorted(set(sizes))
    axes.set_xticks(places, [str(place) for place in places])
    axes.set_yticks(loads, [f"{load:g}" for load in loads])
    axes.minorticks_off()


def _mean(loads: Sequence[float]) -> float:
    return sum(loads) / len(loads)


@click.command()
@add_options
def command(*, as_json: bool, with_plot: bool, full: bool, jobs: int, source: Path | None) -> None:
    """Count the aggregations that each node executes, mode by mode."""
    report_all(list_cases(full=full), source, jobs, as_json=as_json, show=show, plot=plot if with_plot else None)


if __name__ == "__main__":
    command()
