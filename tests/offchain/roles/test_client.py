"""A client alone: what it makes of its trainer's update, as the task stores it."""

from __future__ import annotations

import asyncio
import logging

import numpy as np
import numpy.typing as npt
import pytest

from offchain.roles.client import Client
from optfl import tasks
from optfl.vectors import ChunkedVector, compute_vector_id
from optfl.wire import state_pb2
from support.roles import LENGTH, FakeLedger, World, inline

STEP = 1 << 4


class ListedTrainer:
    """Makes the updates of a list, in turn, of one example each."""

    def __init__(self, *updates: npt.NDArray[np.int16]) -> None:
        self.updates = list(updates)

    def train(self, model: npt.NDArray[np.int32], seed: int) -> tuple[npt.NDArray[np.int16], int]:
        return self.updates.pop(0), 1

    def evaluate(self, model: npt.NDArray[np.int32]) -> float:
        return 0.0


def draw_update(seed: int, largest: int = 1000) -> npt.NDArray[np.int16]:
    return np.random.default_rng(seed).integers(-largest, largest + 1, LENGTH, dtype=np.int16)


class Desk:
    """The client of a world that has not committed yet, and what it commits to."""

    def __init__(self, *updates: npt.NDArray[np.int16], **parameters: int) -> None:
        self.world = World(**parameters)
        self.ledger = FakeLedger(self.world.clients[-1].address)
        self.trainer = ListedTrainer(*updates)
        self.client = Client(self.ledger, self.world.blobs, self.trainer, inline)

    def commit(self, round_number: int = 1, parent_attempt: int = 0) -> ChunkedVector:
        """What is stored of the update that the client commits to."""
        current = self.world.make_round(round=round_number, parent_attempt=parent_attempt)
        current.status = state_pb2.ROUND_STATUS_TRAINING
        asyncio.run(self.client.act(self.world.make_view(current=current)))
        shape = tasks.update_shape(self.world.parameters)
        return self.world.blobs.vectors[compute_vector_id(shape, self.ledger.submitted[-1].commit_update.update_root)]

    def expand(self, stored: ChunkedVector) -> npt.NDArray[np.int64]:
        return tasks.expand_update(self.world.parameters, stored.values).astype(np.int64)


@pytest.mark.parametrize("bits", [0, 16])
def test_an_update_of_16_bits_is_the_trainers_own(bits: int) -> None:
    stored = Desk(draw_update(1), update_bits=bits).commit()
    assert stored.shape.dtype == "int16"
    assert np.array_equal(stored.values, draw_update(1))


def test_an_update_of_8_bits_is_within_a_step_of_the_trainers() -> None:
    desk = Desk(draw_update(1), update_bits=8, update_shift=4)
    stored = desk.commit()
    assert (stored.shape.dtype, stored.shape.size_bytes) == ("int8", LENGTH)
    error = desk.expand(stored) - draw_update(1)
    assert 0 < np.abs(error).max() < STEP


def test_what_rounding_took_from_a_round_the_next_ones_get() -> None:
    """Also if it is drawn again much later."""
    rounds = (1, 2, 9, 10, 40)
    desk = Desk(*map(draw_update, rounds), update_bits=8, update_shift=4)
    sent = sum(desk.expand(desk.commit(number)) for number in rounds)
    assert np.abs(sent - sum(draw_update(number).astype(np.int64) for number in rounds)).max() < STEP


def test_a_lost_reply_costs_no_second_training_and_changes_no_value() -> None:
    desk = Desk(draw_update(1), update_bits=8, update_shift=4)
    assert desk.commit().id == desk.commit().id
    assert desk.trainer.updates == []


def test_two_clients_round_the_same_update_differently() -> None:
    """Else their errors would not cancel out in the mean."""
    desks = [Desk(draw_update(1), update_bits=8, update_shift=4) for _ in range(2)]
    desks[1].ledger.address = desks[1].world.clients[0].address
    desks[1].world.updates = []
    assert desks[0].commit().id != desks[1].commit().id


def test_values_that_int8_does_not_hold_are_clipped_and_the_log_names_the_shift(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An outlier must not keep an honest client from its round; a shift that is too small should be seen."""
    desk = Desk(draw_update(1, largest=4000), np.zeros(LENGTH, np.int16), update_bits=8, update_shift=4)
    with caplog.at_level(logging.WARNING):
        stored = desk.commit()
    assert "an update_shift of 5 in place of 4 would fit it" in caplog.text
    assert {int(stored.values.min()), int(stored.values.max())} == {-128, 127}
    assert np.abs(desk.expand(desk.commit(2))).max() <= STEP, "what was clipped came back"


def test_a_fitting_shift_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        Desk(draw_update(1), update_bits=8, update_shift=4).commit()
    assert caplog.text == ""
