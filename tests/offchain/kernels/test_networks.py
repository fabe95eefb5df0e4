"""Pruned sorting networks: right by the 0-1 principle, and as small as was measured."""

from __future__ import annotations

import numpy as np
import pytest

from offchain.kernels.compiled import BOTH, HIGH, LOW
from offchain.kernels.networks import build_network
from optfl.rules import Nearest, Trim


def run_network(wires: np.ndarray[tuple[int, int], np.dtype[np.int16]], column: Trim | Nearest) -> None:
    """Apply the network to columns, in place."""
    for low, high, kept in build_network(len(wires), column):
        minimum, maximum = np.minimum(wires[low], wires[high]), np.maximum(wires[low], wires[high])
        if kept in (BOTH, LOW):
            wires[low] = minimum
        if kept in (BOTH, HIGH):
            wires[high] = maximum


@pytest.mark.parametrize("size", range(1, 13))
def test_all_inputs_by_the_zero_one_principle(size: int) -> None:
    """A network of minima and maxima that is right for all columns of 0 and 1 is right for all columns."""
    columns = ((np.arange(1 << size) >> np.arange(size)[:, None]) & 1).astype(np.int16)
    for trimmed in range((size + 1) // 2):
        wires = columns.copy()
        run_network(wires, Trim(trimmed))
        expected = np.sort(columns, axis=0)[trimmed : size - trimmed]
        np.testing.assert_array_equal(np.sort(wires[trimmed : size - trimmed], axis=0), expected)


@pytest.mark.parametrize("size", range(1, 13))
def test_what_a_window_around_the_median_reads_is_sorted(size: int) -> None:
    columns = ((np.arange(1 << size) >> np.arange(size)[:, None]) & 1).astype(np.int16)
    for kept in range(1, size + 1):
        wires = columns.copy()
        run_network(wires, Nearest(kept))
        expected = np.sort(columns, axis=0)
        np.testing.assert_array_equal(wires[:kept].sum(axis=0), expected[:kept].sum(axis=0))
        if kept < size:
            read = [*range(size - kept), *range(kept, size), (size - 1) // 2, size // 2]
            np.testing.assert_array_equal(wires[read], expected[read])


@pytest.mark.parametrize("size", [13, 31, 50, 64, 65, 200])
def test_random_inputs(size: int) -> None:
    columns = np.random.default_rng(size).integers(-9, 10, (size, 300), dtype=np.int16)
    for trimmed in {0, 1, size // 4, (size - 1) // 2}:
        wires = columns.copy()
        run_network(wires, Trim(trimmed))
        expected = np.sort(columns, axis=0)[trimmed : size - trimmed]
        np.testing.assert_array_equal(np.sort(wires[trimmed : size - trimmed], axis=0), expected)


def test_nothing_is_compared_to_take_a_plain_mean() -> None:
    assert len(build_network(50, Trim(0))) == 0
    assert len(build_network(1, Trim(0))) == 0
    assert len(build_network(50, Nearest(50))) == 0


def test_the_median_of_fifty_takes_at_most_330_steps() -> None:
    """What the paper's K = 50 was measured with."""
    assert len(build_network(50, Trim(24))) <= 330
