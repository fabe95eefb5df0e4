"""The ledger and the roles, as they are, in a simulated world of crashes, delays, losses and lies."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from optfl.wire import state_pb2, transaction_pb2
from optfl_sim.chain import SimulatedLedger
from optfl_sim.federation import STAKES, Result, Scenario, run_federation

SMALL = Scenario(seed=0, clients=12, aggregators=4, rounds=10, clients_per_round=8, rule="trimmed_mean(f=1)")
PRINT_TRACE = """
from dataclasses import replace
from optfl_sim.federation import Scenario, run_federation
result = run_federation(Scenario(seed=5, clients=12, aggregators=4, rounds=8, clients_per_round=8,
    rule="median()", adversaries={"aggregator2": "poison@3"}, mean_seconds_between_crashes=150.0, loss_rate=0.03))
print(result.trace_hash, result.chain.state.app_hash.hex(), result.crashes)
"""


def check_honest_stakes(result: Result, culprits: set[str]) -> None:
    """Invariant 2: whoever is no culprit has all of its stake and is not excluded; culprits that were caught are."""
    convicted = {result.names[c.aggregator] for c in result.task.convictions}
    assert convicted <= culprits
    for stake in result.chain.state["stakes"].values():
        entry = state_pb2.Stake.FromString(stake)
        name = result.names[entry.address]
        if name in convicted and entry.role == transaction_pb2.ROLE_AGGREGATOR:
            assert entry.excluded
            assert entry.amount < STAKES["aggregator"]
        else:
            assert not entry.excluded, name
            assert entry.amount == STAKES[name.rstrip("0123456789")], name


def check_lies_are_void(result: Result, culprits: set[str]) -> None:
    """No settled round is by a culprit from the round on in which it was convicted."""
    first_lie = {result.names[c.aggregator]: c.round for c in result.task.convictions}
    for digest in result.task.digests:
        if digest.aggregator and (name := result.names[digest.aggregator]) in first_lie:
            assert digest.round < first_lie[name], name


def test_a_hundred_clients_with_crashes_delays_and_a_byzantine_aggregator() -> None:
    """50 rounds of 100 clients and 10 aggregators; the invariants are checked after every block."""
    scenario = Scenario(seed=1, adversaries={"aggregator3": "poison@12"})
    result = run_federation(scenario)
    task = result.task.task
    assert task.status == state_pb2.TASK_STATUS_COMPLETED
    assert task.settled_round == scenario.rounds
    assert [result.names[c.aggregator] for c in result.task.convictions] == ["aggregator3"]
    assert result.task.convictions[0].reverted
    assert result.crashes > 0
    check_honest_stakes(result, {"aggregator3"})
    check_lies_are_void(result, {"aggregator3"})


@pytest.mark.parametrize("seed", range(6))
def test_every_fraud_is_convicted_and_nobody_else(seed: int) -> None:
    """Two of four aggregators lie, each in its own way, while everything crashes; both are found, the rest is whole."""
    rng = np.random.default_rng(seed)
    first, second = rng.choice(4, size=2, replace=False)
    frauds = {
        f"aggregator{first}": f"poison@{rng.integers(1, 5)}",
        f"aggregator{second}": f"coordinate@{rng.integers(1, 5)}",
    }
    scenario = Scenario(
        seed=seed,
        clients=12,
        aggregators=4,
        rounds=12,
        clients_per_round=8,
        rule=["median()", "trimmed_mean(f=2)", "fedavg()"][seed % 3],
        adversaries=frauds,
        mean_seconds_between_crashes=200.0,
        loss_rate=0.02,
    )
    result = run_federation(scenario)
    culprits = set(frauds)
    assert result.task.task.settled_round == scenario.rounds, f"scenario {scenario}"
    check_honest_stakes(result, culprits)
    check_lies_are_void(result, culprits)


def test_an_honest_federation_convicts_nobody() -> None:
    result = run_federation(SMALL)
    assert result.task.task.status == state_pb2.TASK_STATUS_COMPLETED
    assert not result.task.convictions
    check_honest_stakes(result, set())


def test_training_goes_on_while_a_fraud_is_open() -> None:
    """Invariant 6: rounds are opened between a lie's submission and its conviction."""
    result = run_federation(
        Scenario(seed=3, adversaries={"aggregator1": "coordinate@2"}, rounds=8, clients=12, clients_per_round=8)
    )
    (conviction,) = result.task.convictions
    assert conviction.voided_rounds >= 1


def test_the_same_seed_is_the_same_trace_whatever_the_hash_seed() -> None:
    """Two processes with different PYTHONHASHSEED agree on every block, event and app hash (invariant 1)."""
    outputs = [
        subprocess.run(
            [sys.executable, "-c", PRINT_TRACE],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("0", "4242")
    ]
    assert outputs[0] == outputs[1]
    assert int(outputs[0].split()[2]) > 0, "nobody crashed: the scenario tests too little"


def test_another_seed_is_another_trace() -> None:
    small = Scenario(seed=1, clients=8, aggregators=3, rounds=2, clients_per_round=5)
    first, second = run_federation(small), run_federation(replace(small, seed=2))
    assert first.trace_hash != second.trace_hash


def test_roles_that_look_only_when_told_of_a_change_miss_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a real net, where clients and replicas pass over blocks whose events name no change of their task."""
    passed_over = 0

    async def wait_for_change(self: SimulatedLedger, task_id: int, after_height: int) -> int:
        nonlocal passed_over
        height = await self._chain.wait_for_block(after_height)
        while not any(
            event.kind == "task_changed" for _, _, events in self._chain.trace[after_height:height] for event in events
        ):
            passed_over += 1
            height = await self._chain.wait_for_block(height)
        return height

    monkeypatch.setattr(SimulatedLedger, "wait_for_change", wait_for_change)
    scenario = replace(SMALL, seed=2, adversaries={"aggregator1": "poison@4"}, mean_seconds_between_crashes=200.0)
    result = run_federation(scenario)
    task = result.task.task
    assert task.status == state_pb2.TASK_STATUS_COMPLETED
    assert task.settled_round == scenario.rounds
    assert passed_over > 0
    check_honest_stakes(result, {"aggregator1"})
    check_lies_are_void(result, {"aggregator1"})
