"""What commands print: tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

_WIDTH_WITHOUT_TERMINAL = 200  # hexadecimal should not be folded for `grep`


def print_json(value: object) -> None:
    click.echo(json.dumps(value))


def print_fields(title: str, fields: Mapping[str, Any]) -> None:
    """One thing: a line for each of its fields, and indented ones for what is in them."""
    table = Table(box=None, show_header=False)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    _add_fields(table, fields, "")
    _print(title, table)


def print_rows(title: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Several things of one kind: a row for each, a column for each field of the first."""
    rows = list(rows)
    if not rows:
        _print(f"{title}: none")
        return
    table = Table(box=box.SIMPLE_HEAD)
    for column, value in rows[0].items():
        is_number = isinstance(value, int) and not isinstance(value, bool)
        table.add_column(column.replace("_", " "), overflow="fold", justify="right" if is_number else "left")
    for row in rows:
        table.add_row(*(_format(row.get(column)) for column in rows[0]))
    _print(title, table)


def _print(title: str, table: Table | None = None) -> None:
    console = Console(width=None if sys.stdout.isatty() else _WIDTH_WITHOUT_TERMINAL, highlight=False)
    console.print(f"[bold]{escape(title)}[/bold]")
    if table is not None:
        console.print(table)


def _add_fields(table: Table, fields: Mapping[str, Any], indent: str) -> None:
    for name, value in fields.items():
        label = f"{indent}{name.replace('_', ' ')}"
        if isinstance(value, Mapping):
            table.add_row(label, "")
            _add_fields(table, value, indent + "  ")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            for i, item in enumerate(value):
                table.add_row(f"{label} {i}", "")
                _add_fields(table, item, indent + "  ")
        else:
            table.add_row(label, _format(value))


def _format(value: Any) -> str:
    if isinstance(value, list):
        return "\n".join(_format(item) for item in value) or "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace(",", " ")
    return escape(str(value)) if value not in ("", None) else "–"
