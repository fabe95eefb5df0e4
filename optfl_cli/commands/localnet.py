"""`optfl localnet`: several validators on one machine."""

from __future__ import annotations

from pathlib import Path

import click

from optfl_cli.localnet import DEFAULT_BALANCE, init_localnet, run_localnet
from optfl_cli.options import PATH, PORT

COUNT = click.IntRange(0, 10_000)


@click.group()
def command() -> None:
    """A whole net on this machine: validators on loopback, and accounts with tokens."""


@command.command()
@click.option("--home", type=PATH, required=True, help="Folder of the net; must not hold one yet.")
@click.option("--nodes", type=COUNT, default=4, show_default=True, help="Validators.")
@click.option("--aggregators", type=COUNT, default=3, show_default=True, help="Accounts aggregator0 …")
@click.option("--replicas", type=COUNT, default=4, show_default=True, help="Accounts replica0 …")
@click.option("--clients", type=COUNT, default=8, show_default=True, help="Accounts client0 …")
@click.option("--account", "accounts", multiple=True, metavar="NAME", help="A further account; repeatable.")
@click.option("--balance", default=DEFAULT_BALANCE, show_default=True, help="Tokens that each of these accounts has.")
@click.option("--chain-id", help="Name of the chain.  [default: drawn]")
@click.option("--first-port", type=PORT, help="The nodes' RPC from this port on, then their P2P.  [default: free ones]")
@click.option("--host", "hosts", multiple=True, metavar="NAME", help="A node's machine, if each has one; repeatable.")
@click.option("--seed", help="Derive all keys from this text: the same net again. For tests only.")
def init(
    home: Path,
    nodes: int,
    aggregators: int,
    replicas: int,
    clients: int,
    accounts: tuple[str, ...],
    balance: int,
    chain_id: str | None,
    first_port: int | None,
    hosts: tuple[str, ...],
    seed: str | None,
) -> None:
    """Make keys, genesis and configs. There is an account `requester` beside those of the options.

    With --host (or several), each node is made for a machine of that name, where it listens at all addresses: bring
    its folder there and run `optfl node start`.
    """
    counts = {"aggregator": aggregators, "replica": replicas, "client": clients}
    names = ["requester", *(f"{role}{i}" for role, count in counts.items() for i in range(count)), *accounts]
    net = init_localnet(
        home,
        nodes=len(hosts) or nodes,
        accounts=dict.fromkeys(names, balance),
        seed=seed,
        chain_id=chain_id,
        first_port=first_port,
        hosts=hosts,
    )
    click.echo(
        f"{net.chain_id}: {len(net.nodes)} nodes, {len(names)} accounts beside their operators, keys in {net.keys}"
    )
    if hosts:
        for node, host in zip(net.nodes, hosts, strict=True):
            click.echo(f"  on {host}: optfl node start --home {node.home}")
        return
    for node in net.nodes:
        click.echo(f"  {node.name}  {node.rpc_url}")
    click.echo(f"Start it: optfl localnet start --home {home}")


@command.command()
@click.option("--home", type=PATH, required=True, help="Folder that `optfl localnet init` made.")
def start(home: Path) -> None:
    """Run all nodes until Ctrl-C. Goes on without a node that dies, as long as the others can decide blocks."""
    run_localnet(home, click.echo)
