"""What a proposer can do to the draw of clients: `python -m benchmarks.beacon`. With `--json`, one object a line.

An attacker holds a share of the voting power, so of the blocks, and some of the registered clients. A round's clients
are drawn by the beacon of the block that opens it. Measured is how many of them are the attacker's, if it

- `honest`: follows the protocol;
- `withhold`: reveals or withholds in each of its own blocks, as suits it. Of m blocks in a row that are its own, up to
  the one that opens the round, it chooses among 2^m beacons that it all knows beforehand;
- `choose-block`: is also the round's aggregator, so that it picks the block that opens the next round, within its
  deadline, and withholds there if that suits it;
- `grind-T`: has block hashes for a beacon, as without hash chains, and tries T blocks where its own opens the round;
- `choose-block-grind-T`: both.

Slots are independent: each block is the attacker's with the probability of its share. The draws are the ledger's own.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import click
from rich.console import Console
from rich.table import Table

from abci_app.state.participants import draw_clients
from optfl.beacon import HashChain, compute_beacon, encode_withheld

POWERS = (0.1, 0.25, 1 / 3)
TRIES = (10, 1000)
MAX_RUN = 6  # own blocks in a row that are looked ahead: with a third of the power, one run in 729 is longer
TURN_BLOCKS = 20  # that an aggregator has for its turn


@dataclass(frozen=True)
class Setting:
    """Who is drawn from, and how often."""

    clients: int
    sybils: int  # of them
    k: int  # drawn
    trials: int
    seed: int


@dataclass(frozen=True)
class Outcome:
    """One opened round."""

    sybils: int
    withheld: int  # blocks whose fees the attacker gave up


@dataclass(frozen=True)
class Line:
    """What is printed of a strategy."""

    strategy: str
    power: float
    clients: int
    sybils: int
    k: int
    trials: int
    seed: int
    mean_sybils: float
    standard_error: float
    majority: float  # share of the rounds in which more than half of the drawn are the attacker's
    withheld_blocks: float  # a round, on average


class Trial:
    """One round to be opened, the same for every strategy and share of power: beacons, reveals, whose slots."""

    def __init__(self, setting: Setting, number: int) -> None:
        self._setting = setting
        self._number = number
        self._weighted = [(i.to_bytes(20, "big"), 1) for i in range(setting.clients)]
        generator = random.Random(f"{setting.seed}/{number}")
        self.slots = [generator.random() for _ in range(MAX_RUN + TURN_BLOCKS)]  # own where it is below the power
        self._start = generator.randbytes(32)
        self._chain = HashChain(generator.randbytes(32), MAX_RUN + TURN_BLOCKS)

    def count(self, beacon: bytes) -> int:
        """Sybils among the drawn; the first clients of the list are the attacker's."""
        drawn = draw_clients(beacon, 1, self._number, self._weighted, self._setting.k)
        return sum(int.from_bytes(address, "big") < self._setting.sybils for address in drawn)

    def reveals(self) -> Iterator[bytes]:
        """The preimages of the blocks, one after the other, whoever proposes them."""
        tip = self._chain.anchor
        while (preimage := self._chain.get_preimage(tip)) is not None:
            yield preimage
            tip = preimage

    @functools.cached_property
    def honest(self) -> Outcome:
        reveals = itertools.islice(self.reveals(), MAX_RUN)
        return Outcome(self.count(functools.reduce(compute_beacon, reveals, self._start)), 0)

    @functools.cache  # noqa: B019  # as long as its trial
    def withhold(self, run: int) -> Outcome:
        """The best of all ways to reveal or withhold in the last `run` blocks; of equal ones that with most reveals."""
        reveals = list(itertools.islice(self.reveals(), MAX_RUN))
        before = functools.reduce(compute_beacon, reveals[: MAX_RUN - run], self._start)
        outcomes = []
        for choice in itertools.product((False, True), repeat=run):
            beacon = before
            for height, (is_withheld, reveal) in enumerate(zip(choice, reveals[MAX_RUN - run :], strict=True)):
                beacon = compute_beacon(beacon, encode_withheld(height) if is_withheld else reveal)
            outcomes.append(Outcome(self.count(beacon), sum(choice)))
        return max(outcomes, key=lambda outcome: (outcome.sybils, -outcome.withheld))

    @functools.cache  # noqa: B019  # as long as its trial
    def grind(self, tries: int) -> Outcome:
        hashes = (hashlib.sha256(self._start + number.to_bytes(4, "big")).digest() for number in range(tries))
        return Outcome(max(self.count(compute_beacon(self._start, block_hash)) for block_hash in hashes), 0)

    def choose_block(self, power: float, worth_waiting: Sequence[float]) -> Outcome:
        """Open the round in the first own block whose draw is better than what waiting brings on average."""
        beacon = self._start
        reveals = itertools.islice(self.reveals(), TURN_BLOCKS)
        for height, (slot, reveal) in enumerate(zip(self.slots, reveals, strict=False)):
            left = TURN_BLOCKS - 1 - height
            revealed = compute_beacon(beacon, reveal)
            if slot < power:
                kept, withheld = self.count(revealed), self.count(compute_beacon(beacon, encode_withheld(height)))
                if max(kept, withheld) >= worth_waiting[left]:
                    return Outcome(max(kept, withheld), int(withheld > kept))
            beacon = revealed
        return Outcome(self.count(beacon), 0)  # its deadline: whoever's block it is


def compute_worth_of_waiting(setting: Setting, power: float) -> list[float]:
    """Sybils that an attacker can expect with so many blocks left, by the hypergeometric law of a single draw."""
    law = [
        math.comb(setting.sybils, n)
        * math.comb(setting.clients - setting.sybils, setting.k - n)
        / math.comb(setting.clients, setting.k)
        for n in range(setting.k + 1)
    ]
    up_to = list(itertools.accumulate(law))
    best_of_two = [up_to[n] ** 2 - (up_to[n - 1] ** 2 if n else 0) for n in range(setting.k + 1)]
    worth = [sum(n * p for n, p in enumerate(law))]
    for _ in range(TURN_BLOCKS - 1):
        own = sum(max(n, worth[-1]) * p for n, p in enumerate(best_of_two))
        worth.append(power * own + (1 - power) * worth[-1])
    return worth


def count_run(trial: Trial, power: float) -> int:
    """Own blocks in a row, up to the one that opens the round."""
    return sum(1 for _ in itertools.takewhile(lambda slot: slot < power, trial.slots[:MAX_RUN]))


def build_strategies(setting: Setting, power: float, all_tries: Sequence[int]) -> dict[str, Callable[[Trial], Outcome]]:
    worth = compute_worth_of_waiting(setting, power)
    strategies: dict[str, Callable[[Trial], Outcome]] = {
        "honest": lambda trial: trial.honest,
        "withhold": lambda trial: trial.withhold(count_run(trial, power)),
        "choose-block": lambda trial: trial.choose_block(power, worth),
    }
    for tries in all_tries:
        strategies[f"grind-{tries}"] = functools.partial(_grind, tries, power, 1)
    most = max(all_tries)
    strategies[f"choose-block-grind-{most}"] = functools.partial(_grind, most, power, TURN_BLOCKS)
    return strategies


def _grind(tries: int, power: float, blocks: int, trial: Trial) -> Outcome:
    """In the first own block of those that could open the round."""
    return trial.grind(tries) if min(trial.slots[:blocks]) < power else trial.honest


def measure(setting: Setting, powers: Sequence[float], all_tries: Sequence[int]) -> Iterator[Line]:
    trials = [Trial(setting, number) for number in range(setting.trials)]
    for power in powers:
        for name, strategy in build_strategies(setting, power, all_tries).items():
            outcomes = [strategy(trial) for trial in trials]
            counts = [outcome.sybils for outcome in outcomes]
            mean = sum(counts) / len(counts)
            variance = sum((count - mean) ** 2 for count in counts) / max(len(counts) - 1, 1)
            yield Line(
                strategy=name,
                power=round(power, 4),
                **asdict(setting),
                mean_sybils=round(mean, 4),
                standard_error=round(math.sqrt(variance / len(counts)), 4),
                majority=round(sum(2 * count > setting.k for count in counts) / len(counts), 4),
                withheld_blocks=round(sum(outcome.withheld for outcome in outcomes) / len(outcomes), 4),
            )


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--clients", default=200, show_default=True, type=click.IntRange(1, 1000), help="N, that are drawn from.")
@click.option("--sybils", default=60, show_default=True, type=click.IntRange(0, 1000), help="The attacker's, of N.")
@click.option("--k", default=10, show_default=True, type=click.IntRange(1, 1000), help="K, that are drawn.")
@click.option(
    "--power", "powers", multiple=True, type=click.FloatRange(0, 1), help="Shares.  [default: 0.1, 0.25, 1/3]"
)
@click.option("--tries", "all_tries", multiple=True, type=click.IntRange(1), help="T of grind.  [default: 10, 1000]")
@click.option("--trials", default=1000, show_default=True, type=click.IntRange(1, 1_000_000), help="Rounds opened.")
@click.option("--seed", default=1, show_default=True)
def command(
    as_json: bool,
    clients: int,
    sybils: int,
    k: int,
    powers: tuple[float, ...],
    all_tries: tuple[int, ...],
    trials: int,
    seed: int,
) -> None:
    """Measure how far a proposer can turn the draw of clients to its favour, by the source of the beacon."""
    if max(sybils, k) > clients:
        raise click.UsageError(f"--sybils and --k are at most --clients, {clients}")
    lines = measure(Setting(clients, sybils, k, trials, seed), powers or POWERS, all_tries or TRIES)
    if as_json:
        for line in lines:
            click.echo(json.dumps(asdict(line)))
        return
    table = Table("power", "strategy", "sybils of K", "± s.e.", "majority", "withheld")
    for line in lines:
        numbers = f"{line.mean_sybils:.2f}", f"{line.standard_error:.2f}", f"{line.majority:.1%}"
        table.add_row(f"{line.power:.3f}", line.strategy, *numbers, f"{line.withheld_blocks:.2f}")
    Console().print(table)


if __name__ == "__main__":
    command()
