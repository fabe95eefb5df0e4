"""A validator: re-executes every aggregation in full and proves a wrong one.  # seed 001, Alg. 2

It is told nothing: it looks at each attempt on the ledger, fetches what the attempt names, and compares. Anyone who can
pay the fee and the bond can run this, beside a node or not.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging

import numpy as np

from offchain.interfaces import Blobs, Ledger
from offchain.roles.views import TRANSIENT, Aggregate, fetch_model, fetch_updates, submit, watch_task
from optfl.fraud import build_output_proof
from optfl.rules import parse_rule
from optfl.wire import state_pb2, transaction_pb2

log = logging.getLogger(__name__)

_CONVICTABLE = (state_pb2.ATTEMPT_STATUS_OPEN, state_pb2.ATTEMPT_STATUS_VOID)


async def run_validator(task_id: int, ledger: Ledger, blobs: Blobs, aggregate: Aggregate) -> None:
    """Watch a task until it ends. One attempt whose vectors are slow to come, or never do, holds up no other."""
    validator = Validator(ledger, blobs, aggregate)
    watching: dict[int, asyncio.Task[None]] = {}
    async with asyncio.TaskGroup() as group:
        async for view in watch_task(ledger, task_id):
            watching = {attempt_id: task for attempt_id, task in watching.items() if not task.done()}
            for attempt in view.attempts:
                if attempt.attempt_id not in watching:
                    watching[attempt.attempt_id] = group.create_task(validator.watch(view, attempt))


class Validator:
    """One watcher's findings: which attempts are verified, and which proofs wait for their turn."""

    def __init__(self, ledger: Ledger, blobs: Blobs, aggregate: Aggregate) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._aggregate = aggregate
        self._verified: set[int] = set()
        self._proofs: dict[int, tuple[int, transaction_pb2.SubmitFraudProof]] = {}  # and when it was found

    async def watch(self, view: state_pb2.TaskView, attempt: state_pb2.Attempt) -> None:
        """Verify an attempt that was not, or send the proof against it. What fails now is tried at the next block."""
        try:
            await self._watch(view, attempt)
        except TRANSIENT as error:
            log.warning("attempt %d: %s; trying again at the next block", attempt.attempt_id, error)

    async def _watch(self, view: state_pb2.TaskView, attempt: state_pb2.Attempt) -> None:
        if attempt.attempt_id in self._verified or not attempt.aggregator or attempt.status not in _CONVICTABLE:
            return
        if attempt.attempt_id not in self._proofs:
            proof = await self.verify(view.task, attempt)
            if proof is None:
                self._verified.add(attempt.attempt_id)
                log.info("round %d, attempt %d: verified in full", attempt.round, attempt.attempt_id)
                return
            self._proofs[attempt.attempt_id] = (view.height, proof)
        found_height, proof = self._proofs[attempt.attempt_id]
        if view.height < found_height + compute_rank(view, attempt, self._ledger.address):
            return  # a courtesy: another validator is first to prove it; if it does not, we do
        what = f"round {attempt.round}, attempt {attempt.attempt_id}: fraud proof sent"
        if await submit(self._ledger, transaction_pb2.Body(submit_fraud_proof=proof), what):
            self._verified.add(attempt.attempt_id)

    async def verify(self, task: state_pb2.Task, attempt: state_pb2.Attempt) -> transaction_pb2.SubmitFraudProof | None:
        """Re-execute the whole aggregation; the proof about its first wrong chunk, or None. Raises BlobUnavailable."""
        base, claimed = await asyncio.gather(
            fetch_model(self._blobs, task, attempt.base_root), fetch_model(self._blobs, task, attempt.model_root)
        )
        updates = await fetch_updates(self._blobs, task, [given.update_root for given in attempt.inputs])
        weights = [given.weight for given in attempt.inputs]
        expected = self._aggregate(parse_rule(attempt.rule), base.values, [u.values for u in updates], weights)
        wrong = np.flatnonzero(expected != claimed.values)
        if wrong.size == 0:
            return None
        chunk = int(wrong[0]) // task.parameters.chunk_values
        log.warning(
            "round %d, attempt %d: %d of %d values are wrong; proving chunk %d",
            attempt.round,
            attempt.attempt_id,
            wrong.size,
            expected.size,
            chunk,
        )
        return transaction_pb2.SubmitFraudProof(
            task_id=attempt.task_id,
            attempt_id=attempt.attempt_id,
            output=build_output_proof(chunk, updates, base, claimed),
        )


def compute_rank(view: state_pb2.TaskView, attempt: state_pb2.Attempt, address: bytes) -> int:
    """Blocks that this watcher leaves to others before it sends its proof: a different order for each attempt.

    The ledger does not know of it; it only saves the fees of proofs that come second.
    """
    name = attempt.task_id.to_bytes(8, "big") + attempt.attempt_id.to_bytes(4, "big")
    order = sorted(view.validators, key=lambda validator: hashlib.sha256(name + validator).digest())
    return order.index(address) if address in order else len(order)
