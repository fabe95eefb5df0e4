from __future__ import annotations

import numpy as np
import pytest

from benchmarks.setting import PAPER_LENGTH
from benchmarks.workload import FRACTION_BITS, compute_length, make_model, make_trainer


def test_every_run_has_the_same_updates_and_no_two_are_equal() -> None:
    model = make_model(100)
    first, again, other = (make_trainer("none", client, 100) for client in (3, 3, 4))
    rounds = [first.train(model, seed) for seed in (1, 2)]
    assert [weight for _, weight in rounds] == [rounds[0][1]] * 2
    for update, _ in rounds:
        assert np.array_equal(again.train(model, 9)[0], update)
        assert not np.array_equal(other.train(model, 9)[0], update)
    assert not np.array_equal(rounds[0][0], rounds[1][0])


@pytest.mark.parametrize("length", [PAPER_LENGTH, 5000])
def test_an_epoch_is_of_the_length_that_the_task_has(length: int) -> None:
    size = compute_length("one_epoch", length)
    assert compute_length("none", length) == length
    update, weight = make_trainer("one_epoch", 0, size).train(make_model(size), 1)
    assert (update.dtype, update.size, weight) == (np.int16, size, 600)
    assert 0 < np.abs(update).max() < 1 << FRACTION_BITS
