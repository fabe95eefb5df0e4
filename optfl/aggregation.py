"""The aggregate of a round, G_r = saturate32(G_{r-1} + rule(updates)): the reference that the ledger re-executes.

Plain numpy integers. Aggregators and watchers use `offchain.kernels`, bit-identical and faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from optfl.arithmetic import saturate32
from optfl.rules.base import (
    Int16Array,
    Int32Array,
    RoundFacts,
    Rule,
    RuleError,
    check_sample_weights,
    check_updates,
    compute_output,
)
from optfl.rules.gram import Totals, unpack_totals
from optfl.traces import compute_trace, get_totals


class Aggregation(NamedTuple):
    """What an aggregator makes of a round: the model, and for rules with totals how they came about."""

    model: Int32Array  # int32[D]
    weights: tuple[int, ...] = ()  # what the totals decide
    trace: Totals | None = None  # int64[rows · totals], see `optfl.traces`


def aggregate(
    rule: Rule, base: Int32Array, updates: Sequence[Int16Array], facts: RoundFacts, chunk_values: int
) -> Aggregation:
    """The new model of the base int32[D] and K updates int16[D] in selection order, chunk by chunk.

    RuleError when the inputs do not fit each other or the rule.
    """
    check_inputs(rule, base, updates, facts)
    if chunk_values < 1:
        raise RuleError(f"chunks of {chunk_values} values; use at least 1")
    trace = compute_trace(rule.totals, updates) if rule.totals else None
    weights = derive_weights(rule, None if trace is None else get_totals(rule.totals, trace, len(updates)), facts)
    recipe = rule.recipe(weights, facts)
    model = np.empty(len(base), dtype=np.int32)
    for start in range(0, len(base), chunk_values):
        chunk = slice(start, start + chunk_values)
        step = compute_output(recipe, np.stack([update[chunk] for update in updates]))
        model[chunk] = add_step(base[chunk], step)
    return Aggregation(model, weights, trace)


def derive_weights(rule: Rule, totals: Totals | None, facts: RoundFacts) -> tuple[int, ...]:
    """What totals of the rule's kind decide, whatever they are; of rules that need none, nothing."""
    check_updates(rule, facts.updates)
    return rule.weights(None if totals is None else unpack_totals(rule.totals, totals, facts.updates), facts)


def aggregate_chunk(
    rule: Rule, base: Int32Array, updates: Int16Array, facts: RoundFacts, weights: Sequence[int] = ()
) -> Int32Array:
    """The new model int32[c] at one chunk: of the base int32[c], the K updates int16[K, c], and what totals decided.

    RuleError when the inputs do not fit each other or the rule.
    """
    check_inputs(rule, base, updates, facts)
    return add_step(base, compute_output(rule.recipe(weights, facts), updates))


def add_step(base: Int32Array, step: Int32Array) -> Int32Array:
    return saturate32(base.astype(np.int64) + step)


def check_inputs(rule: Rule, base: Int32Array, updates: Sequence[Int16Array] | Int16Array, facts: RoundFacts) -> None:
    """Raise RuleError unless there is an int16[D] and a valid weight for each of K updates, and K suits the rule."""
    check_updates(rule, len(updates))
    if facts.updates != len(updates):
        raise RuleError(f"{facts.updates} weights for {len(updates)} updates; give each update one")
    check_sample_weights(facts.sample_weights)
    if base.dtype != np.int32 or base.ndim != 1:
        raise RuleError(f"the base is {base.dtype} of shape {base.shape}; use a vector of int32")
    for index, update in enumerate(updates):
        if update.dtype != np.int16 or update.shape != base.shape:
            raise RuleError(f"update {index} is {update.dtype} of shape {update.shape}; use int16 of {base.shape}")
