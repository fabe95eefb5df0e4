"""The aggregate of a round on all cores, bit-identical to `optfl.aggregation.aggregate`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from offchain.kernels import compiled
from offchain.kernels.networks import build_trimming_network
from optfl.aggregation import Aggregation, check_inputs, derive_weights
from optfl.rules import Recipe, RoundFacts, Rule, RuleError, Trim, parse_rule
from optfl.rules.base import Int16Array, Int32Array
from optfl.traces import compute_trace, get_totals

MIN_RANGE_VALUES = 32 * compiled.BLOCK_VALUES
RANGES_PER_THREAD = 4
"""More than one, so that a core that is busy otherwise does not hold up the rest."""

_RangeKernel = Callable[[int, int], None]


def aggregate(
    rule: Rule,
    base: Int32Array,
    updates: Sequence[Int16Array],
    facts: RoundFacts,
    threads: int | None = None,
) -> Aggregation:
    """The new model of the base int32[D] and K updates int16[D] in selection order.

    `threads`: by default one for each core this process may use. RuleError when the inputs do not fit each other or the
    rule, or the rule has no kernel. The first call in an installation compiles (seconds); see `warm_up`.
    """
    check_inputs(rule, base, updates, facts)
    if threads is None:
        threads = _count_usable_cores()
    if threads < 1:
        raise ValueError(f"{threads} threads; use at least 1")
    # Kernels read memory by address: `base` and `updates` must stay referenced here until they are done.
    base = np.require(base, requirements=["C", "A"])
    updates = [np.require(update, requirements=["C", "A"]) for update in updates]
    trace = compute_trace(updates) if rule.needs_totals else None
    weights = derive_weights(rule, None if trace is None else get_totals(trace, len(updates)), facts)
    model = np.empty(len(base), dtype=np.int32)
    _run_in_ranges(_bind_kernel(rule.recipe(weights, facts), base, updates, model), len(base), threads)
    return Aggregation(model, weights, trace)


def warm_up() -> None:
    """Compile every kernel, or load it from numba's cache on disk, so that no round waits for it."""
    base = np.zeros(1, dtype=np.int32)
    update = np.zeros(1, dtype=np.int16)
    for name, weight in (("fedavg()", 1), ("fedavg()", 1 << 16), ("median()", 1)):
        aggregate(parse_rule(name), base, [update], RoundFacts((weight,)), threads=1)


def _bind_kernel(recipe: Recipe, base: Int32Array, updates: Sequence[Int16Array], model: Int32Array) -> _RangeKernel:
    base_address = base.ctypes.data
    addresses = np.array([update.ctypes.data for update in updates], dtype=np.int64)
    match recipe:
        case Recipe(column=Trim(0), rows=rows, denominator=denominator) if rows is not None and len(rows) == 1:
            # |Σw·q| <= W·2^15: below 2^31 for W < 2^16, and below 2^63 for all that rules make.
            weights = rows[0].astype(np.int32 if denominator < 1 << 16 else np.int64)
            return lambda start, stop: compiled.add_weighted_mean(
                base_address, addresses, weights, denominator, model, start, stop
            )
        case Recipe(column=Trim(trimmed), rows=None):
            network = build_trimming_network(len(updates), trimmed)
            return lambda start, stop: compiled.add_trimmed_mean(
                base_address, addresses, network, trimmed, model, start, stop
            )
        case _:
            raise RuleError(f"no kernel for {recipe}; use optfl.aggregation.aggregate")


def _run_in_ranges(kernel: _RangeKernel, length: int, threads: int) -> None:
    blocks = -(-length // (threads * RANGES_PER_THREAD * compiled.BLOCK_VALUES))
    step = max(blocks * compiled.BLOCK_VALUES, MIN_RANGE_VALUES)
    starts = range(0, length, step)
    stops = [min(start + step, length) for start in starts]
    if threads == 1 or len(starts) <= 1:
        for start, stop in zip(starts, stops, strict=True):
            kernel(start, stop)
        return
    with ThreadPoolExecutor(min(threads, len(starts))) as pool:
        for _ in pool.map(kernel, starts, stops):
            pass


def _count_usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
