"""One node: its home, and its two processes, of which neither goes on without the other."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from abci_app.beacon_file import read_secrets
from optfl.beacon import HashChain
from optfl.keys import SigningKey
from optfl_cli.errors import UserError
from optfl_cli.genesis import GenesisValidator, build_genesis
from optfl_cli.localnet import get_height
from optfl_cli.main import main
from optfl_cli.node import HaltWatch, Node, build_config, draw_chain, init_node, load_node, renew_chain
from optfl_cli.ports import find_free_ports
from optfl_cli.processes import Child
from optfl_cli.toml_files import edit_toml

pytestmark = pytest.mark.localnet

ROOT = Path(__file__).parents[2]
BOUND_SECONDS = 60.0


def make_node(home: Path) -> Node:
    """A node of a chain of its own, with quick blocks."""
    operator, consensus_key, node_key = (SigningKey.from_seed(bytes([i]) * 32) for i in (1, 2, 3))
    beacon = draw_chain(1000)
    anchor = HashChain(*beacon).anchor
    validator = GenesisValidator("n", operator.public_key, consensus_key.public_key, 10_000_000, anchor)
    rpc_port, p2p_port = find_free_ports(2)
    changes = build_config("n", rpc_port, "127.0.0.1", p2p_port)
    changes["consensus"]["timeout_commit"] = "20ms"
    return init_node(
        home,
        name="n",
        genesis=build_genesis("test-chain", [validator], {operator.address: 10**9}),
        consensus_key=consensus_key,
        node_key=node_key,
        beacon=beacon,
        changes=changes,
    )


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return make_node(tmp_path / "n")


@pytest.fixture
def running(node: Node) -> Iterator[subprocess.Popen[str]]:
    """`optfl node start` on a node that has made blocks."""
    with subprocess.Popen(
        [sys.executable, "-m", "optfl_cli", "node", "start", "--home", str(node.home)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        try:
            deadline = time.monotonic() + BOUND_SECONDS
            while not get_height(node.rpc_url) and process.poll() is None:
                assert time.monotonic() < deadline, "the node makes no blocks"
                time.sleep(0.05)
            yield process
        finally:
            process.kill()


def find_processes(home: Path) -> dict[str, int]:
    """The processes of the node in `home`: pids of "abci_app" and "cometbft"."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_text().split("\0") if entry.name.isdigit() else []
        except OSError:  # it has ended meanwhile
            continue
        for name in ("abci_app", "cometbft"):
            if name in " ".join(command[:3]) and any(word.startswith(str(home)) for word in command):
                found[name] = int(entry.name)
    return found


def edit_config(node: Node, section: str, key: str, value: str) -> None:
    path = node.home / "config" / "config.toml"
    path.write_text(edit_toml(path.read_text(), {section: {key: value}}))


def start(node: Node, capsys: pytest.CaptureFixture[str]) -> str:
    """`optfl node start`, which must fail at once with one line; returns that."""
    assert main(["node", "start", "--home", str(node.home)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_a_new_home_is_private_and_has_our_limits(node: Node) -> None:
    for name in ("priv_validator_key.json", "node_key.json", "beacon.json"):
        assert (node.home / "config" / name).stat().st_mode & 0o077 == 0
    config = tomllib.loads((node.home / "config" / "config.toml").read_text())
    assert config["rpc"]["laddr"] == f"tcp://127.0.0.1:{node.rpc_port}"
    assert config["rpc"]["max_body_bytes"] > 4 * config["mempool"]["max_tx_bytes"] / 3
    assert config["consensus"]["create_empty_blocks"]
    assert json.loads((node.home / "config" / "genesis.json").read_text())["chain_id"] == "test-chain"


def test_A9_a_renewal_keeps_the_chain_in_force_and_forgets_those_before(node: Node) -> None:
    (first,) = read_secrets(node.beacon_path)
    assert renew_chain(node.home, 20) == HashChain(*read_secrets(node.beacon_path)[1]).anchor
    assert renew_chain(node.home, 30) == HashChain(*read_secrets(node.beacon_path)[1]).anchor
    second, third = read_secrets(node.beacon_path)
    assert (second.reveals, third.reveals) == (20, 30)
    assert first not in (second, third)
    assert node.beacon_path.stat().st_mode & 0o077 == 0


def test_A9_a_node_without_a_chain_gets_its_first_one(node: Node) -> None:
    """And what a crash has left of an earlier attempt is no hindrance."""
    node.beacon_path.unlink()
    node.beacon_path.with_suffix(".new").write_text("half")
    anchor = renew_chain(node.home, 20)
    assert [HashChain(*secret).anchor for secret in read_secrets(node.beacon_path)] == [anchor]
    assert not node.beacon_path.with_suffix(".new").exists()


def test_A9_a_damaged_chain_is_not_thrown_away(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    node.beacon_path.write_text("{}")
    assert main(["node", "renew-beacon", "--home", str(node.home)]) == 1
    assert "restore it from its backup" in capsys.readouterr().err
    assert node.beacon_path.read_text() == "{}"


def test_A9_renewal_tells_what_to_register(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["node", "renew-beacon", "--home", str(node.home), "--reveals", "50"]) == 0
    anchor = HashChain(*read_secrets(node.beacon_path)[1]).anchor
    assert f"--anchor {anchor.hex()}" in capsys.readouterr().out


def test_a_home_is_not_made_twice(node: Node) -> None:
    before = (node.home / "config" / "node_key.json").read_bytes()
    with pytest.raises(UserError, match="holds a node already; choose another folder"):
        make_node(node.home)
    assert (node.home / "config" / "node_key.json").read_bytes() == before


def test_a_node_stops_in_order_when_told_to(node: Node, running: subprocess.Popen[str]) -> None:
    assert set(find_processes(node.home)) == {"abci_app", "cometbft"}
    running.send_signal(signal.SIGTERM)
    out, err = running.communicate(timeout=BOUND_SECONDS)
    assert running.returncode == 0
    assert out == f"n runs: RPC at {node.rpc_url}, logs in {node.home / 'logs'}\n"
    assert err == ""
    assert find_processes(node.home) == {}


@pytest.mark.parametrize(
    ("killed", "message"),
    [
        ("abci_app", "n's ledger ended with SIGKILL; read {logs}/app.log"),
        ("cometbft", "n's CometBFT ended with SIGKILL"),
    ],
)
def test_neither_process_goes_on_without_the_other(
    node: Node, running: subprocess.Popen[str], killed: str, message: str
) -> None:
    os.kill(find_processes(node.home)[killed], signal.SIGKILL)
    _, err = running.communicate(timeout=BOUND_SECONDS)
    assert running.returncode == 1
    assert message.format(logs=node.home / "logs") in err
    assert err.count("\n") == 1
    assert find_processes(node.home) == {}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_nothing_is_left_of_a_node_that_is_killed(node: Node, running: subprocess.Popen[str]) -> None:
    running.kill()
    deadline = time.monotonic() + BOUND_SECONDS
    while find_processes(node.home):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("section", ["rpc", "p2p"])
def test_a_taken_port_is_one_clear_line(node: Node, capsys: pytest.CaptureFixture[str], section: str) -> None:
    port = node.rpc_port if section == "rpc" else node.p2p_port
    with socket.create_server(("127.0.0.1", port)):
        error = start(node, capsys)
    assert f"port {port} of n is taken: end the program that listens on it, or set another port in [{section}]" in error


def test_no_node_there_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["node", "start", "--home", str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        f"error: no node in {tmp_path}; make one with `optfl node init --home {tmp_path}`\n"
    )


def test_a_config_that_is_no_toml_is_one_clear_line(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    (node.home / "config" / "config.toml").write_text("[rpc\n")
    assert "config.toml is not valid TOML" in start(node, capsys)


@pytest.mark.parametrize("address", ["", "tcp://127.0.0.1", "tcp://127.0.0.1:x", "unix:///x", "tcp://127.0.0.1:99999"])
def test_an_address_that_is_none_is_one_clear_line(
    node: Node, capsys: pytest.CaptureFixture[str], address: str
) -> None:
    edit_config(node, "rpc", "laddr", address)
    assert f"laddr in [rpc] is {address!r}; set it to tcp://HOST:PORT" in start(node, capsys)


def test_a_setting_that_cometbft_refuses_is_one_clear_line(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    edit_config(node, "consensus", "timeout_propose", "soon")
    error = start(node, capsys)
    assert "n's CometBFT ended with exit code 1" in error
    assert 'invalid duration "soon"' in error
    assert f"read {node.home / 'logs' / 'cometbft.log'}" in error


def test_a_genesis_that_the_ledger_refuses_is_one_clear_line(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    path = node.home / "config" / "genesis.json"
    path.write_text(path.read_text().replace('"min_fee"', '"mine_fee"'))
    assert start(node, capsys) == (
        f"error: {path}: app_state.params.mine_fee is unknown; remove it or correct its name\n"
    )
    (node.home / "data" / "state.db").mkdir()  # as if it were not the first start: then the ledger says it
    error = start(node, capsys)
    assert "n's ledger ended with exit code 1" in error
    assert "app_state.params.mine_fee is unknown" in error
    assert f"read {node.home / 'logs' / 'app.log'}" in error


def test_a_genesis_that_was_put_right_counts(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    """CometBFT would keep the first one it saw."""
    path = node.home / "config" / "genesis.json"
    right = path.read_text()
    path.write_text(right.replace('"min_fee": 10', '"min_fee": -1'))
    assert "min_fee is -1" in start(node, capsys)
    assert not (node.home / "data" / "state.db").exists()
    path.write_text(right)
    node.check_genesis()


def test_a_chain_without_empty_blocks_is_refused(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    path = node.home / "config" / "config.toml"
    path.write_text(edit_toml(path.read_text(), {"consensus": {"create_empty_blocks": False}}))
    assert start(node, capsys) == (
        f"error: {path}: create_empty_blocks in [consensus] is not true; set it, or deadlines and windows never end\n"
    )


def log_of(tmp_path: Path, text: str) -> Child:
    path = tmp_path / "cometbft.log"
    path.write_text('E CONSENSUS FAILURE!!! module=consensus err="of an earlier run"\n' + text)
    offset = path.stat().st_size - len(text.encode())
    return Child("n's CometBFT", process=None, log_path=path, log_offset=offset, tier=1, ready=None)  # type: ignore[arg-type]


def test_a_halt_is_noticed_once_its_line_is_complete(tmp_path: Path) -> None:
    """CometBFT logs it and goes on as a process that decides nothing."""
    child = log_of(tmp_path, "I executed block\n")
    watch = HaltWatch(child)
    watch.check()
    with child.log_path.open("a") as log:
        log.write(
            'E[…] CONSENSUS FAILURE!!!  module=consensus err="write \\"x\\": no space left on device" stack="goro'
        )
        log.flush()
        watch.check()
        log.write('utine 1"\n')
    with pytest.raises(UserError, match='n\'s CometBFT has halted: write "x": no space left on device; put that right'):
        watch.check()
    watch.check()


def test_a_log_that_was_rotated_is_read_from_its_start(tmp_path: Path) -> None:
    child = log_of(tmp_path, "I executed block\n" * 9)
    watch = HaltWatch(child)
    watch.check()
    child.log_path.write_text('E CONSENSUS FAILURE!!! err="wrong Block.Header.AppHash"\n')
    with pytest.raises(UserError, match=r"has halted: wrong Block\.Header\.AppHash"):
        watch.check()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("app_adress = 'x'", "unknown key app_adress; remove it, or use one of: cometbft, app_address"),
        ("app_address = 'x'", "app_address is 'x'; use unix:///PATH or tcp://HOST:PORT"),
        ("app_address = 'tcp://x:y'", "app_address is 'tcp://x:y'; use unix:///PATH or tcp://HOST:PORT"),
        ("cometbft = '/nothing/cometbft'", "/nothing/cometbft is no CometBFT that runs here; `optfl cometbft install`"),
    ],
)
def test_a_wrong_node_toml_is_one_clear_line(
    node: Node, capsys: pytest.CaptureFixture[str], setting: str, message: str
) -> None:
    (node.home / "config" / "node.toml").write_text(setting)
    assert message in start(node, capsys)


def test_a_missing_cometbft_is_one_clear_line(
    node: Node, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("optfl_cli.cometbft.binary_folder", lambda: tmp_path)
    assert "no CometBFT 0.38 found; run `optfl cometbft install`" in start(node, capsys)


def test_a_long_home_meets_its_ledger_over_tcp(node: Node, tmp_path: Path) -> None:
    assert node.choose_app_address() == f"unix://{node.home}/app.sock"
    long = tmp_path / ("x" * 100)
    shutil.copytree(node.home, long)
    assert load_node(long).choose_app_address().startswith("tcp://127.0.0.1:")


def test_node_init_makes_a_chain_and_another_joins_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["node", "init", "--home", str(tmp_path / "a"), "--chain-id", "mine"]) == 0
    made = capsys.readouterr().out
    assert "a node of mine" in made
    genesis = tmp_path / "a" / "config" / "genesis.json"
    peer = made.partition("peers reach it as ")[2].split("@")[0] + "@127.0.0.1:26656"
    arguments = ["node", "init", "--home", str(tmp_path / "b"), "--genesis", str(genesis), "--peer", peer]
    assert main(arguments) == 0
    told = capsys.readouterr().out
    assert "then: optfl tx register-validator" in told
    assert f"--anchor {HashChain(*read_secrets(tmp_path / 'b' / 'config' / 'beacon.json')[0]).anchor.hex()}" in told
    (own,) = read_secrets(tmp_path / "a" / "config" / "beacon.json")
    (validator,) = json.loads(genesis.read_text())["app_state"]["validators"]
    assert validator["beacon_anchor"] == HashChain(*own).anchor.hex()
    assert (tmp_path / "b" / "config" / "genesis.json").read_bytes() == genesis.read_bytes()
    config = tomllib.loads((tmp_path / "b" / "config" / "config.toml").read_text())
    assert config["p2p"]["persistent_peers"] == peer


@pytest.mark.parametrize("text", ["", "[]", '{"chain_id": "x"}'])
def test_joining_with_what_is_no_genesis_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (tmp_path / "genesis.json").write_text(text)
    arguments = ["node", "init", "--home", str(tmp_path / "b"), "--genesis", str(tmp_path / "genesis.json")]
    assert main(arguments) == 1
    assert "is not the genesis file of a chain of ours" in capsys.readouterr().err
