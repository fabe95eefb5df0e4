"""`optfl node`: one node, CometBFT and the ledger's application."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click

from offchain.adapters.keystore import KeystoreError, write_key
from optfl.beacon import MAX_LENGTH, HashChain
from optfl.keys import SigningKey
from optfl_cli.errors import UserError
from optfl_cli.genesis import GenesisValidator, build_genesis, read_genesis
from optfl_cli.localnet import DEFAULT_BALANCE, DEFAULT_STAKE, P2P_PORT, RPC_PORT
from optfl_cli.node import BEACON_REVEALS, build_config, draw_chain, init_node, node_id, renew_chain, run_node
from optfl_cli.options import PATH, PORT

_PEER = re.compile(r"[0-9a-f]{40}@[^@,\s]+:[0-9]{1,5}")


@click.group()
def command() -> None:
    """One node: CometBFT and the ledger, in one home folder."""


@command.command()
@click.option("--home", type=PATH, required=True, help="Folder of the node; must not hold one yet.")
@click.option("--name", default="node", show_default=True, help="What logs and peers call it.")
@click.option("--chain-id", help="Of a new chain with this node as its only validator.  [default: drawn]")
@click.option("--balance", default=DEFAULT_BALANCE, show_default=True, help="Of the operator on a new chain.")
@click.option("--stake", default=DEFAULT_STAKE, show_default=True, help="Of the validator on a new chain.")
@click.option("--genesis", "genesis_path", type=PATH, help="Genesis file of an existing chain, to join that.")
@click.option("--peer", "peers", multiple=True, metavar="ID@HOST:PORT", help="A node to stay connected to; repeatable.")
@click.option("--rpc-port", type=PORT, default=RPC_PORT, show_default=True, help="For roles and queries, on loopback.")
@click.option("--p2p-port", type=PORT, default=P2P_PORT, show_default=True, help="For other nodes.")
@click.option("--p2p-host", default="0.0.0.0", show_default=True, help="Where to listen for other nodes.")  # noqa: S104
def init(
    home: Path,
    name: str,
    chain_id: str | None,
    balance: int,
    stake: int,
    genesis_path: Path | None,
    peers: tuple[str, ...],
    rpc_port: int,
    p2p_port: int,
    p2p_host: str,
) -> None:
    """Make a node: of a new chain, or with --genesis of an existing one."""
    if malformed := [peer for peer in peers if not _PEER.fullmatch(peer)]:
        raise UserError(f"--peer {malformed[0]} is not like ID@HOST:PORT; `optfl node init` told the ID of that node")
    operator, consensus_key, node_key = (SigningKey.generate() for _ in range(3))
    beacon = draw_chain(BEACON_REVEALS)
    anchor = HashChain(*beacon).anchor
    if genesis_path is not None:
        genesis = read_genesis(genesis_path)
    else:
        chain_id = chain_id or f"optfl-{operator.address.hex()[:8]}"
        validator = GenesisValidator(name, operator.public_key, consensus_key.public_key, stake, anchor)
        genesis = build_genesis(chain_id, [validator], {operator.address: balance})
    init_node(
        home,
        name=name,
        genesis=genesis,
        consensus_key=consensus_key,
        node_key=node_key,
        beacon=beacon,
        changes=build_config(name, rpc_port, p2p_host, p2p_port, peers),
    )
    operator_path = home / "operator.json"
    try:
        write_key(operator_path, operator)
    except KeystoreError as error:
        raise UserError(str(error)) from None
    click.echo(f"{name}: a node of {json.loads(genesis)['chain_id']} in {home}")
    click.echo(f"  peers reach it as {node_id(node_key)}@<its host>:{p2p_port}")
    click.echo(f"  operator {operator.address.hex()}, key in {operator_path}")
    click.echo(f"Start it: optfl node start --home {home}")
    if genesis_path is not None:
        click.echo(
            f"To validate, give the operator tokens, then: optfl tx register-validator --key {operator_path} "
            f"--consensus-key {home / 'config' / 'priv_validator_key.json'} --stake AMOUNT"
        )
        click.echo(f"To earn fees, then: optfl tx register-beacon --key {operator_path} --anchor {anchor.hex()}")


@command.command()
@click.option("--home", type=PATH, required=True, help="Folder that `optfl node init` made.")
@click.option(
    "--reveals",
    type=click.IntRange(1, MAX_LENGTH),
    default=BEACON_REVEALS,
    show_default=True,
    help="Blocks of its own that the chain lasts for; 32 bytes of memory each.",
)
def renew_beacon(home: Path, reveals: int) -> None:
    """Make a node's next hash chain, before the one in force runs out, or its first. Its last one is kept beside it."""
    anchor = renew_chain(home, reveals)
    click.echo(f"{home}: a hash chain of {reveals} reveals with the anchor {anchor.hex()}")
    click.echo(f"Start the node anew, then: optfl tx register-beacon --key OPERATOR --anchor {anchor.hex()}")


@command.command()
@click.option("--home", type=PATH, required=True, help="Folder that `optfl node init` made.")
def start(home: Path) -> None:
    """Run a node until Ctrl-C. Ends, with an exit code other than 0, if either of its processes does."""
    run_node(home, click.echo)
