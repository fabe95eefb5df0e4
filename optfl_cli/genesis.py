"""Genesis files: who has what when a chain begins, for CometBFT and for the ledger (`app_state`)."""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from abci_app.genesis import DEFAULT_PARAMS, init_chain
from abci_app.state_machine import GenesisError
from optfl.keys import address_of
from optfl_cli.errors import UserError

MAX_CHAIN_ID_CHARACTERS = 50  # CometBFT's
BLOCK_BYTES = 4 << 20  # a few of the largest transactions


@dataclass(frozen=True)
class GenesisValidator:
    """A validator of the first block. Its voting power is its stake // `validator_stake_unit`."""

    name: str
    operator_public_key: bytes
    consensus_key: bytes
    stake: int
    beacon_anchor: bytes = b""  # the end of its hash chain; without, it earns no fees until it registers one


def build_genesis(
    chain_id: str,
    validators: Sequence[GenesisValidator],
    balances: Mapping[bytes, int],
    params: Mapping[str, int] | None = None,
) -> str:
    """A genesis file. `balances` are by address; `params` replace defaults of the ledger's (`abci_app.genesis`).

    Raises UserError if no chain could begin with it.
    """
    if len(chain_id) > MAX_CHAIN_ID_CHARACTERS:
        raise UserError(f"a chain id has at most {MAX_CHAIN_ID_CHARACTERS} characters; shorten {chain_id!r}")
    all_params = {**DEFAULT_PARAMS, **(params or {})}
    app_state = {
        "params": all_params,
        "accounts": [{"address": address.hex(), "balance": balance} for address, balance in balances.items()],
        "validators": [
            {
                "operator_public_key": validator.operator_public_key.hex(),
                "consensus_key": validator.consensus_key.hex(),
                "stake": validator.stake,
                **({"beacon_anchor": validator.beacon_anchor.hex()} if validator.beacon_anchor else {}),
            }
            for validator in validators
        ],
    }
    try:
        _, updates = init_chain(json.dumps(app_state).encode(), chain_id, [], 1)
    except GenesisError as error:
        raise UserError(f"no chain can begin like this: {error}") from None
    powers = {update.consensus_key: update.power for update in updates}
    document = {
        "genesis_time": datetime.datetime.now(datetime.UTC).isoformat().replace("+00:00", "Z"),
        "chain_id": chain_id,
        "initial_height": "1",
        "consensus_params": _build_consensus_params(all_params),
        "validators": [
            {
                "address": address_of(validator.consensus_key).hex().upper(),
                "pub_key": encode_public_key(validator.consensus_key),
                "power": str(powers[validator.consensus_key]),
                "name": validator.name,
            }
            for validator in validators
            if validator.consensus_key in powers  # CometBFT takes none without power
        ],
        "app_hash": "",
        "app_state": app_state,
    }
    return json.dumps(document, indent=2) + "\n"


def read_genesis(path: Path) -> str:
    """A genesis file with which a chain of ours can begin; raises UserError."""
    try:
        text = path.read_text(encoding="utf-8")
        document = json.loads(text)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; give the chain's genesis.json") from None
    except ValueError as error:
        raise UserError(f"{path} is not the genesis file of a chain of ours (not JSON: {error})") from None
    try:
        validators = [(base64.b64decode(v["pub_key"]["value"]), int(v["power"])) for v in document["validators"] or ()]
        app_state, chain_id, height = document["app_state"], document["chain_id"], int(document["initial_height"])
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{path} is not the genesis file of a chain of ours (no chain_id or app_state)") from None
    try:
        init_chain(json.dumps(app_state).encode(), str(chain_id), validators, height)
    except GenesisError as error:
        raise UserError(f"{path}: {error}") from None
    return text


def encode_public_key(public_key: bytes) -> dict[str, str]:
    """An ed25519 key in CometBFT's JSON."""
    return {"type": "tendermint/PubKeyEd25519", "value": base64.b64encode(public_key).decode()}


def encode_private_key(seed: bytes, public_key: bytes) -> dict[str, str]:
    """An ed25519 private key in CometBFT's JSON: the seed, then the public key."""
    return {"type": "tendermint/PrivKeyEd25519", "value": base64.b64encode(seed + public_key).decode()}


def _build_consensus_params(params: Mapping[str, int]) -> dict[str, object]:
    # Evidence expires once it is older than both ages. Blocks must decide, or stake could be free before its evidence
    # is too old; so the time is half of what the blocks are expected to take.
    unbonding_ms = params["unbonding_blocks"] * params["block_time_ms"]
    return {
        "block": {"max_bytes": str(BLOCK_BYTES), "max_gas": "-1"},
        "evidence": {
            "max_age_num_blocks": str(params["unbonding_blocks"]),
            "max_age_duration": str(max(1, unbonding_ms // 2) * 1_000_000),
            "max_bytes": str(1 << 20),
        },
        "validator": {"pub_key_types": ["ed25519"]},
        "version": {"app": "0"},
        "abci": {"vote_extensions_enable_height": "0"},
    }
