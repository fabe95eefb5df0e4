"""A fifth validator joins a running net by a transaction, decides blocks, and leaves it again (amendment A12)."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from offchain.adapters.gateway import Gateway
from offchain.adapters.keystore import read_key
from offchain.adapters.ledger import CometLedger
from optfl import keys
from optfl.keys import SigningKey
from optfl.transactions import decode_reveal
from optfl.wire import transaction_pb2
from optfl_cli.cometbft import find_cometbft
from optfl_cli.localnet import init_localnet
from optfl_cli.main import main
from optfl_cli.node import load_node
from optfl_cli.ports import find_free_ports
from optfl_cli.processes import ProcessGroup

pytestmark = [pytest.mark.localnet, pytest.mark.timeout(180)]

STAKE = 20_000_000


async def wait_for_powers(url: str, condition: Callable[[dict[bytes, int]], bool]) -> dict[bytes, int]:
    """CometBFT's own validator set, once it satisfies `condition`."""
    async with Gateway(url) as gateway:
        height = 0
        while not condition(powers := await gateway.get_voting_power()):
            height = await gateway.wait_for_block(height)
        return powers


async def wait_for_reveal(url: str, consensus_address: bytes) -> None:
    """Return once the validator with this address has proposed a block that begins with a reveal."""
    async with Gateway(url) as gateway:
        height = await gateway.get_height()
        while True:
            block = (await gateway.get_block(height))["block"]
            if bytes.fromhex(block["header"]["proposer_address"]) == consensus_address:
                txs = [base64.b64decode(tx) for tx in block["data"]["txs"]]
                if txs and decode_reveal(txs[0]) is not None:
                    return
            height = await gateway.wait_for_block(height)


async def unbond_all(url: str, key: SigningKey) -> None:
    async with await CometLedger.connect(url, key) as ledger:
        unbond = transaction_pb2.Unbond(role=transaction_pb2.ROLE_VALIDATOR, amount=STAKE)
        result = await ledger.submit(transaction_pb2.Body(unbond=unbond))
        assert result.accepted, result.log


def test_a_validator_joins_and_leaves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = init_localnet(tmp_path / "net", nodes=4, accounts={"fifth": 1_000_000_000}, seed="validator set")
    first = net.nodes[0]
    home = tmp_path / "fifth"
    with ProcessGroup() as group:
        net.start(group)
        url = first.rpc_url
        node_id = asyncio.run(get_node_id(url))
        rpc_port, p2p_port = find_free_ports(2)
        arguments = ["node", "init", "--home", str(home), "--name", "fifth"]
        arguments += ["--genesis", str(first.home / "config" / "genesis.json")]
        arguments += ["--peer", f"{node_id}@127.0.0.1:{first.p2p_port}", "--p2p-host", "127.0.0.1"]
        arguments += ["--rpc-port", str(rpc_port), "--p2p-port", str(p2p_port)]
        assert main(arguments) == 0
        anchor = capsys.readouterr().out.partition("--anchor ")[2].strip()
        node = load_node(home)
        address = node.choose_app_address()
        node.start_app(group, address)
        group.wait_ready(node.app_name)
        node.start_cometbft(group, address, find_cometbft())
        group.wait_ready(node.cometbft_name)

        consensus_file = home / "config" / "priv_validator_key.json"
        arguments = ["tx", "register-validator", "--consensus-key", str(consensus_file), "--stake", str(STAKE)]
        assert main([*arguments, "--key", str(net.key_path("fifth")), "--node", url]) == 0

        joined = asyncio.run(wait_for_powers(url, lambda powers: len(powers) == 5))
        (consensus_key,) = set(joined) - {key for key, power in joined.items() if power != STAKE // 1_000_000}
        arguments = ["tx", "register-beacon", "--anchor", anchor, "--key", str(net.key_path("fifth")), "--node", url]
        assert main(arguments) == 0
        asyncio.run(wait_for_reveal(url, keys.address_of(consensus_key)))

        asyncio.run(unbond_all(url, read_key(net.key_path("fifth"))))
        left = asyncio.run(wait_for_powers(url, lambda powers: len(powers) == 4))
        assert consensus_key not in left


async def get_node_id(url: str) -> str:
    async with Gateway(url) as gateway:
        return str((await gateway.call("status"))["node_info"]["id"])
