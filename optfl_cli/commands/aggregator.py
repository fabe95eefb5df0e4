"""`optfl aggregator`: take an aggregator's turns in a task."""

from __future__ import annotations

import functools
from pathlib import Path

import click

from optfl.wire import transaction_pb2
from optfl_cli.config import load_config
from optfl_cli.options import PATH
from optfl_cli.roles import AggregatorConfig, connect, ensure_registered, run_role


@click.command()
@click.option("--config", "config_path", type=PATH, required=True, help="TOML file, see docs/operations.md.")
def command(config_path: Path) -> None:
    """Aggregate in turn: fetch the committed updates, aggregate them, store the model and submit its root."""
    config = load_config(config_path, AggregatorConfig)
    run_role(functools.partial(_run, config))


async def _run(config: AggregatorConfig) -> None:
    from offchain.kernels.aggregate import aggregate, warm_up
    from offchain.roles.aggregator import Aggregator, run_aggregator
    from offchain.roles.byzantine import FRAUDS

    warm_up()
    kernel = functools.partial(aggregate, threads=config.threads)
    async with connect(config) as (ledger, blobs):
        await ensure_registered(ledger, transaction_pb2.ROLE_AGGREGATOR, config.stake)
        if config.fraud is None:
            aggregator = Aggregator(ledger, blobs, kernel)
        else:
            aggregator = FRAUDS[config.fraud](ledger, blobs, kernel, from_round=config.fraud_round)
        await run_aggregator(aggregator, config.task)
