"""What the paper says rounds cost, and what follows from its own protocol.  # seed 001, section I

Work is counted in aggregations: one pass of the rule over a round's K updates. The paper's formulas mix units (its
A1-7 in our reading): they are here as printed, beside the corrected ones, so that a measurement can be held against
both.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Setting:
    """R rounds, N aggregators of whom `faulty` lie, V validators."""

    rounds: int
    aggregators: int
    validators: int
    faulty: int


PAPERS_EXAMPLE = Setting(rounds=100, aggregators=10, validators=21, faulty=3)


def compute_optimistic(setting: Setting) -> float:
    """W = R/N for each aggregator, with nobody at fault."""
    return setting.rounds / setting.aggregators


def compute_pbft(setting: Setting) -> int:
    """W = R·V, as printed: the whole network's recomputations. Each validator's are R."""
    return setting.rounds * setting.validators


def compute_hybrid(setting: Setting) -> float:
    """W = (R/N)(1 + f·V), as printed: every turn of a faulty aggregator is challenged, all V validators recompute."""
    return compute_optimistic(setting) * (1 + setting.faulty * setting.validators)


def compute_hybrid_with_exclusion(setting: Setting) -> int:
    """R + f·(1 + V) aggregations of the whole network: a culprit is excluded after one fault, and its round is redone.

    R honest ones, one lie and V recomputations in a vote for each of the f faults. As a system's total it stands
    beside R·V, not beside the load of one node.
    """
    return setting.rounds + setting.faulty * (1 + setting.validators)


def compute_hybrid_with_proofs(setting: Setting, watchers: int) -> int:
    """The same where w watchers re-execute every round, and a proof convicts without a vote."""
    return (setting.rounds + setting.faulty) * (1 + watchers)


def compute_printed_ratio(setting: Setting) -> float:
    """N·V²/(1 + f·V), as printed: a system's R·V² over one node's load."""
    return setting.aggregators * setting.validators**2 / (1 + setting.faulty * setting.validators)


def compute_like_for_like_ratio(setting: Setting) -> float:
    """R·V over (R/N)(1 + f·V): the paper's own two loads."""
    return compute_pbft(setting) / compute_hybrid(setting)
