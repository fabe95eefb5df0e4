"""`python -m support.counter_app DATABASE ADDRESS`: the counter behind the real shell, with a crash or a bug on demand.

With CRASH_AT="<point> <transaction>" the process kills itself with SIGKILL at that point of the block with it.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from abci_app.__main__ import run
from abci_app.app_hash import MerkleState
from abci_app.state_machine import Block, BlockResults, Changes, Stores
from abci_app.store import Store, Version
from support.counter import Counter

CRASH_POINTS = ("before_finalize", "after_finalize", "before_commit", "in_commit", "after_commit")


class CrashingCounter(Counter):
    """Also writes each height down, so that every block, empty ones too, has an app hash of its own."""

    transactions: tuple[bytes, ...] = ()  # of the last block

    def apply_block(self, stores: Stores, block: Block) -> BlockResults:
        if b"bug:1" in block.transactions:
            raise ZeroDivisionError("a bug of the state machine")
        CrashingCounter.transactions = block.transactions
        crash("before_finalize")
        results = super().apply_block(stores, block)
        results.changes.setdefault("totals", {})[b"height"] = block.height.to_bytes(8, "big")
        crash("after_finalize")
        return results


class CrashingStore(Store):
    def commit(self, versions: Sequence[Version]) -> None:
        crash("before_commit")
        super().commit(versions)
        crash("after_commit")

    def _write(self, version: Version, undo: Changes) -> None:
        super()._write(version, undo)
        crash("in_commit")


def crash(point: str) -> None:
    wanted, _, tx = os.environ.get("CRASH_AT", "").partition(" ")
    if wanted == point and tx.encode() in CrashingCounter.transactions:
        os.kill(os.getpid(), signal.SIGKILL)


def compute_app_hashes(blocks: Sequence[Block], genesis: bytes) -> list[bytes]:
    """The app hash after each of a chain's blocks, computed apart from any node."""
    ledger = CrashingCounter()
    stores, _ = ledger.init_chain(genesis, "", [], 1)
    state, app_hashes = MerkleState.from_stores(stores), []
    for block in blocks:
        state = state.update(ledger.apply_block(state, block).changes)
        app_hashes.append(state.app_hash)
    return app_hashes


if __name__ == "__main__":
    run(CrashingStore(Path(sys.argv[1])), CrashingCounter(), sys.argv[2])
