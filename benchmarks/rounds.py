"""Rounds, mode by mode: `python -m benchmarks.rounds`. With `--json`, one object a line for each mode and training."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figures, RunFailed
from benchmarks.net import run
from benchmarks.setting import MODES, PAPER_CLIENTS, PAPER_LENGTH, TRAININGS, Setting
from benchmarks.trace import PHASES
from benchmarks.workload import compute_length
from optfl_cli.errors import UserError
from optfl_cli.localnet import BLOCK_TIME_MS
from optfl_cli.processes import ProcessDied

QUICK_CLIENTS, QUICK_LENGTH = 8, 100_000


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--modes", default=",".join(MODES), show_default=True, help="Some of these.")
@click.option("--k", "clients", type=click.IntRange(1, 1000), help=f"Clients.  [default: {QUICK_CLIENTS}]")
@click.option("--d", "length", type=click.IntRange(16), help=f"Values of the model.  [default: {QUICK_LENGTH}]")
@click.option("--full", is_flag=True, help=f"The paper's size: K = {PAPER_CLIENTS}, D = {PAPER_LENGTH}.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1, 1000), help="Measured, of each run.")
@click.option(
    "--repeats", default=1, show_default=True, type=click.IntRange(1, 100), help="Runs of each mode, in turn."
)
@click.option("--training", default="none", show_default=True, help=f"Of {','.join(TRAININGS)}; or both.")
@click.option("--watchers", default=1, show_default=True, type=click.IntRange(0, 4), help="In mode optimistic.")
@click.option("--rule", default="fedavg()", show_default=True)
@click.option("--processes", type=click.IntRange(1, 64), help="That play the clients.  [default: one a core]")
@click.option("--block-ms", default=BLOCK_TIME_MS, show_default=True, type=click.IntRange(200, 60_000), help="A block.")
@click.option("--home", type=click.Path(path_type=Path), help="Keep all runs' files in this folder.")
def command(
    as_json: bool,
    modes: str,
    clients: int | None,
    length: int | None,
    full: bool,
    rounds: int,
    repeats: int,
    training: str,
    watchers: int,
    rule: str,
    processes: int | None,
    block_ms: int,
    home: Path | None,
) -> None:
    """Measure rounds of the same task in several modes, on real nodes on this machine."""
    clients = clients or (PAPER_CLIENTS if full else QUICK_CLIENTS)
    length = length or (PAPER_LENGTH if full else QUICK_LENGTH)
    cores = len(os.sched_getaffinity(0))
    settings = [
        Setting(
            mode=mode,
            clients=clients,
            length=compute_length(kind, length),
            rounds=rounds,
            watchers=watchers if mode == "optimistic" else 0,
            training=kind,
            rule=rule,
            processes=min(processes or cores, clients),
            threads=cores,
            block_ms=block_ms,
        )
        for kind in _split(training, TRAININGS, "--training")
        for mode in _split(modes, MODES, "--modes")
    ]
    results = measure(settings, repeats, home)
    lines = [summarise(setting, results[setting]) for setting in settings]
    if as_json:
        for line in lines:
            click.echo(json.dumps(line))
    else:
        print_table(lines)


def measure(settings: Sequence[Setting], repeats: int, home: Path | None) -> dict[Setting, list[Figures]]:
    """`repeats` runs of each setting, one of each in turn, so that a busy minute hits all alike. Raises UserError."""
    results: dict[Setting, list[Figures]] = {setting: [] for setting in settings}
    for repeat in range(repeats):
        for setting in settings:
            name = f"{setting.mode}-{setting.training}-{repeat}"
            print(f"{name}: {setting.clients} clients, {setting.length} values", file=sys.stderr, flush=True)
            folder = Path(tempfile.mkdtemp(prefix="optfl-rounds-")) if home is None else home / name
            try:
                results[setting].append(run(setting, folder))
            except (RunFailed, ProcessDied) as error:
                raise UserError(f"{name}: {error} (in {folder})") from None
            if home is None:
                shutil.rmtree(folder)
    return results


def summarise(setting: Setting, runs: Sequence[Figures]) -> dict[str, Any]:
    """The line of a mode: medians over runs, of seconds over all their rounds."""
    return {
        "mode": setting.mode,
        "k": setting.clients,
        "d": setting.length,
        "training": setting.training,
        "rule": setting.rule,
        "watchers": setting.watchers,
        "seconds_per_round": _round(statistics.median(s for figures in runs for s in figures.round_seconds)),
        "best_seconds_per_round": _round(min(s for figures in runs for s in figures.round_seconds)),
        "cpu_seconds_per_round": _round(statistics.median(sum(figures.cpu_seconds.values()) for figures in runs)),
        "aggregations_per_round": _round(statistics.median(figures.aggregations for figures in runs)),
        "bytes_per_round": round(statistics.median(figures.size_bytes for figures in runs)),
        "ledger_txs_per_round": _round(
            statistics.median(sum(figures.ledger_transactions.values()) for figures in runs)
        ),
        "ledger_bytes_per_round": round(statistics.median(figures.ledger_bytes for figures in runs)),
        "phase_seconds": _merge([figures.phase_seconds for figures in runs]),
        "phase_cpu_seconds": _merge([figures.phase_cpu_seconds for figures in runs]),
        "process_cpu_seconds": _merge([figures.cpu_seconds for figures in runs]),
        "ledger_txs": _merge([figures.ledger_transactions for figures in runs]),
        "rounds": setting.rounds,
        "runs": len(runs),
        "client_processes": setting.processes,
        "block_ms": setting.block_ms,
        "cores": len(os.sched_getaffinity(0)),
    }


def print_table(lines: Sequence[Mapping[str, Any]]) -> None:
    table = Table()
    columns = ("mode", "training", "s/round", "CPU s", "aggregations", "MB", "txs")
    for name in (*columns, *(f"{phase} s (CPU)" for phase in PHASES)):
        table.add_column(name, justify="left" if name in ("mode", "training") else "right")
    for line in lines:
        table.add_row(
            line["mode"],
            line["training"],
            f"{line['seconds_per_round']:.2f}",
            f"{line['cpu_seconds_per_round']:.2f}",
            f"{line['aggregations_per_round']:g}",
            f"{line['bytes_per_round'] / 1e6:.1f}",
            f"{line['ledger_txs_per_round']:g}",
            *(f"{line['phase_seconds'][p]:.2f} ({line['phase_cpu_seconds'][p]:.2f})" for p in PHASES),
        )
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _split(text: str, known: Sequence[str], option: str) -> list[str]:
    chosen = [name.strip() for name in text.split(",") if name.strip()]
    if not chosen or (unknown := [name for name in chosen if name not in known]):
        raise (
            UserError(f"{option} is {text!r}; use some of {','.join(known)}")
            if not chosen
            else UserError(f"{option}: {unknown[0]!r} is none of {','.join(known)}")
        )
    return list(dict.fromkeys(chosen))


def _merge(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for figures in runs for name in figures)
    return {name: _round(statistics.median(figures.get(name, 0.0) for figures in runs)) for name in names}


def _round(value: float) -> float:
    return float(f"{value:.4g}")


def main() -> int:
    """What the user can put right is one line on stderr."""
    try:
        command.main(prog_name="python -m benchmarks.rounds", standalone_mode=False)
    except UserError as error:
        click.echo(f"error: {error}", err=True)
        return 1
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
