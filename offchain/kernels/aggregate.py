"""The aggregate of a round on all cores, bit-identical to `optfl.aggregation.aggregate`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from offchain.kernels import compiled
from offchain.kernels.hashing import find_functions
from offchain.kernels.plans import plan_recipe
from offchain.kernels.threads import count_threads, run_in_ranges
from offchain.kernels.traces import TraceBuilder
from optfl.aggregation import Aggregation, check_inputs, derive_weights
from optfl.rules import Nearest, Recipe, RoundFacts, Rule, Totals, TotalsKind, Trim
from optfl.rules.base import Int16Array, Int32Array, Int64Array
from optfl.traces import BLOCK_VALUES, get_totals

MIN_RANGE_VALUES = 16 * compiled.BLOCK_VALUES
RANGES_PER_THREAD = 4
"""More than one, so that a core that is busy otherwise does not hold up the rest."""


def aggregate(
    rule: Rule,
    base: Int32Array,
    updates: Sequence[Int16Array],
    facts: RoundFacts,
    threads: int | None = None,
) -> Aggregation:
    """The new model of the base int32[D] and K updates int16[D] in selection order.

    `threads`: by default one for each core this process may use. RuleError when the inputs do not fit each other or the
    rule. The first call in an installation compiles (seconds); see `warm_up`.
    """
    check_inputs(rule, base, updates, facts)
    threads = count_threads(threads)
    updates = _make_readable(updates)
    trace = compute_trace(rule.totals, updates, threads) if rule.totals else None
    weights = derive_weights(rule, None if trace is None else get_totals(rule.totals, trace, len(updates)), facts)
    return Aggregation(_carry_out(rule.recipe(weights, facts), base, updates, threads), weights, trace)


def compute_trace(kind: TotalsKind, updates: Sequence[Int16Array], threads: int | None = None) -> Totals:
    """Trace int64[rows · totals] of K updates int16[D], see `optfl.traces`."""
    updates = _make_readable(updates)
    addresses, length = _get_addresses(updates), len(updates[0])
    builder = TraceBuilder(kind, length, len(updates))

    def add(start: int, stop: int) -> None:
        sums = builder.make_sums()
        builder.add_values(addresses, sums, start, stop)
        builder.add(sums, start // BLOCK_VALUES)

    run_in_ranges(add, length, builder.part_values, count_threads(threads))
    return builder.build()


def warm_up() -> None:
    """Compile every kernel, or load it from numba's cache on disk, so that no round waits for it."""
    base = np.zeros(1, dtype=np.int32)
    updates = [np.zeros(1, dtype=np.int16)] * 3
    one, identity = np.ones((1, 3), dtype=np.int64), np.eye(3, dtype=np.int64)
    recipes = [
        Recipe(Trim(0), one, 3),
        Recipe(Trim(0), one, 1 << 16),
        Recipe(Trim(0), one, 1 << 39),
        Recipe(Trim(1)),
        Recipe(Nearest(2)),
        Recipe(Trim(1), np.arange(3), 2),
        Recipe(Trim(1), identity, 2),
        Recipe(Trim(1), identity, 1 << 16),
    ]
    for recipe in recipes:
        _carry_out(recipe, base, updates, threads=1)
        if (mean := plan_recipe(recipe, len(updates)).mean) is not None:  # as files are added, in turn
            total = np.zeros(1, dtype=mean.weights.dtype)
            compiled.add_weighted(_get_addresses(updates), mean.weights, 0, total)
            compiled.add_mean(base, total, mean.divisor, np.empty_like(base))
    for kind in (TotalsKind.NORMS, TotalsKind.PRODUCTS):
        compute_trace(kind, updates, threads=1)
    nothing = np.empty(0, dtype=np.int64)
    compiled.read_rows(nothing, nothing, 0, 0, 0, 0)
    find_functions()


def _carry_out(recipe: Recipe, base: Int32Array, updates: Sequence[Int16Array], threads: int) -> Int32Array:
    plan = plan_recipe(recipe, len(updates))
    # Kernels read memory by address: `base` and `updates` must stay referenced here until they are done.
    base = np.require(base, requirements=["C", "A"])
    addresses = _get_addresses(updates)[plan.inputs]
    model = np.empty(len(base), dtype=np.int32)

    def run(start: int, stop: int) -> None:
        plan.kernel(base.ctypes.data, addresses, model, start, stop)

    blocks = -(-len(base) // (threads * RANGES_PER_THREAD * compiled.BLOCK_VALUES))
    run_in_ranges(run, len(base), max(blocks * compiled.BLOCK_VALUES, MIN_RANGE_VALUES), threads)
    return model


def _make_readable(updates: Sequence[Int16Array]) -> list[Int16Array]:
    """The same values in memory that kernels can read by address."""
    return [np.require(update, requirements=["C", "A"]) for update in updates]


def _get_addresses(updates: Sequence[Int16Array]) -> Int64Array:
    return np.array([update.ctypes.data for update in updates], dtype=np.int64)
