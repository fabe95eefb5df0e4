"""Accuracy under attack: each rule × each attack × 0, 10, 20 and 30 % Byzantine clients, on real data.

    python -m benchmarks.robustness            all of it, some minutes on two idle cores; goes on where it was ended
    python -m benchmarks.robustness --seeds 3  with two more federations for each cell
    python -m benchmarks.robustness --quick    FedAvg and the median under two attacks, in seconds

Twenty clients train a small network on scikit-learn's digits, each on its part of a non-IID partition, with the
production Trainer, quantisation and kernels; there is no ledger. Attackers are given more than they can have there: the
honest updates of the round, all of them, before anyone aggregates. The rule is told how many they are.

A finished cell is a line in the file of `--cells`; whoever changes a rule or an attack begins a new file.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import multiprocessing
import os
import signal
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import click
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks.federations import print_table
from offchain.interfaces import Int16Vector, Int32Vector
from offchain.kernels.aggregate import aggregate
from offchain.learning.attacks import Searched, parse_attack
from offchain.learning.byzantine import make_target
from offchain.learning.quantisation import QuantisationError, dequantise, quantise_update
from optfl.rules import RoundFacts, Rule, parse_rule

CLIENTS = 20
BYZANTINE = (2, 4, 6)  # 10, 20 and 30 %
NOBODY = "none"
FRACTION_BITS = 14
LAST_ROUNDS = 3  # whose accuracy is averaged

# `{f}`: the number of Byzantine clients; without any, of the least number that there is otherwise.
RULES = (
    "fedavg()",
    "norm_clipped_mean(norm=0)",
    "centred_clipping(norm=0, steps=3)",
    "geometric_median(steps=8)",
    "median()",
    "trimmed_mean(f={f})",
    "meamed(f={f})",
    "krum(f={f})",
    "multi_krum(f={f})",
    "minimum_diameter(f={f})",
    "bulyan(f={f})",
    "bucketing(s=2) | median()",
    "nnm(f={f}) | median()",
    "nnm(f={f}) | trimmed_mean(f={f})",
    "arc(f={f}) | nnm(f={f}) | trimmed_mean(f={f})",
)
ATTACKS = (
    "sign_flip(factor=5)",
    "scaling()",
    "gaussian()",
    "label_flip()",
    "alie()",
    "ipm()",
    "mimic()",
    "alie_searched()",
    "ipm_searched()",
)


@dataclass(frozen=True)
class Cell:
    """One federation: `byzantine` of its clients play `attack`. The partition's `alpha`: smaller is more skewed."""

    rule: str
    attack: str
    byzantine: int
    seed: int
    alpha: float
    rounds: int = 15
    clients: int = CLIENTS
    steps: int = 10
    learning_rate: float = 0.2

    @property
    def exact_rule(self) -> Rule:
        return parse_rule(fill(self.rule, self.byzantine))

    @property
    def is_defined(self) -> bool:
        """Whether the rule takes as few clients with so many Byzantine ones."""
        return self.exact_rule.minimum_updates <= self.clients


@dataclass(frozen=True)
class Score:
    """Of a cell: accuracy on held-out data, 0..1, the mean of the last rounds. `diverged`: training met infinities."""

    cell: Cell
    accuracy: float
    diverged: bool = False

    def to_json(self) -> str:
        return json.dumps({**asdict(self.cell), "accuracy": self.accuracy, "diverged": self.diverged})


def fill(rule: str, byzantine: int) -> str:
    """The rule that a template stands for when it is told of so many Byzantine clients."""
    return rule.format(f=byzantine or BYZANTINE[0])


def list_cells(
    rules: Sequence[str], attacks: Sequence[str], byzantine: Sequence[int], seeds: int, alpha: float, **setting: int
) -> list[Cell]:
    """Those that are defined; a whole table for the first seed comes first."""
    pairs = [(NOBODY, 0), *((attack, count) for attack in attacks for count in byzantine)]
    cells = (
        Cell(rule, attack, count, seed, alpha, **setting)
        for seed in range(1, seeds + 1)
        for rule in rules
        for attack, count in pairs
    )
    return [cell for cell in cells if cell.is_defined]


class Clients:
    """The clients of one partition, honest ones and the same with wrong labels, as they are asked for."""

    def __init__(self, cell: Cell) -> None:
        from torch import nn

        from offchain.learning import trainer
        from offchain.learning.data import ClientData
        from offchain.learning.digits import CLASSES, load_client_data

        def build_network() -> nn.Module:
            return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, CLASSES))

        work = trainer.Hyperparameters(steps=cell.steps, learning_rate=cell.learning_rate)
        data = [load_client_data(i, cell.clients, cell.seed, cell.alpha) for i in range(cell.clients)]
        flipped = [ClientData(own.train.flip_labels(CLASSES), own.test) for own in data]
        self.honest = [trainer.TorchTrainer(build_network, own, FRACTION_BITS, work) for own in data]
        self.flipped = [trainer.TorchTrainer(build_network, own, FRACTION_BITS, work) for own in flipped]
        self.initial = trainer.compute_initial_model(build_network, FRACTION_BITS, cell.seed)
        self.order = np.random.default_rng(cell.seed).permutation(cell.clients).tolist()
        """Who is Byzantine, in the order in which their number grows."""


@functools.lru_cache(maxsize=2)
def get_clients(setting: Cell) -> Clients:
    return Clients(setting)


def measure(cell: Cell) -> Score:
    """Train a federation to the end; a function of the cell."""
    clients = get_clients(dataclasses.replace(cell, rule="", attack="", byzantine=0))
    accuracies: list[float] = []
    model, diverged = clients.initial, False
    for number in range(cell.rounds):
        if not diverged:
            try:
                model = run_round(cell, clients, model, number)
            except QuantisationError:
                diverged = True  # what is left of the model trains no more: its accuracy stays
        accuracies.append(clients.honest[0].evaluate(model))
    return Score(cell, float(np.mean(accuracies[-LAST_ROUNDS:])), diverged)


def run_round(cell: Cell, clients: Clients, model: Int32Vector, number: int) -> Int32Vector:
    """The next model. Raises QuantisationError when an honest client's training diverges."""
    byzantine = clients.order[: cell.byzantine]
    seeds = np.random.default_rng((cell.seed, number)).integers(2**63, size=cell.clients)
    updates: dict[int, Int16Vector] = {}
    weights = dict.fromkeys(range(cell.clients), 0)
    for client, trainer in enumerate(clients.honest):
        if client not in byzantine:
            updates[client], weights[client] = trainer.train(model, int(seeds[client]))
    if byzantine:
        attack = parse_attack(cell.attack)
        if isinstance(attack, Searched):
            attack = attack.aim(make_target(cell.exact_rule, FRACTION_BITS, len(byzantine)))
        seen = list(updates.values())
        if attack.flips_labels:
            seen = [clients.flipped[client].train(model, int(seeds[client]))[0] for client in byzantine]
        sent = attack.compute(np.stack([dequantise(update, FRACTION_BITS) for update in seen]))
        for client in byzantine:
            updates[client] = quantise_update(sent, FRACTION_BITS)
            weights[client] = clients.honest[client].examples
    facts = RoundFacts(tuple(weights[i] for i in range(cell.clients)), beacon=cell.seed.to_bytes(8) + bytes([number]))
    return aggregate(cell.exact_rule, model, [updates[i] for i in range(cell.clients)], facts, threads=1).model


_BEGIN = '{"rule": '  # of a line


def read_scores(path: Path) -> dict[Cell, Score]:
    """The cells that are done. A line that was cut off by the end of the process is none."""
    scores: dict[Cell, Score] = {}
    if not path.exists():
        return scores
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(keepends=True), 1):
        try:
            values = json.loads(line)
            accuracy, diverged = values.pop("accuracy"), values.pop("diverged")
            cell = Cell(**values)
        except (ValueError, TypeError, KeyError, AttributeError):
            if line.startswith(_BEGIN) and not line.endswith("\n"):
                break
            raise click.UsageError(f"{path}, line {number}: not a cell; choose another --cells") from None
        scores[cell] = Score(cell, accuracy, diverged)
    return scores


def measure_missing(cells: Sequence[Cell], path: Path, jobs: int, console: Console) -> dict[Cell, Score]:
    """Scores of all `cells`: those of the file, and the others, which are appended to it as they are done."""
    scores = {cell: score for cell, score in read_scores(path).items() if cell in set(cells)}
    missing = [cell for cell in cells if cell not in scores]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with (
        Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as progress,
        open_to_append(path) as file,
    ):
        bar = progress.add_task("cells", total=len(cells), completed=len(scores))
        for score in measure_all(missing, jobs):
            scores[score.cell] = score
            file.write(score.to_json() + "\n")
            file.flush()
            progress.advance(bar)
    return scores


def open_to_append(path: Path) -> TextIO:
    """The file, without a last line that was cut off."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        whole = path.read_bytes()
        path.write_bytes(whole[: whole.rfind(b"\n") + 1])
    return path.open("a", encoding="utf-8")


def measure_all(cells: Sequence[Cell], jobs: int) -> Iterator[Score]:
    """In the order in which they are done."""
    if jobs == 1 or len(cells) < 2:
        yield from map(measure, cells)
        return
    # Fresh processes: a fork would take torch's threads with it in whatever state they are.
    # Ctrl-C is this process's to answer.
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, spawn, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN))
    try:
        for future in as_completed([pool.submit(measure, cell) for cell in cells]):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


Table = Mapping[tuple[str, str, int], float]
"""Mean accuracy over the seeds by (rule, attack, Byzantine clients)."""


def average(scores: Iterable[Score]) -> Table:
    found: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    for score in scores:
        found[score.cell.rule, score.cell.attack, score.cell.byzantine].append(score.accuracy)
    return {key: float(np.mean(accuracies)) for key, accuracies in found.items()}


def show(table: Table, clients: int) -> None:
    """The worst of all attacks for each rule, then all of them for each number of Byzantine clients."""
    rules = list(dict.fromkeys(rule for rule, _, _ in table))
    attacks = list(dict.fromkeys(attack for _, attack, count in table if count))
    counts = sorted({count for _, _, count in table if count})
    shares = {count: f"{100 * count // clients} %" for count in counts}
    rows = [
        [escape(rule), percent(table.get((rule, NOBODY, 0))), *(worst(table, rule, attacks, count) for count in counts)]
        for rule in rules
    ]
    print_table("Accuracy under the worst attack, in percent", ["rule", "0 %", *shares.values()], rows)
    for count in counts:
        rows = [[escape(rule), *(percent(table.get((rule, attack, count))) for attack in attacks)] for rule in rules]
        print_table(f"Accuracy with {shares[count]} Byzantine clients, in percent", ["rule", *attacks], rows)


def name(rule: str) -> str:
    """A template for people: they know what f is."""
    return rule.replace("f={f}", "f")


def escape(rule: str) -> str:
    """Its name as Markdown has it in a table."""
    return name(rule).replace("|", "\\|")


def percent(accuracy: float | None) -> str:
    return "–" if accuracy is None else f"{100 * accuracy:.0f}"


def worst(table: Table, rule: str, attacks: Sequence[str], count: int) -> str:
    found = [(table[rule, attack, count], attack) for attack in attacks if (rule, attack, count) in table]
    if not found:
        return "–"
    accuracy, attack = min(found)
    return f"{percent(accuracy)} {attack}"


_FONT = "DejaVu Sans"  # one name: with all alternatives in each of its cells the file is twice as long


def plot(table: Table, clients: int) -> Path:
    """A heat map: a row a rule, a column an attack, a block a share of Byzantine clients."""
    from benchmarks.plots import save_plot

    rules = list(dict.fromkeys(rule for rule, _, _ in table))
    attacks = list(dict.fromkeys(attack for _, attack, count in table if count))
    counts = sorted({count for _, _, count in table if count})
    columns: list[tuple[str, int] | None] = [(NOBODY, 0)]  # None: a gap between blocks
    for count in counts:
        columns += [None, *((attack, count) for attack in attacks)]

    def draw(axes: Any) -> None:
        values = np.full((len(rules), len(columns)), np.nan)
        style = {"ha": "center", "va": "center", "fontsize": 7, "family": _FONT}
        for y, rule in enumerate(rules):
            for x, column in enumerate(columns):
                if column is None:
                    continue
                accuracy = table.get((rule, *column))
                if accuracy is not None:
                    values[y, x] = accuracy
                colour = "white" if accuracy is not None and accuracy < 0.6 else "black"
                axes.text(x + 0.5, y + 0.5, percent(accuracy), color=colour, **style)
        axes.pcolormesh(np.ma.masked_invalid(values), vmin=0, vmax=1, cmap="viridis", edgecolors="white", lw=0.5)
        axes.invert_yaxis()
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        axes.set_yticks(np.arange(len(rules)) + 0.5, [name(rule) for rule in rules], fontsize=8)
        named = [(x, column[0]) for x, column in enumerate(columns) if column is not None]
        axes.set_xticks([x + 0.5 for x, _ in named], [attack for _, attack in named], rotation=90, fontsize=8)
        for block, count in enumerate(counts):
            middle = 2 + block * (len(attacks) + 1) + len(attacks) / 2
            axes.text(middle, -0.2, f"{100 * count // clients} % Byzantine", ha="center", va="bottom", fontsize=9)

    return save_plot("robustness", draw, width=1.5 + 0.34 * len(columns) + 1.5, height=1.5 + 0.28 * len(rules))


@click.command()
@click.option("--cells", type=click.Path(dir_okay=False, path_type=Path), default=Path("robustness.jsonl"),
              show_default=True, help="Finished cells, a line each; those in it are not run again.")  # fmt: skip
@click.option("--jobs", type=click.IntRange(1, 256), default=os.cpu_count() or 1, show_default=True, help="Processes.")
@click.option("--seeds", type=click.IntRange(1, 100), default=1, show_default=True, help="Federations for each cell.")
@click.option("--alpha", type=click.FloatRange(0.01, 1000), default=0.5, show_default=True,
              help="Of the partition: smaller is more skewed, 1000 is IID.")  # fmt: skip
@click.option("--quick", is_flag=True, help="Two rules, two attacks, few rounds; no figure.")
def command(*, cells: Path, jobs: int, seeds: int, alpha: float, quick: bool) -> None:
    """Train under attack, print tables as Markdown, and write docs/figures/robustness.svg."""
    if quick:
        rules = ("fedavg()", "median()")
        wanted = list_cells(rules, ("sign_flip(factor=5)", "alie_searched()"), (4,), 1, alpha, rounds=4)
    else:
        wanted = list_cells(RULES, ATTACKS, BYZANTINE, seeds, alpha)
    console = Console(stderr=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # workers would outlive this process otherwise
    try:
        scores = measure_missing(wanted, cells, jobs, console)
    except KeyboardInterrupt:
        raise click.ClickException(f"interrupted; what is finished is in {cells}, run it again to go on") from None
    table = average(scores[cell] for cell in wanted)
    show(table, CLIENTS)
    if diverged := sum(score.diverged for score in scores.values()):
        console.print(f"training diverged in {diverged} of {len(wanted)} cells")
    if not quick:
        console.print(f"figure: {plot(table, CLIENTS)}")


if __name__ == "__main__":
    command()
