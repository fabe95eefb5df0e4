"""Genesis files: what CometBFT and the ledger read must agree."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path

import pytest

from abci_app import genesis as ledger_genesis
from optfl.keys import SigningKey, address_of
from optfl.wire import state_pb2
from optfl_cli.errors import UserError
from optfl_cli.genesis import GenesisValidator, build_genesis, read_genesis

VALIDATORS = [
    GenesisValidator(f"node{i}", bytes([i]) * 32, SigningKey.from_seed(bytes([i]) * 32).public_key, 10_000_000 + i)
    for i in range(1, 4)
]


def test_the_ledger_takes_it_and_counts_the_same_powers() -> None:
    document = json.loads(build_genesis("chain", VALIDATORS, {b"a" * 20: 5}, {"min_fee": 7}))
    validators = [(base64.b64decode(v["pub_key"]["value"]), int(v["power"])) for v in document["validators"]]
    stores, updates = ledger_genesis.init_chain(json.dumps(document["app_state"]).encode(), "chain", validators, 1)
    assert sorted(updates) == sorted(validators)
    params = state_pb2.Params.FromString(stores["params"][b"params"])
    assert (params.chain_id, params.min_fee) == ("chain", 7)
    assert state_pb2.Account.FromString(stores["accounts"][b"a" * 20]).balance == 5


def test_A9_an_anchor_is_written_where_there_is_one() -> None:
    anchored = replace(VALIDATORS[0], beacon_anchor=b"b" * 32)
    written = json.loads(build_genesis("chain", [anchored, *VALIDATORS[1:]], {}))["app_state"]["validators"]
    assert [v.get("beacon_anchor") for v in written] == ["62" * 32, None, None]


def test_addresses_are_those_of_the_consensus_keys() -> None:
    document = json.loads(build_genesis("chain", VALIDATORS, {}))
    assert [v["address"] for v in document["validators"]] == [
        address_of(v.consensus_key).hex().upper() for v in VALIDATORS
    ]


def test_evidence_does_not_outlive_the_unbonding_time() -> None:
    document = json.loads(build_genesis("chain", VALIDATORS, {}, {"unbonding_blocks": 100, "block_time_ms": 500}))
    evidence = document["consensus_params"]["evidence"]
    assert int(evidence["max_age_num_blocks"]) == 100
    assert int(evidence["max_age_duration"]) == 25 * 10**9


def test_a_validator_without_power_is_left_to_the_ledger() -> None:
    """CometBFT takes none; it may stake more later."""
    poor = GenesisValidator("poor", b"p" * 32, SigningKey.from_seed(b"p" * 32).public_key, 5)
    document = json.loads(build_genesis("chain", [*VALIDATORS, poor], {}))
    assert [v["name"] for v in document["validators"]] == ["node1", "node2", "node3"]
    assert len(document["app_state"]["validators"]) == 4


@pytest.mark.parametrize(
    ("chain_id", "balance", "message"),
    [
        ("chain", -1, r"no chain can begin like this: app_state.accounts\[0\].balance is -1"),
        ("chain", 1 << 70, "no chain can begin like this: app_state.accounts"),
        ("x" * 51, 1, "a chain id has at most 50 characters"),
    ],
)
def test_what_no_chain_can_begin_with_is_not_written(chain_id: str, balance: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_genesis(chain_id, VALIDATORS, {b"a" * 20: balance})


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("", "", ""),
        ('"min_fee": 10', '"min_fee": "x"', "app_state.params.min_fee is 'x'"),
        ('"min_fee"', '"min_feee"', "app_state.params.min_feee is unknown"),
        ('"chain_id"', '"chain"', "is not the genesis file of a chain of ours"),
        ('"power": "10"', '"power": "ten"', "is not the genesis file of a chain of ours"),
        ("{", "[", "is not the genesis file of a chain of ours \\(not JSON: "),
    ],
)
def test_a_genesis_file_is_checked_before_a_node_takes_it(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "genesis.json"
    path.write_text(build_genesis("chain", VALIDATORS, {b"a" * 20: 5}).replace(old, new, 1))
    if not message:
        assert read_genesis(path) == path.read_text()
        return
    with pytest.raises(UserError, match=message) as caught:
        read_genesis(path)
    assert str(path) in str(caught.value)
