"""The exact rules on real vectors: `TrimmedMean(f=3)(vectors)` quantises, aggregates in integers, and dequantises.

In numpy arrays or torch tensors, of (n, …) or a list of n of them; out comes one of the same kind, dtype and device.
What it computes is what a task with the rule's name computes, bit for bit, once the vectors are in units of 2^-s.

By default s is the largest with which nothing is clipped. Each value is then off by half a unit at most, and so is the
result: `Mean`, `Median` and `TrimmedMean` are within one unit, 2^-s <= max|x| / 2^14 · (1 + 2^-14), of the same rule on
the real numbers. Clipping adds |x| · 2^-20 where factors are rounded down. Rules that choose (Krum, Bulyan, MDA, NNM,
and what is near the median) make the same choice, and are as near, unless two candidates differ by less than what
quantising may change.

No torch is imported here: tensors bring what is needed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import frexp
from typing import Any

import numpy as np
import numpy.typing as npt

from offchain.kernels.aggregate import aggregate
from offchain.learning.arrays import Vectors, read_vectors, write_vector
from offchain.learning.quantisation import QuantisationError
from optfl import rules as exact
from optfl.rules.base import MAX_NORM

_INT16 = np.iinfo(np.int16)


@dataclass(frozen=True)
class FloatRule:
    """A rule that is called with vectors. Raises RuleError where its parameters, or n, do not suit the exact rule."""

    def __post_init__(self) -> None:
        self.build(0)

    def build(self, fraction_bits: int) -> exact.Rule:
        """The exact rule, for vectors in units of 2^-fraction_bits; its `str` is the name to give a task."""
        raise NotImplementedError

    def __call__(
        self,
        vectors: Vectors,
        weights: Sequence[int] | None = None,
        *,
        fraction_bits: int | None = None,
        beacon: bytes = b"",
    ) -> Any:
        """The aggregate of `vectors`, of their kind, dtype (float64 for integers) and device.

        `weights`: numbers of examples, for rules that honour them. `fraction_bits`: s, of any sign; with more than
        suits the largest value, values are clipped to ±2^15 units. `beacon`: what `Bucketing` draws by. Raises
        QuantisationError on NaN or infinity.
        """
        reals = read_vectors(vectors, exact.RuleError)
        matrix = reals.reshape(len(reals), -1)
        if not np.isfinite(matrix).all():
            raise QuantisationError("a value is not finite; leave such vectors out")
        if fraction_bits is None:
            fraction_bits = self._choose_fraction_bits(matrix)
        units = np.clip(np.rint(np.ldexp(matrix, fraction_bits)), _INT16.min, _INT16.max).astype(np.int16)
        facts = exact.RoundFacts((1,) * len(units) if weights is None else tuple(map(int, weights)), beacon)
        base = np.zeros(units.shape[1], dtype=np.int32)
        model = aggregate(self.build(fraction_bits), base, list(units), facts).model
        return write_vector(np.ldexp(model.astype(np.float64), -fraction_bits).reshape(reals.shape[1:]), vectors)

    def _choose_fraction_bits(self, matrix: npt.NDArray[np.float64]) -> int:
        return choose_fraction_bits(matrix)


@dataclass(frozen=True)
class PreAggregator:
    """What a `Pipeline` has before its rule."""

    def __post_init__(self) -> None:
        self.build(0)

    def build(self, fraction_bits: int) -> exact.PreAggregator:
        raise NotImplementedError


@dataclass(frozen=True)
class Mean(FloatRule):
    """Weighted by numbers of examples; robust to nobody."""

    def build(self, fraction_bits: int) -> exact.Rule:
        return exact.FedAvg()


@dataclass(frozen=True)
class Median(FloatRule):
    def build(self, fraction_bits: int) -> exact.Rule:
        return exact.Median()


@dataclass(frozen=True)
class TrimmedMean(FloatRule):
    f: int

    def build(self, fraction_bits: int) -> exact.Rule:
        return exact.TrimmedMean(self.f)


@dataclass(frozen=True)
class MeanAroundMedian(FloatRule):
    f: int

    def build(self, fraction_bits: int) -> exact.Rule:
        return exact.MeanAroundMedian(self.f)


@dataclass(frozen=True)
class Krum(FloatRule):
    f: int

    def build(self, fraction_bits: int) -> exact.Rule:
        return exact.Krum(self.f)


@dataclass(frozen=True)
class MultiKrum(FloatRule):
    f: int

    def build(self, fraction_bits: int) -> exact.Rule:
        return exact.MultiKrum(self.f)


@dataclass(frozen=True)
class Bulyan(FloatRule):
    f: int

    def build(self, fraction_bits: int) -> exact.Rule:
        return exact.Bulyan(self.f)


@dataclass(frozen=True)
class GeometricMedian(FloatRule):
    steps: int = 3

    def build(self, fraction_bits: int) -> exact.Rule:
        return exact.GeometricMedian(self.steps)


@dataclass(frozen=True)
class CentredClipping(FloatRule):
    """`norm` is real; None for the lower median of the distances at each step."""

    norm: float | None = None
    steps: int = 1

    def build(self, fraction_bits: int) -> exact.Rule:
        return exact.CentredClipping(_to_units(self.norm, fraction_bits), self.steps)


@dataclass(frozen=True)
class NormClippedMean(FloatRule):
    """`norm` is real; None for the lower median of the norms. Honours weights."""

    norm: float | None = None

    def build(self, fraction_bits: int) -> exact.Rule:
        return exact.NormClippedMean(_to_units(self.norm, fraction_bits))


@dataclass(frozen=True)
class MinimumDiameterAveraging(FloatRule):
    f: int

    def build(self, fraction_bits: int) -> exact.Rule:
        return exact.MinimumDiameterAveraging(self.f)


@dataclass(frozen=True)
class NearestNeighbourMixing(PreAggregator):
    f: int

    def build(self, fraction_bits: int) -> exact.PreAggregator:
        return exact.NearestNeighbourMixing(self.f)


@dataclass(frozen=True)
class Bucketing(PreAggregator):
    s: int

    def build(self, fraction_bits: int) -> exact.PreAggregator:
        return exact.Bucketing(self.s)


@dataclass(frozen=True)
class Clipping(PreAggregator):
    """`norm` is real; None for the lower median of the norms."""

    norm: float | None = None

    def build(self, fraction_bits: int) -> exact.PreAggregator:
        return exact.Clipping(_to_units(self.norm, fraction_bits))


@dataclass(frozen=True)
class AdaptiveRobustClipping(PreAggregator):
    f: int

    def build(self, fraction_bits: int) -> exact.PreAggregator:
        return exact.AdaptiveRobustClipping(self.f)


@dataclass(frozen=True)
class Pipeline(FloatRule):
    """`stages` one after the other, then `rule`; with one rounding at the end."""

    stages: Sequence[PreAggregator]
    rule: FloatRule

    def build(self, fraction_bits: int) -> exact.Rule:
        rule = self.rule.build(fraction_bits)
        return exact.Pipeline(tuple(stage.build(fraction_bits) for stage in self.stages), rule) if self.stages else rule


@dataclass(frozen=True)
class NamedRule(FloatRule):
    """A rule by the name that a task gives it, e.g. "nnm(f=2) | median()".

    Norms in names are in units of 2^-fraction_bits: calls of a rule with one say how many bits those are.
    """

    name: str

    def build(self, fraction_bits: int) -> exact.Rule:
        return exact.parse_rule(self.name)

    def _choose_fraction_bits(self, matrix: npt.NDArray[np.float64]) -> int:
        if re.search("norm=[1-9]", self.name):
            raise exact.RuleError(f"the norm in {self.name} is in units; say which by fraction_bits, as the task does")
        return super()._choose_fraction_bits(matrix)


def parse(name: str) -> NamedRule:
    """The rule that a task calls so; RuleError if it is none."""
    return NamedRule(name)


def choose_fraction_bits(values: npt.NDArray[np.float64]) -> int:
    """The largest s with which no value leaves int16 in units of 2^-s; 0 if all are 0."""
    low, high = float(values.min(initial=0.0)), float(values.max(initial=0.0))
    if low == high == 0.0:
        return 0
    fraction_bits = 16 - frexp(max(-low, high))[1]  # 2^15 <= the largest < 2^16
    while np.rint(np.ldexp(low, fraction_bits)) < _INT16.min or np.rint(np.ldexp(high, fraction_bits)) > _INT16.max:
        fraction_bits -= 1
    return fraction_bits


def _to_units(norm: float | None, fraction_bits: int) -> int:
    if norm is None:
        return 0  # the rules' own sign for a median
    if not norm > 0:
        raise exact.RuleError(f"norm={norm}; use one above 0, or None for the median")
    # No update reaches MAX_NORM: what is above clips nothing either.
    return int(np.clip(np.rint(np.ldexp(norm, fraction_bits)), 1, MAX_NORM))
