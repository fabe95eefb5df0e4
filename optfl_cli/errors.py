"""What a user is told when something is wrong: one line that says what to do next, and an exit code that is not 0."""

from __future__ import annotations


class UserError(Exception):
    """Something that the user can put right. `optfl` prints it as one line, without a traceback, and exits with 1."""
