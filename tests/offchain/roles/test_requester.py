"""A requester: what it fills in, whom it waits for, what it is told."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from offchain.interfaces import TransactionResult
from offchain.roles.requester import TaskRefused, create_task, start_task, wait_for_aggregators
from optfl.tasks import DISPUTE_DEFAULTS
from optfl.wire import state_pb2, transaction_pb2
from support.roles import LENGTH, FakeLedger, World, make_key

KEY = make_key("requester")
MODEL = np.zeros(LENGTH, dtype=np.int32)


def make_view(
    world: World, joined: int, status: state_pb2.TaskStatus = state_pb2.TASK_STATUS_CREATED
) -> state_pb2.TaskView:
    view = world.make_view()
    view.task.status = status
    view.task.joined.extend(make_key(f"a{i}").address for i in range(joined))
    return view


def test_numbers_of_disputes_get_their_defaults_and_the_callers_stay_as_they_are() -> None:
    parameters = World().parameters
    parameters.challenge_bond = 0
    ledger = FakeLedger(KEY.address, refuse=lambda body: TransactionResult(0, "", 5, b"", (7).to_bytes(8, "big")))
    assert asyncio.run(create_task(ledger, parameters, MODEL)) == 7
    created = ledger.submitted[0].create_task
    assert created.parameters.challenge_bond == DISPUTE_DEFAULTS["challenge_bond"]
    assert parameters.challenge_bond == 0


def test_what_the_ledger_refuses_is_told() -> None:
    ledger = FakeLedger(KEY.address, refuse=lambda body: TransactionResult(41, "InvalidTaskParameters: rounds", 5, b""))
    with pytest.raises(TaskRefused, match="rounds"):
        asyncio.run(create_task(ledger, World().parameters, MODEL))


@pytest.mark.parametrize(
    ("listed", "mode", "at_least", "blocks"),
    [
        (3, transaction_pb2.MODE_OPTIMISTIC, None, 4),  # all that are listed
        (0, transaction_pb2.MODE_OPTIMISTIC, None, 2),  # one, if nobody is
        (3, transaction_pb2.MODE_QUORUM, 2, 3),
        (3, transaction_pb2.MODE_PBFT, None, 1),  # there validators make the models
    ],
)
def test_it_waits_for_its_aggregators(listed: int, mode: int, at_least: int | None, blocks: int) -> None:
    world = World(mode=mode)
    world.parameters.aggregators[:] = [make_key(f"a{i}").address for i in range(listed)]
    ledger = FakeLedger(KEY.address, views=[make_view(world, joined) for joined in range(6)])
    asyncio.run(wait_for_aggregators(ledger, 1, at_least))
    assert 6 - len(ledger.views) == blocks


def test_a_task_that_ended_meanwhile_is_not_waited_for() -> None:
    world = World()
    ledger = FakeLedger(KEY.address, views=[make_view(world, 0, state_pb2.TASK_STATUS_ABORTED)])
    with pytest.raises(TaskRefused, match="task 1 does not wait for its start"):
        asyncio.run(wait_for_aggregators(ledger, 1))


def test_the_first_model_is_stored_before_the_start() -> None:
    world = World()
    ledger = FakeLedger(KEY.address, views=[make_view(world, 1)])
    asyncio.run(start_task(ledger, world.blobs, 1, MODEL))
    assert ledger.kinds == ["start_task"]
    assert world.add_model(MODEL).id in world.blobs.vectors
