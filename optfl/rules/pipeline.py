"""Pre-aggregators before a rule: "nnm(f=2) | median()". Each makes combinations of the updates, the rule sees those.

All are linear, so a whole pipeline is one matrix of integers over one denominator. Where that would grow too large,
rows are rounded down (`fit_rows`); values are rounded once, in the output.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from optfl.rules.base import (
    MAX_MEAN_DENOMINATOR,
    MAX_MIX_DENOMINATOR,
    MAX_UPDATES,
    Int64Array,
    Recipe,
    RoundFacts,
    Rule,
    check_updates,
    fit_rows,
)
from optfl.rules.gram import Measures, TotalsKind, compose, count_totals


@dataclass(frozen=True, eq=False)
class Mixture:
    """M combinations of K updates: `rows` int64[M, K] >= 0 over one `denominator`, which no row's sum exceeds.

    Of a pre-aggregator that scales: `rows` int64[K], a multiple of each. `sample_weights`: what each combination counts
    for in a rule that weighs them.
    """

    rows: Int64Array
    denominator: int
    sample_weights: tuple[int, ...]


class PreAggregator(Protocol):
    """What comes before a rule. Total like a rule, with the same meaning of `weights`."""

    @property
    def minimum_updates(self) -> int: ...

    @property
    def totals(self) -> TotalsKind:
        """Which inner products of what it gets it looks at."""
        ...

    @property
    def scales(self) -> bool:
        """Whether it makes a multiple of each vector that it gets, so that their norms follow from norms alone."""
        ...

    def count_mixed(self, updates: int) -> int:
        """Combinations that it makes of so many updates."""
        ...

    def count_weights(self, updates: int) -> int:
        """Integers that `weights` gives."""
        ...

    def weights(self, measures: Measures | None, facts: RoundFacts) -> tuple[int, ...]: ...

    def mixture(self, weights: Sequence[int], facts: RoundFacts) -> Mixture:
        """RuleError for weights that no totals could have given."""
        ...

    def weight_operations(self, updates: int) -> int: ...


@dataclass(frozen=True)
class Pipeline:
    """`stages` in order, then `rule`, on what the last of them has made."""

    stages: tuple[PreAggregator, ...]
    rule: Rule

    def __str__(self) -> str:
        return " | ".join(map(str, (*self.stages, self.rule)))

    @cached_property
    def minimum_updates(self) -> int:
        """The least K with which every stage and the rule get enough. More than MAX_UPDATES if none is."""
        # Of more updates a stage never makes fewer: what is enough stays enough.
        return 1 + bisect.bisect_left(range(1, MAX_UPDATES + 1), True, key=self._is_enough)

    @cached_property
    def maximum_updates(self) -> int:
        """The greatest K of which the rule gets no more than it takes."""
        return bisect.bisect_left(range(1, MAX_UPDATES + 1), True, key=self._is_too_many)

    def _is_enough(self, updates: int) -> bool:
        for stage in self.stages:
            if updates < stage.minimum_updates:
                return False
            updates = stage.count_mixed(updates)
        return updates >= self.rule.minimum_updates

    def _is_too_many(self, updates: int) -> bool:
        *_, mixed = self._count_inputs(updates)
        return mixed > self.rule.maximum_updates

    @cached_property
    def totals(self) -> TotalsKind:
        return self._kinds[0]

    @cached_property
    def _kinds(self) -> list[TotalsKind]:
        """For each stage, and at last for the rule, which inner products of what it gets are needed from there on."""
        kinds = [self.rule.totals]
        for stage in reversed(self.stages):
            after = kinds[0] if stage.scales or not kinds[0] else TotalsKind.PRODUCTS
            kinds.insert(0, max(stage.totals, after))
        return kinds

    def weights(self, measures: Measures | None, facts: RoundFacts) -> tuple[int, ...]:
        derived: list[int] = []
        for stage, needed_after in zip(self.stages, self._kinds[1:], strict=True):
            weights = stage.weights(measures, facts)
            derived += weights
            mixture = stage.mixture(weights, facts)
            if measures is not None:
                measures = measures.mix(mixture.rows, mixture.denominator) if needed_after else None
            facts = RoundFacts(mixture.sample_weights, facts.beacon)
        return (*derived, *self.rule.weights(measures, facts))

    def recipe(self, weights: Sequence[int], facts: RoundFacts) -> Recipe:
        check_updates(self, facts.updates)
        rows, denominator = None, 1
        for stage in self.stages:
            count = stage.count_weights(facts.updates)
            own, weights = weights[:count], weights[count:]
            mixture = stage.mixture(own, facts)
            rows, denominator = _combine(mixture.rows, mixture.denominator, rows, denominator, MAX_MIX_DENOMINATOR)
            facts = RoundFacts(mixture.sample_weights, facts.beacon)
        recipe = self.rule.recipe(weights, facts)
        if recipe.rows is None:
            return Recipe(recipe.column, rows, denominator)
        most = MAX_MEAN_DENOMINATOR if len(recipe.rows) == 1 else MAX_MIX_DENOMINATOR
        rows, denominator = _combine(recipe.rows, recipe.denominator, rows, denominator, most)
        return Recipe(recipe.column, rows, denominator)

    def _count_inputs(self, updates: int) -> Iterator[int]:
        """How many updates each stage gets, and at last the rule."""
        yield updates
        for stage in self.stages:
            updates = stage.count_mixed(updates)
            yield updates

    def mixed_updates(self, updates: int) -> int:
        *_, mixed = self._count_inputs(updates)
        return self.rule.mixed_updates(mixed) or (0 if all(stage.scales for stage in self.stages) else mixed)

    def weight_operations(self, updates: int) -> int:
        operations = 0
        inputs = list(self._count_inputs(updates))
        for stage, kind, k, m in zip(self.stages, self._kinds[1:], inputs, inputs[1:], strict=False):
            operations += stage.weight_operations(k)
            if kind and not stage.scales:  # two products of matrices in a few limbs, which take cutting
                operations += m * k * (k + m) // 2 + 150 * k * (k + m)
            elif kind:
                operations += 100 * count_totals(kind, k)
        return operations + self.rule.weight_operations(inputs[-1])

    def recipe_operations(self, updates: int) -> int:
        *inputs, last = self._count_inputs(updates)
        parts = [(stage.scales, k, stage.count_mixed(k)) for stage, k in zip(self.stages, inputs, strict=True)]
        if made := self.rule.mixed_updates(last):
            parts.append((False, last, made))
        operations, columns = updates, 1  # of the rows so far: one while they are multiples
        for scales, k, m in parts:
            if columns > 1 and not scales:
                operations += m * k * columns // 2
            columns = columns if scales else updates
            operations += 32 * m * columns
        return operations


def _combine(
    outer: Int64Array, outer_denominator: int, inner: Int64Array | None, inner_denominator: int, most: int
) -> tuple[Int64Array, int]:
    """Rows that do `inner`, if there is one, and then `outer`, over a denominator of `most` at most."""
    if inner is None:
        return outer, outer_denominator
    return fit_rows(compose(outer, inner.astype(object)), outer_denominator * inner_denominator, most)
