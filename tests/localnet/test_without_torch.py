"""Nodes, replicas, aggregators, validators, clients and a requester where torch is not installed and protobuf is new.

One net serves all tests of this file: it runs a task with a fraud of a single value, and is then asked about it.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from offchain.adapters.gateway import Gateway
from offchain.interfaces import LedgerUnavailable
from optfl_cli.demo import setup as demo_setup
from optfl_cli.demo.outcome import ask_nodes, compute_outcome
from optfl_cli.demo.plan import Plan, draw_plan
from optfl_cli.demo.run import find_deviations
from optfl_cli.demo.setup import Setup, write_setup
from optfl_cli.processes import ProcessDied, ProcessGroup
from support.processes import find_processes

pytestmark = [pytest.mark.localnet, pytest.mark.timeout(240)]

TESTS = Path(__file__).parents[1]
TRAINER = "support.trainer:make_trainer"
MODEL = "support.trainer:make_model"


@pytest.fixture(scope="module")
def light_python() -> str:
    """Python of an environment with the project's own dependencies only; `make test` makes it and sets the variable."""
    python = os.environ.get("OPTFL_LIGHT_PYTHON")
    if python is None:
        pytest.fail("OPTFL_LIGHT_PYTHON is not set; run the tests with `make test`")
    return python


@dataclass(frozen=True)
class Run:
    plan: Plan
    setup: Setup
    outcome: dict[str, Any]


@pytest.fixture(scope="module")
def run(light_python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A task of four rounds, in the second of which an aggregator changes one value by one."""
    home = tmp_path_factory.mktemp("net")
    plan = Plan(seed=1, rounds=4, clients=5, rule="median()", fraud="coordinate", fraud_round=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo_setup, "FRACTION_BITS", 12)
        patch.setattr(demo_setup, "CHUNK_VALUES", 16)
        setup = write_setup(home, plan)
    for config in setup.configs.values():
        text = config.read_text()
        text = text.replace("offchain.learning.digits:make_trainer", TRAINER)
        config.write_text(text.replace("offchain.learning.digits:compute_initial_model", MODEL))
    environment = {"PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"}
    with ProcessGroup() as group:
        command = [light_python, "-m", "optfl_cli", "localnet", "start", "--home", home]
        group.start("net", command, home / "logs" / "net.log", tier=0)
        asyncio.run(_wait_for_height(group, [node.rpc_url for node in setup.net.nodes]))
        for name, config in setup.configs.items():
            role = name.rstrip("0123456789")
            command = [light_python, "-m", "optfl_cli", *(["task", "create"] if role == "requester" else [role])]
            group.start(name, [*command, "--config", config], home / "logs" / f"{name}.log", tier=1, env=environment)
        urls = {node.name: node.rpc_url for node in setup.net.nodes}
        outcome = asyncio.run(_wait_for_end(group, urls, setup))
        yield Run(plan, setup, outcome)
    assert not find_processes(str(home))


async def _wait_for_height(group: ProcessGroup, urls: list[str]) -> None:
    for url in urls:
        async with Gateway(url) as gateway:
            while True:
                group.check()
                try:
                    if await gateway.get_height() >= 1:
                        break
                except LedgerUnavailable:
                    await asyncio.sleep(0.1)  # it is starting; nothing announces when its port is open


async def _wait_for_end(group: ProcessGroup, urls: dict[str, str], setup: Setup) -> dict[str, Any]:
    for url in urls.values():
        async with Gateway(url) as gateway:
            height = 0
            while (view := await gateway.get_task(1)) is None or not view.task.ended_height:
                try:
                    group.check()
                except ProcessDied as death:
                    if death.returncode != 0:
                        raise  # the requester is done, and so are roles at the end; others must not be
                height = await gateway.wait_for_block(height)
    return compute_outcome(await ask_nodes(urls, 1), setup.names)


def test_the_environment_is_what_this_file_is_about(light_python: str) -> None:
    script = (
        "import importlib.util as u, google.protobuf as p;"
        "print(u.find_spec('torch') is None, u.find_spec('sklearn') is None, int(p.__version__.split('.')[0]) >= 7)"
    )
    printed = subprocess.run([light_python, "-c", script], capture_output=True, text=True, check=True).stdout
    assert printed.split() == ["True", "True", "True"]


def test_a_single_wrong_value_is_convicted_and_the_task_ends_as_planned(run: Run) -> None:
    assert find_deviations(run.plan, run.outcome) == []
    assert run.outcome["proof_kinds"] == ["output"]


def test_training_went_on_between_the_lie_and_its_conviction(run: Run) -> None:
    assert run.outcome["rounds_voided"] >= 1


def test_the_plan_names_its_culprit() -> None:
    assert draw_plan(1, 12, 8, "median()", "poison").culprit in range(3)


@pytest.mark.parametrize(
    "arguments",
    [
        ("task", "show", "1"),
        ("task", "list"),
        ("query", "supply", "--prove"),
        ("query", "validators"),
        ("query", "status"),
    ],
)
def test_an_operator_reads_the_ledger_by_commands(run: Run, light_python: str, arguments: tuple[str, ...]) -> None:
    command = [light_python, "-m", "optfl_cli", *arguments, "--node", run.setup.net.nodes[1].rpc_url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_every_role_worked_without_a_traceback(run: Run) -> None:
    for log in sorted((run.setup.net.home / "logs").glob("*.log")):
        assert "Traceback" not in log.read_text(), log.name
