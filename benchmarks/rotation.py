"""Who has how many turns while others are excluded: `python -m benchmarks.rotation`. With `--json`, a line a rule.

Counted, not computed: whose turn it is in each of R rounds by the ledger's own `compute_turn`, under both rules that a
task can choose. `even` gives the excluded ones' turns to those who are eligible, one after the other; `literal` is
seed 001's Algorithm 1, where they all go to the next in order.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import click
from rich.console import Console
from rich.table import Table

from abci_app.state.participants import compute_turn

RULES = ("even", "literal")


@dataclass(frozen=True)
class Share:
    """Turns of each aggregator in R rounds; those who are excluded have none."""

    rule: str
    aggregators: int
    excluded: tuple[int, ...]
    rounds: int
    turns: tuple[int, ...]

    @property
    def ratio(self) -> float:
        """The most turns of an eligible one to the fewest; 1 is even."""
        eligible = [count for i, count in enumerate(self.turns) if i not in self.excluded]
        return max(eligible) / min(eligible) if min(eligible) else float("inf")


def count_turns(rule: str, aggregators: int, excluded: Sequence[int], rounds: int) -> Share:
    """`excluded` are out from the first round to the last."""
    addresses = [bytes([i // 256, i % 256]) for i in range(aggregators)]
    eligible = [address for i, address in enumerate(addresses) if i not in excluded]
    turns = Counter(compute_turn(addresses, eligible, r, 0, literal=rule == "literal") for r in range(1, rounds + 1))
    return Share(rule, aggregators, tuple(sorted(set(excluded))), rounds, tuple(turns[a] for a in addresses))


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--aggregators", default=10, show_default=True, type=click.IntRange(1, 256), help="N.")
@click.option("--excluded", default="0,1,2", show_default=True, help="E: places in the order of turns, from 0.")
@click.option("--rounds", default=100, show_default=True, type=click.IntRange(1, 100_000), help="R.")
def command(as_json: bool, aggregators: int, excluded: str, rounds: int) -> None:
    """Count the turns of each aggregator under both rules of rotation."""
    try:
        places = sorted({int(place) for place in excluded.split(",") if place.strip()})
    except ValueError:
        raise click.UsageError(
            f"--excluded is {excluded!r}; give places with commas between them, like 0,1,2"
        ) from None
    if places and not 0 <= places[0] <= places[-1] < aggregators:
        raise click.UsageError(f"--excluded has places from 0 to {aggregators - 1}")
    if len(places) == aggregators:
        raise click.UsageError("with everybody excluded there are no turns: the task pauses")
    shares = [count_turns(rule, aggregators, places, rounds) for rule in RULES]
    if as_json:
        for share in shares:
            click.echo(json.dumps({**asdict(share), "ratio": round(share.ratio, 4)}))
        return
    table = Table("aggregator", *RULES)
    for place in range(aggregators):
        table.add_row(str(place), *("–" if place in places else str(share.turns[place]) for share in shares))
    table.add_section()
    table.add_row("most / fewest", *(f"{share.ratio:.2f}" for share in shares))
    Console().print(table)


if __name__ == "__main__":
    command()
