"""A stock `cometbft light` verifies the ledger's queries against headers it has verified itself."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.node import Node, RpcError, call, wait_until

pytestmark = pytest.mark.localnet


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with Node(tmp_path, {"alice": 3, "bob": 0, "cy": 1, "x/y z": 7}) as node:
        node.start_ledger()
        node.start_cometbft()
        node.wait_height(3)
        yield node


def query(port: int, store: str, key: bytes, height: int = 0) -> dict[str, Any]:
    path = f'"/store/{store}/key"'
    answer = call(port, "abci_query", path=path, data=f"0x{key.hex()}", height=str(height), prove="true")
    response: dict[str, Any] = answer["response"]
    return response


def test_the_light_client_verifies_values(node: Node) -> None:
    light = node.start_light_client()
    for key, value in ((b"alice", 3), (b"bob", 0), (b"x/y z", 7)):
        response = query(light, "counters", key)
        assert int.from_bytes(base64.b64decode(response["value"]), "big") == value
        assert len(response["proofOps"]["ops"]) == 2
    assert query(light, "totals", b"height")["value"]

    # A change shows up, and past heights stay provable.
    assert node.broadcast(b"alice:4")["code"] == 0
    changed = wait_until(lambda: find_value(light, 4))
    before = int(changed["height"]) - 1
    assert int.from_bytes(base64.b64decode(query(light, "counters", b"alice", before)["value"]), "big") == 3

    with pytest.raises(RpcError, match="err response code: 104"):
        query(light, "counters", b"nobody")
    with pytest.raises(RpcError, match="err response code: 103"):
        query(light, "counters", b"alice", 10**6)


def find_value(port: int, value: int) -> dict[str, Any] | None:
    response = query(port, "counters", b"alice")
    return response if int.from_bytes(base64.b64decode(response["value"]), "big") == value else None
