"""Does deviating pay? `python -m benchmarks.economics`. With `--json`, one deviation a line.

Each deviation is played in the seeded simulation, at the chain's defaults, and beside it the same federation with the
same seed in which the same accounts are honest. Held against each other is what those accounts own at the end:
balances, stakes, what is unbonding, and bonds, their sybil's included. What a deviation saves outside the ledger, a
training or a disk, is named and not counted; where the difference does not outweigh it, honesty is not what pays.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import statistics
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field

import click

from benchmarks.federations import print_table
from optfl_sim.drawing import FLOAT_RULE, TOLERANCES, compute_float_mean
from optfl_sim.federation import Scenario, run_and_report
from optfl_sim.quiet import no_warnings

ROUNDS, CLIENTS, CLIENTS_PER_ROUND, AGGREGATORS, REPLICAS, VALIDATORS = 8, 8, 6, 4, 4, 4
ALL_AGGREGATORS = tuple(f"aggregator{i}" for i in range(AGGREGATORS))
ALL_VALIDATORS = tuple(f"validator{i}" for i in range(VALIDATORS))
ALL_REPLICAS = tuple(f"replica{i}" for i in range(REPLICAS))
SIGNS_ANYTHING = "selective-replica@1000"  # honest in each of our rounds, but that it signs for its accomplices

LIAR = {"aggregator1": "coordinate@2"}
LIARS = {f"aggregator{i}": "coordinate@2" for i in (0, 1, 2)}
SPAMMER = {"challenger1": "serial-challenges@2"}
OWNED_REPLICAS = dict.fromkeys(ALL_REPLICAS, SIGNS_ANYTHING)


@dataclass(frozen=True)
class Deviation:
    """Who plays what, and whose wealth it is that counts: the same accounts are honest in the other run."""

    name: str
    plays: Mapping[str, str]
    sybils: tuple[str, ...] = ()  # accounts of the same owner that play no part, or are honest ones
    among: Mapping[str, str] = field(default_factory=dict)  # others who deviate, in both runs
    idle: tuple[str, ...] = ()  # validators that do not watch
    asleep: tuple[str, ...] = ()  # others that do not, in both runs
    mode: str = "optimistic"
    rule: str = "trimmed_mean(f=1)"
    is_float: bool = False
    saves: str = ""  # what it need not do, which no ledger sees
    beyond: str = ""  # why it is not claimed that honesty beats it

    @property
    def kind(self) -> str:
        return next(iter([*self.plays, *self.idle])).rstrip("0123456789")

    @property
    def accounts(self) -> frozenset[str]:
        """A proposer is the node of a validator."""
        return frozenset(who.replace("proposer", "validator") for who in (*self.plays, *self.sybils, *self.idle))


# fmt: off
DEVIATIONS: tuple[Deviation, ...] = (
    Deviation("aggregator: lies in one value", {"aggregator1": "coordinate@2"}),
    Deviation("aggregator: lies in one value, float task", {"aggregator1": "poison@2"}, is_float=True),
    Deviation("aggregator: submits a lie and an honest model", {"aggregator1": "equivocating@2"}),
    Deviation("aggregator: lies, its sybil proves it in the window's last block",
              {"aggregator1": "self-convicting@2"}, ("sybil",)),
    Deviation("aggregator: the same, and nobody else watches",
              {"aggregator1": "self-convicting@2"}, ("sybil",), asleep=ALL_VALIDATORS),
    Deviation("aggregator: lies, and nobody watches", {"aggregator1": "coordinate@2"}, asleep=ALL_VALIDATORS,
              beyond="somebody must re-execute"),
    Deviation("aggregator: late", {"aggregator1": "late@2"}),
    Deviation("aggregator: silent", {"aggregator1": "silent@2"}, saves="aggregating"),
    Deviation("aggregator: silent, gains time by demands", {"aggregator1": "demanding@2"}, saves="aggregating"),
    Deviation("aggregator: stores nothing, all replicas its own",
              {"aggregator1": "unstored-model@2", **OWNED_REPLICAS}),
    Deviation("aggregator: claims totals where there are none", {"aggregator1": "garbage-trace@2"}),
    Deviation("aggregator: makes its totals up, Krum", {"aggregator1": "garbage-trace@2"}, rule="krum(f=1)"),
    Deviation("aggregator: adds up one entry wrongly, Krum", {"aggregator1": "trace-entry@2"}, rule="krum(f=1)"),
    Deviation("aggregator: decides otherwise than its totals do, Krum", {"aggregator1": "wrong-weights@2"},
              rule="krum(f=1)"),
    Deviation("aggregator: stores no trace, all replicas its own, Krum",
              {"aggregator1": "unstored-trace@2", **OWNED_REPLICAS}, rule="krum(f=1)"),
    Deviation("aggregator: signs two models, mode quorum", {"aggregator1": "equivocating@2"}, mode="quorum"),
    Deviation("client: copies an older update", {"client1": "copied-update@2"}, saves="training"),
    Deviation("client: sends noise", {"client1": "noise-update@2"}, saves="training", beyond="no ledger sees it"),
    Deviation("client: extreme values and weight", {"client1": "extreme-weight@2"}),
    Deviation("client: stale base", {"client1": "stale-update@2"}),
    Deviation("client: stores nothing, 3 of 4 replicas its own",
              {"client1": "unstored-update@2", **dict.fromkeys(ALL_REPLICAS[:3], SIGNS_ANYTHING)}, saves="upload"),
    Deviation("replica: signs and stores nothing", {"replica1": "forgetful-replica@2"}, saves="disk"),
    Deviation("replica: serves wrong bytes", {"replica1": "lying-replica@2"}),
    Deviation("replica: serves every other vector", {"replica1": "selective-replica@2"}, saves="bandwidth"),
    Deviation("replica: answers as late as it can", {"replica1": "slow-replica@2"}),
    Deviation("validator: watches nothing, nobody lies", {}, idle=("validator1",), saves="re-execution"),
    Deviation("validator: says that it has read what it has not", {"validator1": "false-watcher@2"},
              saves="re-execution"),
    Deviation("validator: watches nothing, somebody lies", {}, idle=("validator1",), among=LIAR, saves="re-execution"),
    Deviation("validator: shows its proof before its turn, somebody lies", {"validator1": "impatient-validator@1"},
              among=LIARS),
    Deviation("validator: announces its proof and lets others show it, somebody lies",
              {"validator1": "reluctant-validator@1"}, among=LIARS, saves="a fee", beyond="a draw: all are paid alike"),
    Deviation("validator: silent in votes", {"validator1": "silent-validator@2"}, among=SPAMMER, saves="re-execution"),
    Deviation("validator: votes for a model of its own", {"validator1": "minority-voter@2"}, among=SPAMMER,
              saves="re-execution"),
    Deviation("validator: commits to two votes", {"validator1": "double-voter@2"}, among=SPAMMER),
    Deviation("validator: signs two models, mode pbft", {"validator1": "double-voter@2"}, mode="pbft"),
    Deviation("validator: votes for its accomplice, float task",
              {"validator1": "colluding-validator@2", "aggregator1": "poison@2"}, is_float=True),
    Deviation("validator: says that it serves what is demanded", {"validator1": "false-holder@2"},
              among={"challenger1": "serial-demands@2"}, saves="a fetch"),
    Deviation("proposer: reveals no beacon", {"proposer1": "withholding-proposer"}),
    Deviation("proposer: censors disputes, somebody lies", {"proposer1": "censoring-proposer"}, among=LIARS),
    Deviation("proposer: censors, and does not watch", {"proposer1": "censoring-proposer"}, among=LIARS,
              asleep=("validator1",)),
    Deviation("proposer: censors disputes for its lying aggregator",
              {"proposer1": "censoring-proposer", "aggregator1": "coordinate@2"}),
    Deviation("proposer: puts its copy of a proof in its place, somebody lies", {"proposer1": "copying-proposer"},
              among=LIAR, asleep=("validator1",)),
    Deviation("proposer: keeps others' announcements out of its blocks, somebody lies",
              {"proposer1": "jealous-proposer"}, among=LIARS),
    Deviation("proposer: the same, and shows its proof before its turn",
              {"proposer1": "jealous-proposer", "validator1": "impatient-validator@1"}, among=LIARS),
    Deviation("challenger: a false proof of every attempt", {"challenger1": "spam-proofs@2"}),
    Deviation("challenger: a vote on every attempt", {"challenger1": "serial-challenges@2"}),
    Deviation("challenger: demands of every attempt", {"challenger1": "serial-demands@2"}),
    Deviation("challenger: copies proofs, somebody lies", {"challenger1": "copied-proofs@2"}, among=LIAR,
              saves="re-execution"),
    Deviation("requester: takes the updates and cancels", {"requester": "free-training@5"}),
    Deviation("requester: all aggregators its own, silent",
              {"requester": "", **dict.fromkeys(ALL_AGGREGATORS, "silent@5")}),
    Deviation("requester: aggregators and replicas its own, models gone",
              {"requester": "", **dict.fromkeys(ALL_AGGREGATORS, "unstored-model@5"), **OWNED_REPLICAS}),
)
# fmt: on


@dataclass(frozen=True)
class Run:
    """What is left of a simulation."""

    gains: Mapping[str, int]
    updates: int  # that were committed: from the freeze of their round on, anybody can read them
    settled: int  # rounds
    settled_lies: int
    events: str  # a hash of all of them, in the order of the blocks


@dataclass(frozen=True)
class Line:
    """One deviation, on average over its runs."""

    deviation: str
    runs: int
    played: int  # runs in which anything happened otherwise than in the honest one: it had an occasion
    honest_gain: int
    deviant_gain: int
    difference: int
    error: int  # of `difference`: its standard error
    worst_difference: int  # for honesty: the most that deviating brought in a run in which it was played
    participants: int  # what all other accounts have more or less, but the requester
    requester: int
    unsettled_rounds: float  # that settled in the honest runs, and not in these
    settled_lies: float
    saves: str
    beyond: str

    @property
    def beaten(self) -> str:
        """Whether honesty brings more: in every run, or on average by more than twice the standard error."""
        if self.played and self.worst_difference < 0:
            return "yes"
        return "on average" if self.difference < -2 * self.error else "no"


def build_scenario(deviation: Deviation, seed: int, *, honest: bool) -> Scenario:
    """Nobody crashes and nothing is lost: what differs, differs by the deviation."""
    # A requester without a part is one that owns those who have one.
    plays = {} if honest else {who: part for who, part in deviation.plays.items() if part}
    return Scenario(
        seed=seed,
        clients=CLIENTS,
        clients_per_round=CLIENTS_PER_ROUND,
        aggregators=AGGREGATORS - (deviation.mode == "quorum"),  # 2f+1
        replicas=REPLICAS,
        validators=VALIDATORS,
        rounds=ROUNDS,
        rule=FLOAT_RULE if deviation.is_float else deviation.rule,
        floats={"mean": compute_float_mean},
        parameters=TOLERANCES if deviation.is_float else {},
        mode=deviation.mode,
        watching=dict.fromkeys(deviation.asleep if honest else (*deviation.asleep, *deviation.idle), "idle"),
        adversaries={**deviation.among, **plays},
        mean_seconds_between_crashes=0.0,
        loss_rate=0.0,
        delays_by_block=True,
        length=32,
    )


def simulate(scenario: Scenario, known: dict[str, Run]) -> Run:
    """Once for each scenario: many deviations are held against the same honest runs."""
    name = repr(scenario)
    if name not in known:
        with no_warnings():
            result = run_and_report(scenario)
        report = result.report
        updates = report.events.get("update_committed", 0)
        events = hashlib.sha256(repr([(height, events) for height, _, events in result.chain.trace if events]).encode())
        known[name] = Run(report.gains, updates, report.rounds, report.settled_lies, events.hexdigest())
    return known[name]


def measure(deviation: Deviation, runs: int, known: dict[str, Run] | None = None) -> Line:
    """The deviation against honesty, with the seeds from 1 on."""
    known = {} if known is None else known
    seeds = range(1, runs + 1)
    honest = [simulate(build_scenario(deviation, seed, honest=True), known) for seed in seeds]
    deviant = [simulate(build_scenario(deviation, seed, honest=False), known) for seed in seeds]
    pairs = list(zip(honest, deviant, strict=True))
    own = [(_count(deviation, a, a), _count(deviation, b, a)) for a, b in pairs]
    apart = [b - a for a, b in own]
    played = [gain for gain, (a, b) in zip(apart, pairs, strict=True) if a.events != b.events]
    aside = {*deviation.accounts, *deviation.among, "requester"}
    others = [sum(b.gains[who] - gain for who, gain in a.gains.items() if who not in aside) for a, b in pairs]
    is_requester = "requester" in deviation.accounts
    requester = [0 if is_requester else b.gains["requester"] - a.gains["requester"] for a, b in pairs]
    return Line(
        deviation=deviation.name,
        runs=runs,
        played=len(played),
        honest_gain=_average([a for a, _ in own]),
        deviant_gain=_average([b for _, b in own]),
        difference=_average(apart),
        error=round(statistics.stdev(apart) / len(apart) ** 0.5) if runs > 1 else 0,
        worst_difference=max(played, default=0),
        participants=_average(others),
        requester=_average(requester),
        unsettled_rounds=round(sum(a.settled - b.settled for a, b in pairs) / runs, 2),
        settled_lies=round(sum(b.settled_lies for b in deviant) / runs, 2),
        saves=deviation.saves,
        beyond=deviation.beyond,
    )


def _count(deviation: Deviation, run: Run, honest: Run) -> int:
    """What the deviation's accounts gained. A requester wants updates: what as many as in the honest run cost it."""
    gain = sum(run.gains.get(who, 0) for who in deviation.accounts)  # a challenger that is honest has no account
    if "requester" in deviation.accounts and run.updates:
        return gain * honest.updates // run.updates
    return gain


def _average(values: Sequence[int]) -> int:
    return round(sum(values) / len(values))


_known: dict[str, Run] = {}  # of this process


def _measure_in_process(deviation: Deviation, runs: int) -> Line:
    return measure(deviation, runs, _known)


def measure_all(deviations: Sequence[Deviation], runs: int, jobs: int) -> Iterator[Line]:
    """In the order of `deviations`."""
    if jobs == 1:
        known: dict[str, Run] = {}
        yield from (measure(deviation, runs, known) for deviation in deviations)
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_measure_in_process, deviations, [runs] * len(deviations))


def show(lines: Sequence[Line]) -> None:
    """What honesty has to beat; then what it is not claimed to beat."""
    within, beyond = ([line for line in lines if bool(line.beyond) == is_beyond] for is_beyond in (False, True))
    if within:
        _show(within, f"Tokens, averages of {lines[0].runs} runs")
    if beyond:
        _show(beyond, f"Not claimed to be beaten: tokens, averages of {lines[0].runs} runs")


def _show(lines: Sequence[Line], title: str) -> None:
    columns = ["deviation", "honest gain", "deviant gain", "difference", "beaten", "others", "requester", "saves"]
    columns += ["why"] if lines[0].beyond else []
    rows = [
        (
            line.deviation,
            f"{line.honest_gain:,}",
            f"{line.deviant_gain:,}",
            f"{line.difference:,}" + ("" if line.beaten == "yes" else f" ± {line.error:,}"),
            "**no**" if line.beaten == "no" else line.beaten + (f" ({line.played})" if line.played < line.runs else ""),
            f"{line.participants:+,}",
            f"{line.requester:+,}",
            line.saves or "–",
            *([line.beyond] if line.beyond else []),
        )
        for line in lines
    ]
    print_table(title, columns, rows)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--runs", default=3, show_default=True, type=click.IntRange(1, 1000), help="Seeds of each deviation.")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(1, 256), help="Deviations at a time.")
@click.option("--only", default="", help="Deviations whose name contains this.")
def command(as_json: bool, runs: int, jobs: int, only: str) -> None:
    """Hold the wealth of whoever deviates against what honesty brings it."""
    deviations = [deviation for deviation in DEVIATIONS if only in deviation.name]
    if not deviations:
        raise click.UsageError(f"no deviation has {only!r} in its name; without --only all are measured")
    lines = []
    for line in measure_all(deviations, runs, jobs):
        lines.append(line)
        if as_json:
            click.echo(json.dumps(asdict(line) | {"beaten": line.beaten}))
    if not as_json:
        show(lines)


if __name__ == "__main__":
    command()
