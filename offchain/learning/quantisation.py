"""Real vectors as integers: int16 updates and int32 models, real value = q·2^-s with `fraction_bits` s (design §4).

Numpy only: whoever turns vectors into integers or back needs no torch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from offchain.interfaces import Int16Vector, Int32Vector

FloatVector = npt.NDArray[np.float64]
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
