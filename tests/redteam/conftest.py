"""Each attack is carried out twice: against the ledger as it is, and with the one guard taken out that stops it."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["guarded", "guard-taken-out"])
def guarded(request: pytest.FixtureRequest) -> bool:
    """Whether the guard is in place. Without it the same attack has to succeed, or the test shows nothing."""
    return bool(request.param == "guarded")
