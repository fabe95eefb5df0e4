"""Genesis files: what CometBFT and the ledger read must agree."""

from __future__ import annotations

import base64
import json

from abci_app import genesis as ledger_genesis
from optfl.keys import SigningKey, address_of
from optfl.wire import state_pb2
from optfl_cli.genesis import GenesisValidator, build_genesis

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
