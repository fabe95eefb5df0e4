"""The first state: what a genesis file says, or one clear line about what is wrong with it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abci_app import ledger
from abci_app.genesis import DEFAULT_PARAMS, MAX_SUPPLY
from abci_app.state import State
from abci_app.state.invariants import check_state
from abci_app.state.keyspace import stake_key
from abci_app.state_machine import MAX_VALIDATORS_POWER, GenesisError, Stores, ValidatorUpdate
from support.ledger import (
    ACCOUNTS,
    BALANCE,
    CHAIN_ID,
    PARAMS,
    VALIDATOR,
    VALIDATOR_STAKE,
    VALIDATORS,
    consensus_key,
    genesis_document,
)


def init(document: Any, validators: Any = ()) -> tuple[Stores, list[ValidatorUpdate]]:
    genesis = document if isinstance(document, bytes) else json.dumps(document).encode()
    return ledger.init_chain(genesis, CHAIN_ID, list(validators), 1)


def test_everything_of_the_file_is_in_the_state() -> None:
    stores, updates = init(genesis_document())
    state = State(stores)
    check_state(state)
    assert {a for a, _ in state.accounts.items()} == {k.address for k in ACCOUNTS}
    assert all(account.balance == BALANCE for _, account in state.accounts.items())
    assert state.supply.genesis == len(ACCOUNTS) * BALANCE + 4 * VALIDATOR_STAKE
    assert (state.supply.burned, state.supply.fee_pot) == (0, 0)
    for i, operator in enumerate(VALIDATORS):
        stake = state.stakes[stake_key(VALIDATOR, operator.address)]
        assert (stake.amount, stake.public_key) == (VALIDATOR_STAKE, operator.public_key)
        assert state.validators[operator.address].consensus_key == consensus_key(f"validator-{i}").public_key
    assert sorted(updates) == sorted((consensus_key(f"validator-{i}").public_key, 100) for i in range(4))


def test_A9_anchors_are_in_force_from_the_first_block_on() -> None:
    document = genesis_document()
    document["validators"][1]["beacon_anchor"] = "ab" * 32
    stores, _ = ledger.init_chain(json.dumps(document).encode(), CHAIN_ID, [], 1)
    tips = [v.beacon_tip for _, v in State(stores).validators.items()]
    assert sorted(tips) == [b"", b"", b"", b"\xab" * 32]


def test_parameters_are_those_of_the_file_or_their_defaults() -> None:
    stores, _ = init(genesis_document())
    params = State(stores).params
    assert params.chain_id == CHAIN_ID
    for name, default in DEFAULT_PARAMS.items():
        assert getattr(params, name) == PARAMS.get(name, default)


def test_every_parameter_has_a_default() -> None:
    stores, _ = init(genesis_document())
    fields = {field.name for field in State(stores).params.DESCRIPTOR.fields}
    assert fields == {*DEFAULT_PARAMS, "chain_id"}


def test_the_order_of_the_file_does_not_matter() -> None:
    document = genesis_document()
    reversed_document = {name: document[name] for name in reversed(document)}
    reversed_document["accounts"] = document["accounts"][::-1]
    reversed_document["validators"] = document["validators"][::-1]
    assert init(document) == init(reversed_document)


def test_the_initial_height_is_the_next_blocks() -> None:
    stores, _ = ledger.init_chain(json.dumps(genesis_document()).encode(), CHAIN_ID, [], 1000)
    assert State(stores).chain.height == 999


def test_the_validators_must_be_those_of_cometbfts_own_list() -> None:
    own = [(consensus_key(f"validator-{i}").public_key, 1) for i in range(4)]
    init(genesis_document(), own)
    init(genesis_document(), reversed(own))
    for other in (own[:3], [*own, (bytes(32), 1)], [*own[:3], (bytes(32), 1)]):
        with pytest.raises(GenesisError, match="other consensus keys"):
            init(genesis_document(), other)


def path(*names: Any) -> Callable[[Any, Any], Any]:
    """Puts a value where `names` lead to in the document."""

    def put(document: Any, value: Any) -> Any:
        inner = document
        for name in names[:-1]:
            inner = inner[name]
        inner[names[-1]] = value
        return document

    return put


ACCOUNT, FIRST = path("accounts", 0), path("validators", 0)
WRONG: list[tuple[str, Callable[[Any, Any], Any], Any, str]] = [
    ("unknown section", path("extra"), 1, "app_state.extra is unknown"),
    ("params no object", path("params"), [], "params is not a JSON object"),
    ("unknown parameter", path("params", "min_fees"), 1, "params.min_fees is unknown"),
    ("parameter no number", path("params", "min_fee"), "10", "params.min_fee is '10'"),
    ("parameter a fraction", path("params", "min_fee"), 1.0, "params.min_fee is 1.0"),
    ("parameter a truth", path("params", "min_fee"), True, "params.min_fee is True"),
    ("parameter negative", path("params", "min_fee"), -1, "params.min_fee is -1"),
    ("parameter null", path("params", "min_fee"), None, "params.min_fee is None"),
    ("parameter too large", path("params", "min_fee"), MAX_SUPPLY + 1, "params.min_fee is"),
    ("parameter of 32 bits", path("params", "evidence_blocks"), 2**32, "does not fit its field"),
    ("no block time", path("params", "block_time_ms"), 0, "block_time_ms is 0"),
    ("no unit", path("params", "validator_stake_unit"), 0, "validator_stake_unit is 0"),
    ("no least set", path("params", "min_validators"), 0, "min_validators is 0"),
    ("no proofs", path("params", "max_proofs_per_block"), 0, "max_proofs_per_block is 0"),
    ("more than all", path("params", "fraud_slash_percent"), 101, "fraud_slash_percent is 101"),
    ("more than all, again", path("params", "equivocation_slash_percent"), 101, "equivocation_slash_percent is 101"),
    ("an exclusion that no height holds", path("params", "exclusion_blocks"), (1 << 30) + 1, "use at most"),
    ("shares of more than all", path("params", "reporter_percent"), 10, "more than 100"),
    ("shares of more than all, again", path("params", "inclusion_percent"), 2, "more than 100"),
    ("accounts no list", path("accounts"), {}, "accounts is not a JSON list"),
    ("account no object", ACCOUNT, 5, r"accounts\[0\].address"),
    ("account twice", path("accounts", 1), genesis_document()["accounts"][0], r"accounts\[1\].*twice"),
    ("no address", path("accounts", 0), {"balance": 1}, r"accounts\[0\].address is None"),
    ("short address", path("accounts", 0, "address"), "00" * 19, r"accounts\[0\].address"),
    ("address no hex", path("accounts", 0, "address"), "zz" * 20, r"accounts\[0\].address"),
    ("address a number", path("accounts", 0, "address"), 5, r"accounts\[0\].address is 5"),
    ("no balance", path("accounts", 0), {"address": "00" * 20}, r"accounts\[0\].balance is None"),
    ("negative balance", path("accounts", 0, "balance"), -1, r"accounts\[0\].balance is -1"),
    ("empty account", path("accounts", 0, "balance"), 0, r"accounts\[0\].balance is 0"),
    ("more than there can be", path("accounts", 0, "balance"), MAX_SUPPLY, "at most"),
    ("validators no list", path("validators"), 5, "validators is not a JSON list"),
    ("no validators", path("validators"), [], "makes 0 validators of at least 3"),
    ("validator no object", FIRST, None, r"validators\[0\]"),
    ("validator twice", path("validators", 1), genesis_document()["validators"][0], r"validators\[1\].*twice"),
    ("short consensus key", path("validators", 0, "consensus_key"), "00", r"validators\[0\].consensus_key"),
    ("short operator key", path("validators", 0, "operator_public_key"), "00", r"validators\[0\].operator_public_key"),
    ("no stake", path("validators", 0), {**genesis_document()["validators"][0], "stake": None}, r"\[0\].stake is None"),
    ("short anchor", path("validators", 0, "beacon_anchor"), "00" * 31, r"validators\[0\].beacon_anchor"),
    ("anchor null", path("validators", 0, "beacon_anchor"), None, r"validators\[0\].beacon_anchor is None"),
    ("anchor empty", path("validators", 0, "beacon_anchor"), "", r"validators\[0\].beacon_anchor is ''"),
    ("consensus key twice", path("validators", 1, "consensus_key"),
     genesis_document()["validators"][0]["consensus_key"], r"validators\[1\].*twice"),
]  # fmt: skip


@pytest.mark.parametrize(("put", "value", "message"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_what_is_wrong_is_named(put: Callable[[Any, Any], Any], value: Any, message: str) -> None:
    with pytest.raises(GenesisError, match=message) as error:
        init(put(copy.deepcopy(genesis_document()), value))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "genesis",
    [b"", b"null", b"[]", b'"x"', b"{", b"\xff\xfe", b"1" * 5000, b'{"params": {}' + b"[" * 100_000, b"NaN"],
    ids=["empty", "null", "list", "text", "truncated", "no UTF-8", "huge number", "deep", "NaN"],
)
def test_what_is_no_json_object_is_refused(genesis: bytes) -> None:
    with pytest.raises(GenesisError, match="not a JSON object"):
        init(genesis)


def test_validators_with_too_little_stake_do_not_count() -> None:
    document = genesis_document()
    document["validators"][0]["stake"] = PARAMS["min_validator_stake"] - 1
    assert len(init(document)[1]) == 3
    document["validators"][1]["stake"] = 0
    with pytest.raises(GenesisError, match="makes 2 validators of at least 3"):
        init(document)


def test_L5_stake_cannot_become_more_power_than_cometbft_counts() -> None:
    """However it moves: CometBFT adds the power of who joins before it takes off that of who leaves."""
    document = genesis_document(validator_stake_unit=1)
    with_most = 4 * VALIDATOR_STAKE + (len(ACCOUNTS) - 1) * BALANCE
    document["accounts"][0]["balance"] = MAX_VALIDATORS_POWER // 2 - with_most
    assert State(init(document)[0]).supply.genesis == MAX_VALIDATORS_POWER // 2
    document["accounts"][0]["balance"] += 1
    with pytest.raises(GenesisError, match=r"validator_stake_unit is 1; .* use at least 2"):
        init(document)
    document["params"]["validator_stake_unit"] = 2
    document["accounts"][0]["balance"] = MAX_VALIDATORS_POWER - with_most
    init(document)
    document["accounts"][0]["balance"] += 1
    with pytest.raises(GenesisError, match="validator_stake_unit is 2"):
        init(document)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
SECTIONS = st.sampled_from(["params", "accounts", "validators"])
FIELDS = st.sampled_from(
    [*DEFAULT_PARAMS, "address", "balance", "consensus_key", "operator_public_key", "stake", "beacon_anchor"]
)


@given(st.dictionaries(SECTIONS, JSON | st.lists(st.dictionaries(FIELDS, JSON)) | st.dictionaries(FIELDS, JSON)))
def test_any_file_is_taken_or_refused(document: Any) -> None:
    with pytest.raises(GenesisError):  # without three validators of enough stake none of them can be taken
        init(document)
