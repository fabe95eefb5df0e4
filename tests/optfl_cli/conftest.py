"""A real net that the tests of this folder share: four validators on loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from optfl_cli.localnet import Localnet, init_localnet
from optfl_cli.processes import ProcessGroup

ACCOUNTS = ["alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi"]


@pytest.fixture(scope="session")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Localnet]:
    """Running, with the first block made. Tests take an account each, for the sequences' sake."""
    net = init_localnet(tmp_path_factory.mktemp("net") / "net", accounts=dict.fromkeys(ACCOUNTS, 10**9), seed="tests")
    with ProcessGroup() as group:
        net.start(group)
        yield net
