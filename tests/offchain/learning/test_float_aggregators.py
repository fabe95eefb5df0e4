"""Float aggregators that come with the package, and the adapter for a Flower Strategy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from offchain.learning.float_aggregators import BUILT_IN, StrategyAggregate, geometric_median, trimmed, weighted_mean

RANDOM = np.random.default_rng(5)
UPDATES = [RANDOM.normal(size=40).astype(np.float32) for _ in range(7)]
WEIGHTS = [3, 1, 4, 1, 5, 9, 2]


@pytest.mark.parametrize("name", BUILT_IN)
def test_each_is_a_function_of_its_arguments(name: str) -> None:
    first = BUILT_IN[name](UPDATES, WEIGHTS)
    assert first.shape == (40,)
    assert first.dtype == np.float32
    assert np.array_equal(first, BUILT_IN[name](UPDATES, WEIGHTS))


def test_the_weighted_mean() -> None:
    expected = sum(w * u.astype(np.float64) for u, w in zip(UPDATES, WEIGHTS, strict=True)) / sum(WEIGHTS)
    assert np.allclose(weighted_mean(UPDATES, WEIGHTS), expected, atol=1e-6)


@pytest.mark.parametrize("aggregate", [trimmed, geometric_median])
def test_one_bad_update_does_not_move_a_robust_one(aggregate: Any) -> None:
    bad = [*UPDATES, np.full(40, 1e6, dtype=np.float32)]
    assert np.abs(aggregate(bad, [1] * 8)).max() < 5


def test_few_updates_are_not_trimmed() -> None:
    assert np.allclose(trimmed(UPDATES[:2], [1, 1]), (UPDATES[0] + UPDATES[1]) / 2)


class Averaging:
    """As small as a strategy can be."""

    def aggregate_fit(self, server_round: int, results: list[Any], failures: list[Any]) -> tuple[Any, dict[str, Any]]:
        total = sum(result.num_examples for _, result in results)
        return [sum(result.parameters[0] * result.num_examples for _, result in results) / total], {}


def test_a_strategy_like_object_lends_its_arithmetic() -> None:
    assert np.allclose(StrategyAggregate(Averaging)(UPDATES, WEIGHTS), weighted_mean(UPDATES, WEIGHTS), atol=1e-5)


def test_a_strategy_that_makes_nothing_is_an_error() -> None:
    class Nothing:
        def aggregate_fit(self, *arguments: object) -> tuple[None, dict[str, Any]]:
            return None, {}

    with pytest.raises(ValueError, match="the strategy made nothing of 7 updates"):
        StrategyAggregate(Nothing)(UPDATES, WEIGHTS)


def test_flowers_own_strategy_lends_its_arithmetic() -> None:
    common = pytest.importorskip("flwr.common")
    strategies = pytest.importorskip("flwr.server.strategy")
    aggregate = StrategyAggregate(strategies.FedAvg, common.ndarrays_to_parameters, common.parameters_to_ndarrays)
    assert np.allclose(aggregate(UPDATES, WEIGHTS), weighted_mean(UPDATES, WEIGHTS), atol=1e-5)
