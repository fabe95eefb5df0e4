"""Real vectors as integers: int16 updates and int32 models, real value = q·2^-s with `fraction_bits` s (design §4).

Of a task with `update_bits` 8 an update is stored as int8, which `UpdateNarrower` makes of the int16 one.

Numpy only: whoever turns vectors into integers or back needs no torch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from offchain.interfaces import Int16Vector, Int32Vector
from optfl.tasks import MAX_UPDATE_SHIFT

FloatVector = npt.NDArray[np.float64]
Int8Vector = npt.NDArray[np.int8]
Reals = npt.NDArray[np.floating[Any]]

MAX_FRACTION_BITS = 31


class QuantisationError(ValueError):
    """A vector that has no integer form."""


def quantise_update(values: Reals, fraction_bits: int, seed: int | None = None) -> Int16Vector:
    """Return `values`·2^s as int16, clipped to its range.

    Rounds to the nearest (ties to even) or, with a `seed`, stochastically: up with the probability of the fraction, so
    that the expectation is exact wherever nothing is clipped. Raises QuantisationError on NaN or infinity.
    """
    return _to_integers(values, fraction_bits, np.iinfo(np.int16), seed).astype(np.int16)


def quantise_model(values: Reals, fraction_bits: int) -> Int32Vector:
    """Return `values`·2^s as int32, rounded to the nearest and clipped to its range; raises QuantisationError."""
    return _to_integers(values, fraction_bits, np.iinfo(np.int32), None).astype(np.int32)


def dequantise(vector: Int16Vector | Int32Vector, fraction_bits: int) -> FloatVector:
    """Return the real values of an update or a model; exact."""
    return np.ldexp(vector.astype(np.float64), -_checked(fraction_bits))


class ErrorFeedback:
    """Adds what quantising one round's update lost to the next round's (Seide et al. 2014; Karimireddy et al. 2019).

    The sum of the quantised updates then stays within one rounding error of the sum of the real ones, even if some were
    clipped, once the rest can be made up. It makes a trainer stateful: the same call twice gives two different updates.
    """

    def __init__(self, fraction_bits: int) -> None:
        self.fraction_bits = _checked(fraction_bits)
        self.residual: FloatVector | None = None

    def quantise(self, values: Reals, seed: int | None = None) -> Int16Vector:
        """Quantise `values` plus the residual so far, and keep the new residual; raises QuantisationError."""
        target = values.astype(np.float64)
        if self.residual is not None:
            if self.residual.shape != target.shape:
                raise QuantisationError(
                    f"the update has {target.size} values, the ones before had {self.residual.size}; "
                    "use one ErrorFeedback for each task"
                )
            target += self.residual
        update = quantise_update(target, self.fraction_bits, seed)
        self.residual = target - dequantise(update, self.fraction_bits)
        return update


def narrow_update(update: Int16Vector | Int32Vector, shift: int, seed: int | None = None) -> Int8Vector:
    """Return `update`·2^-shift as int8, clipped to its range; rules see q·2^shift (`optfl.tasks.expand_update`).

    Rounds to the nearest (halves up) or, with a `seed`, stochastically, as `quantise_update` does. `update` may exceed
    int16 by as much again.
    """
    step = 1 << _checked_shift(shift)
    # Added before a floor: half a step, or less than a step, each value as likely.
    carry = step >> 1 if seed is None else np.random.default_rng(seed).integers(0, step, update.shape, dtype=np.int32)
    limits = np.iinfo(np.int8)
    narrow: Int8Vector = np.clip((update.astype(np.int32) + carry) >> shift, limits.min, limits.max).astype(np.int8)
    return narrow


def choose_update_shift(update: Int16Vector, clipped_share: float = 0.001) -> int:
    """The smallest shift at which int8 clips no larger share of the values of `update` than `clipped_share`.

    For a task, look at updates of its first rounds, which are the largest. A larger shift rounds more coarsely, a
    smaller one clips more.
    """
    limits = np.iinfo(np.int8)
    for shift in range(MAX_UPDATE_SHIFT):
        low, high = limits.min << shift, limits.max << shift
        if np.count_nonzero((update < low) | (update > high)) <= clipped_share * update.size:
            return shift
    return MAX_UPDATE_SHIFT


class UpdateNarrower:
    """A client's int16 updates as int8, one round after the other: stochastic rounding with error feedback.

    What rounding takes from an update is added to the next one, in which this client may be drawn only much later. What
    clipping takes is not: it would pile up, and go on pushing the model after it has arrived. Without the residual of
    the round before, say after a restart, less than a step of each value is lost.
    """

    def __init__(self, shift: int) -> None:
        self._shift = _checked_shift(shift)
        self._residual: Int32Vector | None = None  # less than a step, either way

    def narrow(self, update: Int16Vector, seed: int) -> Int8Vector:
        """Narrow `update` plus the residual, and keep the new residual.

        Raises QuantisationError for what is no int16, or has another length than the ones before.
        """
        if update.dtype != np.int16:
            raise QuantisationError(f"the update is {update.dtype}; a trainer makes int16, also for a task of int8")
        target = update.astype(np.int32)
        if self._residual is not None:
            if self._residual.shape != target.shape:
                raise QuantisationError(
                    f"the update has {target.size} values, the ones before had {self._residual.size}; "
                    "use one UpdateNarrower for each task"
                )
            target += self._residual
        narrowed = narrow_update(target, self._shift, seed)
        step = 1 << self._shift
        self._residual = np.clip(target - narrowed.astype(np.int32) * step, 1 - step, step - 1)
        return narrowed


def _checked_shift(shift: int) -> int:
    if not 0 <= shift <= MAX_UPDATE_SHIFT:
        raise QuantisationError(f"update_shift is {shift}; choose 0 to {MAX_UPDATE_SHIFT}")
    return shift


def _to_integers(values: Reals, fraction_bits: int, limits: np.iinfo[Any], seed: int | None) -> FloatVector:
    scaled = np.ldexp(values.astype(np.float64), _checked(fraction_bits))
    if not np.isfinite(scaled).all():
        raise QuantisationError("a value is not finite: training diverged; lower the learning rate")
    rounded = np.rint(scaled) if seed is None else np.floor(scaled + np.random.default_rng(seed).random(scaled.shape))
    clipped: FloatVector = np.clip(rounded, limits.min, limits.max)
    return clipped


def _checked(fraction_bits: int) -> int:
    if not 0 <= fraction_bits <= MAX_FRACTION_BITS:
        raise QuantisationError(f"fraction_bits is {fraction_bits}; choose 0 to {MAX_FRACTION_BITS}")
    return fraction_bits
