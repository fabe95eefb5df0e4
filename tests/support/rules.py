"""Rules run by the reference on small inputs, and what there is to say about all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from optfl.aggregation import aggregate, derive_weights
from optfl.rules import RoundFacts, Rule, TotalsKind, parse_rule
from optfl.rules.base import check_gram
from optfl.rules.gram import Gram, compute_totals, unpack_totals

BEACON = bytes(range(32))


def run_rule(
    rule: str | Rule,
    updates: Sequence[Sequence[int]] | npt.NDArray[np.int16],
    sample_weights: Sequence[int] | None = None,
    beacon: bytes = BEACON,
) -> list[int]:
    """The aggregate of K updates, onto a base of zeros."""
    matrix = np.array(updates, dtype=np.int16)
    facts = make_facts(len(matrix), sample_weights, beacon)
    rule = parse_rule(rule) if isinstance(rule, str) else rule
    model: list[int] = aggregate(rule, np.zeros(matrix.shape[1], dtype=np.int32), list(matrix), facts, 4).model.tolist()
    return model


def decide(
    rule: str, updates: Sequence[Sequence[int]] | npt.NDArray[np.int16], sample_weights: Sequence[int] | None = None
) -> tuple[int, ...]:
    """What the updates' own totals decide."""
    matrix = np.array(updates, dtype=np.int16)
    parsed = parse_rule(rule)
    return derive_weights(parsed, compute_totals(parsed.totals, matrix), make_facts(len(matrix), sample_weights))


def make_facts(updates: int, sample_weights: Sequence[int] | None = None, beacon: bytes = BEACON) -> RoundFacts:
    return RoundFacts(tuple(sample_weights or [1] * updates), beacon)


def make_gram(updates: Sequence[Sequence[int]] | npt.NDArray[np.int16]) -> Gram:
    matrix = np.array(updates, dtype=np.int16)
    return make_claimed_gram(compute_totals(TotalsKind.PRODUCTS, matrix), len(matrix))


def make_claimed_gram(totals: npt.NDArray[np.int64], updates: int) -> Gram:
    """Of totals that somebody claims."""
    return check_gram("a test", unpack_totals(TotalsKind.PRODUCTS, totals, updates))
