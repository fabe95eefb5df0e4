"""Measures anew all that docs/performance.md shows: `python -m benchmarks.performance`, for minutes on a quiet machine.

The page has a block of code for each command; what stands between the two marks after it is replaced by what the
command prints. `--only streaming` runs the commands alone that contain this.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
_BLOCK = re.compile(
    r"```sh\n(?P<command>python -m benchmarks[^\n]*)\n```\n\n<!-- measured -->\n.*?<!-- end -->", re.DOTALL
)


def replace_outputs(text: str, only: str) -> str:
    """The page with what its commands print now."""

    def measure(match: re.Match[str]) -> str:
        line = match["command"]
        if only not in line:
            return match[0]
        click.echo(line)
        arguments = shlex.split(line.partition("#")[0])
        run = subprocess.run([sys.executable, *arguments[1:]], check=True, stdout=subprocess.PIPE, text=True)
        printed = "\n".join(row.strip() for row in run.stdout.strip().splitlines() if not row.startswith(os.sep))
        return f"```sh\n{line}\n```\n\n<!-- measured -->\n{printed}\n<!-- end -->"

    return _BLOCK.sub(measure, text)


@click.command()
@click.option("--only", default="", help="Of the commands, those that contain this.")
def command(only: str) -> None:
    """Measure anew what docs/performance.md shows."""
    PAGE.write_text(replace_outputs(PAGE.read_text(), only))


if __name__ == "__main__":
    command()
