"""How often a lie becomes a model for good: `python -m benchmarks.compromise`. With `--json`, one run a line.

Monte-Carlo of seed 001's bound P(broken) ≤ 1 − P(detected)(1 − P(vote broken)), and of its claim that one diligent
validator is enough: each trial is a simulated federation of one round, whose aggregator lies. What is counted is
whether the lie settles.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

from benchmarks.federations import FLOAT, Case, Run, add_options, print_table, report_all

TABLE = "compromise"
LIAR = "aggregator0"  # has the first round's turn
LIES = ("poison", "coordinate", "wrong-chunk", "wrong-rule", "dropped-client", "invented-client", "stale-base")
FLOAT_LIES = ("poison", "wrong-chunk", "invented-client")  # further away than the tolerance, always


@dataclass(frozen=True)
class Line:
    """What came of the trials of one row."""

    name: str
    trials: int
    broken: int
    bound: float

    @property
    def measured(self) -> float:
        return self.broken / self.trials

    @property
    def standard_error(self) -> float:
        """Of the measurement, if the bound is what is true."""
        return math.sqrt(self.bound * (1 - self.bound) / self.trials)


def list_cases(*, full: bool) -> list[Case]:
    attacks, trials, validators = (100, 200, 7) if full else (100, 20, 4)
    return [
        *build_diligent(attacks, validators),
        *build_sampling(trials, validators),
        *build_colluding(trials, validators),
    ]


def _build_case(name: str, validators: int, seed: int, **fields: object) -> Case:
    return replace(Case(TABLE, name, 1, 3, validators, seed=seed), **fields)  # type: ignore[arg-type]


def build_diligent(attacks: int, validators: int) -> Iterator[Case]:
    """One validator watches. f collude with the liar, as voters and as proposers; the others wait to be called."""
    bad = range(validators - (validators - 1) // 3, validators)
    accomplices = {f"validator{i}": "colluding-validator" for i in bad}
    accomplices |= {f"proposer{i}": "censoring-proposer" for i in bad}
    expected = {"detected": 1.0, "vote_broken": 0.0}
    for name, lies, arithmetic in (
        ("1 diligent, f collude, by proof", LIES, "exact"),
        ("1 diligent, f collude, by vote", FLOAT_LIES, FLOAT),
    ):
        for seed in range(attacks):
            cast = {LIAR: lies[seed % len(lies)]} | accomplices
            yield _build_case(name, validators, seed, arithmetic=arithmetic, adversaries=cast, expected=expected)


def build_sampling(trials: int, validators: int) -> Iterator[Case]:
    """One chunk of four is wrong, and w watchers look at each with probability p."""
    for row, (watchers, share) in enumerate(((1, 0.25), (1, 0.5), (2, 0.5), (4, 0.25))):
        expected = {"detected": 1 - (1 - share) ** watchers, "vote_broken": 0.0}
        for seed in range(row * trials, (row + 1) * trials):  # of no other row: what comes is independent
            yield _build_case(
                f"{watchers} × sample({share:g}), by proof",
                validators,
                seed,
                watchers=watchers,
                policy=f"sample({share:g})",
                adversaries={LIAR: "wrong-chunk"},
                expected=expected,
            )


def build_colluding(trials: int, validators: int) -> Iterator[Case]:
    """A float task. The only watcher looks with probability p; each of the others colludes with probability q."""
    for row, (share, q) in enumerate(((1.0, 0.2), (0.5, 0.0), (0.5, 0.2))):
        expected = {"detected": share, "vote_broken": compute_vote_broken(validators, q)}
        for seed in range(row * trials, (row + 1) * trials):  # of no other row: what comes is independent
            draw = random.Random(f"optfl/collusion/{seed}")
            bad = [f"validator{i}" for i in range(1, validators) if draw.random() < q]
            yield _build_case(
                f"1 × sample({share:g}), q = {q:g}, by vote",
                validators,
                seed,
                arithmetic=FLOAT,
                policy=f"sample({share:g})",
                adversaries={LIAR: "poison"} | dict.fromkeys(bad, "colluding-validator"),
                expected=expected,
            )


def compute_vote_broken(validators: int, q: float) -> float:
    """That a third of the validators or more collude, if each but one does with probability q."""
    others = validators - 1
    least = -(-validators // 3)
    return sum(math.comb(others, bad) * q**bad * (1 - q) ** (others - bad) for bad in range(least, others + 1))


def summarise(runs: Sequence[Run]) -> list[Line]:
    lines = []
    for name in dict.fromkeys(run.case.name for run in runs):
        found = [run for run in runs if run.case.name == name]
        expected = found[0].case.expected
        bound = 1 - expected["detected"] * (1 - expected["vote_broken"])
        lines.append(Line(name, sum(run.lies > 0 for run in found), sum(run.settled_lies > 0 for run in found), bound))
    return lines


def show(runs: Sequence[Run]) -> None:
    rows = [
        (line.name, str(line.trials), str(line.broken), f"{line.measured:.3f}", f"{line.bound:.3f}")
        for line in summarise(runs)
    ]
    columns = ("watchers", "attacks", "settled", "measured", "bound")
    print_table(f"Lies that settled, V = {runs[0].case.validators}", columns, rows)


def plot(runs: Sequence[Run]) -> None:
    from benchmarks.plots import save_plot

    lines = summarise(runs)[::-1]

    def draw(axes) -> None:  # type: ignore[no-untyped-def]  # matplotlib's axes
        places = range(len(lines))
        errors = [2 * line.standard_error for line in lines]
        axes.errorbar([line.bound for line in lines], places, xerr=errors, fmt="|", ms=14, label="bound, ± 2 s.e.")
        axes.plot([line.measured for line in lines], places, "o", label="measured")
        axes.set(xlabel="attacks whose lie settled", xlim=(-0.02, 1))
        axes.set_yticks(places, [line.name for line in lines], fontsize=8)
        axes.legend(frameon=False)

    save_plot("compromise", draw)


@click.command()
@add_options
def command(*, as_json: bool, with_plot: bool, full: bool, jobs: int, source: Path | None) -> None:
    """Count how many lies settle, and hold that against the paper's bound."""
    report_all(list_cases(full=full), source, jobs, as_json=as_json, show=show, plot=plot if with_plot else None)


if __name__ == "__main__":
    command()
