"""`optfl client`: train on local data and commit updates."""

from __future__ import annotations

import functools
from pathlib import Path

import click

from offchain.interfaces import Trainer
from offchain.roles.client import run_client
from optfl.wire import transaction_pb2
from optfl_cli.config import load_config
from optfl_cli.options import PATH
from optfl_cli.roles import ClientConfig, connect, ensure_registered, load_function, run_role


@click.command()
@click.option("--config", "config_path", type=PATH, required=True, help="TOML file, see docs/operations.md.")
def command(config_path: Path) -> None:
    """Train in a task's rounds, whenever the beacon draws this client, and commit the updates."""
    config = load_config(config_path, ClientConfig)
    trainer = load_function(config.trainer, "trainer")(**config.trainer_options)
    run_role(functools.partial(_run, config, trainer))


async def _run(config: ClientConfig, trainer: Trainer) -> None:
    async with connect(config) as (ledger, blobs):
        await ensure_registered(ledger, transaction_pb2.ROLE_CLIENT, config.stake)
        await run_client(config.task, ledger, blobs, trainer)
