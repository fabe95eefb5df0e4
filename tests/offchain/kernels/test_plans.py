"""Every kind of recipe, at every border of its kernel's numbers: the bytes that the reference makes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offchain.kernels import compiled
from offchain.kernels.plans import plan_recipe
from optfl.aggregation import add_step
from optfl.rules import MAX_UPDATES, Nearest, Recipe, Trim
from optfl.rules.base import (
    MAX_MEAN_DENOMINATOR,
    MAX_MIX_DENOMINATOR,
    Int16Array,
    Int32Array,
    Int64Array,
    compute_output,
)
from support.inputs import FILLS, make_base

DENOMINATORS = (1, 2, 9, 1 << 15, (1 << 16) - 1, 1 << 16, MAX_MIX_DENOMINATOR)
"""Below 2^16 the wires are int32, and with weights below 2^15 the products of pairs; then float64 and int64."""


def carry_out(recipe: Recipe, base: Int32Array, updates: Int16Array, bounds: Sequence[int] = ()) -> Int32Array:
    """As `aggregate` does it, in ranges that end at `bounds` and at the end."""
    plan = plan_recipe(recipe, len(updates))
    rows = [updates[index] for index in plan.inputs]
    addresses = np.array([row.ctypes.data for row in rows], dtype=np.int64)
    model = np.zeros(len(base), dtype=np.int32)
    edges = [0, *bounds, len(base)]
    for start, stop in itertools.pairwise(edges):
        plan.kernel(base.ctypes.data, addresses, model, start, stop)
    return model


def check(recipe: Recipe, updates: Int16Array, bounds: Sequence[int] = ()) -> None:
    base = make_base(np.random.default_rng(0), updates.shape[1])
    expected = add_step(base, compute_output(recipe, updates))
    np.testing.assert_array_equal(carry_out(recipe, base, updates, bounds), expected, err_msg=str(recipe))


def list_columns(wires: int) -> list[Trim | Nearest]:
    trims = {0, (wires - 1) // 4, (wires - 1) // 2}
    kept = {1, wires // 3 or 1, (wires + 1) // 2, wires - 1 or 1, wires}
    return [*map(Trim, sorted(trims)), *map(Nearest, sorted(kept))]


def draw_rows(random: np.random.Generator, shape: tuple[int, int], denominator: int, *, dense: bool) -> Int64Array:
    """Rows that add up to `denominator` at most: many small weights, or a few that use it up."""
    if dense:
        rows = random.integers(0, denominator // shape[1] + 1, shape)
    else:
        rows = np.zeros(shape, dtype=np.int64)
        for row in rows:
            row[random.integers(shape[1])] = denominator
    return rows.astype(np.int64)


@pytest.mark.parametrize("updates", [*range(1, 12), 31, 50, 64, 65, 200])
def test_columns_of_the_updates_themselves(updates: int) -> None:
    random = np.random.default_rng(updates)
    matrix = np.concatenate([fill(random, updates, 5) for fill in FILLS.values()], axis=1)
    for column in list_columns(updates):
        check(Recipe(column), matrix)


@pytest.mark.parametrize("denominator", DENOMINATORS)
@pytest.mark.parametrize(
    ("combinations", "updates"), [(1, 1), (1, 7), (2, 3), (3, 2), (4, 4), (5, 8), (50, 50), (9, 65)]
)
def test_columns_of_combinations(combinations: int, updates: int, denominator: int) -> None:
    random = np.random.default_rng(denominator)
    matrix = np.concatenate([fill(random, updates, 5) for fill in FILLS.values()], axis=1)
    for dense in (True, False):
        rows = draw_rows(random, (combinations, updates), denominator, dense=dense)
        for column in list_columns(combinations):
            check(Recipe(column, rows, denominator), matrix)


@pytest.mark.parametrize("denominator", DENOMINATORS)
@pytest.mark.parametrize("updates", [1, 2, 5, 50, 65])
def test_columns_of_multiples(updates: int, denominator: int) -> None:
    random = np.random.default_rng(denominator)
    matrix = np.concatenate([fill(random, updates, 5) for fill in FILLS.values()], axis=1)
    factors = random.integers(0, denominator, updates, endpoint=True)
    for column in list_columns(updates):
        for multiples in (factors, np.full(updates, denominator), np.zeros(updates, dtype=np.int64)):
            recipe = Recipe(column, multiples, denominator)
            check(recipe, matrix)
            as_rows = Recipe(column, np.diag(multiples), denominator)
            np.testing.assert_array_equal(compute_output(recipe, matrix), compute_output(as_rows, matrix))


@pytest.mark.parametrize("fill", ["lowest", "highest", "extremes"])
@pytest.mark.parametrize("denominator", [(1 << 16) - 1, 1 << 16, MAX_MIX_DENOMINATOR])
def test_the_largest_sums_of_combinations(denominator: int, fill: str) -> None:
    """Rows that use their whole denominator, of the largest values: the ends of int32 wires and of float64's sums."""
    matrix = FILLS[fill](np.random.default_rng(1), 3, compiled.BLOCK_VALUES + 1)
    rows = np.array(
        [[denominator // 2, denominator - denominator // 2, 0], [denominator // 3] * 3, [0, 0, denominator]]
    )
    for column in list_columns(3):
        check(Recipe(column, rows, denominator), matrix)


@pytest.mark.parametrize("fill", ["lowest", "highest", "uniform"])
@pytest.mark.parametrize("denominator", [1, 1 << 4, MAX_MIX_DENOMINATOR >> 12])
def test_as_many_updates_as_there_can_be(denominator: int, fill: str) -> None:
    matrix = FILLS[fill](np.random.default_rng(1), MAX_UPDATES, 3)
    check(Recipe(Nearest(MAX_UPDATES // 2)), matrix)
    rows = np.full((5, MAX_UPDATES), denominator)
    check(Recipe(Trim(1), rows, denominator * MAX_UPDATES), matrix)


@pytest.mark.parametrize("fill", ["lowest", "highest", "extremes", "uniform"])
@pytest.mark.parametrize(
    "denominator", [(1 << 16) - 1, 1 << 16, (1 << 38) - 1, 1 << 38, (1 << 38) + 1, MAX_MEAN_DENOMINATOR]
)
def test_one_combination_that_uses_its_whole_denominator(denominator: int, fill: str) -> None:
    """The ends of sums in int32, in float64 and in int64; fewer updates than are added at a time, as many, and more."""
    for updates in (3, compiled.MEAN_ROWS, compiled.MEAN_ROWS + 3):
        row = np.array([[denominator - 2 * (updates - 1) + 1, 1, *[2] * (updates - 2)]])
        assert row.sum() == denominator
        matrix = FILLS[fill](np.random.default_rng(1), updates, compiled.MEAN_VALUES + 7)
        check(Recipe(Trim(0), row, denominator), matrix, bounds=(5,))


def test_combinations_that_count_for_nothing() -> None:
    """All clipped to nothing, or less than their denominator: the rest counts as zeros."""
    matrix = FILLS["uniform"](np.random.default_rng(1), 3, 9)
    for denominator in DENOMINATORS:
        check(Recipe(Trim(0), np.zeros((1, 3), dtype=np.int64), denominator), matrix)
        check(Recipe(Trim(1), np.zeros((4, 3), dtype=np.int64), denominator), matrix)
        check(Recipe(Trim(1), np.eye(3, dtype=np.int64), denominator), matrix)


def test_only_the_updates_that_count_are_read() -> None:
    one_hot = np.zeros((1, 9), dtype=np.int64)
    one_hot[0, 4] = 1
    assert plan_recipe(Recipe(Trim(0), one_hot, 1), 9).inputs.tolist() == [4]
    selection = np.eye(9, dtype=np.int64)[[7, 2, 2, 5]]
    assert plan_recipe(Recipe(Trim(1), selection, 1), 9).inputs.tolist() == [7, 2, 2, 5]
    assert plan_recipe(Recipe(Trim(1), selection * 12, 12), 9).inputs.tolist() == [7, 2, 2, 5]
    assert plan_recipe(Recipe(Trim(1), selection * 2, 3), 9).inputs.tolist() == [2, 5, 7]
    assert plan_recipe(Recipe(Trim(4)), 9).inputs.tolist() == list(range(9))


@given(st.data(), st.integers(1, 40), st.integers(1, 1200), st.sampled_from(sorted(FILLS)), st.integers(0, 2**32))
def test_any_recipe_in_any_ranges(data: st.DataObject, updates: int, length: int, fill: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    matrix = FILLS[fill](random, updates, length)
    combinations = data.draw(st.none() | st.integers(1, 24), label="combinations")
    column = data.draw(st.sampled_from(list_columns(combinations or updates)), label="column")
    bounds = sorted(data.draw(st.lists(st.integers(0, length), max_size=3), label="bounds"))
    if combinations is None:
        recipe = Recipe(column)
    else:
        denominator = data.draw(st.integers(1, MAX_MIX_DENOMINATOR), label="denominator")
        rows = draw_rows(random, (combinations, updates), denominator, dense=data.draw(st.booleans(), label="dense"))
        recipe = Recipe(column, rows, denominator)
    check(recipe, matrix, bounds)
