"""Pre-aggregators before a rule: "nnm(f=2) | median()". Each makes combinations of the updates, the rule sees those.

All are linear, so a whole pipeline is one matrix of integers over one denominator and rounds once, in the output.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from optfl.rules.base import (
    MAX_MEAN_DENOMINATOR,
    MAX_MIX_DENOMINATOR,
    MAX_UPDATES,
    Int64Array,
    Recipe,
    RoundFacts,
    Rule,
    RuleError,
    check_updates,
    fit_rows,
)
from optfl.rules.gram import Gram, multiply


@dataclass(frozen=True, eq=False)
class Mixture:
    """M combinations of K updates: `rows` int64[M, K] >= 0 over one `denominator`, which no row's sum exceeds.

    `sample_weights`: what each combination counts for in a rule that weighs them.
    """

    rows: Int64Array
    denominator: int
    sample_weights: tuple[int, ...]


class PreAggregator(Protocol):
    """What comes before a rule. Total like a rule, with the same meaning of `weights`."""

    @property
    def minimum_updates(self) -> int: ...

    @property
    def needs_totals(self) -> bool: ...

    def count_mixed(self, updates: int) -> int:
        """Combinations that it makes of so many updates."""
        ...

    def count_weights(self, updates: int) -> int:
        """Integers that `weights` gives."""
        ...

    def weights(self, gram: Gram | None, facts: RoundFacts) -> tuple[int, ...]: ...

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

    @property
    def minimum_updates(self) -> int:
        """The least K with which every stage and the rule get enough."""
        return next((k for k in range(1, MAX_UPDATES + 1) if self._is_enough(k)), MAX_UPDATES + 1)

    @property
    def maximum_updates(self) -> int:
        return MAX_UPDATES

    def _is_enough(self, updates: int) -> bool:
        for stage in self.stages:
            if updates < stage.minimum_updates:
                return False
            updates = stage.count_mixed(updates)
        return self.rule.minimum_updates <= updates <= self.rule.maximum_updates

    @property
    def needs_totals(self) -> bool:
        return self.rule.needs_totals or any(stage.needs_totals for stage in self.stages)

    def weights(self, gram: Gram | None, facts: RoundFacts) -> tuple[int, ...]:
        derived: list[int] = []
        for stage in self.stages:
            weights = stage.weights(gram, facts)
            derived += weights
            mixture = stage.mixture(weights, facts)
            gram = None if gram is None else gram.mix(mixture.rows, mixture.denominator)
            facts = RoundFacts(mixture.sample_weights, facts.beacon)
        return (*derived, *self.rule.weights(gram, facts))

    def recipe(self, weights: Sequence[int], facts: RoundFacts) -> Recipe:
        rows, denominator = np.eye(facts.updates, dtype=np.int64), 1
        for stage in self.stages:
            count = stage.count_weights(facts.updates)
            own, weights = weights[:count], weights[count:]
            mixture = stage.mixture(own, facts)
            mixed = multiply(mixture.rows, rows.astype(object))
            rows, denominator = fit_rows(mixed, denominator * mixture.denominator, MAX_MIX_DENOMINATOR)
            facts = RoundFacts(mixture.sample_weights, facts.beacon)
        check_updates(self.rule, facts.updates)
        recipe = self.rule.recipe(weights, facts)
        if recipe.rows is None:
            return Recipe(recipe.column, rows, denominator)
        combined = multiply(recipe.rows, rows.astype(object))
        most = MAX_MEAN_DENOMINATOR if len(combined) == 1 else MAX_MIX_DENOMINATOR
        rows, denominator = fit_rows(combined, recipe.denominator * denominator, most)
        return Recipe(recipe.column, rows, denominator)

    def _count_inputs(self, updates: int) -> Iterator[int]:
        """How many updates each stage gets, and at last the rule."""
        yield updates
        for stage in self.stages:
            updates = stage.count_mixed(updates)
            yield updates

    def mixed_updates(self, updates: int) -> int:
        *_, mixed = self._count_inputs(updates)
        return self.rule.mixed_updates(mixed) or mixed

    def weight_operations(self, updates: int) -> int:
        inputs = list(self._count_inputs(updates))
        decided = sum(stage.weight_operations(k) for stage, k in zip(self.stages, inputs, strict=False))
        # Each mixture is two products of matrices, in a few limbs.
        mixed = sum(8 * m * k * (k + m) for k, m in zip(inputs, inputs[1:], strict=False)) if self.needs_totals else 0
        return decided + mixed + self.rule.weight_operations(inputs[-1])
