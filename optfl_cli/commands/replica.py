"""`optfl replica`: store what selected clients and aggregators put, and sign receipts for it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from pathlib import Path

import click

from offchain.adapters.session import account_prefix, open_session
from offchain.roles.replica import run_replica
from offchain.storage.disk import DiskStore
from optfl.wire import transaction_pb2
from optfl_cli.config import load_config
from optfl_cli.options import PATH, load_key
from optfl_cli.roles import ReplicaConfig, connect_ledger, ensure_registered, run_role


@click.command()
@click.option("--config", "config_path", type=PATH, required=True, help="TOML file, see docs/operations.md.")
def command(config_path: Path) -> None:
    """Keep the vectors of all tasks that name this replica, until nobody can need them as evidence any more."""
    config = load_config(config_path, ReplicaConfig)
    run_role(functools.partial(_run, config))


async def _run(config: ReplicaConfig) -> None:
    key = load_key(config.key, config.passphrase_file)
    with contextlib.closing(DiskStore(config.store)) as store:
        async with connect_ledger(config) as ledger:
            prefix = account_prefix(ledger.chain_id, ledger.address)
            others = [*config.replicas, *config.peers]
            async with open_session(others, config.listen, account=prefix) as session:
                await ensure_registered(ledger, transaction_pb2.ROLE_REPLICA, config.stake)
                await run_replica(ledger, key, store, session, asyncio.Event())  # run_role cancels it
