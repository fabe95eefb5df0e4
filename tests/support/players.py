"""Roles of several accounts in one process, honest or Byzantine: `python -m support.players FILE`.

They are what `optfl aggregator`, `validator` and `client` run, over CometBFT and Zenoh; but some deviate as no file of
theirs lets them, and a process for each of dozens would take longer to start than the test takes. FILE is JSON, a list
of `Player`s.
"""

from __future__ import annotations

import asyncio
import functools
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from offchain.adapters.keystore import read_key, read_public_part
from offchain.adversaries.accomplices import Accomplices, UnstoringBlobs
from offchain.adversaries.aggregator import AGGREGATORS, SilentAggregator
from offchain.adversaries.client import UnstoredUpdateClient
from offchain.adversaries.validator import ColludingValidator
from offchain.interfaces import Blobs
from offchain.learning.float_aggregators import BUILT_IN
from offchain.roles.aggregator import Aggregator, AggregatorOptions, run_aggregator
from offchain.roles.client import Client
from offchain.roles.errands import Errands
from offchain.roles.keeping import work_on_task
from offchain.roles.validator import Validator, ValidatorOptions, watch_with
from offchain.roles.voting import Voter
from optfl.aggregation import aggregate
from optfl.certificates import Statement, sign_receipt
from optfl.vectors import Shape
from optfl.wire import receipt_pb2, state_pb2, transaction_pb2
from optfl_cli.roles import (
    AggregatorConfig,
    ClientConfig,
    RoleConfig,
    RoleConnections,
    ValidatorConfig,
    connect,
    ensure_registered,
    make_signer,
    run_role,
)
from support.trainer import SoftmaxTrainer

_CHUNK_VALUES = 1 << 12
_LAST_BLOCKS = 6  # of the time to commit, in which a liar waits no longer


@dataclass(frozen=True)
class Part:
    """An account's part in one task. `deviation` names what it does in round `from_round`, and some do from then on.

    `accomplices` are key files: of aggregators whose lies are covered up, or of replicas that sign for what they never
    saw.
    """

    task: int
    deviation: str = ""
    from_round: int = 0
    accomplices: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Player:
    """An account, its role, and what the role's file would say of it."""

    role: str
    config: Mapping[str, Any]
    parts: list[Part]


class SilentOnceAggregator(SilentAggregator):
    """Says nothing in one of its turns."""

    async def take_turn(self, view: state_pb2.TaskView, current: state_pb2.Round) -> None:
        if current.round != self._from_round:
            await Aggregator.take_turn(self, view, current)


class UnstoredOnceClient(UnstoredUpdateClient):
    """Withholds the update of one round."""

    def bend_blobs(self, blobs: Blobs) -> Blobs:
        return _UnstoringOnceBlobs(blobs, self._accomplices, self._from_round)


class _UnstoringOnceBlobs(UnstoringBlobs):
    async def put(self, statement: Statement, shape: Shape, data: bytes, quorum: int) -> receipt_pb2.Certificate:
        if statement.round != self._from_round:
            return await self._blobs.put(statement, shape, data, quorum)
        return await super().put(statement, shape, data, quorum)


class DelayingValidator(ColludingValidator):
    """Votes that its accomplice's lie is right, and only once training has gone on by a round: the more is lost."""

    _head_rounds: dict[int, int]

    def cast_vote(
        self, voter: Voter, view: state_pb2.TaskView, challenge: state_pb2.Challenge, errands: Errands
    ) -> None:
        attempt = next(a for a in view.attempts if a.attempt_id == challenge.attempt_id)
        self._head_rounds = getattr(self, "_head_rounds", {})
        first = self._head_rounds.setdefault(challenge.attempt_id, view.task.head_round)
        is_late = view.height >= challenge.commit_deadline_height - _LAST_BLOCKS
        if not self.is_accomplice(attempt) or is_late or view.task.head_round > first:
            super().cast_vote(voter, view, challenge, errands)


async def _aggregate(world: RoleConnections, config: RoleConfig, part: Part) -> None:
    if not isinstance(config, AggregatorConfig):
        raise TypeError(config)
    options: AggregatorOptions = {"terms": config.terms, "signer": make_signer(config, world), "floats": BUILT_IN}
    kinds = {**AGGREGATORS, "silent-once": SilentOnceAggregator}
    if part.deviation:
        byzantine = kinds[part.deviation]
        player = byzantine(world.ledger, world.blobs, _kernel, from_round=part.from_round, **options)
        await run_aggregator(player, part.task)
    else:
        await run_aggregator(Aggregator(world.ledger, world.blobs, _kernel, **options), part.task)


async def _validate(world: RoleConnections, config: RoleConfig, part: Part) -> None:
    if not isinstance(config, ValidatorConfig):
        raise TypeError(config)
    options: ValidatorOptions = {"signer": make_signer(config, world), "floats": BUILT_IN}
    if not part.deviation:
        await watch_with(Validator(world.ledger, world.blobs, _kernel, **options), part.task)
        return
    covered = frozenset(read_public_part(Path(path)).address for path in part.accomplices)
    kinds = {"colluding": ColludingValidator, "delaying": DelayingValidator}
    player = kinds[part.deviation](
        world.ledger,
        world.blobs,
        _kernel,
        from_round=part.from_round,
        accomplices=Accomplices(aggregators=covered),
        **options,
    )
    await watch_with(player, part.task)


async def _train(world: RoleConnections, config: RoleConfig, part: Part) -> None:
    if not isinstance(config, ClientConfig):
        raise TypeError(config)
    trainer = SoftmaxTrainer(config.trainer_options["client"])
    if not part.deviation:
        client = Client(world.ledger, world.blobs, trainer)
    else:
        keys = [read_key(Path(path)) for path in part.accomplices]
        accomplices = Accomplices(lambda statement: [(i, sign_receipt(key, statement)) for i, key in enumerate(keys)])
        kinds = {"unstored-once": UnstoredOnceClient}
        client = kinds[part.deviation](
            world.ledger, world.blobs, trainer, from_round=part.from_round, accomplices=accomplices
        )
    await work_on_task(world.ledger, part.task, client.act, client.kept)


_ROLES = {
    "aggregator": (AggregatorConfig, transaction_pb2.ROLE_AGGREGATOR, _aggregate),
    "validator": (ValidatorConfig, transaction_pb2.ROLE_VALIDATOR, _validate),
    "client": (ClientConfig, transaction_pb2.ROLE_CLIENT, _train),
}
_kernel = functools.partial(aggregate, chunk_values=_CHUNK_VALUES)  # the reference: numba takes a second to load


async def play(players: list[Player]) -> None:
    """All of them, until their tasks have ended."""
    async with asyncio.TaskGroup() as group:
        for player in players:
            group.create_task(_play(player))


async def _play(player: Player) -> None:
    kind, role, perform = _ROLES[player.role]
    paths = {name: Path(player.config[name]) for name in ("key", "journal") if name in player.config}
    config = kind(**{**player.config, **paths})
    async with connect(config) as world, asyncio.TaskGroup() as group:
        await ensure_registered(world.ledger, role, config.stake)
        for part in player.parts:
            group.create_task(perform(world, config, part))


def read_players(path: Path) -> list[Player]:
    return [
        Player(entry["role"], entry["config"], [Part(**part) for part in entry["parts"]])
        for entry in json.loads(path.read_text(encoding="utf-8"))
    ]


if __name__ == "__main__":
    run_role(functools.partial(play, read_players(Path(sys.argv[1]))))
