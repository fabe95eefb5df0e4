"""`optfl aggregator`: take an aggregator's turns in a task."""

from __future__ import annotations

import functools
from pathlib import Path

import click

from optfl.wire import transaction_pb2
from optfl_cli.roles import AggregatorConfig, connect, ensure_registered, load_kernel, load_role, role_options, run_role


@click.command()
@role_options
def command(config_path: Path, task_id: int | None) -> None:
    """Aggregate in turn: fetch the committed updates, aggregate them, store the model and submit its root."""
    config = load_role(config_path, AggregatorConfig, task_id)
    run_role(functools.partial(_run, config))


async def _run(config: AggregatorConfig) -> None:
    from offchain.roles.aggregator import Aggregator, run_aggregator
    from offchain.roles.byzantine import FRAUDS

    kernel = load_kernel(config.threads)
    async with connect(config) as (ledger, blobs):
        await ensure_registered(ledger, transaction_pb2.ROLE_AGGREGATOR, config.stake)
        if config.fraud is None:
            aggregator = Aggregator(ledger, blobs, kernel)
        else:
            aggregator = FRAUDS[config.fraud](ledger, blobs, kernel, from_round=config.fraud_round)
        await run_aggregator(aggregator, config.task)
