"""A small but real state machine: counters that only count upwards, one by one.

A transaction is `name:n`, accepted when n is the counter's next value; `name:drop` deletes the counter, and
`power:<consensus key in hex>:<n>` gives a validator voting power.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from abci_app.overlay import Overlay
from abci_app.state_machine import (
    Block,
    BlockResults,
    Changes,
    Event,
    FindPreimage,
    GenesisError,
    Stores,
    TxResult,
    ValidatorUpdate,
    compute_block_bytes,
)

MALFORMED, WRONG_VALUE = 1, 2
TOTAL_KEY = b"total"


class Counter:
    """Stores: `counters` by name, `totals` with the number of counts and of misbehaviors."""

    def init_chain(
        self, genesis: bytes, chain_id: str, validators: Sequence[tuple[bytes, int]], initial_height: int
    ) -> tuple[Stores, list[ValidatorUpdate]]:
        try:
            counters = {name.encode(): _encode(value) for name, value in json.loads(genesis).items()}
        except (ValueError, AttributeError) as error:
            raise GenesisError("app_state maps names to numbers; correct the genesis file") from error
        return {"counters": counters, "totals": {TOTAL_KEY: _encode(0)}, "unused": {}}, []

    def apply_block(self, stores: Stores, block: Block) -> BlockResults:
        overlay = Overlay(stores)
        results, updates, changes = [], [], Changes()
        for tx in block.transactions:
            result, tx_changes = self.check_tx(overlay, tx)
            results.append(result)
            if tx.startswith(b"power:") and result.code == 0:
                _, key, power = tx.split(b":")
                updates.append(ValidatorUpdate(bytes.fromhex(key.decode()), int(power)))
            overlay.apply(tx_changes)
            _merge(changes, tx_changes)
        if block.misbehavior:
            _merge(changes, {"totals": {b"misbehaviors": _encode(len(block.misbehavior))}})
        return BlockResults(results, [Event("end", (("height", str(block.height)),))], updates, changes)

    def check_tx(self, stores: Stores, tx: bytes) -> tuple[TxResult, Changes]:
        if tx.startswith(b"power:"):
            return TxResult(), {}
        name, _, wanted = tx.partition(b":")
        current = int.from_bytes(stores.get("counters", {}).get(name, b""), "big")
        if wanted == b"drop":
            return TxResult(events=(Event("drop"),)), {"counters": {name: None}}
        if not wanted.isdigit():
            return TxResult(MALFORMED, "use name:value"), {}
        if int(wanted) != current + 1:
            return TxResult(WRONG_VALUE, f"the next value is {current + 1}"), {}
        total = int.from_bytes(stores["totals"][TOTAL_KEY], "big")
        return TxResult(events=(Event("count", (("name", name.decode()),)),), gas_used=1, gas_wanted=1), {
            "counters": {name: _encode(current + 1)},
            "totals": {TOTAL_KEY: _encode(total + 1)},
        }

    def prepare_proposal(
        self,
        stores: Stores,
        txs: Sequence[bytes],
        max_bytes: int,
        proposer_address: bytes,
        find_preimage: FindPreimage,
    ) -> list[bytes]:
        chosen: list[bytes] = []
        for tx in txs:
            max_bytes -= compute_block_bytes(tx)
            if max_bytes < 0:
                break
            chosen.append(tx)
        return chosen

    def process_proposal(self, stores: Stores, txs: Sequence[bytes], proposer_address: bytes) -> bool:
        return all(b":" in tx for tx in txs)

    def query(self, stores: Stores, path: str, data: bytes, height: int) -> tuple[int, bytes]:
        if path != "/total":
            return MALFORMED, b"no such path; use /total"
        return 0, stores["totals"][TOTAL_KEY]


def _encode(value: int) -> bytes:
    return value.to_bytes(8, "big")


def _merge(changes: Changes, more: Changes) -> None:
    for name, of_store in more.items():
        changes.setdefault(name, {}).update(of_store)
