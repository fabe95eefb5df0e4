"""`optfl client`: train on local data and commit updates."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

from offchain.interfaces import Int16Vector, Int32Vector, Trainer
from offchain.learning.attacks import Attack, Searched, parse_attack
from offchain.learning.byzantine import ColludingTrainer, make_target
from offchain.roles.client import run_client
from offchain.roles.views import watch_task
from optfl.rules import RuleError, parse_rule
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

log = logging.getLogger(__name__)


@click.command()
@role_options
def command(config_path: Path, task_id: int | None) -> None:
    """Train in a task's rounds, whenever the beacon draws this client, and commit the updates."""
    config = load_role(config_path, ClientConfig, task_id)
    attack = None if config.attack is None else parse_attack(config.attack)
    members = config.colluders or [config.trainer_options]
    if attack is not None and attack.flips_labels:
        members = [{**options, "flip_labels": True} for options in members]
    trainers = [call_function(config.trainer, "trainer", options, config_path.parent) for options in members]
    run_role(functools.partial(_run, config, trainers, attack))


async def _run(config: ClientConfig, trainers: Sequence[Trainer], attack: Attack | None) -> None:
    async with connect(config) as world:
        await ensure_registered(world.ledger, transaction_pb2.ROLE_CLIENT, config.stake)
        trainer = trainers[0]
        if attack is not None:
            view = await anext(watch_task(world.ledger, config.task))
            own = config.colluders.index(config.trainer_options) if config.colluders else 0
            trainer = make_byzantine(trainers, own, attack, view.task.parameters)
            log.warning("this client is Byzantine: %s, as %d of %d", attack, own + 1, len(trainers))
        await run_client(config.task, world.ledger, world.blobs, CheckedTrainer(trainer))


def make_byzantine(
    trainers: Sequence[Trainer], own: int, attack: Attack, parameters: transaction_pb2.TaskParameters
) -> Trainer:
    """The trainer of the Byzantine client at `own` of those who collude; UserError if the attack has no aim there."""
    if isinstance(attack, Searched):
        try:
            rule = parse_rule(parameters.rule)
        except RuleError as error:
            raise UserError(f"{attack} searches against an exact rule, the task's is none: {error}") from None
        honest = max(parameters.clients_per_round - len(trainers), 1)
        attack = attack.aim(make_target(rule, parameters.fraction_bits, len(trainers), honest))
    return ColludingTrainer(trainers, own, attack, parameters.fraction_bits)


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
