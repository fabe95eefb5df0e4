"""Models of exact and of float tasks, and what is said where one cannot be computed."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest

from offchain.roles.computing import (
    CannotCompute,
    ModelComputer,
    compute_float_model,
    compute_squared_distance,
    in_thread,
    inline,
)
from optfl.rules import RoundFacts
from optfl.wire import transaction_pb2
from support.roles import compute

BASE = np.array([0, 256, 2**31 - 1], dtype=np.int32)
UPDATES = [np.array([256, 0, 256], dtype=np.int16), np.array([768, 0, 256], dtype=np.int16)]
FLOAT = transaction_pb2.TaskParameters(rule="float(mean)", arithmetic=transaction_pb2.ARITHMETIC_FLOAT, fraction_bits=8)


def mean(updates: list[np.ndarray], weights: list[int]) -> np.ndarray:
    assert all(update.dtype == np.float32 for update in updates)
    return np.average(np.stack(updates), axis=0, weights=weights)


def test_an_exact_task_is_computed_by_its_rule() -> None:
    parameters = transaction_pb2.TaskParameters(rule="fedavg()")
    computer = ModelComputer(compute)
    assert computer.find_objection(parameters) is None
    assert computer.compute(parameters, BASE, UPDATES, RoundFacts((1, 3))).model.tolist() == [640, 256, 2**31 - 1]


def test_a_float_task_is_computed_by_the_aggregator_of_that_name() -> None:
    """256 / 2^8 = 1.0 and 3.0, of weight 1 and 3: 2.5, which is 640; what does not fit saturates."""
    computer = ModelComputer(compute, {"mean": mean})
    assert computer.find_objection(FLOAT) is None
    model = computer.compute(FLOAT, BASE, UPDATES, RoundFacts((1, 3))).model
    assert model.tolist() == [640, 256, 2**31 - 1]
    assert model.dtype == np.int32


@pytest.mark.parametrize("rule", ["float(other)", "median()"])
def test_a_float_aggregator_that_is_not_here_is_named(rule: str) -> None:
    parameters = transaction_pb2.TaskParameters(rule=rule, arithmetic=transaction_pb2.ARITHMETIC_FLOAT)
    computer = ModelComputer(compute, {"mean": mean})
    assert "name one in float_aggregators" in (computer.find_objection(parameters) or "")
    with pytest.raises(CannotCompute):
        computer.compute(parameters, BASE, UPDATES, RoundFacts((1, 1)))


def test_a_rule_that_is_not_here_is_named() -> None:
    assert "no rule" in (ModelComputer(compute).find_objection(transaction_pb2.TaskParameters(rule="magic()")) or "")


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (np.zeros(2, dtype=np.float32), r"made float32\[2\]; use real \[3\]"),
        (np.zeros(3, dtype=np.int32), r"made int32\[3\]"),
        (np.array([0.0, np.nan, 0.0]), "no finite model"),
        (np.array([0.0, np.inf, 0.0]), "no finite model"),
    ],
)
def test_a_result_that_is_no_model_is_refused(result: np.ndarray, message: str) -> None:
    with pytest.raises(CannotCompute, match=message):
        compute_float_model(lambda updates, weights: result, 8, BASE, UPDATES, [1, 1])


def test_what_a_float_aggregator_raises_is_told() -> None:
    def fail(updates: object, weights: object) -> np.ndarray:
        raise ZeroDivisionError("division by zero")

    with pytest.raises(CannotCompute, match="ZeroDivisionError: division by zero"):
        compute_float_model(fail, 8, BASE, UPDATES, [1, 1])


def test_work_runs_beside_the_event_loop_or_in_it() -> None:
    async def run() -> list[bool]:
        return [await in_thread(_is_main_thread), await inline(_is_main_thread)]

    assert asyncio.run(run()) == [False, True]


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def test_distances_are_exact_however_far() -> None:
    near, far = np.zeros(5, dtype=np.int32), np.array([3, -4, 0, 0, 0], dtype=np.int32)
    assert compute_squared_distance(near, far) == 25
    ends = np.full(5, 2**31 - 1, dtype=np.int32), np.full(5, -(2**31), dtype=np.int32)
    assert compute_squared_distance(*ends) == 5 * (2**32 - 1) ** 2
