"""The first state, from `app_state` of the genesis file.

    {"params":     {<field of Params>: int, …},                                    omitted fields have their default
     "accounts":   [{"address": hex, "balance": int}, …],
     "validators": [{"operator_public_key": hex, "consensus_key": hex, "stake": int,
                     "beacon_anchor": hex}, …]}                                 the end of a hash chain; may be omitted

Stake comes on top of the operator's balance. The validators must be those of the genesis file itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from abci_app.block_end.validator_updates import process_validator_updates
from abci_app.state import State
from abci_app.state.invariants import count_all_tokens
from abci_app.state.keyspace import stake_key
from abci_app.state_machine import MAX_VALIDATORS_POWER, GenesisError, Stores, ValidatorUpdate
from optfl.beacon import VALUE_BYTES
from optfl.keys import ADDRESS_BYTES, PUBLIC_KEY_BYTES, address_of
from optfl.wire import state_pb2, transaction_pb2

MAX_SUPPLY = 1 << 62
MAX_EXCLUSION_BLOCKS = 1 << 30  # it doubles with each fault, and a height has to hold it

DEFAULT_PARAMS: dict[str, int] = {
    "block_time_ms": 1000,
    "min_fee": 10,
    "fee_per_kilobyte": 10,
    "validator_stake_unit": 1_000_000,
    "min_validators": 1,
    "min_validator_stake": 10_000_000,
    "min_aggregator_stake": 10_000_000,
    "min_replica_stake": 1_000_000,
    "min_client_stake": 100_000,
    "unbonding_blocks": 20_000,
    "evidence_blocks": 10_000,
    "proof_bond": 100_000,
    "fraud_slash_percent": 100,
    "equivocation_slash_percent": 50,
    "burned_percent": 50,
    "compensation_percent": 40,
    "reporter_percent": 9,
    "inclusion_percent": 1,
    "max_proof_operations": 1 << 24,
    "max_proofs_per_block": 4,
    "min_task_escrow": 50_000,
    "late_slash_percent": 1,
    "exclusion_blocks": 200,
}


def init_chain(
    genesis: bytes, chain_id: str, validators: Sequence[tuple[bytes, int]], initial_height: int
) -> tuple[Stores, list[ValidatorUpdate]]:
    """State before the first block, and the validators that CometBFT starts with. Raises GenesisError."""
    document = _parse(genesis)
    state = State({})
    state.params_store.put(b"params", _read_params(document.get("params", {}), chain_id))
    state.put_chain(state_pb2.Chain(height=initial_height - 1, beacon=bytes(32), next_task_id=1))
    state.put_supply(state_pb2.Supply())
    for i, entry in enumerate(_read_list(document, "accounts")):
        where = f"accounts[{i}]"
        address = _read_hex(entry, "address", ADDRESS_BYTES, where)
        if address in state.accounts:
            raise GenesisError(f"app_state.{where}: this address stands there twice; keep one of them")
        balance = _read_int(entry, "balance", where)
        if balance == 0:
            raise GenesisError(
                f"app_state.{where}.balance is 0; leave the account out, it begins with a transfer to it"
            )
        state.accounts.put(address, state_pb2.Account(balance=balance))
    for i, entry in enumerate(_read_list(document, "validators")):
        _add_validator(state, entry, f"validators[{i}]")
    supply = state_pb2.Supply(genesis=count_all_tokens(state))
    if supply.genesis > MAX_SUPPLY:
        raise GenesisError(f"app_state holds {supply.genesis} tokens; a ledger can have at most {MAX_SUPPLY}")
    state.put_supply(supply)
    # However stake moves, CometBFT must not see too much power: it adds what joins before it removes what leaves (L5).
    if 2 * supply.genesis // state.params.validator_stake_unit > MAX_VALIDATORS_POWER:
        least = -(-2 * supply.genesis // MAX_VALIDATORS_POWER)
        raise GenesisError(
            f"app_state.params.validator_stake_unit is {state.params.validator_stake_unit}; "
            f"with {supply.genesis} tokens use at least {least}, or CometBFT could halt on too much voting power"
        )
    updates = process_validator_updates(state)
    if len(updates) < state.params.min_validators:
        raise GenesisError(
            f"app_state.validators makes {len(updates)} validators of at least {state.params.min_validators}; "
            "add some, each with a stake of min_validator_stake or more"
        )
    if (told := {key for key, _ in validators}) and told != {u.consensus_key for u in updates}:
        raise GenesisError("app_state.validators has other consensus keys than the genesis file's own validators")
    stores = {name: {k: v for k, v in c.items() if v is not None} for name, c in state.collect_changes().items()}
    return stores, updates


def _parse(genesis: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(genesis)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise GenesisError("app_state of the genesis file is not a JSON object; see docs/operations.md")
    if unknown := sorted(set(document) - {"params", "accounts", "validators"}):
        raise GenesisError(f"app_state.{unknown[0]} is unknown; it has params, accounts and validators")
    return document


def _read_params(given: Any, chain_id: str) -> state_pb2.Params:
    if not isinstance(given, dict):
        raise GenesisError("app_state.params is not a JSON object")
    if unknown := sorted(set(given) - set(DEFAULT_PARAMS)):
        raise GenesisError(f"app_state.params.{unknown[0]} is unknown; remove it or correct its name")
    values = {name: _read_int({**DEFAULT_PARAMS, **given}, name, "params") for name in DEFAULT_PARAMS}
    for name in ("block_time_ms", "validator_stake_unit", "min_validators", "max_proofs_per_block"):
        if values[name] == 0:
            raise GenesisError(f"app_state.params.{name} is 0; use at least 1")
    for name in ("fraud_slash_percent", "equivocation_slash_percent", "late_slash_percent"):
        if values[name] > 100:
            raise GenesisError(f"app_state.params.{name} is {values[name]}; use at most 100")
    if values["exclusion_blocks"] > MAX_EXCLUSION_BLOCKS:
        raise GenesisError(
            f"app_state.params.exclusion_blocks is {values['exclusion_blocks']}; use at most {MAX_EXCLUSION_BLOCKS}"
        )
    shares = ("burned_percent", "compensation_percent", "reporter_percent", "inclusion_percent")
    if sum(values[name] for name in shares) > 100:
        raise GenesisError(f"app_state.params: {', '.join(shares)} add up to more than 100")
    try:
        return state_pb2.Params(chain_id=chain_id, **values)
    except ValueError:
        raise GenesisError("app_state.params: a number does not fit its field; see Params in state.proto") from None


def _add_validator(state: State, entry: Any, where: str) -> None:
    public_key = _read_hex(entry, "operator_public_key", PUBLIC_KEY_BYTES, where)
    consensus_key = _read_hex(entry, "consensus_key", PUBLIC_KEY_BYTES, where)
    operator = address_of(public_key)
    if any(v.consensus_key == consensus_key or v.operator == operator for _, v in state.validators.items()):
        raise GenesisError(f"app_state.{where}: its operator or consensus key stands there twice")
    stake = state_pb2.Stake(
        role=transaction_pb2.ROLE_VALIDATOR,
        address=operator,
        public_key=public_key,
        amount=_read_int(entry, "stake", where),
    )
    state.stakes.put(stake_key(transaction_pb2.ROLE_VALIDATOR, operator), stake)
    anchor = _read_hex(entry, "beacon_anchor", VALUE_BYTES, where) if "beacon_anchor" in entry else b""
    state.validators.put(
        operator, state_pb2.Validator(operator=operator, consensus_key=consensus_key, beacon_tip=anchor)
    )


def _read_list(document: Mapping[str, Any], name: str) -> list[Any]:
    value = document.get(name, [])
    if not isinstance(value, list):
        raise GenesisError(f"app_state.{name} is not a JSON list")
    return value


def _read_int(entry: Any, name: str, where: str) -> int:
    value = entry.get(name) if isinstance(entry, dict) else None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_SUPPLY:
        raise GenesisError(f"app_state.{where}.{name} is {value!r}; give an integer from 0 to {MAX_SUPPLY}")
    return value


def _read_hex(entry: Any, name: str, size: int, where: str) -> bytes:
    value = entry.get(name) if isinstance(entry, dict) else None
    try:
        data = bytes.fromhex(value) if isinstance(value, str) else b""
    except ValueError:
        data = b""
    if len(data) != size:
        raise GenesisError(f"app_state.{where}.{name} is {value!r}; give {size} bytes in hexadecimal")
    return data
