"""What the commands of the roles share: their config files, keys, connections, registration, and how they end."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import importlib
import inspect
import logging
import signal
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

from offchain.adapters.allocator import keep_large_buffers
from offchain.adapters.blobs import ZenohBlobs
from offchain.adapters.gateway import DEFAULT_URL
from offchain.adapters.journal import FileJournal
from offchain.adapters.ledger import CometLedger
from offchain.adapters.memory import MemoryJournal
from offchain.adapters.session import SessionError, account_prefix, open_session
from offchain.interfaces import BlobUnavailable, Connections, JournalError, VoteJournal
from offchain.learning.attacks import AttackError, parse_attack
from offchain.learning.float_aggregators import BUILT_IN
from offchain.roles.computing import FloatAggregate
from offchain.roles.membership import Terms
from offchain.roles.requester import TaskRefused
from offchain.roles.signing import Signer
from offchain.roles.views import Aggregate
from offchain.roles.watching import parse_policy
from offchain.storage.ballots import ExchangedBallots
from offchain.storage.disk import StoreInUse
from offchain.storage.store import StoreFailed
from optfl.tasks import parse_plugin
from optfl.wire import transaction_pb2
from optfl_cli.config import load_config
from optfl_cli.errors import UserError
from optfl_cli.options import MAX_UINT64, PATH, TASK_ID, Command, load_key, normalise_url, run_async

log = logging.getLogger(__name__)

R = TypeVar("R", bound="RoleConfig")

MAX_THREADS = 1024
MAX_PARTICIPANTS = 256


@dataclass(frozen=True)
class AccountConfig:
    """What every role's file has: the node it trusts, and the key file of its account."""

    key: Path
    node: str = DEFAULT_URL
    passphrase_file: Path | None = None
    stake: int = 0  # tokens to register the role with at the start, if the account does not have it yet

    def __post_init__(self) -> None:
        _check_range("stake", self.stake, 0, MAX_UINT64)


@dataclass(frozen=True)
class RoleConfig(AccountConfig):
    """A role that works on a task: which one, and where its replicas and the other roles are (`tcp/host:port`)."""

    task: int = 1
    replicas: list[str] = field(default_factory=list)
    peers: list[str] = field(default_factory=list)  # aggregators and validators that listen, this one or not

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_range("task", self.task, 1, MAX_UINT64)
        if not self.replicas:
            raise ValueError('replicas is empty; name their addresses, e.g. ["tcp/127.0.0.1:7447"]')


@dataclass(frozen=True)
class MemberConfig(RoleConfig):
    """A role that others ask, for demanded vectors and ballots: where it listens, and its journal's folder."""

    listen: str | None = None
    journal: Path | None = None  # by default `journal` beside the key file, wherever the command is run


@dataclass(frozen=True)
class AggregatorConfig(MemberConfig):
    """`optfl aggregator`. `fraud` makes it Byzantine at its first turn in or after round `fraud_round`: for tests."""

    threads: int | None = None  # of the kernels; all cores by default
    min_aggregation_blocks: int = 1  # a task with shorter turns is not joined
    min_reward: int = 0  # nor one that pays less for a round
    max_required_stake: int | None = None  # nor one that binds more; by default all of the stake that is free
    readmit: bool = True  # comes back when an exclusion for a time is over
    verify_parents: bool = False  # re-executes what it builds on: work on a wrong model is lost
    float_aggregators: dict[str, Any] = field(default_factory=dict)  # name -> "module:function", for float tasks
    fraud: Literal["poison", "coordinate"] | None = None
    fraud_round: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_range("threads", self.threads, 1, MAX_THREADS)
        _check_range("min_aggregation_blocks", self.min_aggregation_blocks, 1, MAX_UINT64)
        _check_range("min_reward", self.min_reward, 0, MAX_UINT64)
        _check_range("max_required_stake", self.max_required_stake, 0, MAX_UINT64)

    @property
    def terms(self) -> Terms:
        return Terms(self.min_aggregation_blocks, self.min_reward, self.max_required_stake, self.readmit)


@dataclass(frozen=True)
class ValidatorConfig(MemberConfig):
    """`optfl validator`: watches aggregations, and votes. Its stake is that of the node it stands beside.

    `trainer` names a function as a client's does; its Trainer's held-out data serves the policy's `accuracy` trigger.
    """

    threads: int | None = None
    policy: str = "full"  # how closely it watches, see `offchain.roles.watching`
    trainer: str | None = None
    trainer_options: dict[str, Any] = field(default_factory=dict)
    float_aggregators: dict[str, Any] = field(default_factory=dict)  # name -> "module:function", for float tasks

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_range("threads", self.threads, 1, MAX_THREADS)
        if parse_policy(self.policy).accuracy_drop is not None and self.trainer is None:
            raise ValueError(f"policy is {self.policy!r}, but there is no trainer whose data accuracy is measured on")


@dataclass(frozen=True)
class ClientConfig(RoleConfig):
    """`optfl client`. `trainer` names a function `module:name` that makes a Trainer of `trainer_options`.

    The module is found beside the config file too. `attack` makes it Byzantine, for tests and experiments. It may
    collude: `colluders` are the trainer options of all who do, in the same order in the file of each of them.
    """

    trainer: str = "offchain.learning.digits:make_trainer"
    trainer_options: dict[str, Any] = field(default_factory=dict)
    attack: str | None = None  # e.g. "sign_flip(factor=5)", see `offchain.learning.attacks`
    colluders: list[dict[str, Any]] = field(default_factory=list)  # by default it is alone

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.colluders and (self.attack is None or self.trainer_options not in self.colluders):
            raise ValueError("colluders are all who play one attack: name it, and this client's trainer_options too")
        if self.attack is not None:
            try:
                needed = parse_attack(self.attack).minimum_vectors
            except AttackError as error:
                raise ValueError(f"attack: {error}") from None
            if needed > max(len(self.colluders), 1):
                raise ValueError(f"attack {self.attack} needs {needed} colluders; list them, this client among them")


@dataclass(frozen=True)
class TaskConfig(RoleConfig):
    """`optfl task create`: the requester's account, G_0 and the task's parameters.

    `model` names a function `module:name` that makes the int32 vector G_0 of `model_options`; the module is found
    beside the config file too. Participants are addresses or key files.
    """

    model: str = "offchain.learning.digits:compute_initial_model"
    model_options: dict[str, Any] = field(default_factory=dict)
    min_aggregators: int | None = None  # that must have joined before the start; by default all that are listed, or 1
    parameters: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_range("min_aggregators", self.min_aggregators, 1, MAX_PARTICIPANTS)


@dataclass(frozen=True)
class ReplicaConfig(AccountConfig):
    """`optfl replica`: where it listens (`tcp/host:port`) and keeps its vectors.

    What it lacks it pulls from `replicas`, the others (or all), and `peers`, validators and aggregators.
    """

    listen: str = "tcp/127.0.0.1:7447"
    store: Path = Path("replica-store")
    replicas: list[str] = field(default_factory=list)
    peers: list[str] = field(default_factory=list)


def _check_range(name: str, value: int | None, least: int, most: int) -> None:
    if value is not None and not least <= value <= most:
        raise ValueError(f"{name} is {value}; use {least} to {most}")


def role_options(command: Command) -> Command:
    """`--config` and `--task` of a role that works on a task: `config_path` and `task_id`, see `load_role`."""
    command = click.option("--task", "task_id", type=TASK_ID, help="Id; else the file's.")(command)
    return click.option("--config", "config_path", type=PATH, required=True, help="TOML file, see docs/operations.md.")(
        command
    )


def load_role(path: Path, config_type: type[R], task_id: int | None) -> R:
    """Read a role's file; `task_id` goes before the file's. Raises UserError."""
    config = load_config(path, config_type)
    return config if task_id is None else dataclasses.replace(config, task=task_id)


@contextlib.asynccontextmanager
async def connect_ledger(config: AccountConfig) -> AsyncIterator[CometLedger]:
    """The ledger through the configured node. Raises UserError, LedgerUnavailable."""
    key = load_key(config.key, config.passphrase_file)
    async with await CometLedger.connect(normalise_url(config.node), key) as ledger:
        yield ledger


@dataclass(frozen=True)
class RoleConnections(Connections):
    """What a command of a role works with."""

    ledger: CometLedger
    blobs: ZenohBlobs


@contextlib.asynccontextmanager
async def connect(config: RoleConfig) -> AsyncIterator[RoleConnections]:
    """The world as a role's file says. Raises UserError, LedgerUnavailable, SessionError, JournalError."""
    listen = config.listen if isinstance(config, MemberConfig) else None
    async with connect_ledger(config) as ledger:
        prefix = account_prefix(ledger.chain_id, ledger.address)
        async with open_session([*config.replicas, *config.peers], listen, account=prefix) as session:
            log.info("account %s on %s, through %s", ledger.address.hex(), ledger.chain_id, config.node)
            blobs = ZenohBlobs(session, load_key(config.key, config.passphrase_file), ledger)
            ballots = ExchangedBallots(blobs.transport, ledger.address)
            try:
                yield RoleConnections(ledger, blobs, ballots, _open_journal(config, ledger))
            finally:
                await blobs.close()


def _open_journal(config: RoleConfig, ledger: CometLedger) -> VoteJournal:
    """On disk for who votes; a client or a requester signs nothing that it could contradict."""
    if isinstance(config, MemberConfig):
        return FileJournal(config.journal or config.key.parent / "journal", ledger.chain_id, ledger.address)
    return MemoryJournal()


def make_signer(config: MemberConfig, world: Connections) -> Signer:
    """What signs this role's votes and ballots."""
    return Signer(load_key(config.key, config.passphrase_file), world.journal, world.ballots)


async def ensure_registered(ledger: CometLedger, role: transaction_pb2.Role, stake: int) -> None:
    """Register the account in `role` with `stake`, unless it is registered or `stake` is 0. Raises UserError."""
    if stake == 0:
        return
    known = await ledger.gateway.list_stakes(ledger.address)
    if any(entry.role == role for entry in known.stakes):
        return
    registration = transaction_pb2.RegisterRole(role=role, stake=stake)
    result = await ledger.submit(transaction_pb2.Body(register_role=registration))
    if not result.accepted:
        raise UserError(f"the ledger refused the registration: {result.log}")
    log.info("registered with a stake of %d", stake)


def call_function(reference: str, key: str, options: Mapping[str, Any], folder: Path) -> Any:
    """What the function that `key` of a config file in `folder` names makes of its options; raises UserError."""
    _look_beside(folder)
    function = load_function(reference, key)
    try:
        inspect.signature(function).bind(**options)
    except TypeError as error:
        raise UserError(f"{key}_options do not fit {reference}: {error}; correct them") from None
    try:
        return function(**options)
    except Exception as error:  # noqa: BLE001  # the user's code: whatever it raises, it is told in one line
        raise UserError(f"{reference} cannot work with its {key}_options: {describe_failure(error)}") from None


def load_floats(references: Mapping[str, Any], folder: Path) -> dict[str, FloatAggregate]:
    """The float aggregators that a config file in `folder` names, and the built-in ones; raises UserError."""
    _look_beside(folder)
    floats: dict[str, FloatAggregate] = dict(BUILT_IN)
    for name, reference in references.items():
        if not isinstance(reference, str) or parse_plugin(f"float({name})") is None:
            raise UserError(
                f'float_aggregators.{name} is {reference!r}; write name = "module:function", name in a-z0-9_'
            )
        floats[name] = load_function(reference, f"float_aggregators.{name}")
    return floats


def _look_beside(folder: Path) -> None:
    if (beside := str(folder.absolute())) not in sys.path:
        sys.path.append(beside)  # last: a file there takes the place of no installed module


def describe_failure(error: Exception) -> str:
    """What went wrong in code of the user's, and where, in one line: the innermost one that is of no library."""
    frames = traceback.extract_tb(error.__traceback__)
    frame = next((frame for frame in reversed(frames) if "site-packages" not in frame.filename), frames[-1])
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said} ({Path(frame.filename).name}, line {frame.lineno})"


def load_kernel(threads: int | None) -> Aggregate:
    """The compiled aggregation; raises UserError where numba has no place for what it compiles."""
    try:
        from offchain.kernels.aggregate import aggregate, warm_up
    except RuntimeError as error:
        if "cannot cache" not in str(error):
            raise
        raise UserError(
            "numba has no folder for its compiled code; set NUMBA_CACHE_DIR to one that this user can write"
        ) from None
    warm_up()
    return functools.partial(aggregate, threads=threads)


def load_function(reference: str, key: str) -> Callable[..., Any]:
    """The function that a config file names as `module:name`; raises UserError."""
    module, _, name = reference.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        hint = "; install optimistic-fl[learning]" if "torch" in str(error) or "sklearn" in str(error) else ""
        raise UserError(f'cannot load {key} = "{reference}" (a "module:function"): {error}{hint}') from None
    if not callable(function):
        raise UserError(f"{key} is {reference!r}, which is no function")
    return function  # type: ignore[no-any-return]  # getattr of a module that the user names


def run_role(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a role until it is done or told to stop (SIGINT, SIGTERM); what went wrong is one line for its operator."""
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S"
    )
    keep_large_buffers()
    try:
        run_async(_until_stopped(main()))
    except (BlobUnavailable, JournalError, SessionError, StoreFailed, StoreInUse, TaskRefused) as error:
        raise UserError(str(error)) from None


async def _until_stopped(work: Awaitable[None]) -> None:
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task
