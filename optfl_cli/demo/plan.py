"""What will happen in a demo, drawn from its seed."""

from __future__ import annotations

import random
from dataclasses import dataclass

from optfl.rules import RuleError, parse_rule
from optfl_cli.errors import UserError

NODES = 4
REPLICAS = 4
AGGREGATORS = 3


@dataclass(frozen=True)
class Plan:
    """Sizes of the federation, and who lies when. `fraud_round` 0: nobody does."""

    seed: int
    rounds: int
    clients: int
    rule: str
    fraud: str | None
    fraud_round: int
    update_bits: int = 16

    @property
    def culprit(self) -> int | None:
        """Index of the Byzantine aggregator: the one whose turn `fraud_round` is."""
        return (self.fraud_round - 1) % AGGREGATORS if self.fraud else None

    @property
    def min_updates(self) -> int:
        """A round goes on without a quarter of its clients."""
        return max(parse_rule(self.rule).minimum_updates, self.clients - self.clients // 4)


def draw_plan(seed: int, rounds: int, clients: int, rule: str, fraud: str | None, update_bits: int = 16) -> Plan:
    """Draw the Byzantine aggregator and its turn; raises UserError for sizes that make no federation."""
    if not 1 <= rounds <= 1000:
        raise UserError(f"--rounds is {rounds}; use 1 to 1000")
    if not 1 <= clients <= 64:
        raise UserError(f"--clients is {clients}; use 1 to 64, each is a process of its own")
    try:
        minimum = parse_rule(rule).minimum_updates
    except RuleError as error:
        raise UserError(f"--rule {rule}: {error}") from None
    if clients < minimum:
        raise UserError(f"--rule {rule} needs at least {minimum} clients, --clients is {clients}")
    # Late enough to have a model worth destroying, early enough to see it recover.
    first, last = min(3, rounds), max(min(3, rounds), rounds - 4)
    fraud_round = random.Random(seed).randint(first, last) if fraud else 0
    return Plan(seed, rounds, clients, rule, fraud, fraud_round, update_bits)
