"""What disputes cost the network: `python -m benchmarks.communication`. With `--json`, one run a line.

Bytes through storage, and transactions and their bytes on the ledger, a round, by the rate p of disputed rounds: lies
that are proven, lies that are voted on, and votes that somebody calls for without a cause. Counted in simulated
federations, at each account's transport and in the blocks. What nodes say to one another to agree on a block is the
consensus engine's, and not in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import click

from benchmarks.federations import (
    FLOAT,
    Case,
    Run,
    add_options,
    format_number,
    place_liars,
    print_table,
    report_all,
)

TABLE = "communication"
# Several chunks a vector, so that a proof shows a part of it: 16 of 2 KB (a model) and of 1 KB (an update).
LENGTH, CHUNK_VALUES = 8192, 512
CLIENTS = 10
_DISPUTES = frozenset({"submit_fraud_proof", "open_challenge", "commit_vote", "reveal_vote"})


def list_cases(*, full: bool) -> list[Case]:
    rates, rounds, validators = ((0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5), 40, 21) if full else ((0.0, 0.25, 0.5), 8, 4)
    return [case for rate in rates for case in build_cases(rate, rounds, validators)]


def build_cases(rate: float, rounds: int, validators: int) -> list[Case]:
    """As many aggregators as rounds: a liar lies once, and is gone."""
    disputed = round(rate * rounds)
    plain = Case(
        TABLE,
        "lies, by proof",
        rounds,
        rounds,
        validators,
        clients=CLIENTS,
        length=LENGTH,
        chunk_values=CHUNK_VALUES,
        expected={"rate": rate},
    )
    lies = replace(plain, adversaries=place_liars(disputed, rounds) if disputed else {})
    calls = {"challenger0": f"serial-challenges@{rounds - disputed + 1}"} if disputed else {}
    causeless = replace(plain, adversaries=calls)
    return [
        lies,
        replace(lies, name="lies, by vote", arithmetic=FLOAT),
        replace(causeless, name="votes without a cause"),
        replace(causeless, name="votes without a cause, float", arithmetic=FLOAT),
    ]


# Columns: what is shown of a run, a settled round.
MEASURES: dict[str, Callable[[Run], float]] = {
    "attempts": lambda run: run.attempts / run.settled,
    "KB through storage": lambda run: sum(run.message_bytes.values()) / run.settled / 1000,
    "transactions": lambda run: sum(run.transactions.values()) / run.settled,
    "of disputes": lambda run: sum(run.transactions.get(kind, 0) for kind in _DISPUTES) / run.settled,
    "KB in blocks": lambda run: run.transaction_bytes / run.settled / 1000,
}


def show(runs: Sequence[Run]) -> None:
    names = list(dict.fromkeys(run.case.name for run in runs))
    rows = [
        (run.case.name, f"{run.case.expected['rate']:g}", *(format_number(get(run)) for get in MEASURES.values()))
        for run in sorted(runs, key=lambda run: names.index(run.case.name))
    ]
    print_table(f"A settled round, V = {runs[0].case.validators}", ("", "p", *MEASURES), rows)


def plot(runs: Sequence[Run]) -> None:
    from benchmarks.plots import save_plot

    def draw_measure(name: str) -> Callable[..., None]:
        def draw(axes) -> None:  # type: ignore[no-untyped-def]  # matplotlib's axes
            for case in dict.fromkeys(run.case.name for run in runs):
                row = [run for run in runs if run.case.name == case]
                style = "o--" if row[0].case.arithmetic == FLOAT else "o-"
                axes.plot([r.case.expected["rate"] for r in row], [MEASURES[name](r) for r in row], style, label=case)
            axes.set(xlabel="rate of disputed rounds", ylabel=f"{name} a round", ylim=(0, None))
            axes.legend(frameon=False)

        return draw

    save_plot("communication_storage", draw_measure("KB through storage"))
    save_plot("communication_ledger", draw_measure("transactions"))


@click.command()
@add_options
def command(*, as_json: bool, with_plot: bool, full: bool, jobs: int, source: Path | None) -> None:
    """Count bytes and transactions a round, by the rate of disputed rounds."""
    report_all(list_cases(full=full), source, jobs, as_json=as_json, show=show, plot=plot if with_plot else None)


if __name__ == "__main__":
    command()
