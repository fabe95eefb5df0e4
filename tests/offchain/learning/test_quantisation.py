"""Reals to integers and back."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from offchain.interfaces import Int16Vector, Int32Vector
from offchain.learning.quantisation import (
    ErrorFeedback,
    FloatVector,
    QuantisationError,
    dequantise,
    quantise_model,
    quantise_update,
)

BITS = st.integers(0, 20)
UNIT_VECTORS = arrays.arrays(np.float64, st.integers(0, 40), elements=st.floats(-1, 1))


def largest(fraction_bits: int) -> float:
    """The largest real value that an update reaches."""
    return 32767 / 2**fraction_bits


@given(UNIT_VECTORS, BITS)
def test_nearest_is_within_half_a_step_unless_clipped(unit: FloatVector, bits: int) -> None:
    values = unit * largest(bits)
    error = np.abs(dequantise(quantise_update(values, bits), bits) - values)
    assert (error <= 0.5 / 2**bits).all()


@given(UNIT_VECTORS, BITS, st.integers(0, 2**63))
def test_stochastic_is_within_a_step_and_repeats_from_its_seed(unit: FloatVector, bits: int, seed: int) -> None:
    values = unit * largest(bits)
    update = quantise_update(values, bits, seed)
    assert (np.abs(dequantise(update, bits) - values) < 1 / 2**bits).all()
    assert update.tobytes() == quantise_update(values, bits, seed).tobytes()


def test_stochastic_rounding_is_unbiased() -> None:
    count = 200_000
    for fraction in (0.1, 0.5, 0.9):
        update = quantise_update(np.full(count, -3 + fraction), 0, seed=1)
        assert set(np.unique(update)) == {-3, -2}
        deviation = (fraction * (1 - fraction) / count) ** 0.5
        assert abs(update.mean() - (-3 + fraction)) < 5 * deviation


@given(arrays.arrays(np.int16, st.integers(0, 40)), BITS, st.none() | st.integers(0, 9))
def test_what_an_update_can_hold_it_holds_exactly(update: Int16Vector, bits: int, seed: int | None) -> None:
    assert np.array_equal(quantise_update(dequantise(update, bits), bits, seed), update)


@given(arrays.arrays(np.int32, st.integers(0, 40)), BITS)
def test_what_a_model_can_hold_it_holds_exactly(model: Int32Vector, bits: int) -> None:
    assert np.array_equal(quantise_model(dequantise(model, bits), bits), model)


def test_clips_to_the_range_of_the_integers() -> None:
    values = np.array([1e9, -1e9, 32767.6, -32768.9])
    assert quantise_update(values, 0).tolist() == [32767, -32768, 32767, -32768]
    assert quantise_update(values, 0, seed=4).tolist() == [32767, -32768, 32767, -32768]
    assert quantise_model(np.array([1e12, -1e12]), 0).tolist() == [2**31 - 1, -(2**31)]


def test_types_are_the_protocols() -> None:
    assert quantise_update(np.zeros(3, dtype=np.float32), 14).dtype == np.int16
    assert quantise_model(np.zeros(3, dtype=np.float32), 14).dtype == np.int32


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_refuses_what_is_not_finite(value: float) -> None:
    with pytest.raises(QuantisationError, match="lower the learning rate"):
        quantise_update(np.array([0.0, value]), 14)


@pytest.mark.parametrize("bits", [-1, 32])
def test_refuses_fraction_bits_out_of_range(bits: int) -> None:
    with pytest.raises(QuantisationError, match="choose 0 to 31"):
        quantise_update(np.zeros(1), bits)
    with pytest.raises(QuantisationError, match="choose 0 to 31"):
        ErrorFeedback(bits)


@given(arrays.arrays(np.float64, (12, 5), elements=st.floats(-2, 2)), st.none() | st.integers(0, 9))
def test_error_feedback_keeps_the_sum_within_one_rounding_error(rounds: FloatVector, seed: int | None) -> None:
    feedback = ErrorFeedback(4)
    sent = sum(dequantise(feedback.quantise(values, seed), 4) for values in rounds)
    assert (np.abs(sent - rounds.sum(0)) <= (0.5 if seed is None else 1) / 2**4 + 1e-12).all()


def test_error_feedback_moves_what_rounding_alone_would_lose() -> None:
    feedback, tiny = ErrorFeedback(0), np.array([0.25])
    assert [int(feedback.quantise(tiny)[0]) for _ in range(8)] == [0, 0, 1, 0, 0, 0, 1, 0]
    assert not quantise_update(tiny, 0).any()


def test_error_feedback_makes_up_for_clipping_later() -> None:
    feedback = ErrorFeedback(0)
    assert feedback.quantise(np.array([40_000.0])).tolist() == [32767]
    assert feedback.quantise(np.array([0.0])).tolist() == [40_000 - 32767]


def test_error_feedback_refuses_another_length() -> None:
    feedback = ErrorFeedback(4)
    feedback.quantise(np.zeros(3))
    with pytest.raises(QuantisationError, match="one ErrorFeedback for each task"):
        feedback.quantise(np.zeros(4))


@pytest.mark.parametrize("module", ["quantisation", "data"])
def test_needs_no_torch(module: str) -> None:
    """Aggregators and replicas import these where torch is not installed."""
    program = f"import sys, offchain.learning.{module}; sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
