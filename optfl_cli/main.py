"""The `optfl` command: a table of commands, each in a module that is imported when it is called."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import NamedTuple

import click

from optfl_cli.errors import UserError


class Entry(NamedTuple):
    """Where a command is: its module has it as `command`. The help stands here, so that `optfl --help` imports none."""

    module: str
    help: str


COMMANDS: dict[str, Entry] = {
    "aggregate": Entry("optfl_cli.commands.aggregate", "Aggregate a round's files, bit for bit, without a net."),
    "aggregator": Entry("optfl_cli.commands.aggregator", "Take an aggregator's turns in a task."),
    "challenge": Entry("optfl_cli.commands.challenge", "Have the validators vote on an attempt."),
    "client": Entry("optfl_cli.commands.client", "Train on local data and commit updates."),
    "cometbft": Entry("optfl_cli.commands.cometbft", "Find or build the CometBFT that nodes need."),
    "demo": Entry("optfl_cli.commands.demo", "A whole federation on this machine: one lies, and is convicted."),
    "keys": Entry("optfl_cli.commands.keys", "Make and show account keys."),
    "localnet": Entry("optfl_cli.commands.localnet", "Make and run a whole net on this machine."),
    "node": Entry("optfl_cli.commands.node", "Make and run one node: CometBFT and the ledger."),
    "query": Entry("optfl_cli.commands.query", "Read the ledger, with proofs if you like."),
    "replica": Entry("optfl_cli.commands.replica", "Store updates and models, and sign receipts."),
    "simulate": Entry("optfl_cli.commands.simulate", "Federations with adversaries, every invariant checked."),
    "task": Entry("optfl_cli.commands.task", "Create and show tasks, fetch the model."),
    "tx": Entry("optfl_cli.commands.tx", "Sign and send transactions."),
    "validator": Entry("optfl_cli.commands.validator", "Re-execute aggregations and prove a wrong one."),
}


class LazyGroup(click.Group):
    """A group whose commands are those of COMMANDS."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command = importlib.import_module(entry.module).command
        if not isinstance(command, click.Command):
            raise TypeError(f"{entry.module}.command is no click command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="optimistic-fl", prog_name="optfl")
def cli() -> None:
    """Federated learning without a trusted server: train, aggregate in turn, prove a fraud on a ledger."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `optfl`; returns its exit code. What the user can put right is one line on stderr, without a traceback."""
    try:
        code = cli.main(arguments, prog_name="optfl", standalone_mode=False)
    except UserError as error:
        click.echo(f"error: {error}", err=True)
        return 1
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:  # `optfl query … | head`
        sys.stderr.close()  # or the interpreter complains about the pipe once more
        return 1
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    sys.exit(main())
