"""What will happen in a demo, drawn from its seed."""

from __future__ import annotations

import random
from dataclasses import dataclass

from offchain.learning.attacks import AttackError, parse_attack
from optfl.rules import (
    AdaptiveRobustClipping,
    FedAvg,
    NearestNeighbourMixing,
    NormClippedMean,
    Pipeline,
    Rule,
    RuleError,
    parse_rule,
)
from optfl_cli.errors import UserError

NODES = 4
REPLICAS = 4
AGGREGATORS = 3


@dataclass(frozen=True)
class Plan:
    """Sizes of the federation, and who lies when. `fraud_round` 0: no aggregator does.

    `byzantine_clients` play `attack` in each round; the rule has to bear it.
    """

    seed: int
    rounds: int
    clients: int
    rule: str
    fraud: str | None
    fraud_round: int
    update_bits: int = 16
    attack: str | None = None
    byzantine_clients: tuple[int, ...] = ()

    @property
    def culprit(self) -> int | None:
        """Index of the Byzantine aggregator: the one whose turn `fraud_round` is."""
        return (self.fraud_round - 1) % AGGREGATORS if self.fraud else None

    @property
    def min_updates(self) -> int:
        """A round goes on without a quarter of its clients."""
        return max(parse_rule(self.rule).minimum_updates, self.clients - self.clients // 4)


def draw_plan(
    seed: int,
    rounds: int,
    clients: int,
    rule: str,
    fraud: str | None,
    update_bits: int = 16,
    attack: str | None = None,
    byzantine_clients: int | None = None,
) -> Plan:
    """Draw the Byzantine aggregator and its turn, and the Byzantine clients: one, if there is an attack but no number.

    Raises UserError for sizes that make no federation.
    """
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
    byzantine = _draw_byzantine_clients(seed, clients, attack, byzantine_clients)
    return Plan(seed, rounds, clients, rule, fraud, fraud_round, update_bits, attack, byzantine)


def _draw_byzantine_clients(seed: int, clients: int, attack: str | None, count: int | None) -> tuple[int, ...]:
    if attack is None:
        if count:
            raise UserError(f"--byzantine-clients is {count}; say what they do, with --attack")
        return ()
    try:
        needed = parse_attack(attack).minimum_vectors
    except AttackError as error:
        raise UserError(f"--attack {attack}: {error}") from None
    count = 1 if count is None else count
    if not 1 <= count < clients:
        raise UserError(f"--byzantine-clients is {count}; use 1 to {clients - 1} of {clients} clients")
    if count < needed:
        raise UserError(f"--attack {attack} needs {needed} Byzantine clients; add --byzantine-clients {needed}")
    return tuple(sorted(random.Random(f"byzantine clients {seed}").sample(range(clients), count)))


def find_weakness(plan: Plan) -> str | None:
    """A line that says so if there are more Byzantine clients than the rule is made to bear."""
    tolerated, count = count_tolerated(parse_rule(plan.rule), plan.clients), len(plan.byzantine_clients)
    if count <= tolerated:
        return None
    return f"{plan.rule} of {plan.clients} is made to bear {tolerated} Byzantine clients at most; here are {count}"


def count_tolerated(rule: Rule, updates: int) -> int:
    """How many Byzantine ones of so many updates a rule is made to bear; 0 for rules that promise nothing.

    What its parameter f says, or less than half for medians. Before a rule, bucketing lets each spoil a bucket.
    """
    if isinstance(rule, Pipeline):
        told = [stage.f for stage in rule.stages if isinstance(stage, NearestNeighbourMixing | AdaptiveRobustClipping)]
        for stage in rule.stages:
            updates = stage.count_mixed(updates)
        return min([*told, count_tolerated(rule.rule, updates)])
    if isinstance(rule, FedAvg | NormClippedMean):
        return 0  # the one bears nothing, and of the other's bounded damage nobody says how much
    f = getattr(rule, "f", None)
    return (updates - 1) // 2 if f is None else int(f)
