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
from optfl_cli.demo.setup import BALANCE, FRACTION_BITS, STAKES, UPDATE_SHIFT, write_setup
from optfl_cli.roles import AggregatorConfig, ClientConfig, TaskConfig


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


def test_byzantine_clients_know_of_each_other_and_nobody_else_of_them(tmp_path: Path) -> None:
    plan = draw_plan(1, 2, 6, "median()", None, attack="alie()", byzantine_clients=2)
    setup = write_setup(tmp_path, plan)
    configs = [load_config(setup.configs[f"client{i}"], ClientConfig) for i in range(6)]
    colluders = [configs[i].trainer_options for i in plan.byzantine_clients]
    for i, config in enumerate(configs):
        is_byzantine = i in plan.byzantine_clients
        assert (config.attack, config.colluders) == (("alie()", colluders) if is_byzantine else (None, []))
        assert config.trainer_options["client"] == i


@pytest.mark.parametrize("bits", [16, 8])
def test_updates_have_the_bits_that_were_asked_for(tmp_path: Path, bits: int) -> None:
    write_setup(tmp_path, draw_plan(1, 12, 8, "median()", None, bits))
    parameters = read_task(tmp_path)
    assert parameters.update_bits == (8 if bits == 8 else 0)
    assert parameters.update_shift == (UPDATE_SHIFT if bits == 8 else 0)


def test_numbers_of_the_digits_task_are_its_own() -> None:
    """Written again beside the demo, which must start without torch."""
    digits = pytest.importorskip("offchain.learning.digits")
    assert (FRACTION_BITS, UPDATE_SHIFT) == (digits.FRACTION_BITS, digits.UPDATE_SHIFT)
