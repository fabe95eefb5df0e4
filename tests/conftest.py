"""What all tests share."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

# The same examples in every run: a failure is there for everybody, and for good until it is mended. To look for new
# ones, run with OPTFL_HYPOTHESIS=explore, which prints how to replay what it finds.
# No example fails for being slow: the machine may be busy (pytest-timeout ends what hangs).
settings.register_profile("fixed", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile(os.environ.get("OPTFL_HYPOTHESIS", "fixed"))

OURS = {"abci_app", "benchmarks", "offchain", "optfl", "optfl_cli", "optfl_sim"}


@pytest.fixture(autouse=True)
def _logging_stays_on() -> Iterator[None]:
    """A test that switches logging off would take later ones' messages away."""
    yield
    assert logging.root.manager.disable == logging.NOTSET, "logging was switched off and not on again"
    for name, logger in logging.root.manager.loggerDict.items():
        if isinstance(logger, logging.Logger) and name.partition(".")[0] in OURS:
            assert (logger.level, logger.disabled) == (logging.NOTSET, False), f"{name} was made quiet, and left so"
