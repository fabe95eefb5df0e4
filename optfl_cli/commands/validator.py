"""`optfl validator`: re-execute a task's aggregations, prove a wrong one, vote, and look for what is demanded."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

import click

from offchain.interfaces import Int32Vector
from offchain.roles.computing import FloatAggregate
from offchain.roles.watching import parse_policy
from optfl_cli.roles import (
    ValidatorConfig,
    call_function,
    connect,
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
    """Watch a task: re-execute aggregations, and send a fraud proof where a model is not the rule's; vote on it."""
    config = load_role(config_path, ValidatorConfig, task_id)
    evaluate: Callable[[Int32Vector], float] | None = None
    if config.trainer is not None:
        evaluate = call_function(config.trainer, "trainer", config.trainer_options, config_path.parent).evaluate
    floats = load_floats(config.float_aggregators, config_path.parent)
    run_role(functools.partial(_run, config, floats, evaluate))


async def _run(
    config: ValidatorConfig,
    floats: Mapping[str, FloatAggregate],
    evaluate: Callable[[Int32Vector], float] | None,
) -> None:
    from offchain.roles.validator import ValidatorOptions, run_validator

    kernel = load_kernel(config.threads)
    async with connect(config) as world:
        options: ValidatorOptions = {
            "policy": parse_policy(config.policy),
            "signer": make_signer(config, world),
            "floats": floats,
            "private_seed": secrets.token_bytes(32),
        }
        if evaluate is not None:
            options["evaluate"] = evaluate
        await run_validator(config.task, world.ledger, world.blobs, kernel, **options)
