"""`optfl localnet init`: where the nodes are, and what cannot be."""

from __future__ import annotations

import socket
import tomllib
from pathlib import Path

import pytest

from optfl_cli.localnet import load_localnet
from optfl_cli.main import main
from optfl_cli.ports import find_free_ports, is_port_free

pytestmark = pytest.mark.localnet  # CometBFT writes the configs


def init(home: Path, *options: str) -> int:
    return main(["localnet", "init", "--home", str(home), *options])


def find_free_range(count: int) -> int:
    """The first of `count` ports in a row that nobody listens on."""
    while True:
        first = find_free_ports(1)[0]
        if all(is_port_free("127.0.0.1", port) for port in range(first, first + count)):
            return first


def test_ports_in_a_row(tmp_path: Path) -> None:
    first = find_free_range(6)
    assert init(tmp_path / "net", "--nodes", "3", "--first-port", str(first)) == 0
    net = load_localnet(tmp_path / "net")
    assert [node.rpc_port for node in net.nodes] == [first, first + 1, first + 2]
    assert [node.p2p_port for node in net.nodes] == [first + 3, first + 4, first + 5]


def test_a_port_in_the_row_that_is_taken_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = find_free_range(4)
    with socket.create_server(("127.0.0.1", first + 3)):
        assert init(tmp_path / "net", "--nodes", "2", "--first-port", str(first)) == 1
    assert capsys.readouterr().err == (
        f"error: port {first + 3} is taken: end the program that listens on it, or choose another first port\n"
    )
    assert not (tmp_path / "net").exists()


def test_a_host_for_each_node(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They listen for everyone, on CometBFT's ports, and know the others by name."""
    assert init(tmp_path / "net", "--host", "a.example", "--host", "b", "--host", "10.0.0.3", "--clients", "0") == 0
    out = capsys.readouterr().out
    assert f"  on b: optfl node start --home {tmp_path / 'net' / 'node1'}\n" in out
    config = tomllib.loads((tmp_path / "net" / "node1" / "config" / "config.toml").read_text())
    assert config["rpc"]["laddr"] == "tcp://0.0.0.0:26657"
    assert config["p2p"]["laddr"] == "tcp://0.0.0.0:26656"
    places = [peer.partition("@")[2] for peer in config["p2p"]["persistent_peers"].split(",")]
    assert places == ["a.example:26656", "10.0.0.3:26656"]
    assert main(["localnet", "start", "--home", str(tmp_path / "net")]) == 1
    assert "have a host each; run `optfl node start` on every one of them" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--host", "a", "--host", "a"], "1 different hosts for 2 nodes; name one for each"),
        (["--host", "a b"], "'a b' is no name of an account or host"),
        (["--account", "../x"], "'../x' is no name of an account or host"),
        (["--first-port", "65530"], "8 ports from 65530 on do not exist; the last is 65535"),
        (["--balance", "-1"], "no chain can begin like this: app_state.accounts"),
        (["--nodes", "0"], "a local net has 1 to 32 nodes, not 0"),
    ],
)
def test_what_cannot_be_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert init(tmp_path / "net", *options) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {message}")
    assert error.count("\n") == 1
