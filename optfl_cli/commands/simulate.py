"""`optfl simulate`: federations in which some parties deviate, under a virtual clock, with every invariant checked."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any, NamedTuple

import click

from optfl_cli.demo.history import count
from optfl_cli.display import print_rows
from optfl_cli.errors import UserError
from optfl_sim.adversaries import ADVERSARIES, CastError, find_broken_assumptions, parse_arguments, parse_cast
from optfl_sim.checkers import Report
from optfl_sim.drawing import TURN_BLOCKS, draw_scenario
from optfl_sim.federation import MODES, Result, Scenario, run_and_report
from optfl_sim.quiet import no_warnings

Plain = dict[str, Any]

MAX_RUNS = 1_000_000
MAX_ROUNDS = 10_000
SHOWN_VIOLATIONS = 5


class Run(NamedTuple):
    """One run, as it is printed. `failure`: why it did not get to its end."""

    seed: int
    scenario: Scenario
    result: Result | None
    failure: str

    @property
    def violations(self) -> tuple[str, ...]:
        """What no broken assumption excuses."""
        if self.result is None:
            return (self.failure,)
        report = self.result.report
        return () if report.broken_assumptions else report.violations


@click.command()
@click.option(
    "--adversary",
    "adversaries",
    multiple=True,
    metavar="NAME[:WHO][@ROUND]",
    help="Who deviates, how, and from which round on; may be given several times. Without: drawn from the seed.",
)
@click.option("--list", "show_list", is_flag=True, help="Show the adversaries there are, and what becomes of each.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=1, show_default=True, help="Of the first run.")
@click.option("--runs", type=click.IntRange(1, MAX_RUNS), default=1, show_default=True, help="One seed after another.")
@click.option("--rounds", type=click.IntRange(1, MAX_ROUNDS), default=12, show_default=True, help="Of each run.")
@click.option("--mode", type=click.Choice(MODES), help="Of the task; drawn from the seed with random adversaries.")
@click.option("--beyond", is_flag=True, help="Break the assumptions: too many replicas or validators deviate.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line for each run, then the summary.")
def command(
    adversaries: tuple[str, ...],
    show_list: bool,
    seed: int,
    runs: int,
    rounds: int,
    mode: str | None,
    beyond: bool,
    as_json: bool,
) -> None:
    """Run federations in which some parties deviate, and check every invariant after each block.

    The ledger and the roles are those that nodes run; time, network and disks are simulated. A seed replays exactly.
    The exit code is 1 if an invariant broke although the design's assumptions held.
    """
    if show_list:
        _print_list(as_json)
        return
    scenarios = _make_scenarios(adversaries, range(seed, seed + runs), rounds, mode, beyond=beyond)
    options = _build_options(adversaries, rounds, mode, beyond=beyond)
    started = time.monotonic()
    done: list[Plain] = []
    failed: list[Run] = []
    for scenario in scenarios:
        with no_warnings():
            run = _run(scenario) if done else _run_twice(scenario)
        plain = _describe(run)
        done.append(plain)
        click.echo(json.dumps(plain) if as_json else _format(run, plain))
        if run.violations:
            failed.append(run)
    summary = _summarise(done, time.monotonic() - started)
    click.echo(json.dumps({"summary": summary}) if as_json else _format_summary(summary))
    if failed:
        raise UserError(
            f"{len(failed)} of {runs} runs broke an invariant; "
            f"the first one again: optfl simulate --seed {failed[0].seed}{options}"
        )


def _print_list(as_json: bool) -> None:
    rows = [
        {"name": name, "played_by": a.kind, "does": a.does, "outcome": a.outcome.value}
        for name, a in ADVERSARIES.items()
    ]
    if as_json:
        for row in rows:
            click.echo(json.dumps(row))
    else:
        print_rows("Adversaries", rows)


def _make_scenarios(
    adversaries: tuple[str, ...], seeds: range, rounds: int, mode: str | None, *, beyond: bool
) -> Iterator[Scenario]:
    """Raises UserError at once, and not at the first scenario."""
    if not adversaries:
        return (draw_scenario(seed, rounds=rounds, mode=mode, beyond=beyond) for seed in seeds)
    plain = Scenario(
        seed=0,
        clients=12,
        aggregators=5,
        rounds=rounds,
        clients_per_round=8,
        rule="trimmed_mean(f=1)",
        mode=mode or MODES[0],
        parameters={"aggregation_blocks": TURN_BLOCKS},
        mean_seconds_between_crashes=1000.0,
        mean_seconds_down=2.0,
        max_seconds_down=4.0,
    )
    try:
        given = parse_arguments(adversaries, plain.sizes)
        cast = parse_cast(given, plain.sizes)
        broken = find_broken_assumptions(cast, plain.sizes, plain.mode)
    except CastError as error:
        raise UserError(str(error)) from None
    if late := next((part for part in cast.values() if part.from_round > rounds), None):
        raise UserError(f"{late} would never deviate: there are {rounds} rounds; raise --rounds")
    if broken and not beyond:
        raise UserError(f"{broken[0]}; add --beyond to see what happens then")
    return (replace(plain, seed=seed, adversaries=given) for seed in seeds)


def _build_options(adversaries: Sequence[str], rounds: int, mode: str | None, *, beyond: bool) -> str:
    """What to add to the seed to get the same run again."""
    options = [f"--rounds {rounds}", *(f"--adversary {argument}" for argument in adversaries)]
    options += [f"--mode {mode}"] * (mode is not None) + ["--beyond"] * beyond
    return "".join(f" {option}" for option in options)


def _run(scenario: Scenario) -> Run:
    try:
        return Run(scenario.seed, scenario, run_and_report(scenario), "")
    except Exception as error:  # noqa: BLE001  # whatever a role or the ledger raises is a finding, told with its seed
        return Run(scenario.seed, scenario, None, _name_failure(error))


def _run_twice(scenario: Scenario) -> Run:
    """A run that does not replay is a finding too."""
    first, second = _run(scenario), _run(scenario)
    if first.result is None or second.result is None or first.result.trace_hash == second.result.trace_hash:
        return first
    return first._replace(result=None, failure="the same seed gave another trace")


def _name_failure(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def _describe(run: Run) -> Plain:
    scenario = run.scenario
    plain: Plain = {
        "seed": run.seed,
        "ok": not run.violations,
        "mode": scenario.mode,
        "adversaries": dict(scenario.adversaries),
        "violations": list(run.violations),
    }
    if run.result is not None:
        plain |= asdict(run.result.report) | {"trace_hash": run.result.trace_hash, "blocks": run.result.chain.height}
    return plain


def _format(run: Run, plain: Plain) -> str:
    cast = ", ".join(f"{who} {part}" for who, part in run.scenario.adversaries.items()) or "nobody"
    if run.result is None:
        return f"seed {run.seed}: FAILED: {run.failure}\n  deviate: {cast}"
    report = run.result.report
    result = "FAILED" if run.violations else "ok"
    head = f"seed {run.seed}: {result}, {run.scenario.mode}, {run.scenario.rule}, {_count(report)}"
    lines = [f"{head}, trace {run.result.trace_hash[:12]}", f"  deviate: {cast}"]
    lines += [f"  outside the assumptions: {assumption}" for assumption in report.broken_assumptions]
    word = "broken" if run.violations else "excused"
    lines += [f"  {word}: {violation}" for violation in report.violations[:SHOWN_VIOLATIONS]]
    return "\n".join(lines)


def _count(report: Report) -> str:
    return (
        f"{count(report.rounds, 'round')}, {report.lies} of {count(report.attempts, 'attempt')} wrong, "
        f"{len(report.convicted)} convicted, {len(report.excluded)} excluded for a time, "
        f"{count(report.rounds_during_disputes, 'round')} begun during disputes, "
        f"honest loss {report.honest_loss}"
    )


def _summarise(done: Sequence[Plain], seconds: float) -> Plain:
    complete = [plain for plain in done if "rounds" in plain]

    def add(name: str) -> int:
        return sum(plain[name] if isinstance(plain[name], int) else len(plain[name]) for plain in complete)

    return {
        "runs": len(done),
        "failed": sum(not plain["ok"] for plain in done),
        "outside_assumptions": sum(bool(plain["broken_assumptions"]) for plain in complete),
        "rounds": add("rounds"),
        "adversaries": sum(len(plain["adversaries"]) for plain in done),
        "attempts": add("attempts"),
        "lies": add("lies"),
        "unpunished": add("unpunished"),
        "convicted": add("convicted"),
        "excluded_for_a_time": add("excluded"),
        "rounds_during_disputes": add("rounds_during_disputes"),
        "honest_loss": add("honest_loss"),
        "seconds": round(seconds, 1),
    }


def _format_summary(summary: Plain) -> str:
    return (
        f"{count(summary['runs'], 'run')}, {count(summary['rounds'], 'round')} settled, "
        f"{count(summary['adversaries'], 'part')} played: {summary['lies']} of {count(summary['attempts'], 'attempt')} "
        f"wrong, {summary['convicted']} convicted, {summary['excluded_for_a_time']} excluded for a time, "
        f"honest loss {summary['honest_loss']}; {count(summary['outside_assumptions'], 'run')} outside the "
        f"assumptions, {summary['failed']} failed; {summary['seconds']} s"
    )
