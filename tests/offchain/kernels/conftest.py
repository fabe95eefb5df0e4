"""Kernels are compiled once, before the first test and outside of any test's time."""

from __future__ import annotations

import pytest

from offchain.kernels.aggregate import warm_up


@pytest.fixture(scope="session", autouse=True)
def _compiled_kernels() -> None:
    warm_up()
