"""`optfl task`: create, start, show and list tasks, fetch the model."""

from __future__ import annotations

import functools
from pathlib import Path

import click
import numpy as np

from offchain.adapters.blobs import ZenohBlobs
from offchain.adapters.gateway import Gateway
from offchain.adapters.ledger import CometLedger
from offchain.interfaces import BlobUnavailable, Int32Vector, LedgerUnavailable
from offchain.learning.quantisation import dequantise
from offchain.roles.requester import TaskRefused, create_task, start_task, wait_for_aggregators
from offchain.roles.views import fetch_model
from optfl.tasks import compute_escrow, model_shape
from optfl.vectors import ChunkedVector, ShapeError
from optfl.wire import state_pb2, transaction_pb2
from optfl_cli.commands import query
from optfl_cli.config import load_config
from optfl_cli.display import print_fields, print_json, print_rows
from optfl_cli.errors import UserError
from optfl_cli.messages import fill_message, to_plain
from optfl_cli.options import PATH, TASK_ID, LedgerConfig, node_options, parse_address, run_async
from optfl_cli.roles import TaskConfig, call_function, connect, run_role

_PARTICIPANTS = ("aggregators", "clients", "replicas")


@click.group()
def command() -> None:
    """Learning tasks: create one with its escrow, and look at those there are."""


_WAIT = click.option(
    "--wait/--no-wait", default=True, help="Wait until all listed are registered and the aggregators have joined."
)


@command.command()
@click.option("--config", "config_path", type=PATH, required=True, help="TOML file, see docs/operations.md.")
@_WAIT
def create(config_path: Path, wait: bool) -> None:
    """Put the escrow up, wait for the participants, store the first model and start the task."""
    config = load_config(config_path, TaskConfig)
    parameters = read_parameters(config, config_path.parent)
    model = _make_model(config, config_path)
    if parameters.length not in (0, model.size):
        raise UserError(
            f"{config_path}: parameters.length is {parameters.length}, but the model has {model.size} values; "
            "leave it out to take the model's"
        )
    parameters.length = model.size
    try:
        model_shape(parameters)
    except ShapeError as error:
        raise UserError(f"{config_path}: parameters: {error}") from None
    run_role(functools.partial(_create, config, config_path, parameters, model, wait))


@command.command()
@click.argument("task_id", type=TASK_ID)
@click.option("--config", "config_path", type=PATH, required=True, help="The TOML file of `optfl task create`.")
@_WAIT
def start(task_id: int, config_path: Path, wait: bool) -> None:
    """Start the task TASK_ID that was created but, since something was missing, not started."""
    config = load_config(config_path, TaskConfig)
    run_role(functools.partial(_start, config, config_path, task_id, _make_model(config, config_path), wait))


def _make_model(config: TaskConfig, config_path: Path) -> Int32Vector:
    model = call_function(config.model, "model", config.model_options, config_path.parent)
    if not isinstance(model, np.ndarray) or model.dtype != np.int32 or model.ndim != 1 or model.size == 0:
        raise UserError(
            f"{config_path}: {config.model} made no int32 vector; see offchain.learning.trainer.compute_initial_model"
        )
    return model


def read_parameters(config: TaskConfig, folder: Path) -> transaction_pb2.TaskParameters:
    """Task parameters of a config file; raises UserError naming the field."""
    plain = dict(config.parameters)
    for name in _PARTICIPANTS:
        listed = plain.get(name, [])
        if not isinstance(listed, list) or not all(isinstance(entry, str) for entry in listed):
            raise UserError(f"parameters.{name} is {listed!r}; list addresses or key files")
        plain[name] = [_resolve(entry, folder).hex() for entry in listed]
    parameters = transaction_pb2.TaskParameters()
    fill_message(parameters, plain, "parameters.")
    return parameters


def _resolve(entry: str, folder: Path) -> bytes:
    path = folder / entry
    return parse_address(str(path) if path.is_file() else entry)


async def _create(
    config: TaskConfig, config_path: Path, parameters: transaction_pb2.TaskParameters, model: Int32Vector, wait: bool
) -> None:
    async with connect(config) as world:
        ledger, blobs = world.ledger, world.blobs
        task_id = await create_task(ledger, parameters, model)
        click.echo(f"task {task_id}: created, with an escrow of {compute_escrow(parameters)}")
        try:
            await _store_and_start(config, ledger, blobs, task_id, parameters, model, wait)
        except (BlobUnavailable, LedgerUnavailable, TaskRefused) as error:
            raise UserError(
                f"task {task_id} is not started yet: {error}. Then run `optfl task start {task_id} --config "
                f"{config_path}`, or get the escrow back: `optfl tx cancel-task --task {task_id} --key {config.key}`"
            ) from None


async def _start(config: TaskConfig, config_path: Path, task_id: int, model: Int32Vector, wait: bool) -> None:
    async with connect(config) as world:
        ledger, blobs = world.ledger, world.blobs
        view = await ledger.get_task(task_id)
        if view is None:
            raise _unknown_task(task_id)
        parameters = view.task.parameters
        if (
            model.size != parameters.length
            or ChunkedVector(model_shape(parameters), model).root != view.task.initial_model_root
        ):
            raise UserError(f"{config_path} makes another first model than task {task_id} was created with; restore it")
        await _store_and_start(config, ledger, blobs, task_id, parameters, model, wait)


async def _store_and_start(
    config: TaskConfig,
    ledger: CometLedger,
    blobs: ZenohBlobs,
    task_id: int,
    parameters: transaction_pb2.TaskParameters,
    model: Int32Vector,
    wait: bool,
) -> None:
    if wait:
        await _wait_for_participants(ledger, parameters)
        await wait_for_aggregators(ledger, task_id, config.min_aggregators)
    await start_task(ledger, blobs, task_id, model)
    click.echo(f"task {task_id}: started")


async def _wait_for_participants(ledger: CometLedger, parameters: transaction_pb2.TaskParameters) -> None:
    """Return once every listed account is registered in its role."""
    roles = {
        transaction_pb2.ROLE_AGGREGATOR: parameters.aggregators,
        transaction_pb2.ROLE_CLIENT: parameters.clients,
        transaction_pb2.ROLE_REPLICA: parameters.replicas,
    }
    expected = {(role, address) for role, listed in roles.items() for address in listed}
    height, announced = 0, False
    while True:
        registered = {(stake.role, stake.address) for stake in (await ledger.gateway.list_stakes()).stakes}
        missing = expected - registered
        if not missing:
            return
        if not announced:
            role, address = min(missing)
            who = f"{transaction_pb2.Role.Name(role).removeprefix('ROLE_').lower()} {address.hex()}"
            click.echo(f"waiting for {who} and {len(missing) - 1} others to register")
            announced = True
        height = await ledger.wait_for_block(height)


@command.command()
@click.argument("task_id", type=TASK_ID)
@node_options
def show(task_id: int, config: LedgerConfig, as_json: bool) -> None:
    """Show the task TASK_ID: where it stands, its rounds, attempts and convictions."""
    view = run_async(_get_task(config, task_id))
    if view is None:
        raise _unknown_task(task_id)
    plain = to_plain(view)
    if as_json:
        print_json(plain)
        return
    task = plain["task"]
    fields = {name: task[name] for name in ("status", "requester", "escrow", "head_round", "settled_round")}
    fields |= {name: task["parameters"][name] for name in ("rule", "rounds", "clients_per_round", "length")}
    print_fields(f"Task {task_id} at height {view.height}: {task['parameters']['name']}", fields)
    for title, key, columns in _TABLES:
        print_rows(title, [{column: entry[column] for column in columns} for entry in plain[key]])


def _unknown_task(task_id: int) -> UserError:
    return UserError(f"no task {task_id}; `optfl task list` shows those that exist")


async def _get_task(config: LedgerConfig, task_id: int) -> state_pb2.TaskView | None:
    async with Gateway(config.node) as gateway:
        return await gateway.get_task(task_id)


@command.command()
@click.argument("task_id", type=TASK_ID)
@click.option("--config", "config_path", type=PATH, required=True, help="The TOML file of `optfl task create`.")
@click.option("--output", type=PATH, required=True, help="NumPy file (.npy) to write: float32 values.")
def fetch(task_id: int, config_path: Path, output: Path) -> None:
    """Fetch the model of TASK_ID's last settled round from the replicas, checked against the ledger's root."""
    config = load_config(config_path, TaskConfig)
    run_role(functools.partial(_fetch, config, task_id, output))


async def _fetch(config: TaskConfig, task_id: int, output: Path) -> None:
    async with connect(config) as world:
        ledger, blobs = world.ledger, world.blobs
        view = await ledger.get_task(task_id)
        if view is None:
            raise _unknown_task(task_id)
        root = view.digests[-1].model_root if view.digests else view.task.initial_model_root
        model = await fetch_model(blobs, view.task, root)
    values = dequantise(model.values, view.task.parameters.fraction_bits).astype(np.float32)
    try:
        with output.open("wb") as file:  # not by name: numpy would add a suffix to it
            np.save(file, values)
    except OSError as error:
        raise UserError(f"cannot write {output}: {error.strerror}; check the folder and its permissions") from None
    click.echo(f"{output}: {values.size} values, the model of round {view.task.settled_round}, root {root.hex()}")


_TABLES = (
    ("Live rounds", "rounds", ("round", "status", "turn", "aggregator", "committed", "window_close_height")),
    ("Attempts on record", "attempts", ("attempt_id", "round", "turn", "aggregator", "status", "submit_height")),
    ("Settled rounds", "digests", ("round", "aggregator", "updates", "settled_height", "model_root")),
    ("Convictions", "convictions", ("round", "attempt_id", "aggregator", "prover", "convicted_height", "slashed")),
)

command.add_command(query.tasks, "list")
