"""`optfl tx`: one command for each kind of transaction that people send by hand, and `send` for any kind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import cast

import click

from offchain.adapters.keystore import KeystoreError, read_consensus_key
from offchain.adapters.ledger import CometLedger
from offchain.interfaces import TransactionResult
from optfl import keys
from optfl.keys import SigningKey
from optfl.wire import transaction_pb2
from optfl_cli.display import print_json
from optfl_cli.errors import UserError
from optfl_cli.messages import enum_names, fill_message
from optfl_cli.options import (
    ATTEMPT_ID,
    MAX_UINT64,
    PATH,
    TASK_ID,
    LedgerConfig,
    parse_address,
    run_async,
    signing_options,
)

_ROLES = enum_names(transaction_pb2.Role.DESCRIPTOR)
_ROLE = click.Choice(list(_ROLES))
_AMOUNT = click.IntRange(min=1, max=MAX_UINT64)


@click.group()
def command() -> None:
    """Sign and send transactions. Each waits until it is in a block."""


@command.command()
@click.option("--to", "recipient", required=True, metavar="ADDRESS", help="In hexadecimal, or a key file.")
@click.option("--amount", required=True, type=_AMOUNT, help="Tokens.")
@signing_options
def transfer(recipient: str, amount: int, config: LedgerConfig, key: SigningKey, as_json: bool) -> None:
    """Send tokens to an account, new or not."""
    message = transaction_pb2.Transfer(recipient=parse_address(recipient), amount=amount)
    _submit(transaction_pb2.Body(transfer=message), config, key, as_json)


@command.command()
@click.option("--consensus-key", "path", required=True, type=PATH, help="The node's config/priv_validator_key.json.")
@click.option("--stake", required=True, type=_AMOUNT, help="Tokens; they decide the voting power.")
@signing_options
def register_validator(path: Path, stake: int, config: LedgerConfig, key: SigningKey, as_json: bool) -> None:
    """Make a node a validator, with the account that signs as its operator."""
    try:
        consensus_key = read_consensus_key(path)
    except KeystoreError as error:
        raise UserError(str(error)) from None

    def build(chain_id: str) -> transaction_pb2.Body:
        possession = keys.encode_account(chain_id, key.address)
        return transaction_pb2.Body(
            register_validator=transaction_pb2.RegisterValidator(
                consensus_key=consensus_key.public_key,
                proof_of_possession=consensus_key.sign(keys.POSSESSION_DOMAIN, possession),
                stake=stake,
            )
        )

    _submit(build, config, key, as_json)


@command.command()
@click.option("--anchor", required=True, metavar="HEX", help="As `optfl node init` or `renew-beacon` told it.")
@signing_options
def register_beacon(anchor: str, config: LedgerConfig, key: SigningKey, as_json: bool) -> None:
    """Register the end of a validator's hash chain, whose values its node reveals in its blocks."""
    try:
        message = transaction_pb2.RegisterBeacon(anchor=bytes.fromhex(anchor))
    except ValueError:
        raise UserError(f"--anchor {anchor!r} is not hexadecimal; `optfl node renew-beacon` told it") from None
    _submit(transaction_pb2.Body(register_beacon=message), config, key, as_json)


@command.command()
@click.option("--role", required=True, type=click.Choice([name for name in _ROLES if name != "validator"]))
@click.option("--stake", required=True, type=_AMOUNT, help="Tokens.")
@signing_options
def register_role(role: str, stake: int, config: LedgerConfig, key: SigningKey, as_json: bool) -> None:
    """Register the account as an aggregator, replica or client, with a stake."""
    message = transaction_pb2.RegisterRole(role=_role(role), stake=stake)
    _submit(transaction_pb2.Body(register_role=message), config, key, as_json)


@command.command()
@click.option("--role", required=True, type=_ROLE)
@click.option("--amount", required=True, type=_AMOUNT, help="Tokens.")
@signing_options
def add_stake(role: str, amount: int, config: LedgerConfig, key: SigningKey, as_json: bool) -> None:
    """Add to the account's stake in a role."""
    message = transaction_pb2.AddStake(role=_role(role), amount=amount)
    _submit(transaction_pb2.Body(add_stake=message), config, key, as_json)


@command.command()
@click.option("--role", required=True, type=_ROLE)
@click.option("--amount", required=True, type=_AMOUNT, help="Tokens.")
@signing_options
def unbond(role: str, amount: int, config: LedgerConfig, key: SigningKey, as_json: bool) -> None:
    """Take out of the account's stake in a role; the tokens are free when the unbonding time is over."""
    message = transaction_pb2.Unbond(role=_role(role), amount=amount)
    _submit(transaction_pb2.Body(unbond=message), config, key, as_json)


@command.command()
@click.option("--role", required=True, type=_ROLE)
@signing_options
def readmit(role: str, config: LedgerConfig, key: SigningKey, as_json: bool) -> None:
    """Come back to a role after an exclusion for a time is over; `optfl aggregator` does so by itself."""
    _submit(transaction_pb2.Body(readmit=transaction_pb2.Readmit(role=_role(role))), config, key, as_json)


@command.command()
@click.option("--task", "task_id", required=True, type=TASK_ID, help="Id of the task.")
@signing_options
def join_task(task_id: int, config: LedgerConfig, key: SigningKey, as_json: bool) -> None:
    """Agree, as an aggregator, to take turns in a task that waits for its start; `optfl aggregator` does so itself."""
    _submit(transaction_pb2.Body(join_task=transaction_pb2.JoinTask(task_id=task_id)), config, key, as_json)


@command.command()
@click.option("--task", "task_id", required=True, type=TASK_ID, help="Id of the task.")
@click.option("--attempt", "attempt_id", required=True, type=ATTEMPT_ID, help="Id of the attempt.")
@signing_options
def open_challenge(task_id: int, attempt_id: int, config: LedgerConfig, key: SigningKey, as_json: bool) -> None:
    """Have all validators recompute an open attempt and vote on it; a bond is lost if they find it right."""
    challenge = transaction_pb2.OpenChallenge(task_id=task_id, attempt_id=attempt_id)
    _submit(transaction_pb2.Body(open_challenge=challenge), config, key, as_json)


@command.command()
@click.option("--task", "task_id", required=True, type=TASK_ID, help="Id of the task.")
@signing_options
def cancel_task(task_id: int, config: LedgerConfig, key: SigningKey, as_json: bool) -> None:
    """Cancel a task of the account: no new rounds; the rest of its escrow comes back when the open ones have ended."""
    _submit(transaction_pb2.Body(cancel_task=transaction_pb2.CancelTask(task_id=task_id)), config, key, as_json)


@command.command()
@click.argument("path", type=PATH)
@signing_options
def send(path: Path, config: LedgerConfig, key: SigningKey, as_json: bool) -> None:
    """Send a transaction of any kind, from the JSON file PATH: {"transfer": {"recipient": "…", "amount": 1}}.

    The names are those of transaction.proto, bytes are hexadecimal. Chain, sequence, fee and expiry are filled in.
    """
    _submit(_read_body(path), config, key, as_json)


def _read_body(path: Path) -> transaction_pb2.Body:
    kinds = [field.name for field in transaction_pb2.Body.DESCRIPTOR.oneofs_by_name["kind"].fields]
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; check the path") from None
    except ValueError as error:
        raise UserError(f"{path} is not JSON: {error}; correct it") from None
    if not isinstance(document, dict) or len(document) != 1 or not set(document) <= set(kinds):
        raise UserError(f"{path} must hold one object with one of these keys: {', '.join(kinds)}")
    body = transaction_pb2.Body()
    try:
        fill_message(body, document)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return body


def _role(name: str) -> transaction_pb2.Role:
    return cast(transaction_pb2.Role, _ROLES[name])


def _submit(
    body: transaction_pb2.Body | Callable[[str], transaction_pb2.Body],
    config: LedgerConfig,
    key: SigningKey,
    as_json: bool,
) -> None:
    """Send `body`, or what it makes of the chain's id; prints what became of it, or raises UserError."""

    async def submit() -> TransactionResult:
        async with await CometLedger.connect(config.node, key) as ledger:
            return await ledger.submit(body(ledger.chain_id) if callable(body) else body)

    result = run_async(submit())
    if as_json:
        print_json({"code": result.code, "log": result.log, "height": result.height, "hash": result.hash.hex()})
    if not result.accepted:
        raise UserError(f"refused with code {result.code}: {result.log}")
    if not as_json:
        click.echo(f"in block {result.height}: {result.hash.hex()}")
