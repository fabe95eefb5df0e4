"""Float aggregators to use and to imitate: real-valued updates and weights in, their aggregate out (design §7, A7).

A float task's rule is "float(name)"; its aggregators and validators agree beforehand on what the name stands for. It
must be a function of its arguments alone: whoever keeps a state from round to round is convicted once it is restarted.
Numpy only; one in torch is in `examples/`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Float32Vector = npt.NDArray[np.float32]


def weighted_mean(updates: Sequence[Float32Vector], weights: Sequence[int]) -> Float32Vector:
    """FedAvg."""
    mean: Float32Vector = np.average(np.stack(updates), axis=0, weights=weights).astype(np.float32)
    return mean


def trimmed(updates: Sequence[Float32Vector], weights: Sequence[int]) -> Float32Vector:
    """In each coordinate the mean of all but the lowest and the highest tenth, at least one of each from three on."""
    cut = max(len(updates) // 10, 1) if len(updates) >= 3 else 0
    kept = np.sort(np.stack(updates), axis=0)[cut : len(updates) - cut]
    mean: Float32Vector = kept.mean(axis=0, dtype=np.float32)
    return mean


def geometric_median(updates: Sequence[Float32Vector], weights: Sequence[int]) -> Float32Vector:
    """Weiszfeld's iteration, smoothed, from the mean (Pillutla et al. 2022): where an exact rule is hard to come by."""
    stacked = np.stack(updates).astype(np.float64)
    point = np.average(stacked, axis=0, weights=weights)
    for _ in range(32):
        distances = np.maximum(np.linalg.norm(stacked - point, axis=1), 1e-6)
        point = np.average(stacked, axis=0, weights=np.asarray(weights) / distances)
    median: Float32Vector = point.astype(np.float32)
    return median


@dataclass(frozen=True)
class FitResult:
    """What a strategy's `aggregate_fit` reads of a client's result."""

    parameters: Any
    num_examples: int
    metrics: dict[str, Any] = field(default_factory=dict)


class StrategyAggregate:
    """The arithmetic of a Flower Strategy, or of anything with its `aggregate_fit(round, results, failures)`.

    `make_strategy` is called for each aggregation, so that nothing is carried on to the next. `encode` turns a list of
    arrays into what the strategy calls parameters, `decode` back: for flwr's own strategies `ndarrays_to_parameters`
    and `parameters_to_ndarrays`. By default they are the lists themselves.
    """

    def __init__(
        self,
        make_strategy: Callable[[], Any],
        encode: Callable[[list[npt.NDArray[Any]]], Any] = lambda arrays: arrays,
        decode: Callable[[Any], list[npt.NDArray[Any]]] = lambda parameters: parameters,
    ) -> None:
        self._make_strategy = make_strategy
        self._encode = encode
        self._decode = decode

    def __call__(self, updates: Sequence[Float32Vector], weights: Sequence[int]) -> npt.NDArray[Any]:
        results = [
            (None, FitResult(self._encode([update]), weight)) for update, weight in zip(updates, weights, strict=True)
        ]
        aggregated, _ = self._make_strategy().aggregate_fit(1, results, [])
        if aggregated is None:
            raise ValueError(f"the strategy made nothing of {len(updates)} updates")
        (vector,) = self._decode(aggregated)
        return vector


BUILT_IN = {"weighted_mean": weighted_mean, "trimmed": trimmed, "geometric_median": geometric_median}
"""Known by these names everywhere; `float_aggregators` of a role's file adds others."""
