"""What the experiments on whole federations share: a case goes in, the counters of its simulation come out.

A run is one JSON line. Tables and plots are made from such lines alone, wherever they were measured: `--json` prints
them, `--from FILE` reads them back, `--jobs N` measures N at a time.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import click
from rich import box
from rich.console import Console
from rich.table import Table

from optfl_sim.checkers import CheckFailed
from optfl_sim.drawing import FLOAT_RULE, TOLERANCES, compute_float_mean
from optfl_sim.federation import Result, Scenario, run_and_report
from optfl_sim.quiet import no_warnings

EXACT, FLOAT = "exact", "float"

F = TypeVar("F", bound=Callable[..., Any])

# What happens once in a task's life, and what every block has whatever the rounds do.
_NOT_OF_ROUNDS = frozenset({"beacon_reveal", "create_task", "join_task", "register_role", "start_task"})


@dataclass(frozen=True)
class Case:
    """One federation. Those validators that are not watchers only vote, when they are called to."""

    table: str  # that it is a row of
    name: str
    rounds: int
    aggregators: int
    validators: int
    mode: str = "optimistic"
    arithmetic: str = EXACT  # a lie is convicted by proof; FLOAT: by vote
    watchers: int = 1
    policy: str = "full"  # of the watchers
    verify_parents: bool = False  # the next aggregator watches
    adversaries: Mapping[str, str] = field(default_factory=dict)
    expected: Mapping[str, float] = field(default_factory=dict)  # what theory says of it
    clients: int = 4  # all of them in every round
    length: int = 64
    chunk_values: int = 16
    seed: int = 1


@dataclass(frozen=True)
class Dispute:
    """One conviction, in blocks."""

    kind: str  # "proof" or "vote"
    submitted: int  # the lie
    opened: int  # the challenge; a proof is challenge and verdict in one
    decided: int
    window_closes: int
    began: int  # rounds, from the lie to the verdict
    began_while_open: int  # of these, after the block of the challenge
    voided: int  # rounds on top of the lie


@dataclass(frozen=True)
class Run:
    """What was counted. Kernels and messages are metered at the roles, transactions in the blocks."""

    case: Case
    settled: int  # rounds
    attempts: int
    lies: int
    settled_lies: int
    convicted: Sequence[str]
    aggregations: Mapping[str, float]  # by party: values computed over the model's length
    requests: Mapping[str, int]  # through storage, by verb
    message_bytes: Mapping[str, int]
    transactions: Mapping[str, int]  # of rounds, by kind
    transaction_bytes: int
    disputes: Sequence[Dispute]

    @property
    def total(self) -> float:
        """Aggregations of the whole system."""
        return sum(self.aggregations.values())

    def list_loads(self, role: str) -> list[float]:
        """Aggregations of each honest "aggregator", "watcher", or validator that only votes: "voter"."""
        case = self.case
        if role == "aggregator":
            names = [f"aggregator{i}" for i in range(case.aggregators)]
        elif role == "watcher":
            names = [f"validator{i}" for i in range(case.watchers)]
        else:
            names = [f"validator{i}" for i in range(case.watchers, case.validators)]
        return [self.aggregations[name] for name in names if name not in case.adversaries]

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def parse_run(line: str) -> Run:
    values = json.loads(line)
    values["case"] = Case(**values["case"])
    values["disputes"] = [Dispute(**dispute) for dispute in values["disputes"]]
    return Run(**values)


def measure(case: Case) -> Run:
    """Run the federation of `case`; raises CheckFailed if an invariant broke other than by a lie that settled."""
    with no_warnings():
        result = run_and_report(build_scenario(case))
    report = result.report
    if len(report.violations) > report.settled_lies and not report.broken_assumptions:
        raise CheckFailed(f"{case.table}, {case.name}: " + "; ".join(report.violations[:5]))
    requests: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for meter in result.meters.values():
        requests.update(meter.requests)
        sizes.update(meter.message_bytes)
    kinds = {kind: n for kind, n in sorted(result.chain.transactions.items()) if kind not in _NOT_OF_ROUNDS}
    parties = [f"aggregator{i}" for i in range(case.aggregators)] + [f"validator{i}" for i in range(case.validators)]
    return Run(
        case=case,
        settled=report.rounds,
        attempts=report.attempts,
        lies=report.lies,
        settled_lies=report.settled_lies,
        convicted=list(report.convicted),
        aggregations={name: result.meters[name].values / case.length for name in parties},
        requests=dict(sorted(requests.items())),
        message_bytes=dict(sorted(sizes.items())),
        transactions=kinds,
        transaction_bytes=sum(result.chain.transaction_bytes[kind] for kind in kinds),
        disputes=find_disputes(result),
    )


def build_scenario(case: Case) -> Scenario:
    """Nobody crashes and nothing is lost: what is counted is what the protocol asks for. Messages still take time."""
    names = [f"validator{i}" for i in range(case.validators)]
    is_float = case.arithmetic == FLOAT
    return Scenario(
        seed=case.seed,
        clients=case.clients,
        clients_per_round=case.clients,
        aggregators=case.aggregators,
        validators=case.validators,
        rounds=case.rounds,
        rule=FLOAT_RULE if is_float else "median()",
        mode=case.mode,
        floats={"mean": compute_float_mean},
        parameters={"chunk_values": case.chunk_values, **(TOLERANCES if is_float else {})},
        watching={name: case.policy if i < case.watchers else "idle" for i, name in enumerate(names)},
        verify_parents=case.verify_parents,
        length=case.length,
        adversaries=case.adversaries,
        mean_seconds_between_crashes=0.0,
        loss_rate=0.0,
        max_seconds=100_000.0,
    )


def find_disputes(result: Result) -> list[Dispute]:
    """Every conviction, from the events of the blocks."""
    events = [(height, e.kind, dict(e.attributes)) for height, _, found in result.chain.trace for e in found]
    submitted: dict[str, tuple[int, int]] = {}
    challenged: dict[str, int] = {}
    proven: set[str] = set()
    disputes = []
    for height, kind, said in events:
        if kind == "aggregate_submitted":
            submitted[said["attempt"]] = (height, int(said["window_close_height"]))
        elif kind == "challenge_opened":
            challenged[said["attempt"]] = height
        elif kind == "fraud_proven":
            proven.add(said["attempt"])
        elif kind == "aggregator_convicted":
            start, close = submitted[said["attempt"]]
            is_proven = said["attempt"] in proven
            opened = height if is_proven else challenged[said["attempt"]]
            reverted = [int(s["voided"]) for h, k, s in events if h == height and k == "rounds_reverted"]
            began = [h for h, k, _ in events if k == "round_started" and start <= h < height]
            disputes.append(
                Dispute(
                    kind="proof" if is_proven else "vote",
                    submitted=start,
                    opened=opened,
                    decided=height,
                    window_closes=close,
                    began=len(began),
                    began_while_open=sum(h >= opened for h in began),
                    voided=sum(reverted),
                )
            )
    return disputes


def place_liars(count: int, aggregators: int, lie: str = "poison") -> dict[str, str]:
    """`count` of the aggregators, evenly among the others, lie in each turn that they get."""
    return {f"aggregator{(2 * i + 1) * aggregators // (2 * count)}": lie for i in range(count)}


def measure_all(cases: Sequence[Case], jobs: int) -> Iterator[Run]:
    """In the order of `cases`."""
    if jobs == 1:
        yield from map(measure, cases)
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(measure, cases)


def compute_slope(points: Sequence[tuple[float, float]]) -> float:
    """Of the least-squares line through log y over log x: 0 is constant, 1 linear, 2 quadratic."""
    xs, ys = [math.log(x) for x, _ in points], [math.log(y) for _, y in points]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    over = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    return over / sum((x - mean_x) ** 2 for x in xs)


def add_options(command: F) -> F:
    """The options that all of these experiments have."""
    options = (
        click.option("--json", "as_json", is_flag=True, help="One JSON object a line."),
        click.option("--plot", "with_plot", is_flag=True, help="Also write the plots of docs/experiments.md."),
        click.option("--full", is_flag=True, help="The sizes of docs/experiments.md: minutes instead of seconds."),
        click.option("--jobs", default=1, show_default=True, type=click.IntRange(1, 256), help="Runs at a time."),
        click.option(
            "--from",
            "source",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="Measure nothing; read the lines that --json printed.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def report_all(
    cases: Sequence[Case],
    source: Path | None,
    jobs: int,
    *,
    as_json: bool,
    show: Callable[[Sequence[Run]], None],
    plot: Callable[[Sequence[Run]], None] | None,
) -> None:
    """Measure, or read, and print: each line as it comes, or tables at the end."""
    runs = []
    for run in measure_all(cases, jobs) if source is None else read_runs(source, {case.table for case in cases}):
        runs.append(run)
        if as_json:
            click.echo(run.to_json())
        elif source is None and sys.stderr.isatty():
            click.echo(f"{len(runs)} of {len(cases)}: {run.case.table}, {run.case.name}", err=True)
    if not as_json:
        show(runs)
    if plot is not None:
        plot(runs)


def read_runs(source: Path, tables: Set[str]) -> Iterator[Run]:
    """The lines that --json printed; raises UsageError."""
    for number, line in enumerate(source.read_text(encoding="utf-8").splitlines(), 1):
        try:
            run = parse_run(line)
        except (ValueError, TypeError, KeyError):
            raise click.UsageError(f"{source}, line {number}: not a line of --json; measure again") from None
        if run.case.table not in tables:
            raise click.UsageError(f"{source}, line {number}: a line of {run.case.table!r}, which is not shown here")
        yield run


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """As Markdown, so that a document can have it as it is."""
    table = Table(box=box.MARKDOWN)
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    Console(width=220).print(f"\n{title}\n", table, sep="")


def format_number(value: float) -> str:
    """Two decimals at most, and none that say nothing."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def format_loads(loads: Sequence[float]) -> str:
    """The mean of a role's loads, and their range where they differ."""
    if not loads:
        return "–"
    mean = format_number(sum(loads) / len(loads))
    low, high = format_number(min(loads)), format_number(max(loads))
    return mean if low == high else f"{mean} ({low}–{high})"


def list_table(runs: Sequence[Run], table: str) -> list[Run]:
    return [run for run in runs if run.case.table == table]


def flatten(groups: Sequence[Sequence[Case]]) -> list[Case]:
    return list(chain.from_iterable(groups))
