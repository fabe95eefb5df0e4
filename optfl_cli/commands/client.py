"""`optfl client`: train on local data and commit updates."""

from __future__ import annotations

import functools
from pathlib import Path

import click
import numpy as np

from offchain.interfaces import Int16Vector, Int32Vector, Trainer
from offchain.roles.client import run_client
from optfl.wire import transaction_pb2
from optfl_cli.errors import UserError
from optfl_cli.roles import (
    ClientConfig,
    call_function,
    connect,
    describe_failure,
    ensure_registered,
    load_role,
    role_options,
    run_role,
)


@click.command()
@role_options
def command(config_path: Path, task_id: int | None) -> None:
    """Train in a task's rounds, whenever the beacon draws this client, and commit the updates."""
    config = load_role(config_path, ClientConfig, task_id)
    trainer = call_function(config.trainer, "trainer", config.trainer_options, config_path.parent)
    run_role(functools.partial(_run, config, CheckedTrainer(trainer)))


async def _run(config: ClientConfig, trainer: Trainer) -> None:
    async with connect(config) as world:
        await ensure_registered(world.ledger, transaction_pb2.ROLE_CLIENT, config.stake)
        await run_client(config.task, world.ledger, world.blobs, trainer)


class CheckedTrainer(Trainer):
    """The user's trainer; what it cannot do with a task's model, or returns wrongly, is a UserError."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer

    def train(self, model: Int32Vector, seed: int) -> tuple[Int16Vector, int]:
        try:
            update, weight = self._trainer.train(model, seed)
        except Exception as error:  # noqa: BLE001  # the user's code: whatever it raises, it is told in one line
            raise UserError(f"the trainer cannot train the task's model: {describe_failure(error)}") from None
        if update.dtype != np.int16 or update.shape != model.shape:
            returned = f"{update.dtype}{list(update.shape)}"
            raise UserError(f"the trainer returned {returned}; an update of this task is int16[{model.size}]")
        return update, weight

    def evaluate(self, model: Int32Vector) -> float:
        return self._trainer.evaluate(model)
