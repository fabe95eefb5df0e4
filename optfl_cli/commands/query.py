"""`optfl query`: read the ledger through a node."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import click
from google.protobuf.message import Message

from offchain.adapters.gateway import Gateway
from optfl.tasks import MODEL_BLOB
from optfl.wire import state_pb2, transaction_pb2
from optfl_cli.display import print_fields, print_json, print_rows
from optfl_cli.errors import UserError
from optfl_cli.messages import enum_names, parse_hex, to_plain
from optfl_cli.options import HEIGHT, TASK_ID, Command, LedgerConfig, node_options, parse_address, run_async
from optfl_cli.proofs import ProofError, verify_value

T = TypeVar("T")
Plain = dict[str, Any]

# The stores and what is in them; for those with a single value, its key.
STORES: dict[str, type[Message]] = {
    "accounts": state_pb2.Account,
    "announcements": state_pb2.Announcement,
    "attempts": state_pb2.Attempt,
    "audits": state_pb2.Audit,
    "chain": state_pb2.Chain,
    "challenges": state_pb2.Challenge,
    "commitments": state_pb2.Commitment,
    "demands": state_pb2.Demand,
    "digests": state_pb2.Digest,
    "disputes": state_pb2.Conviction,
    "equivocations": state_pb2.Equivocation,
    "params": state_pb2.Params,
    "rounds": state_pb2.Round,
    "seen_updates": state_pb2.SeenUpdate,
    "stakes": state_pb2.Stake,
    "supply": state_pb2.Supply,
    "tasks": state_pb2.Task,
    "unbonding": state_pb2.Unbonding,
    "validators": state_pb2.Validator,
    "watches": state_pb2.Watch,
}
SINGLE_KEYS = {"chain", "params", "supply"}
_ROLES = enum_names(transaction_pb2.Role.DESCRIPTOR)


def proof_options(command: Command) -> Command:
    """`node_options`, `--prove` and `--height`."""

    @click.option("--prove", is_flag=True, help="Check the value's proof against the app hash of its block.")
    @click.option("--height", type=HEIGHT, help="Of that block's state; some versions back are kept.")
    @node_options
    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        command(*args, **kwargs)

    return wrapped


@click.group()
def command() -> None:
    """Read the ledger through a node.

    --prove checks a value against the app hash that the same node gives. To trust no node, run `cometbft light` and
    give its address as --node.
    """


@command.command()
@node_options
def status(config: LedgerConfig, as_json: bool) -> None:
    """The node: chain, height, peers."""
    answer = _ask(config, lambda gateway: gateway.get_status())
    _show("Node", {**vars(answer), "app_hash": answer.app_hash.hex()}, as_json)


@command.command()
@click.argument("address")
@proof_options
def account(address: str, prove: bool, height: int | None, config: LedgerConfig, as_json: bool) -> None:
    """Balance and next sequence of the account ADDRESS (hexadecimal, or a key file)."""
    key = parse_address(address)
    if prove or height:
        _show_value("accounts", key, prove, height, config, as_json)
        return
    found = _ask(config, lambda gateway: gateway.get_account(key))
    if found is None:
        raise UserError(f"no account {key.hex()}; an account begins with the first transfer to it")
    _show(f"Account {key.hex()}", to_plain(found), as_json)


@command.command()
@click.argument("address", required=False)
@click.option("--role", type=click.Choice(list(_ROLES)), help="Only of this role; needed for --prove.")
@proof_options
def stake(
    address: str | None, role: str | None, prove: bool, height: int | None, config: LedgerConfig, as_json: bool
) -> None:
    """Stakes and unbondings of the account ADDRESS (hexadecimal, or a key file), or of all."""
    key = parse_address(address) if address else b""
    if prove or height:
        if not key or role is None:
            raise UserError("a single stake is what can be proven; give its ADDRESS and --role")
        _show_value("stakes", bytes([_ROLES[role]]) + key, prove, height, config, as_json)
        return
    answer = to_plain(_ask(config, lambda gateway: gateway.list_stakes(key)))
    if role is not None:
        answer |= {part: [entry for entry in answer[part] if entry["role"] == role] for part in ("stakes", "unbonding")}
    _show_lists(answer, as_json)


@command.command()
@node_options
def validators(config: LedgerConfig, as_json: bool) -> None:
    """The validators, with the voting power that CometBFT counts."""

    async def ask(gateway: Gateway) -> tuple[state_pb2.ValidatorList, dict[bytes, int]]:
        return await gateway.list_validators(), await gateway.get_voting_power()

    found, powers = _ask(config, ask)
    rows = [{**to_plain(v), "cometbft_power": powers.get(v.consensus_key, 0)} for v in found.validators]
    _show_lists({"height": found.height, "validators": rows}, as_json)


@command.command()
@click.argument("task_id", type=TASK_ID)
@node_options
def task(task_id: int, config: LedgerConfig, as_json: bool) -> None:
    """Everything about the task TASK_ID: its rounds, attempts, convictions."""
    _show(f"Task {task_id}", to_plain(_get_task(config, task_id)), as_json)


@command.command()
@click.argument("task_id", type=TASK_ID)
@node_options
def challenges(task_id: int, config: LedgerConfig, as_json: bool) -> None:
    """The votes on attempts of the task TASK_ID: how far they are, and their verdicts."""
    view = _get_task(config, task_id)
    plain = to_plain(view)["challenges"]
    rows = [
        {
            "attempt": entry["attempt_id"],
            "round": entry["round"],
            "status": entry["status"],
            "verdict": entry["verdict"] or "",
            "opened": entry["open_height"],
            "deadline": entry["reveal_deadline_height"] or entry["commit_deadline_height"],
            "decided": entry["decided_height"],
            "committed": _format_share([v["commitment"] for v in entry["voters"]]),
            "revealed": "" if entry["decided_height"] else _format_share(["vote" in v for v in entry["voters"]]),
            "agreed": _format_share([v["agreed"] for v in entry["voters"]]) if entry["decided_height"] else "",
            "challengers": [bond["address"] for bond in entry["bonds"]] or "the ledger",
        }
        for entry in plain
    ]
    _show_rows("Votes", view, {"challenges": plain}, rows, as_json)


@command.command()
@click.argument("task_id", type=TASK_ID)
@node_options
def demands(task_id: int, config: LedgerConfig, as_json: bool) -> None:
    """What nobody could read in the task TASK_ID and was demanded, and which validators have it."""
    view = _get_task(config, task_id)
    plain = to_plain(view)["demands"]
    rows = [
        {
            "round": entry["round"],
            "of": f"attempt {entry['attempt_id']}" if entry["attempt_id"] else f"turn {entry['turn']}",
            "vector": "model" if entry["blob"] == MODEL_BLOB else f"update {entry['blob']}",
            "status": entry["status"],
            "opened": entry["open_height"],
            "deadline": entry["deadline_height"],
            "held by": f"{len(entry['holders'])} of {len(view.validators)} validators",
            "root": entry["root"],
        }
        for entry in plain
    ]
    _show_rows("Demands", view, {"demands": plain}, rows, as_json)


@command.command()
@click.argument("task_id", type=TASK_ID)
@node_options
def audits(task_id: int, config: LedgerConfig, as_json: bool) -> None:
    """Which replicas have answered the audits of the task TASK_ID's attempts on record."""
    view = _get_task(config, task_id)
    replicas = view.task.parameters.replicas
    answered = {(audit.attempt_id, audit.replica) for audit in view.audits}
    rows = [
        {
            "attempt": attempt.attempt_id,
            "round": attempt.round,
            "status": to_plain(attempt)["status"],
            "answered": _format_share([(attempt.attempt_id, i) in answered for i in range(len(replicas))]),
            "missing": [r.hex() for i, r in enumerate(replicas) if (attempt.attempt_id, i) not in answered],
        }
        for attempt in view.attempts
        if attempt.aggregator
    ]
    _show_rows("Audits", view, {"audits": rows}, rows, as_json)


@command.command()
@node_options
def tasks(config: LedgerConfig, as_json: bool) -> None:
    """All tasks."""
    found = _ask(config, lambda gateway: gateway.list_tasks())
    if as_json:
        print_json(to_plain(found))
        return
    rows = [
        {
            "id": entry["task_id"],
            "name": entry["parameters"]["name"],
            "status": entry["status"],
            "rule": entry["parameters"]["rule"],
            "settled": f"{entry['settled_round']} of {entry['parameters']['rounds']}",
            "escrow": entry["escrow"],
            "requester": entry["requester"],
        }
        for entry in to_plain(found)["tasks"]
    ]
    print_rows(f"Tasks at height {found.height}", rows)


@command.command()
@proof_options
def supply(prove: bool, height: int | None, config: LedgerConfig, as_json: bool) -> None:
    """Tokens there were at genesis, tokens burned, and the fee pot."""
    if prove or height:
        _show_value("supply", b"supply", prove, height, config, as_json)
    else:
        _show("Supply", to_plain(_ask(config, lambda gateway: gateway.get_supply())), as_json)


@command.command()
@proof_options
def params(prove: bool, height: int | None, config: LedgerConfig, as_json: bool) -> None:
    """The chain's parameters, set in genesis."""
    if prove or height:
        _show_value("params", b"params", prove, height, config, as_json)
    else:
        _show("Parameters", to_plain(_ask(config, lambda gateway: gateway.get_params())), as_json)


@command.command()
@click.argument("height", type=HEIGHT, required=False)
@node_options
def block(height: int | None, config: LedgerConfig, as_json: bool) -> None:
    """A block and what its transactions did; the latest without HEIGHT."""

    async def ask(gateway: Gateway) -> tuple[Plain, Plain]:
        at = height or await gateway.get_height()
        return await gateway.get_block(at), await gateway.get_block_results(at)

    found, results = _ask(config, ask)
    if as_json:
        print_json({"block": found, "results": results})
        return
    header = found["block"]["header"]
    fields = {name: header[name] for name in ("chain_id", "height", "time", "proposer_address", "app_hash")}
    print_fields(f"Block {found['block_id']['hash']}", fields)
    transactions = results["txs_results"] or []
    print_rows(
        "Transactions",
        [
            {"code": t["code"], "log": t["log"], "events": [_format_event(e) for e in t["events"] or []]}
            for t in transactions
        ],
    )
    print_rows("Events of the block", [{"event": _format_event(e)} for e in results["finalize_block_events"] or []])


@command.command()
@click.argument("transaction_hash", metavar="HASH")
@node_options
def tx(transaction_hash: str, config: LedgerConfig, as_json: bool) -> None:
    """What became of the transaction HASH."""
    name = parse_hex(transaction_hash, 32, "the hash")
    result = _ask(config, lambda gateway: gateway.get_transaction(name))
    if result is None:
        raise UserError(f"no block has the transaction {name.hex()}; it may still wait, or was refused")
    fields = {**vars(result), "hash": result.hash.hex(), "data": result.data.hex()}
    _show(f"Transaction {name.hex()}", fields, as_json)


@command.command()
@click.argument("name", metavar="STORE", type=click.Choice(list(STORES)))
@click.argument("key", required=False)
@proof_options
def store(name: str, key: str | None, prove: bool, height: int | None, config: LedgerConfig, as_json: bool) -> None:
    """One value of the state: what STORE has under KEY (hexadecimal; see state.proto for how keys are made)."""
    if key is None and name not in SINGLE_KEYS:
        raise UserError(f"give the key of the value in store {name}, in hexadecimal")
    raw_key = name.encode() if key is None else parse_hex(key, None, "the key")
    _show_value(name, raw_key, prove, height, config, as_json)


def _get_task(config: LedgerConfig, task_id: int) -> state_pb2.TaskView:
    view = _ask(config, lambda gateway: gateway.get_task(task_id))
    if view is None:
        raise UserError(f"no task {task_id}; `optfl query tasks` lists them")
    return view


def _ask(config: LedgerConfig, question: Callable[[Gateway], Awaitable[T]]) -> T:
    async def ask() -> T:
        async with Gateway(config.node) as gateway:
            return await question(gateway)

    return run_async(ask())


def _show_value(name: str, key: bytes, prove: bool, height: int | None, config: LedgerConfig, as_json: bool) -> None:
    async def ask(gateway: Gateway) -> Plain:
        answer = await gateway.query_store(name, key, prove=prove, height=height or 0)
        shown: Plain = {"height": answer.height, "value": to_plain(STORES[name].FromString(answer.value))}
        if prove:
            await gateway.wait_for_block(answer.height)  # the header after it has the app hash
            app_hash = await gateway.get_app_hash(answer.height)
            verify_value(name, key, answer.value, answer.proof_ops, app_hash)
            shown["proven_against_app_hash"] = app_hash.hex()
        return shown

    try:
        shown = _ask(config, ask)
    except ProofError as error:
        raise UserError(f"the node at {config.node} gives a false proof: {error}; ask another node") from None
    _show(f"{name} {key.hex()}", shown, as_json)


def _show(title: str, fields: Plain, as_json: bool) -> None:
    print_json(fields) if as_json else print_fields(title, fields)


def _show_rows(title: str, view: state_pb2.TaskView, plain: Plain, rows: Sequence[Plain], as_json: bool) -> None:
    """What concerns one task: `plain` for programs, `rows` for people."""
    if as_json:
        print_json({"height": view.height, **plain})
    else:
        print_rows(f"{title} of task {view.task.task_id} at height {view.height}", rows)


def _format_share(parts: Sequence[object]) -> str:
    return f"{sum(map(bool, parts))} of {len(parts)}"


def _show_lists(answer: Plain, as_json: bool) -> None:
    """A table for each list in `answer`, which is of one height."""
    if as_json:
        print_json(answer)
        return
    for name, rows in answer.items():
        if isinstance(rows, list):
            print_rows(f"{name.capitalize()} at height {answer['height']}", rows)


def _format_event(event: Plain) -> str:
    return " ".join([event["type"], *(f"{a['key']}={a['value']}" for a in event["attributes"])])
