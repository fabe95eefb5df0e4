"""The held-out test set and the partition over clients."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from offchain.learning.data import DataError, Examples, Labels, partition_dirichlet, split_test

LABELS = arrays.arrays(np.int64, st.integers(1, 300), elements=st.integers(0, 5))
SEEDS = st.integers(0, 2**32)


@given(LABELS, st.floats(0, 1), SEEDS)
def test_split_is_stratified_and_uses_every_example_once(labels: Labels, fraction: float, seed: int) -> None:
    train, test = split_test(labels, fraction, seed)
    assert np.array_equal(np.sort(np.concatenate([train, test])), np.arange(len(labels)))
    for label in np.unique(labels):
        assert (labels[test] == label).sum() == round(fraction * (labels == label).sum())
    assert np.array_equal(test, split_test(labels, fraction, seed)[1])


@given(LABELS, st.integers(1, 20), st.sampled_from([0.01, 0.3, 100.0]), SEEDS, st.integers(0, 15))
def test_partition_uses_every_example_once_and_keeps_the_minimum(
    labels: Labels, clients: int, alpha: float, seed: int, minimum: int
) -> None:
    minimum = min(minimum, len(labels) // clients)
    parts = partition_dirichlet(labels, clients, alpha, seed, minimum)
    assert len(parts) == clients
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(labels)))
    assert min(len(part) for part in parts) >= minimum
    again = partition_dirichlet(labels, clients, alpha, seed, minimum)
    assert all(np.array_equal(part, same) for part, same in zip(parts, again, strict=True))


def test_partition_depends_on_its_seed() -> None:
    labels = np.repeat(np.arange(10), 100)
    one, other = (partition_dirichlet(labels, 8, 0.3, seed, 10) for seed in (1, 2))
    assert any(not np.array_equal(part, same) for part, same in zip(one, other, strict=True))


def test_smaller_alpha_is_more_skewed() -> None:
    labels = np.repeat(np.arange(10), 100)

    def largest_share(alpha: float) -> float:
        parts = partition_dirichlet(labels, 8, alpha, 0, 10)
        return float(np.mean([np.bincount(labels[part], minlength=10).max() / len(part) for part in parts]))

    assert largest_share(0.1) > largest_share(0.3) > largest_share(1000.0)
    assert largest_share(1000.0) < 0.2


@pytest.mark.parametrize(("clients", "minimum"), [(0, 0), (11, 1), (3, 4)])
def test_partition_refuses_what_cannot_be_divided(clients: int, minimum: int) -> None:
    with pytest.raises(DataError, match="use fewer clients or a lower minimum"):
        partition_dirichlet(np.zeros(10, dtype=np.int64), clients, 0.3, 0, minimum)


def test_select_keeps_inputs_and_labels_together() -> None:
    examples = Examples(np.arange(5.0).reshape(5, 1), np.arange(5)).select(np.array([3, 1]))
    assert len(examples) == 2
    assert examples.inputs.tolist() == [[3.0], [1.0]]
    assert examples.labels.tolist() == [3, 1]


def test_flipped_labels_are_counted_from_the_other_end() -> None:
    examples = Examples(np.arange(4.0), np.array([0, 3, 9, 5]))
    flipped = examples.flip_labels(10)
    assert flipped.labels.tolist() == [9, 6, 0, 4]
    assert flipped.inputs is examples.inputs
    assert flipped.flip_labels(10).labels.tolist() == examples.labels.tolist()
