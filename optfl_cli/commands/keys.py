"""`optfl keys`: account keys in files."""

from __future__ import annotations

from pathlib import Path

import click

from offchain.adapters.keystore import KeystoreError, PublicPart, read_public_part, write_key
from optfl.keys import SigningKey
from optfl_cli.display import print_fields, print_json, print_rows
from optfl_cli.errors import UserError
from optfl_cli.options import PATH, read_passphrase


@click.group()
def command() -> None:
    """Account keys, each in a file that only its owner can read."""


@command.command()
@click.argument("path", type=PATH)
@click.option("--encrypt", is_flag=True, help="Ask for a passphrase and encrypt the key with it.")
@click.option("--passphrase-file", type=PATH, help="Encrypt the key with the first line of this file.")
def new(path: Path, encrypt: bool, passphrase_file: Path | None) -> None:
    """Make a key and write it to PATH, which must not exist."""
    passphrase = None
    if passphrase_file is not None:
        passphrase = read_passphrase(passphrase_file)
    elif encrypt:
        passphrase = click.prompt("Passphrase", hide_input=True, confirmation_prompt=True, err=True)
    key = SigningKey.generate()
    try:
        write_key(path, key, passphrase)
    except KeystoreError as error:
        raise UserError(str(error)) from None
    click.echo(f"address {key.address.hex()} in {path}")


@command.command()
@click.argument("path", type=PATH)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(path: Path, as_json: bool) -> None:
    """Show the address and public key of the key file PATH."""
    fields = _describe(_read(path))
    print_json(fields) if as_json else print_fields(str(path), fields)


@command.command(name="list")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default=Path())
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_keys(folder: Path, as_json: bool) -> None:
    """List the key files (*.json) in FOLDER."""
    rows = []
    for path in sorted(folder.glob("*.json")):
        try:
            rows.append({"name": path.stem, **_describe(_read(path))})
        except UserError as error:
            click.echo(f"left out: {error}", err=True)
    print_json(rows) if as_json else print_rows(f"Keys in {folder}", rows)


def _read(path: Path) -> PublicPart:
    try:
        return read_public_part(path)
    except KeystoreError as error:
        raise UserError(str(error)) from None


def _describe(public: PublicPart) -> dict[str, object]:
    return {"address": public.address.hex(), "public_key": public.public_key.hex(), "encrypted": public.encrypted}
