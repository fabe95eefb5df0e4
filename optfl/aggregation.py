"""The aggregate of a round, G_r = saturate32(G_{r-1} + rule(updates)): the reference that the ledger re-executes.

Plain numpy integers. Aggregators and watchers use `offchain.kernels`, bit-identical and faster.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from optfl.arithmetic import saturate32
from optfl.rules.base import Int16Array, Int32Array, Rule, RuleError, Totals, check_sample_weights, check_updates


def aggregate_chunk(rule: Rule, base: Int32Array, updates: Int16Array, sample_weights: Sequence[int]) -> Int32Array:
    """The new model int32[c] at one chunk: of the base int32[c] and the K updates int16[K, c], in selection order.

    For rules without totals. RuleError when the inputs do not fit each other or the rule.
    """
    check_inputs(rule, base, updates, sample_weights)
    return _apply(rule, base, updates, rule.weights(None, sample_weights))


def aggregate(
    rule: Rule, base: Int32Array, updates: Sequence[Int16Array], sample_weights: Sequence[int], chunk_values: int
) -> Int32Array:
    """The new model int32[D] of the base int32[D] and K updates int16[D] in selection order, chunk by chunk.

    RuleError when the inputs do not fit each other or the rule.
    """
    check_inputs(rule, base, updates, sample_weights)
    if chunk_values < 1:
        raise RuleError(f"chunks of {chunk_values} values; use at least 1")
    chunks = [slice(start, start + chunk_values) for start in range(0, len(base), chunk_values)]
    weights = rule.weights(_sum_totals(rule, updates, chunks), sample_weights)
    model = np.empty(len(base), dtype=np.int32)
    for chunk in chunks:
        model[chunk] = _apply(rule, base[chunk], _stack(updates, chunk), weights)
    return model


def check_inputs(
    rule: Rule, base: Int32Array, updates: Sequence[Int16Array] | Int16Array, sample_weights: Sequence[int]
) -> None:
    """Raise RuleError unless there is an int16[D] and a valid weight for each of K updates, and K suits the rule."""
    check_updates(rule, len(updates))
    if len(sample_weights) != len(updates):
        raise RuleError(f"{len(sample_weights)} weights for {len(updates)} updates; give each update one")
    check_sample_weights(sample_weights)
    if base.dtype != np.int32 or base.ndim != 1:
        raise RuleError(f"the base is {base.dtype} of shape {base.shape}; use a vector of int32")
    for index, update in enumerate(updates):
        if update.dtype != np.int16 or update.shape != base.shape:
            raise RuleError(f"update {index} is {update.dtype} of shape {update.shape}; use int16 of {base.shape}")


def _sum_totals(rule: Rule, updates: Sequence[Int16Array], chunks: Sequence[slice]) -> Totals | None:
    totals: Totals | None = None
    for chunk in chunks:
        partial = rule.partial(_stack(updates, chunk))
        if partial is None:
            return None
        totals = partial if totals is None else totals + partial
    return totals


def _stack(updates: Sequence[Int16Array], chunk: slice) -> Int16Array:
    return np.stack([update[chunk] for update in updates])


def _apply(rule: Rule, base: Int32Array, updates: Int16Array, weights: Sequence[int]) -> Int32Array:
    return saturate32(base.astype(np.int64) + rule.output(updates, weights))
