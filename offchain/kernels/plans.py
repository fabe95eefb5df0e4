"""From a rule's recipe to the kernel that carries it out, with what that kernel reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from offchain.kernels import compiled
from offchain.kernels.networks import build_network
from optfl.rules import Nearest, Recipe, Trim
from optfl.rules.base import Int32Array, Int64Array

Kernel = Callable[[int, Int64Array, Int32Array, int, int], None]

_MAX_INT32_DENOMINATOR = (1 << 16) - 1
"""Combinations over no more are below 2^31: none of their rows adds up to more than the denominator."""
_MAX_FLOAT64_DENOMINATOR = 1 << 38
"""Over no more they are 2^53 at most, as is each part of their sums: exact in float64, which is faster than int64."""


@dataclass(frozen=True, eq=False)
class Mean:
    """Weights of all inputs in the type of their sums, filled up to a multiple of MEAN_ROWS, and their divisor."""

    weights: npt.NDArray[Any]
    divisor: int


@dataclass(frozen=True, eq=False)
class Plan:
    """`kernel(base address, addresses of the updates `inputs`, model, start, stop)` fills values start to stop.

    `inputs`: which of a round's updates are read at all, [K']. `mean`: where the kernel is no more than that, so that
    the updates need not be there all at once.
    """

    inputs: npt.NDArray[np.intp]
    kernel: Kernel
    mean: Mean | None = None


def plan_recipe(recipe: Recipe, updates: int) -> Plan:
    """The plan for so many updates. Every recipe has one."""
    recipe = _simplify(recipe, updates)
    rows, inputs = recipe.rows, np.arange(updates)
    if rows is None or rows.ndim == 1:
        return Plan(inputs, _bind_column(recipe, updates))
    if len(rows) > 1 and recipe.denominator == 1 and _is_selection(rows):
        return Plan(rows.argmax(axis=1), _bind_column(Recipe(recipe.column), len(rows)))
    used = np.flatnonzero(rows.any(axis=0))
    inputs = used if used.size else inputs[:1]  # kernels want one, also where all counts for nothing
    rows = rows[:, inputs]
    if len(rows) == 1:
        weights = _pad(rows, 1, compiled.MEAN_ROWS)[0].astype(_choose_dtype(recipe.denominator))
        mean = Mean(weights, recipe.denominator)
        return Plan(inputs, _bind_mean(mean), mean)
    return Plan(inputs, _bind_column(Recipe(recipe.column, rows, recipe.denominator), len(inputs)))


def _simplify(recipe: Recipe, updates: int) -> Recipe:
    """The same function of the updates, with the least rows and the smallest numbers."""
    rows, denominator = recipe.rows, recipe.denominator
    combinations = updates if rows is None else len(rows)
    if recipe.column in (Trim(0), Nearest(combinations)):  # a plain mean of them: one combination
        if rows is None:
            rows = np.ones(updates, dtype=np.int64)
        rows = rows[None] if rows.ndim == 1 else rows.sum(axis=0, keepdims=True)
        denominator *= combinations
    if rows is None:
        return recipe
    common = int(np.gcd.reduce(rows, axis=None, initial=denominator))
    rows, denominator = rows // common, denominator // common
    if rows.ndim == 1 and (rows == denominator).all():  # gone with `common`: nothing is scaled
        return Recipe(recipe.column)
    return Recipe(recipe.column if len(rows) > 1 else Trim(0), rows, denominator)


def _is_selection(rows: Int64Array) -> bool:
    """Whether every row is one of the updates as it is."""
    return bool((np.count_nonzero(rows, axis=1) == 1).all())


def _bind_mean(mean: Mean) -> Kernel:
    def run(base: int, updates: Int64Array, model: Int32Array, start: int, stop: int) -> None:
        compiled.add_weighted_mean(base, updates, mean.weights, mean.divisor, model, start, stop)

    return run


def _choose_dtype(divisor: int) -> type[np.int32 | np.float64 | np.int64]:
    """Of a mean's sums."""
    if divisor <= _MAX_INT32_DENOMINATOR:
        return np.int32
    return np.float64 if divisor <= _MAX_FLOAT64_DENOMINATOR else np.int64


def _bind_column(recipe: Recipe, updates: int) -> Kernel:
    wires = updates if recipe.rows is None else len(recipe.rows)
    network = build_network(wires, recipe.column)
    match recipe.column:
        case Trim(count):
            kept, first, last, moves = wires - 2 * count, count, wires - count, 0
        case Nearest(kept):
            first, last, moves = 0, kept, wires - kept
    column = np.array([first, last, moves, (wires - 1) // 2, wires // 2], dtype=np.int64)
    divisor = recipe.denominator * kept

    if recipe.rows is None:

        def run(base: int, updates: Int64Array, model: Int32Array, start: int, stop: int) -> None:
            compiled.add_column_mean(base, updates, network, column, divisor, model, start, stop)

    elif recipe.rows.ndim == 1:
        factors = recipe.rows

        def run(base: int, updates: Int64Array, model: Int32Array, start: int, stop: int) -> None:
            compiled.add_scaled_column_mean(base, updates, factors, network, column, divisor, model, start, stop)

    elif recipe.denominator <= _MAX_INT32_DENOMINATOR and recipe.rows.max(initial=0) <= np.iinfo(np.int16).max:
        rows = np.ascontiguousarray(_pad(recipe.rows, compiled.MIX_ROWS, 2), dtype=np.int16)

        def run(base: int, updates: Int64Array, model: Int32Array, start: int, stop: int) -> None:
            compiled.add_mixed_column_mean(base, updates, rows, network, column, divisor, model, start, stop)

    else:
        wide = np.ascontiguousarray(_pad(recipe.rows, 1, 4), dtype=np.float64)

        def run(base: int, updates: Int64Array, model: Int32Array, start: int, stop: int) -> None:
            compiled.add_widely_mixed_column_mean(base, updates, wide, network, column, divisor, model, start, stop)

    return run


def _pad(rows: Int64Array, combinations: int, updates: int) -> Int64Array:
    """With zeros, to multiples."""
    return np.pad(rows, [(0, -rows.shape[0] % combinations), (0, -rows.shape[1] % updates)])
