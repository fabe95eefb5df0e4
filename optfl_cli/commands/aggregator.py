"""`optfl aggregator`: take an aggregator's turns in a task."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

import click

from offchain.roles.computing import FloatAggregate
from optfl.wire import transaction_pb2
from optfl_cli.roles import (
    AggregatorConfig,
    connect,
    ensure_registered,
    load_floats,
    load_kernel,
    load_role,
    make_signer,
    role_options,
    run_role,
)


@click.command()
@role_options
def command(config_path: Path, task_id: int | None) -> None:
    """Aggregate in turn: fetch the committed updates, aggregate them, store the model and submit its root."""
    config = load_role(config_path, AggregatorConfig, task_id)
    floats = load_floats(config.float_aggregators, config_path.parent)
    run_role(functools.partial(_run, config, floats))


async def _run(config: AggregatorConfig, floats: Mapping[str, FloatAggregate]) -> None:
    from offchain.adversaries.aggregator import FRAUDS
    from offchain.roles.aggregator import Aggregator, AggregatorOptions, run_aggregator

    kernel = load_kernel(config.threads)
    async with connect(config) as world:
        ledger, blobs = world.ledger, world.blobs
        await ensure_registered(ledger, transaction_pb2.ROLE_AGGREGATOR, config.stake)
        options: AggregatorOptions = {
            "terms": config.terms,
            "signer": make_signer(config, world),
            "floats": floats,
            "verify_parents": config.verify_parents,
        }
        if config.fraud is None:
            aggregator = Aggregator(ledger, blobs, kernel, **options)
        else:
            aggregator = FRAUDS[config.fraud](ledger, blobs, kernel, from_round=config.fraud_round, **options)
        await run_aggregator(aggregator, config.task)
