"""A net of four real validators, used as its operator does: through the command line and the ledger adapter."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from offchain.adapters import gateway as gateway_module
from offchain.adapters.gateway import Gateway
from offchain.adapters.keystore import read_key
from offchain.adapters.ledger import CometLedger
from optfl import errors
from optfl.keys import address_of
from optfl.transactions import decode_reveal
from optfl.wire import transaction_pb2
from optfl_cli.errors import UserError
from optfl_cli.localnet import Localnet, get_height, init_localnet, load_localnet
from optfl_cli.main import main
from optfl_cli.processes import ProcessGroup

pytestmark = pytest.mark.localnet

ROOT = Path(__file__).parents[2]
BOUND_SECONDS = 60.0


def ask(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """The JSON that `optfl ARGUMENTS --json` prints."""
    code = main([*arguments, "--json"])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return json.loads(captured.out)


def test_all_nodes_have_the_same_state(net: Localnet) -> None:
    async def collect() -> set[bytes]:
        hashes = set()
        for node in net.nodes:
            async with Gateway(node.rpc_url) as gateway:
                await gateway.wait_for_block(3)
                hashes.add(await gateway.get_app_hash(2))
                status = await gateway.get_status()
                assert (status.chain_id, status.catching_up) == (net.chain_id, False)
                params = await gateway.get_params()
                assert params.chain_id == net.chain_id
        return hashes

    assert len(asyncio.run(collect())) == 1


def test_blocks_that_change_no_task_are_passed_over(net: Localnet, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a real node publishes of its blocks is what the gateway understands."""
    monkeypatch.setattr(gateway_module, "_MAX_REST_BLOCKS", 3)

    async def wait() -> tuple[int, int]:
        async with Gateway(net.nodes[0].rpc_url) as gateway:
            first = 0
            while not gateway._subscribed:
                first = await gateway.wait_for_block(first)
            first = await gateway.wait_for_block(first)
            return first, await gateway.wait_for_change(7, first)

    first, last = asyncio.run(wait())
    assert last >= first + 3


def test_transactions_of_one_account_through_the_adapter(net: Localnet) -> None:
    """In order while several are under way, after another process used the account, and rejected ones too."""

    def transfer(amount: int) -> transaction_pb2.Body:
        return transaction_pb2.Body(transfer=transaction_pb2.Transfer(recipient=b"z" * 20, amount=amount))

    async def scenario() -> None:
        key = read_key(net.key_path("alice"))
        async with (
            await CometLedger.connect(net.nodes[0].rpc_url, key) as ledger,
            await CometLedger.connect(net.nodes[0].rpc_url, key) as other,
        ):
            results = await asyncio.gather(*(ledger.submit(transfer(1)) for _ in range(5)))
            assert [result.code for result in results] == [0] * 5
            assert (await other.submit(transfer(2))).accepted
            assert (await ledger.submit(transfer(3))).accepted
            poor = await ledger.submit(transfer(10**12))
            assert poor.code == errors.InsufficientBalance.code
            assert await ledger.get_task(99) is None
            account = await ledger.gateway.get_account(key.address)
            assert account is not None
            assert account.sequence == 8
            received = await ledger.gateway.get_account(b"z" * 20)
            assert received is not None
            assert received.balance == 10

    asyncio.run(scenario())


def test_a_transaction_sent_to_one_node_is_seen_through_another(
    net: Localnet, capsys: pytest.CaptureFixture[str]
) -> None:
    sender, recipient = net.key_path("bob"), "0b" * 20
    first, last = net.nodes[0].rpc_url, net.nodes[3].rpc_url
    arguments = ["tx", "transfer", "--to", recipient, "--amount", "7", "--key", str(sender), "--node", first]
    sent = ask(capsys, *arguments)
    assert sent["code"] == 0

    async def wait() -> None:
        async with Gateway(last) as gateway:
            await gateway.wait_for_block(sent["height"])

    asyncio.run(wait())
    assert ask(capsys, "query", "account", recipient, "--node", last)["balance"] == 7
    proven = ask(capsys, "query", "account", recipient, "--prove", "--node", last)
    assert proven["value"] == {"balance": 7, "sequence": 0}
    assert len(proven["proven_against_app_hash"]) == 64
    found = ask(capsys, "query", "tx", sent["hash"], "--node", last)
    assert (found["height"], found["code"]) == (sent["height"], 0)
    block = ask(capsys, "query", "block", str(sent["height"]), "--node", last)
    assert len(block["results"]["txs_results"]) == 2  # the proposer's reveal, and the transfer


def test_a_role_is_registered_and_its_stake_grows_and_shrinks(
    net: Localnet, capsys: pytest.CaptureFixture[str]
) -> None:
    at = ["--node", net.nodes[1].rpc_url]
    key = ["--key", str(net.key_path("carol")), *at]
    address = str(net.key_path("carol"))
    ask(capsys, "tx", "register-role", "--role", "client", "--stake", "500000", *key)
    ask(capsys, "tx", "add-stake", "--role", "client", "--amount", "5", *key)
    ask(capsys, "tx", "unbond", "--role", "client", "--amount", "3", *key)
    answer = ask(capsys, "query", "stake", address, *at)
    (stake,) = answer["stakes"]
    assert (stake["role"], stake["amount"]) == ("client", 500_002)
    assert [entry["amount"] for entry in answer["unbonding"]] == [3]
    proven = ask(capsys, "query", "stake", address, "--role", "client", "--prove", *at)
    assert proven["value"]["role"] == "client"


def test_a_refusal_is_one_clear_line_with_its_code(
    net: Localnet, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    body = tmp_path / "body.json"
    body.write_text(json.dumps({"cancel_task": {"task_id": 12}}))
    assert main(["tx", "send", str(body), "--key", str(net.key_path("dave")), "--node", net.nodes[2].rpc_url]) == 1
    assert f"error: refused with code {errors.UnknownTask.code}: UnknownTask" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["{", "[]", '{"transfer": {}, "unbond": {}}', '{"transfer": {"amount": "x"}}'])
def test_a_body_that_is_none_is_one_clear_line(
    net: Localnet, capsys: pytest.CaptureFixture[str], tmp_path: Path, content: str
) -> None:
    body = tmp_path / "body.json"
    body.write_text(content)
    assert main(["tx", "send", str(body), "--key", str(net.key_path("dave")), "--node", net.nodes[2].rpc_url]) == 1
    error = capsys.readouterr().err
    assert str(body) in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "question",
    [
        ["status"],
        ["params"],
        ["params", "--prove"],
        ["supply", "--prove"],
        ["validators"],
        ["stake"],
        ["tasks"],
        ["block"],
        ["store", "chain"],
        ["store", "supply", "--prove"],
    ],
)
def test_every_question_has_a_table_and_json(
    net: Localnet, capsys: pytest.CaptureFixture[str], question: list[str]
) -> None:
    at = ["--node", net.nodes[0].rpc_url]
    assert isinstance(ask(capsys, "query", *question, *at), dict)
    assert main(["query", *question, *at]) == 0
    assert capsys.readouterr().out.strip()


def test_validators_have_the_power_of_their_stake(net: Localnet, capsys: pytest.CaptureFixture[str]) -> None:
    answer = ask(capsys, "query", "validators", "--node", net.nodes[0].rpc_url)
    assert [(v["power"], v["cometbft_power"]) for v in answer["validators"]] == [(10, 10)] * 4


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (["task", "99"], "no task 99; `optfl query tasks` lists them"),
        (["account", "00" * 20], "an account begins with the first transfer to it"),
        (["tx", "00" * 32], "no block has the transaction"),
        (["store", "accounts"], "give the key of the value in store accounts"),
        (["store", "accounts", "00"], "store accounts has no key 00"),
        (["params", "--height", "1000000"], "height 1000000 is not reached"),
        (["stake", "--prove"], "give its ADDRESS and --role"),
        (["block", "1000000"], "must be less than or equal to the current blockchain height"),
    ],
)
def test_what_is_not_there_is_one_clear_line(
    net: Localnet, capsys: pytest.CaptureFixture[str], question: list[str], message: str
) -> None:
    assert main(["query", *question, "--node", net.nodes[0].rpc_url]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_seed_makes_the_same_keys_again(tmp_path: Path) -> None:
    nets = [init_localnet(tmp_path / name, nodes=1, accounts={"a": 1}, seed="s") for name in ("x", "y")]
    assert nets[0].chain_id == nets[1].chain_id
    for name in ("a", "node0"):
        assert nets[0].key_path(name).read_text() == nets[1].key_path(name).read_text()
    for name in ("node_key.json", "priv_validator_key.json"):
        texts = [(net.nodes[0].home / "config" / name).read_text() for net in nets]
        assert texts[0] == texts[1]
    other = init_localnet(tmp_path / "z", nodes=1, accounts={"a": 1}, seed="t")
    assert other.key_path("a").read_text() != nets[0].key_path("a").read_text()


def test_nodes_of_one_machine_share_its_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the user's own word on it counts."""
    node = init_localnet(tmp_path / "net", nodes=1).nodes[0]
    monkeypatch.delenv("GOMAXPROCS", raising=False)
    with ProcessGroup() as group:
        started: list[dict[str, object]] = []
        monkeypatch.setattr(group, "start", lambda *_, **options: started.append(options))
        node.start_cometbft(group, "unix:///nowhere", Path("cometbft"), cores=3)
        node.start_cometbft(group, "unix:///nowhere", Path("cometbft"))
        monkeypatch.setenv("GOMAXPROCS", "2")
        node.start_cometbft(group, "unix:///nowhere", Path("cometbft"), cores=3)
    assert [options["env"] for options in started] == [{"GOMAXPROCS": "3"}, {}, {}]


def test_a_net_can_be_moved(tmp_path: Path) -> None:
    net = init_localnet(tmp_path / "x", nodes=2)
    (tmp_path / "x").rename(tmp_path / "y")
    moved = load_localnet(tmp_path / "y")
    assert [node.home for node in moved.nodes] == [tmp_path / "y" / "node0", tmp_path / "y" / "node1"]
    assert moved.chain_id == net.chain_id
    config = tomllib.loads((moved.nodes[0].home / "config" / "config.toml").read_text())
    assert config["p2p"]["persistent_peers"].endswith(f"@127.0.0.1:{moved.nodes[1].p2p_port}")


def test_a_net_is_not_made_twice_nor_without_nodes_nor_started_from_nowhere(tmp_path: Path) -> None:
    init_localnet(tmp_path / "x", nodes=1)
    with pytest.raises(UserError, match="holds a net already"):
        init_localnet(tmp_path / "x", nodes=1)
    with pytest.raises(UserError, match="has 1 to 32 nodes, not 0"):
        init_localnet(tmp_path / "y", nodes=0)
    with pytest.raises(UserError, match="has at most 50 characters"):
        init_localnet(tmp_path / "y", nodes=1, chain_id="x" * 51)
    with pytest.raises(UserError, match="no local net in"):
        load_localnet(tmp_path / "y")


class Running:
    """`optfl localnet start`, line by line."""

    def __init__(self, home: Path) -> None:
        self.net = load_localnet(home)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "optfl_cli", "localnet", "start", "--home", str(home)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        )

    def read_until(self, text: str) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if text in line:
                return line
        raise AssertionError(f"the net ended without saying {text!r}")

    def kill_cometbft(self, index: int) -> None:
        home = str(self.net.nodes[index].home)
        for entry in Path("/proc").iterdir():
            command = (entry / "cmdline").read_text().split("\0") if entry.name.isdigit() else []
            if command[1:4] == ["start", "--home", home]:
                os.kill(int(entry.name), signal.SIGKILL)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    init_localnet(tmp_path / "net", nodes=4)
    running = Running(tmp_path / "net")
    with running.process:
        try:
            yield running
        finally:
            running.process.kill()


def test_a_net_goes_on_without_one_node_and_not_without_two(running: Running) -> None:
    running.read_until("node3  http://")
    running.kill_cometbft(2)
    assert "node2's CometBFT ended with SIGKILL" in running.read_until("ended with")
    assert "optfl node start --home" in running.read_until("node2 is down; the others go on")
    height = get_height(running.net.nodes[0].rpc_url)
    assert height is not None
    deadline = time.monotonic() + BOUND_SECONDS
    while (get_height(running.net.nodes[0].rpc_url) or 0) < height + 5:
        assert time.monotonic() < deadline, "the net stands still"
        time.sleep(0.05)
    running.kill_cometbft(0)
    running.read_until("error: 2 of 4 nodes are too few to decide blocks")
    assert running.process.wait(BOUND_SECONDS) == 1
    assert [get_height(node.rpc_url) for node in running.net.nodes] == [None] * 4


def test_ctrl_c_ends_a_net(running: Running) -> None:
    running.read_until("node3  http://")
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(BOUND_SECONDS) == 0
    assert [get_height(node.rpc_url) for node in running.net.nodes] == [None] * 4


def test_A9_every_block_begins_with_its_proposers_reveal(net: Localnet, capsys: pytest.CaptureFixture[str]) -> None:
    """A lap of all four, read off another node than any one of them."""
    url = net.nodes[1].rpc_url

    async def read_blocks() -> list[tuple[bytes, list[bytes]]]:
        async with Gateway(url) as gateway:
            height = await gateway.wait_for_block(await gateway.get_height() + 5)
            blocks = [(await gateway.get_block(h))["block"] for h in range(height - 5, height)]
        return [
            (bytes.fromhex(b["header"]["proposer_address"]), [base64.b64decode(tx) for tx in b["data"]["txs"]])
            for b in blocks
        ]

    validators = ask(capsys, "query", "validators", "--node", url)["validators"]
    operators = {address_of(bytes.fromhex(v["consensus_key"])): bytes.fromhex(v["operator"]) for v in validators}
    blocks = asyncio.run(read_blocks())
    assert len({proposer for proposer, _ in blocks}) == 4
    for proposer, txs in blocks:
        reveal = decode_reveal(txs[0])
        assert reveal is not None
        assert reveal.operator == operators[proposer]
