"""How a round's model is computed: by an exact rule, or by a float aggregator that the participants agreed on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ParamSpec, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from offchain.interfaces import Int16Vector, Int32Vector
from offchain.learning.quantisation import QuantisationError, dequantise, quantise_model
from offchain.roles.views import Aggregate
from optfl import tasks
from optfl.aggregation import Aggregation
from optfl.arithmetic import saturate32
from optfl.rules import RoundFacts, RuleError, parse_rule
from optfl.wire import transaction_pb2

P = ParamSpec("P")
T = TypeVar("T")

Reals = npt.NDArray[np.floating[Any]]
FloatAggregate = Callable[[Sequence[npt.NDArray[np.float32]], Sequence[int]], Reals]
"""K real-valued updates float32[D], sample weights -> their aggregate, real-valued [D]. Any arithmetic."""


class Compute(Protocol):
    """Runs what takes long, so that the event loop does not stand still meanwhile."""

    def __call__(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]: ...


in_thread: Compute = asyncio.to_thread


async def inline(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """For a virtual clock: the end of a thread is no event of its, and would come at another time in every run."""
    return function(*args, **kwargs)


class CannotCompute(Exception):
    """The task's float aggregator is not installed here, or failed; the message says what to do."""


class ModelComputer:
    """Computes models of any task: exact ones with `aggregate`, float ones with `floats`, by their names."""

    def __init__(self, aggregate: Aggregate, floats: Mapping[str, FloatAggregate] | None = None) -> None:
        self._aggregate = aggregate
        self._floats = dict(floats or {})

    def find_objection(self, parameters: transaction_pb2.TaskParameters) -> str | None:
        """Why models of such a task cannot be computed here, or None."""
        try:
            if is_float(parameters):
                self._find_float(parameters)
            else:
                parse_rule(parameters.rule)
        except (CannotCompute, RuleError) as error:
            return str(error)
        return None

    def compute(
        self,
        parameters: transaction_pb2.TaskParameters,
        base: Int32Vector,
        updates: Sequence[npt.NDArray[Any]],
        facts: RoundFacts,
    ) -> Aggregation:
        """G_r = saturate32(G_{r-1} + rule(updates)), and how the rule decided; `updates` as the task stores them.

        Raises CannotCompute.
        """
        updates = [tasks.expand_update(parameters, update) for update in updates]
        if not is_float(parameters):
            return self._aggregate(parse_rule(parameters.rule), base, updates, facts)
        aggregate, fraction_bits = self._find_float(parameters), parameters.fraction_bits
        return Aggregation(compute_float_model(aggregate, fraction_bits, base, updates, facts.sample_weights))

    def _find_float(self, parameters: transaction_pb2.TaskParameters) -> FloatAggregate:
        name = tasks.parse_plugin(parameters.rule)
        if name is None or name not in self._floats:
            raise CannotCompute(f"no float aggregator for {parameters.rule!r} here; name one in float_aggregators")
        return self._floats[name]


def is_float(parameters: transaction_pb2.TaskParameters) -> bool:
    return parameters.arithmetic == transaction_pb2.ARITHMETIC_FLOAT


def compute_float_model(
    aggregate: FloatAggregate,
    fraction_bits: int,
    base: Int32Vector,
    updates: Sequence[Int16Vector],
    weights: Sequence[int],
) -> Int32Vector:
    """saturate32(base + quantise(aggregate(real-valued updates))). Raises CannotCompute."""
    reals = [dequantise(update, fraction_bits).astype(np.float32) for update in updates]
    try:
        result = np.asarray(aggregate(reals, list(weights)))
    except Exception as error:  # somebody else's code: whatever it raises, no model comes of it
        raise CannotCompute(f"the float aggregator failed: {type(error).__name__}: {error}") from error
    if result.shape != base.shape or not np.issubdtype(result.dtype, np.floating):
        raise CannotCompute(f"the float aggregator made {result.dtype}{list(result.shape)}; use real [{base.size}]")
    try:
        step = quantise_model(result, fraction_bits)
    except QuantisationError as error:
        raise CannotCompute(f"the float aggregator made no finite model: {error}") from error
    return saturate32(base.astype(np.int64) + step)


def compute_squared_distance(first: Int32Vector, second: Int32Vector) -> int:
    """‖first − second‖², exact."""
    apart = first.astype(np.int64) - second
    if int(np.abs(apart).max(initial=0)) ** 2 * apart.size < 1 << 63:
        return int(np.dot(apart, apart))
    return sum(int(value) ** 2 for value in apart)
