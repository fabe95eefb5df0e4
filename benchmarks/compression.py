"""What small updates cost in accuracy: the digits task, trained with updates of several sizes and ways of rounding.

    python -m benchmarks.compression             a table, in some minutes with --jobs 2
    python -m benchmarks.compression --json      one JSON object a line
    python -m benchmarks.compression --quick     one seed, one round: whether it works

A federation without ledger and network: the production trainer, quantiser and rules, and in place of the rules their
float64 counterparts for updates that are floats. Every variant has the same data, first model, draws and seeds.
"""

from __future__ import annotations

import json
import multiprocessing
import statistics
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from offchain.interfaces import Int16Vector
from offchain.learning import digits
from offchain.learning.quantisation import (
    FloatVector,
    UpdateNarrower,
    choose_update_shift,
    dequantise,
    narrow_update,
    quantise_model,
    quantise_update,
)
from offchain.learning.trainer import Hyperparameters, TorchTrainer
from optfl.aggregation import aggregate
from optfl.rules import RoundFacts, parse_rule
from optfl.tasks import expand_update
from optfl.wire import transaction_pb2

CLIENTS = 16
CLIENTS_PER_ROUND = 8  # a client is drawn in every second round, so that its residual has waited for two on average
RULES = ("fedavg()", "median()", "trimmed_mean(f=1)")
DEFAULT_RULES = RULES[:2]
TRAININGS = {
    "usual": (Hyperparameters(), 12),
    # Little is learned in a round, so that most values lie below half a step of the larger shifts.
    "gentle": (Hyperparameters(steps=5, learning_rate=0.05), 40),
}
"""How clients train, and for how many rounds."""
SHIFTS = (4, 6, 8)
ROUNDINGS = ("nearest", "stochastic", "feedback")  # the last is stochastic with error feedback: what clients do
LAST_ROUNDS = 3  # the final accuracy is the mean over these: one round's depends on which clients it drew


@dataclass(frozen=True)
class Variant:
    """How an update is stored."""

    dtype: str
    shift: int = 0
    rounding: str = "nearest"

    @property
    def name(self) -> str:
        return self.dtype if self.dtype != "int8" else f"int8, shift {self.shift}, {self.rounding}"

    @property
    def is_float(self) -> bool:
        return np.issubdtype(np.dtype(self.dtype), np.floating)

    @property
    def update_bytes(self) -> int:
        return digits.LENGTH * np.dtype(self.dtype).itemsize


VARIANTS = (
    *(Variant("float64"), Variant("float32"), Variant("int16")),
    *(Variant("int8", shift, rounding) for shift in SHIFTS for rounding in ROUNDINGS),
)


@dataclass(frozen=True)
class Setting:
    """One federation: everything but how updates are stored follows from it. `rounds` 0: its training's."""

    training: str
    rule: str
    seed: int
    rounds: int = 0


@dataclass(frozen=True)
class Line:
    """One variant of one setting."""

    training: str
    rule: str
    variant: str
    seed: int
    update_bytes: int
    accuracies: tuple[float, ...]  # after each round, on the common test set
    zeros: float | None  # share of the values that are stored as 0, of integers
    chosen_shift: int | None  # that `choose_update_shift` names for the largest update of the first round

    @property
    def final_accuracy(self) -> float:
        return statistics.mean(self.accuracies[-LAST_ROUNDS:])


class Storing:
    """Turns clients' real updates into what rules see of them after they were stored; keeps each client's residual."""

    def __init__(self, variant: Variant) -> None:
        self._variant = variant
        self._parameters = transaction_pb2.TaskParameters(update_bits=8, update_shift=variant.shift)
        self._narrowers: dict[int, UpdateNarrower] = {}
        self.values = self.zeros = 0

    def store(self, client: int, update: Int16Vector, seed: int) -> Int16Vector:
        stored: npt.NDArray[Any] = update
        if self._variant.dtype == "int8":
            stored = self._narrow(client, update, seed)
        self.values += stored.size
        self.zeros += int(np.count_nonzero(stored == 0))
        return expand_update(self._parameters, stored)

    def _narrow(self, client: int, update: Int16Vector, seed: int) -> npt.NDArray[np.int8]:
        shift = self._variant.shift
        if self._variant.rounding == "feedback":
            return self._narrowers.setdefault(client, UpdateNarrower(shift)).narrow(update, seed)
        return narrow_update(update, shift, seed if self._variant.rounding == "stochastic" else None)


def run(setting: Setting, variant: Variant) -> Line:
    """Train a federation to its end."""
    hyperparameters, rounds = TRAININGS[setting.training]
    trainers = [
        TorchTrainer(
            digits.build_cnn,
            digits.load_client_data(client, CLIENTS, setting.seed),
            digits.FRACTION_BITS,
            hyperparameters,
        )
        for client in range(CLIENTS)
    ]
    draw = np.random.default_rng(setting.seed)
    storing = Storing(variant)
    model = dequantise(digits.compute_initial_model(setting.seed), digits.FRACTION_BITS)
    accuracies: list[float] = []
    chosen_shift: int | None = None
    for number in range(setting.rounds or rounds):
        drawn = [int(client) for client in draw.choice(CLIENTS, CLIENTS_PER_ROUND, replace=False)]
        seeds = [int(seed) for seed in draw.integers(2**62, size=CLIENTS_PER_ROUND)]
        trained = [trainers[i].train_real(model, seed) for i, seed in zip(drawn, seeds, strict=True)]
        reals, weights = [update for update, _ in trained], [weight for _, weight in trained]
        if variant.is_float:
            sent = np.stack(reals).astype(variant.dtype).astype(np.float64)
            model = model + FLOAT_RULES[setting.rule](sent, weights)
        else:
            updates = [quantise_update(real, digits.FRACTION_BITS) for real in reals]
            if chosen_shift is None:
                chosen_shift = max(choose_update_shift(update) for update in updates)
            # Rounding draws from another stream than training did.
            stored = [storing.store(i, update, seed + 1) for i, update, seed in zip(drawn, updates, seeds, strict=True)]
            model = _add_exactly(setting.rule, model, stored, weights, number)
        accuracies.append(trainers[0].evaluate(quantise_model(model, digits.FRACTION_BITS)))
    return Line(
        training=setting.training,
        rule=setting.rule,
        variant=variant.name,
        seed=setting.seed,
        update_bytes=variant.update_bytes,
        accuracies=tuple(accuracies),
        zeros=None if variant.is_float else storing.zeros / storing.values,
        chosen_shift=chosen_shift,
    )


def _add_exactly(
    rule: str, model: FloatVector, updates: Sequence[Int16Vector], weights: Sequence[int], number: int
) -> FloatVector:
    """The production step, of a model whose values are all multiples of 2^-FRACTION_BITS."""
    facts = RoundFacts(tuple(weights), number.to_bytes(32, "big"))
    base = quantise_model(model, digits.FRACTION_BITS)
    step = aggregate(parse_rule(rule), base, updates, facts, digits.LENGTH)
    return dequantise(step.model, digits.FRACTION_BITS)


def _average(updates: FloatVector, weights: Sequence[int]) -> FloatVector:
    mean: FloatVector = np.average(updates, axis=0, weights=weights)
    return mean


def _trim(updates: FloatVector, weights: Sequence[int]) -> FloatVector:
    mean: FloatVector = np.sort(updates, axis=0)[1:-1].mean(axis=0)
    return mean


def _median(updates: FloatVector, weights: Sequence[int]) -> FloatVector:
    middle: FloatVector = np.median(updates, axis=0)
    return middle


FLOAT_RULES: dict[str, Callable[[FloatVector, Sequence[int]], FloatVector]] = {
    "fedavg()": _average,
    "trimmed_mean(f=1)": _trim,
    "median()": _median,
}


def measure_all(settings: Sequence[Setting], variants: Sequence[Variant], jobs: int) -> Iterator[Line]:
    pairs = list(product(settings, variants))
    if jobs == 1:
        yield from (run(*pair) for pair in pairs)
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(run, *zip(*pairs, strict=True))


def build_table(lines: Sequence[Line]) -> Table:
    """One row a training, rule and variant, over the seeds; the loss is against float64 of the same seed."""
    table = Table("training", "rule", "update", "bytes", "of float64", "accuracy, %", "against float64", "stored as 0")
    grouped: dict[tuple[str, str, str], list[Line]] = {}
    for line in lines:
        grouped.setdefault((line.training, line.rule, line.variant), []).append(line)
    for (training, rule, variant), group in grouped.items():
        reference = {line.seed: line.final_accuracy for line in grouped[training, rule, "float64"]}
        zeros = [line.zeros for line in group if line.zeros is not None]
        table.add_row(
            training,
            rule,
            variant,
            str(group[0].update_bytes),
            f"1/{8 * digits.LENGTH // group[0].update_bytes}",
            _format_mean([line.final_accuracy for line in group]),
            _format_mean([line.final_accuracy - reference[line.seed] for line in group], signed=True),
            f"{statistics.mean(zeros):.0%}" if zeros else "–",
        )
    return table


def _format_mean(shares: Sequence[float], *, signed: bool = False) -> str:
    """Mean ± standard deviation over the seeds, in percent."""
    spread = statistics.stdev(shares) if len(shares) > 1 else 0.0
    return f"{100 * statistics.mean(shares):{'+' if signed else ''}.2f} ± {100 * spread:.2f}"


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--quick", is_flag=True, help="One seed, one rule, one round: whether it works.")
@click.option("--rule", "rules", multiple=True, type=click.Choice(RULES), help=f"[default: {', '.join(DEFAULT_RULES)}]")
@click.option("--training", "trainings", multiple=True, type=click.Choice(list(TRAININGS)), help="[default: all]")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(1, 1000))
@click.option("--rounds", default=0, type=click.IntRange(0, 1000), help="[default: 12, gentle: 40]")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(1, 256), help="Federations at a time.")
def command(
    as_json: bool,
    quick: bool,
    rules: tuple[str, ...],
    trainings: tuple[str, ...],
    seeds: int,
    rounds: int,
    jobs: int,
) -> None:
    """Measure what small updates cost in accuracy, on the digits task."""
    rules, trainings = rules or DEFAULT_RULES, trainings or tuple(TRAININGS)
    if quick:
        rules, trainings, seeds, rounds = rules[:1], trainings[:1], 1, 1
    settings = [
        Setting(training, rule, seed, rounds) for training, rule, seed in product(trainings, rules, range(1, seeds + 1))
    ]
    lines = measure_all(settings, VARIANTS, jobs)
    if as_json:
        for line in lines:
            click.echo(json.dumps(asdict(line) | {"final_accuracy": round(line.final_accuracy, 4)}))
        return
    Console().print(build_table(list(lines)))


if __name__ == "__main__":
    command()
