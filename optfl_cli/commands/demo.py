"""`optfl demo`: a whole federation on this machine."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import click
from rich.console import Console
from rich.live import Live

from optfl_cli.demo.live import LiveView, PlainView
from optfl_cli.demo.plan import draw_plan, find_weakness
from optfl_cli.demo.report import write_report
from optfl_cli.demo.run import Demo, Interrupted, find_deviations
from optfl_cli.demo.summary import build_summary
from optfl_cli.errors import UserError
from optfl_cli.options import PATH


@click.command()
@click.option("--rounds", default=12, show_default=True, help="Rounds of training.")
@click.option("--clients", default=8, show_default=True, help="Clients, each a process with its own part of the data.")
@click.option("--rule", default="trimmed_mean(f=1)", show_default=True, help="Of aggregation, e.g. median().")
@click.option("--update-bits", type=click.Choice(["8", "16"]), default="16", show_default=True, help="Of each value.")
@click.option("--fraud", type=click.Choice(["poison", "coordinate"]), default="poison", show_default=True, help="How.")
@click.option("--honest", is_flag=True, help="No aggregator lies.")
@click.option("--attack", help='What Byzantine clients send, e.g. "sign_flip(factor=5)"; see docs/operations.md.')
@click.option("--byzantine-clients", type=int, help="How many clients play --attack.  [default: 1]")
@click.option("--seed", default=1, show_default=True, help="Draws the culprit, its turn, the data and the first model.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as one JSON object, as the last line.")
@click.option("--report", type=PATH, default=Path("demo-report.html"), show_default=True, help="Where the report goes.")
@click.option("--keep", type=PATH, help="Keep keys, chain, stores and logs in this folder (empty, or not there yet).")
def command(
    rounds: int,
    clients: int,
    rule: str,
    update_bits: str,
    fraud: str,
    honest: bool,
    attack: str | None,
    byzantine_clients: int | None,
    seed: int,
    as_json: bool,
    report: Path,
    keep: Path | None,
) -> None:
    """Run a federation on loopback: train, aggregate in turn, convict a fraud, roll back, settle.

    Four CometBFT validators with their ledgers, four storage replicas, three aggregators of which one turns Byzantine,
    a validator beside each node, clients that train on handwritten digits, and a requester who pays.
    """
    plan = draw_plan(
        seed, rounds, clients, rule, None if honest else fraud, int(update_bits), attack, byzantine_clients
    )
    if missing := [name for name in ("torch", "sklearn") if find_spec(name) is None]:
        raise UserError(f"the demo's clients need {' and '.join(missing)}; pip install 'optimistic-fl[learning]'")
    if not report.absolute().parent.is_dir() or report.is_dir():
        raise UserError(f"--report {report} cannot be written: choose a file in a folder that exists")
    console = Console(stderr=as_json, highlight=False)
    if plan.byzantine_clients and (warning := find_weakness(plan)):
        click.echo(f"warning: {warning}", err=True)
    with _open_home(keep) as home:
        say = partial(console.print, soft_wrap=True, markup=False)
        demo = Demo(plan, home, say)
        if console.is_terminal:
            view = LiveView(demo.history, plan, chain_id=demo.setup.net.chain_id)
            with Live(view, console=console, refresh_per_second=4) as live:
                outcome = demo.run(live.refresh)
        else:
            outcome = demo.run(PlainView(demo.history, say).update)
    console.print(build_summary(demo.history, outcome, plan))
    write_report(report, demo.history, outcome, plan)
    say(f"Report: {report}")
    if as_json:
        click.echo(json.dumps(outcome))
    if deviations := find_deviations(plan, outcome):
        raise UserError("the demo did not go as planned: " + "; ".join(deviations))


@contextlib.contextmanager
def _open_home(keep: Path | None) -> Iterator[Path]:
    """The folder of the demo's files: the user's, or one that goes away unless its logs are needed."""
    if keep is None:
        # A short path: the ledgers listen on Unix sockets in it.
        home = Path(tempfile.mkdtemp(prefix="optfl-"))
        try:
            yield home
        except UserError as error:
            if isinstance(error, Interrupted):
                shutil.rmtree(home, ignore_errors=True)
            raise
        shutil.rmtree(home, ignore_errors=True)
        return
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise UserError(f"--keep {keep} is not an empty folder; choose another one")
    keep.mkdir(parents=True, exist_ok=True)
    yield keep.absolute()
