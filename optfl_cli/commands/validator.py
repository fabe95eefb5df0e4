"""`optfl validator`: re-execute a task's aggregations and prove a wrong one."""

from __future__ import annotations

import functools
from pathlib import Path

import click

from optfl_cli.roles import ValidatorConfig, connect, load_kernel, load_role, role_options, run_role


@click.command()
@role_options
def command(config_path: Path, task_id: int | None) -> None:
    """Watch a task: re-execute every aggregation in full, and send a fraud proof where a model is not the rule's."""
    config = load_role(config_path, ValidatorConfig, task_id)
    run_role(functools.partial(_run, config))


async def _run(config: ValidatorConfig) -> None:
    from offchain.roles.validator import run_validator

    kernel = load_kernel(config.threads)
    async with connect(config) as (ledger, blobs):
        await run_validator(config.task, ledger, blobs, kernel)
