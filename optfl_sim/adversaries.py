"""Every adversary by name: what it does, what becomes of it, and what has to hold for that.

    parse_cast({"aggregator1": "wrong-chunk@5", "replica0": "lying-replica"}, sizes)

The classes are in `offchain.adversaries`, beside the honest roles that they imitate.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from offchain.adversaries.aggregator import AGGREGATORS
from offchain.adversaries.challenger import CHALLENGERS
from offchain.adversaries.client import CLIENTS
from offchain.adversaries.proposer import PROPOSERS
from offchain.adversaries.replica import REPLICAS
from offchain.adversaries.requester import REQUESTERS
from offchain.adversaries.validator import VALIDATORS

Kind = Literal["aggregator", "client", "replica", "validator", "proposer", "challenger", "requester"]

MAX_CHALLENGERS = 16


class Outcome(enum.Enum):
    """What becomes of an adversary that is alone, in a federation whose assumptions hold."""

    CONVICTED = "convicted: slashed, excluded for good, its round redone"
    MISREDUCED = "convicted where the rule has totals; elsewhere it has no trace to claim: refused, then late"
    LATE = "late: a small slash, an exclusion for a time, its turn passes on"
    SLASHED = "slashed, once for each question, when somebody shows both"
    PAYS = "loses its bonds and fees"
    REFUSED = "refused by the ledger, for a fee"
    HARMLESS = "no effect: every model is what the rule makes of its inputs"


@dataclass(frozen=True)
class Adversary:
    """One way to deviate."""

    kind: Kind
    does: str
    outcome: Outcome


ADVERSARIES: dict[str, Adversary] = {
    # aggregators
    "poison": Adversary("aggregator", "reverses the step and drowns it in noise", Outcome.CONVICTED),
    "coordinate": Adversary("aggregator", "changes one value by one", Outcome.CONVICTED),
    "wrong-chunk": Adversary("aggregator", "writes noise into one chunk of the model", Outcome.CONVICTED),
    "wrong-rule": Adversary("aggregator", "aggregates by another rule than the task's", Outcome.CONVICTED),
    "dropped-client": Adversary("aggregator", "leaves one committed update out", Outcome.CONVICTED),
    "invented-client": Adversary("aggregator", "adds the update of a client that is nobody", Outcome.CONVICTED),
    "stale-base": Adversary("aggregator", "adds the step to an older model", Outcome.CONVICTED),
    "equivocating": Adversary("aggregator", "submits an honest model and a lie in one turn", Outcome.CONVICTED),
    "self-convicting": Adversary(
        "aggregator", "lies, and has a sybil prove it as late as can be, for the reward", Outcome.CONVICTED
    ),
    "unstored-model": Adversary(
        "aggregator", "lies, and certifies the lie with receipts of replicas that collude", Outcome.CONVICTED
    ),
    "garbage-trace": Adversary("aggregator", "makes its totals up, and decides by them", Outcome.MISREDUCED),
    "trace-entry": Adversary("aggregator", "adds up one entry of its totals wrongly", Outcome.MISREDUCED),
    "wrong-weights": Adversary("aggregator", "decides otherwise than its totals do", Outcome.MISREDUCED),
    "unstored-trace": Adversary(
        "aggregator",
        "makes its totals up, and certifies them with receipts of replicas that collude",
        Outcome.MISREDUCED,
    ),
    "demanding": Adversary(
        "aggregator", "submits nothing, and demands updates that it could read, to gain time", Outcome.LATE
    ),
    "late": Adversary("aggregator", "submits an honest model once its turn is over", Outcome.LATE),
    "silent": Adversary("aggregator", "takes its turns and submits nothing", Outcome.LATE),
    # clients
    "copied-update": Adversary(
        "client", "commits another's root and certificate, then a copy of an older update", Outcome.REFUSED
    ),
    "extreme-weight": Adversary("client", "sends extreme values with a weight above the most", Outcome.HARMLESS),
    "noise-update": Adversary("client", "sends noise, and does not train", Outcome.HARMLESS),
    "stale-update": Adversary("client", "commits with the base of an earlier round", Outcome.REFUSED),
    "unstored-update": Adversary(
        "client", "commits to an update that is nowhere, if enough replicas sign for it", Outcome.HARMLESS
    ),
    # replicas
    "forgetful-replica": Adversary("replica", "signs receipts and stores nothing", Outcome.HARMLESS),
    "lying-replica": Adversary("replica", "serves bytes that are not what was asked for", Outcome.HARMLESS),
    "selective-replica": Adversary("replica", "serves every other vector", Outcome.HARMLESS),
    "slow-replica": Adversary("replica", "answers just before whoever asked gives up", Outcome.HARMLESS),
    # validators
    "colluding-validator": Adversary("validator", "sees no lie of the bad aggregators", Outcome.HARMLESS),
    "double-voter": Adversary("validator", "signs two votes, or two models, on one question", Outcome.SLASHED),
    "false-holder": Adversary("validator", "says that it serves what is demanded, and has nothing", Outcome.REFUSED),
    "false-watcher": Adversary("validator", "says that it has read every attempt, and has not", Outcome.REFUSED),
    "impatient-validator": Adversary("validator", "shows proofs before their time and its turn", Outcome.HARMLESS),
    "minority-voter": Adversary("validator", "votes for, and signs, a model of its own making", Outcome.HARMLESS),
    "reluctant-validator": Adversary(
        "validator", "announces proofs, and leaves it to others to show them", Outcome.HARMLESS
    ),
    "silent-validator": Adversary("validator", "proposes blocks, and neither watches nor votes", Outcome.HARMLESS),
    "censoring-proposer": Adversary("proposer", "leaves every dispute out of its blocks", Outcome.HARMLESS),
    "copying-proposer": Adversary(
        "proposer", "puts copies of others' proofs into its blocks, in their place", Outcome.HARMLESS
    ),
    "jealous-proposer": Adversary(
        "proposer", "leaves others' announcements of proofs out of its blocks", Outcome.HARMLESS
    ),
    "withholding-proposer": Adversary("proposer", "reveals no value of its beacon, and goes unpaid", Outcome.HARMLESS),
    # accounts that anybody can have
    "copied-proofs": Adversary("challenger", "sends others' proofs as its own", Outcome.HARMLESS),
    "serial-challenges": Adversary("challenger", "calls for a vote on every attempt", Outcome.PAYS),
    "serial-demands": Adversary("challenger", "demands the model and all updates of every attempt", Outcome.PAYS),
    "spam-proofs": Adversary("challenger", "sends a proof against every attempt, right or wrong", Outcome.PAYS),
    "free-training": Adversary(
        "requester", "takes the model of a round, and cancels the task before it is paid for", Outcome.HARMLESS
    ),
}

TABLES: dict[Kind, Mapping[str, object]] = {
    "aggregator": AGGREGATORS,
    "client": CLIENTS,
    "replica": REPLICAS,
    "validator": VALIDATORS,
    "proposer": PROPOSERS,
    "challenger": CHALLENGERS,
    "requester": REQUESTERS,
}


@dataclass(frozen=True)
class Part:
    """What one party plays: an adversary, from a round on."""

    name: str
    from_round: int = 1

    def __str__(self) -> str:
        return f"{self.name}@{self.from_round}"


@dataclass(frozen=True)
class Sizes:
    """How many there are of each kind of party."""

    aggregators: int
    clients: int
    replicas: int
    validators: int

    def count(self, kind: Kind) -> int:
        counts: dict[Kind, int] = {
            "aggregator": self.aggregators,
            "client": self.clients,
            "replica": self.replicas,
            "validator": self.validators,
            "proposer": self.validators,
            "challenger": MAX_CHALLENGERS,
            "requester": 1,
        }
        return counts[kind]


Cast = dict[str, Part]
"""Who deviates: parts by party, like aggregator1; proposer2 is the node of validator2."""


class CastError(ValueError):
    """An adversary that there is not, or a party that cannot play it; the message says which there are."""


def parse_cast(adversaries: Mapping[str, str], sizes: Sizes) -> Cast:
    """Parts from their texts, like {"aggregator1": "wrong-chunk@5"}. Raises CastError."""
    return {who: _parse_part(who, text, sizes) for who, text in adversaries.items()}


def _parse_part(who: str, text: str, sizes: Sizes) -> Part:
    name, separator, number = text.partition("@")
    if name not in ADVERSARIES:
        raise CastError(f"there is no adversary {name!r}; `optfl simulate --list` shows those that there are")
    if separator and not re.fullmatch(r"[1-9]\d{0,5}", number):
        raise CastError(f"{text!r}: behind the @ stands the round from which it deviates, 1 or more")
    kind = ADVERSARIES[name].kind
    if who not in (parties := list_parties(kind, sizes)):
        raise CastError(f"{name} is played by {_name_range(parties)}, not by {who!r}")
    return Part(name, int(number) if separator else 1)


def list_parties(kind: Kind, sizes: Sizes) -> list[str]:
    return ["requester"] if kind == "requester" else [f"{kind}{i}" for i in range(sizes.count(kind))]


def _name_range(parties: list[str]) -> str:
    return parties[0] if len(parties) == 1 else f"{parties[0]} to {parties[-1]}"


def parse_arguments(arguments: Sequence[str], sizes: Sizes) -> dict[str, str]:
    """A scenario's adversaries from NAME[:who][@round] each; without `who`, the first party that is free.

    Raises CastError.
    """
    # Those with a party of their own first: what they play is not free for the others.
    adversaries: dict[str, str] = {}
    for argument in sorted(arguments, key=lambda argument: ":" not in argument):
        left, at, number = argument.partition("@")
        name, colon, who = left.partition(":")
        if not colon:
            if name not in ADVERSARIES:
                raise CastError(f"there is no adversary {name!r}; `optfl simulate --list` shows those that there are")
            free = [p for p in list_parties(ADVERSARIES[name].kind, sizes) if p not in adversaries]
            if not free:
                raise CastError(f"no {ADVERSARIES[name].kind} is left to play {name}")
            who = free[0]
        part = _parse_part(who, name + at + number, sizes)
        if who in adversaries:
            raise CastError(f"{who} plays {adversaries[who]} already; give {name} to another")
        adversaries[who] = str(part)
    return adversaries


def find_culprits(cast: Cast) -> frozenset[str]:
    """Parties that are not honest, by the names of their accounts."""
    return frozenset(who.replace("proposer", "validator") for who in cast)


def find_broken_assumptions(cast: Cast, sizes: Sizes, mode: str) -> list[str]:
    """What the design asks for and this cast does not have; empty: every checker must hold."""
    culprits = find_culprits(cast)
    replicas = sum(who.startswith("replica") for who in culprits)
    validators = sum(who.startswith("validator") for who in culprits)
    aggregators = sum(who.startswith("aggregator") for who in culprits)
    watchers = sizes.validators - sum(who.startswith("validator") for who in cast)
    broken = []
    if replicas > (most := (sizes.replicas - 1) // 3):
        broken.append(f"{replicas} of {sizes.replicas} replicas are bad, where at most {most} may be")
    if 3 * validators >= sizes.validators:
        broken.append(f"{validators} of {sizes.validators} validators are bad, where less than 1/3 may be")
    if mode == "quorum" and aggregators > (most := (sizes.aggregators - 1) // 2):
        broken.append(f"{aggregators} of {sizes.aggregators} aggregators are bad, where at most {most} may be")
    if mode == "optimistic" and watchers == 0:
        broken.append("nobody honest re-executes attempts in full")
    return broken
