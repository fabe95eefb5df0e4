"""What a rule is, and the bounds within which its int64 sums are exact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from optfl.arithmetic import div_round_half_up
from optfl.rules.gram import Gram, Measures, Norms, TotalsKind

Int16Array = npt.NDArray[np.int16]
Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]

MAX_UPDATES = 1 << 12
MAX_WEIGHT = (1 << 32) - 1
"""K <= 2^12 and w < 2^32 give W = Σw < 2^44 and |2·Σw·q + W| <= W·(2^16 + 1) < 2^61: an int64 cannot overflow."""
MAX_MEAN_DENOMINATOR = 1 << 44
MAX_MIX_DENOMINATOR = 1 << 30
"""Of one combination, and of one of up to 2^12 that are then sorted: their sum is at most 2^12 · 2^15 · 2^30 = 2^57."""
FACTOR_BITS = 20
"""Of the factors in 0..1 that clip updates: fine against a value of 2^15, and still exact over 2^10 neighbours."""
MAX_NORM = 10**9 - 1
"""In units of 2^-fraction_bits: no update of 2^27 values has a norm above 2^28.5."""


class RuleError(ValueError):
    """No such rule, or inputs that it is not defined for: too few or too many updates, a weight out of bounds."""


@dataclass(frozen=True)
class RoundFacts:
    """What the ledger knows of a round beside its updates, in selection order: K is the number of sample weights."""

    sample_weights: tuple[int, ...]  # the clients' numbers of examples
    beacon: bytes = b""  # that drew the clients; known before any of them committed

    @property
    def updates(self) -> int:
        return len(self.sample_weights)


@dataclass(frozen=True)
class Trim:
    """At each coordinate: the mean without the `count` lowest and the `count` highest values."""

    count: int


@dataclass(frozen=True)
class Nearest:
    """At each coordinate: the mean of the `count` values nearest to the median, the lower of two equally near."""

    count: int


@dataclass(frozen=True, eq=False)
class Recipe:
    """How an aggregate is made of its updates, once a rule has decided: what `output` and the kernels carry out.

    `rows` int64[M, K]: M combinations of the K updates, over one `denominator`, none of whose rows adds up to more than
    that; int64[K] for a multiple of each update, the diagonal of such a matrix; None for the updates themselves. Then
    `column` at each coordinate of these. One division rounds, halves up.
    """

    column: Trim | Nearest
    rows: Int64Array | None = None
    denominator: int = 1


class Rule(Protocol):
    """An aggregation rule, decided from totals and local to a chunk (design §5).

    totals -> `weights`, which the ledger gets to see -> `recipe` -> `output` of any chunk. `str(rule)` is the canonical
    name, which `parse_rule` reads. Each of them is total: from `minimum_updates` to `maximum_updates` updates it has a
    result for every input (red team A6), also for totals that no updates have: somebody may claim them.
    """

    @property
    def minimum_updates(self) -> int:
        """The least K that the rule is defined for."""
        ...

    @property
    def maximum_updates(self) -> int: ...

    @property
    def totals(self) -> TotalsKind:
        """Which inner products of the updates the rule looks at: those that its trace has."""
        ...

    def weights(self, measures: Measures | None, facts: RoundFacts) -> tuple[int, ...]:
        """What the totals decide, as integers below 2^64: part of an attempt's record. Empty for rules without."""
        ...

    def recipe(self, weights: Sequence[int], facts: RoundFacts) -> Recipe:
        """What is done at each coordinate. RuleError for weights that `weights` could not have made of any totals."""
        ...

    def mixed_updates(self, updates: int) -> int:
        """Rows of the recipe: what a coordinate's output reads, in combinations of all K updates; 0 for none.

        Multiples of single updates count as the updates themselves.
        """
        ...

    def weight_operations(self, updates: int) -> int:
        """Work of `weights` from K updates' totals, in values read: what a task's limit on proofs counts."""
        ...

    def recipe_operations(self, updates: int) -> int:
        """Work of `recipe`, in the same unit."""
        ...


class BaseRule:
    """Shared by rules for any number of updates whose recipe takes no more to make than to read their weights."""

    @property
    def maximum_updates(self) -> int:
        return MAX_UPDATES

    def recipe_operations(self, updates: int) -> int:
        return updates


class CoordinatewiseRule(BaseRule):
    """Shared by rules whose every output coordinate depends on the same coordinate of the updates alone."""

    @property
    def minimum_updates(self) -> int:
        return 1

    @property
    def totals(self) -> TotalsKind:
        return TotalsKind.NONE

    def weights(self, measures: Measures | None, facts: RoundFacts) -> tuple[int, ...]:
        return ()

    def mixed_updates(self, updates: int) -> int:
        return 0

    def weight_operations(self, updates: int) -> int:
        return 0


class GramRule(BaseRule):
    """Shared by rules that need the Gram matrix of the updates."""

    @property
    def totals(self) -> TotalsKind:
        return TotalsKind.PRODUCTS


def compute_output(recipe: Recipe, chunk: Int16Array) -> Int32Array:
    """The aggregate int32[c] of one chunk int16[K, c]: the reference that the ledger executes."""
    values: Int64Array = chunk.astype(np.int64)
    if recipe.rows is not None and recipe.rows.ndim == 1:
        values *= recipe.rows[:, None]
    elif recipe.rows is not None:
        # Exact: see MAX_MEAN_DENOMINATOR. Several times as quick as `@`, which walks columns.
        values = np.einsum("mk,kc->mc", recipe.rows, values)
    if len(values) > 1:
        values = np.sort(values, axis=0)
    match recipe.column:
        case Trim(count):
            kept = len(values) - 2 * count
            total: Int64Array = values[count : count + kept].sum(axis=0)
        case Nearest(kept):
            total = _sum_nearest(values, kept)
    return div_round_half_up(total, recipe.denominator * kept).astype(np.int32)


def _sum_nearest(ordered: Int64Array, kept: int) -> Int64Array:
    """Sum of the `kept` values of each column nearest to its median; `ordered` ascends.

    They are neighbours. Seen from the lowest `kept`, the window moves up by one as often as what it would take in is
    nearer to the median than what it would leave out; both ends ascend, so that each step can be looked at on its own.
    """
    twice_median = ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]
    low, high = ordered[: len(ordered) - kept], ordered[kept:]
    total: Int64Array = ordered[:kept].sum(axis=0)
    total += np.where(low + high < twice_median, high - low, 0).sum(axis=0)
    return total


def fit_rows(rows: npt.NDArray[Any], denominator: int, most: int) -> tuple[Int64Array, int]:
    """`rows` of integers >= 0 over `denominator`, as they are or rounded down to the denominator `most`.

    Rounding moves a value by less than K · 2^15 / `most` units, towards 0 where all of them have one sign. Pass objects
    where rows · `most` may leave int64.
    """
    if denominator > most:
        rows, denominator = rows * most // denominator, most
    return rows.astype(np.int64), denominator


def output_operations(rule: Rule, updates: int, chunk_values: int) -> int:
    """Work of a recipe and a chunk's output from K updates: what a task's limit on proofs counts, about 6 ns each.

    Values are read, then combined (a multiplication takes a tenth of that) and sorted, where the rule does that.
    """
    mixed = rule.mixed_updates(updates)
    ordered = mixed or updates
    sorting = ordered * ordered.bit_length() if ordered > 1 else 0
    return (updates + -(-mixed * updates // 8) + sorting) * chunk_values + rule.recipe_operations(updates)


def check_parameter(rule: object, name: str, value: int, least: int, most: int) -> None:
    """Raise RuleError unless the rule's parameter is an integer from `least` to `most`."""
    if type(value) is not int or not least <= value <= most:
        raise RuleError(f"{rule}; use {name} from {least} to {most}")


def check_integers(rule: object, weights: Sequence[int], count: int, most: int) -> None:
    """Raise RuleError unless there are `count` weights in 0..most."""
    if len(weights) != count or not all(0 <= weight <= most for weight in weights):
        raise RuleError(f"the weights are not the {count} integers from 0 to {most} that {rule} has")


def check_sample_weights(sample_weights: Sequence[int]) -> None:
    """Raise RuleError unless every weight is in 1..MAX_WEIGHT."""
    for weight in sample_weights:
        if not 1 <= weight <= MAX_WEIGHT:
            raise RuleError(f"weight {weight}; use 1 to {MAX_WEIGHT}")


def check_total_weight(sample_weights: Sequence[int]) -> int:
    """The sum of sample weights, of updates or of buckets of them; RuleError unless it is one of valid weights."""
    total = sum(sample_weights)
    if min(sample_weights) < 1 or total > MAX_MEAN_DENOMINATOR:
        raise RuleError(f"weights from {min(sample_weights)} on that add up to {total}; use {MAX_WEIGHT} each at most")
    return total


def check_updates(rule: Rule, updates: int) -> None:
    """Raise RuleError unless the rule is defined for this number of updates."""
    most = min(rule.maximum_updates, MAX_UPDATES)
    if not rule.minimum_updates <= updates <= most:
        raise RuleError(f"{rule} of {updates} updates; use {rule.minimum_updates} to {most}")


def check_no_weights(rule: object, weights: Sequence[int]) -> None:
    """Raise RuleError if there are weights where totals decide nothing."""
    if len(weights):
        raise RuleError(f"{len(weights)} weights; {rule} has none, no totals decide it")


def check_gram(rule: object, measures: Measures | None) -> Gram:
    """The inner products that `rule` cannot do without."""
    if not isinstance(measures, Gram):
        raise RuleError(f"{rule} decides by inner products; give it totals of all pairs of updates")
    return measures


def check_norms(rule: object, measures: Measures | None) -> Norms:
    """The norms that `rule` cannot do without."""
    if measures is None:
        raise RuleError(f"{rule} decides by norms; give it totals")
    return measures.norms
