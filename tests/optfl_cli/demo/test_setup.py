"""What a demo writes down: stakes that every plan's task accepts."""

from __future__ import annotations

from pathlib import Path

import pytest

from abci_app.genesis import DEFAULT_PARAMS
from optfl import tasks
from optfl.wire import transaction_pb2
from optfl_cli.commands.task import read_parameters
from optfl_cli.config import load_config
from optfl_cli.demo.plan import draw_plan
from optfl_cli.demo.setup import BALANCE, STAKES, write_setup
from optfl_cli.roles import AggregatorConfig, TaskConfig


def read_task(folder: Path) -> transaction_pb2.TaskParameters:
    """Parameters as `optfl task create` sends them."""
    parameters = read_parameters(load_config(folder / "requester.toml", TaskConfig), folder)
    tasks.fill_defaults(parameters)
    return parameters


@pytest.mark.parametrize(("rounds", "clients"), [(1, 3), (12, 8), (1000, 64)])
def test_aggregators_stake_what_the_task_requires(tmp_path: Path, rounds: int, clients: int) -> None:
    """And more: a missed turn takes some of it, and must not be the last."""
    setup = write_setup(tmp_path, draw_plan(1, rounds, clients, "median()", None))
    parameters = read_task(tmp_path)
    required = max(tasks.compute_required_stake(parameters), DEFAULT_PARAMS["min_aggregator_stake"])
    stake = load_config(setup.configs["aggregator0"], AggregatorConfig).stake
    assert STAKES["aggregator"] <= stake <= BALANCE
    assert stake * (100 - DEFAULT_PARAMS["late_slash_percent"]) // 100 >= required
    assert tasks.compute_escrow(parameters) <= BALANCE
