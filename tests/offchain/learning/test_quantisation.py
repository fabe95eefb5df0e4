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
    Int8Vector,
    QuantisationError,
    UpdateNarrower,
    choose_update_shift,
    dequantise,
    narrow_update,
    quantise_model,
    quantise_update,
)
from optfl.tasks import MAX_UPDATE_SHIFT, expand_update
from optfl.wire import transaction_pb2

BITS = st.integers(0, 20)
SHIFTS = st.integers(0, MAX_UPDATE_SHIFT)
INT16_VECTORS = arrays.arrays(np.int16, st.integers(0, 40))
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


def expand(narrowed: Int8Vector, shift: int) -> Int16Vector:
    return expand_update(transaction_pb2.TaskParameters(update_bits=8, update_shift=shift), narrowed)


def clip(values: Int16Vector, shift: int) -> Int16Vector:
    """To what int8 with this shift holds."""
    return np.clip(values, -(128 << shift), 127 << shift)


@given(INT16_VECTORS, SHIFTS, st.none() | st.integers(0, 2**63))
def test_int8_is_within_half_a_step_or_a_step_of_what_it_can_hold(
    update: Int16Vector, shift: int, seed: int | None
) -> None:
    narrowed = narrow_update(update, shift, seed)
    assert narrowed.dtype == np.int8
    error = np.abs(expand(narrowed, shift).astype(int) - clip(update, shift))
    assert (2 * error <= 1 << shift if seed is None else error < 1 << shift).all()


@given(arrays.arrays(np.int8, st.integers(0, 40)), SHIFTS, st.none() | st.integers(0, 9))
def test_what_int8_can_hold_it_holds_exactly(narrowed: Int8Vector, shift: int, seed: int | None) -> None:
    assert np.array_equal(narrow_update(expand(narrowed, shift), shift, seed), narrowed)


@pytest.mark.parametrize("shift", [1, 4, MAX_UPDATE_SHIFT])
def test_stochastic_rounding_to_int8_is_unbiased(shift: int) -> None:
    count, step = 100_000, 1 << shift
    for value in (1, step // 2, step - 1, -step - 1):
        mean = expand(narrow_update(np.full(count, value, dtype=np.int16), shift, seed=value % 7), shift).mean()
        assert abs(mean - value) < 5 * step / 2 / count**0.5


def test_int8_rounds_halves_up_and_clips() -> None:
    values = np.array([8, -8, 24, -24, 2047, -2056, 32767, -32768], dtype=np.int16)
    assert narrow_update(values, 4).tolist() == [1, 0, 2, -1, 127, -128, 127, -128]


@given(arrays.arrays(np.int16, (12, 5), elements=st.integers(-500, 500)), st.integers(3, MAX_UPDATE_SHIFT))
def test_narrowed_updates_sum_up_to_within_a_step_of_the_real_ones(rounds: Int16Vector, shift: int) -> None:
    narrower = UpdateNarrower(shift)
    sent = sum(expand(narrower.narrow(update, seed), shift).astype(int) for seed, update in enumerate(rounds))
    assert (np.abs(sent - rounds.sum(0)) < 1 << shift).all()


def test_what_is_clipped_does_not_pile_up() -> None:
    """A backlog of clipped steps would still push the model when it has arrived."""
    narrower, large, small = UpdateNarrower(0), np.array([1000], np.int16), np.array([0], np.int16)
    assert [int(narrower.narrow(large, seed)[0]) for seed in range(5)] == [127] * 5
    assert narrower.narrow(small, 5).tolist() == [0]


def test_an_update_narrowed_again_after_a_restart_is_within_a_step_of_the_first() -> None:
    """The residual is lost: harmless, and no replica's quota is hurt by the second vector."""
    shift, update = 6, np.arange(-500, 500, dtype=np.int16)
    before, after = UpdateNarrower(shift), UpdateNarrower(shift)
    before.narrow(update, 1)
    apart = expand(before.narrow(update, 2), shift).astype(int) - expand(after.narrow(update, 2), shift)
    assert 0 < np.abs(apart).max() <= 2 << shift
    assert after.narrow(update, 3).dtype == np.int8


def test_narrower_refuses_another_length_and_another_type() -> None:
    narrower = UpdateNarrower(4)
    narrower.narrow(np.zeros(3, dtype=np.int16), 1)
    with pytest.raises(QuantisationError, match="one UpdateNarrower for each task"):
        narrower.narrow(np.zeros(4, dtype=np.int16), 1)
    with pytest.raises(QuantisationError, match="makes int16"):
        narrower.narrow(np.zeros(3, dtype=np.float32), 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("shift", [-1, MAX_UPDATE_SHIFT + 1])
def test_refuses_shifts_out_of_range(shift: int) -> None:
    with pytest.raises(QuantisationError, match="choose 0 to 8"):
        UpdateNarrower(shift)
    with pytest.raises(QuantisationError, match="choose 0 to 8"):
        narrow_update(np.zeros(1, dtype=np.int16), shift)


@pytest.mark.parametrize(
    ("largest_value", "shift"), [(0, 0), (127, 0), (128, 1), (-128, 0), (-129, 1), (8128, 6), (8129, 7), (32767, 8)]
)
def test_chosen_shift_is_the_smallest_that_holds_the_update(largest_value: int, shift: int) -> None:
    assert choose_update_shift(np.array([0, largest_value], dtype=np.int16)) == shift


def test_chosen_shift_lets_a_few_outliers_be_clipped() -> None:
    update = np.zeros(1000, dtype=np.int16)
    update[0] = 32767
    assert choose_update_shift(update) == 0
    update[1] = 1000
    assert choose_update_shift(update) == 3
    assert choose_update_shift(update, 0.002) == 0


@pytest.mark.parametrize("module", ["quantisation", "data"])
def test_needs_no_torch(module: str) -> None:
    """Aggregators and replicas import these where torch is not installed."""
    program = f"import sys, offchain.learning.{module}; sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
