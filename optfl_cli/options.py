"""What commands that talk to a ledger have in common: which node, which key, how to print."""

from __future__ import annotations

import asyncio
import functools
import os
import urllib.parse
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from offchain.adapters.gateway import DEFAULT_URL, GatewayError
from offchain.adapters.keystore import KeystoreError, read_key, read_public_part
from offchain.interfaces import LedgerUnavailable
from optfl.keys import ADDRESS_BYTES, SigningKey
from optfl_cli.config import load_config
from optfl_cli.errors import UserError
from optfl_cli.messages import parse_hex

T = TypeVar("T")
Command = Callable[..., None]

PATH = click.Path(path_type=Path)
MAX_UINT64 = (1 << 64) - 1
TASK_ID = click.IntRange(1, MAX_UINT64)
ATTEMPT_ID = click.IntRange(1, (1 << 32) - 1)
PORT = click.IntRange(1, 65535)
HEIGHT = click.IntRange(1, (1 << 63) - 1)


@dataclass(frozen=True)
class LedgerConfig:
    """`--config` of `optfl tx` and `optfl query`; options on the command line go before it."""

    node: str = DEFAULT_URL
    key: Path | None = None
    passphrase_file: Path | None = None


def node_options(command: Command) -> Command:
    """`--node`, `--config`, `--json`: the command gets `config: LedgerConfig` and `as_json: bool`."""

    @click.option("--node", metavar="URL", envvar="OPTFL_NODE", help=f"RPC of a node. [default: {DEFAULT_URL}]")
    @click.option("--config", "config_path", type=PATH, envvar="OPTFL_CONFIG", help="TOML: node, key, passphrase_file.")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    @functools.wraps(command)
    def wrapped(*args: Any, node: str | None, config_path: Path | None, **kwargs: Any) -> None:
        config = load_config(config_path, LedgerConfig) if config_path else LedgerConfig()
        config = LedgerConfig(normalise_url(node or config.node), config.key, config.passphrase_file)
        command(*args, config=config, **kwargs)

    return wrapped


def signing_options(command: Command) -> Command:
    """`node_options` and the key to sign with: the command gets `key: SigningKey` too."""

    @click.option(
        "--key", "key_path", type=PATH, envvar="OPTFL_KEY", help="Key file of the account that signs and pays."
    )
    @click.option("--passphrase-file", type=PATH, help="Of an encrypted key; asked for in a terminal otherwise.")
    @node_options
    @functools.wraps(command)
    def wrapped(
        *args: Any, config: LedgerConfig, key_path: Path | None, passphrase_file: Path | None, **kwargs: Any
    ) -> None:
        path = key_path or config.key
        if path is None:
            raise UserError("no key to sign with; give --key FILE, or set key in the --config file")
        key = load_key(path, passphrase_file or config.passphrase_file)
        command(*args, config=config, key=key, **kwargs)

    return wrapped


def load_key(path: Path, passphrase_file: Path | None = None) -> SigningKey:
    """An account key; its passphrase, if it needs one, from a file or from the terminal. Raises UserError."""
    try:
        if not read_public_part(path).encrypted:
            return read_key(path)
        if passphrase_file is not None:
            return read_key(path, read_passphrase(passphrase_file))
        if not os.isatty(0):
            raise UserError(f"{path} is encrypted; give --passphrase-file FILE")
        return read_key(path, click.prompt(f"Passphrase of {path}", hide_input=True, err=True))
    except KeystoreError as error:
        raise UserError(str(error)) from None


def read_passphrase(path: Path) -> str:
    """The first line of a file; raises UserError."""
    try:
        passphrase = path.read_text(encoding="utf-8").partition("\n")[0]
    except OSError as error:
        raise UserError(f"cannot read the passphrase in {path}: {error.strerror}; check the path") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text; write the passphrase as such") from None
    if not passphrase:
        raise UserError(f"the first line of {path} is empty; write the passphrase there")
    return passphrase


def parse_address(text: str) -> bytes:
    """An account's address: in hexadecimal, or that of a key file. Raises UserError."""
    if Path(text).is_file():
        try:
            return read_public_part(Path(text)).address
        except KeystoreError as error:
            raise UserError(str(error)) from None
    if text.endswith(".json") or "/" in text:
        raise UserError(f"there is no key file {text}; check the path, or give an address in hexadecimal")
    return parse_hex(text, ADDRESS_BYTES, "the address")


def normalise_url(text: str) -> str:
    """The URL of a node's RPC; `tcp://` and a bare host:port, as config.toml has them, are fine too."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "http", text
    url = f"{'http' if scheme == 'tcp' else scheme}://{rest}".rstrip("/")
    try:
        parts = urllib.parse.urlsplit(url)
        is_address = bool(parts.hostname) and parts.port != 0 and not any(letter.isspace() for letter in text)
    except ValueError:  # a port that is none, half an IPv6 address
        is_address = False
    if scheme not in ("http", "https", "tcp") or not is_address:
        raise UserError(f"{text!r} is no address of a node; give one like {DEFAULT_URL}")
    return url


def run_async(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a command's work, with the errors of the adapters as UserError."""
    try:
        return asyncio.run(coroutine)
    except (LedgerUnavailable, GatewayError, KeystoreError) as error:
        raise UserError(str(error)) from None
