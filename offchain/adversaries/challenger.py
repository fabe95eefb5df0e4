"""Challengers without a cause: accounts that pay for disputes which nobody needs."""

from __future__ import annotations

import asyncio
from typing import Unpack

from offchain.adversaries.accomplices import NOBODY, Accomplices
from offchain.interfaces import Blobs, Ledger, LedgerUnavailable
from offchain.roles.computing import is_float
from offchain.roles.fetching import fetch_round
from offchain.roles.validator import Validator, ValidatorOptions
from offchain.roles.views import Aggregate, submit
from optfl.announcements import compute_announcement, hash_proof
from optfl.fraud import build_output_proof
from optfl.keys import address_of
from optfl.wire import state_pb2, transaction_pb2

_PEEK_SECONDS = 0.25


class ByzantineChallenger(Validator):
    """Looks at every attempt as a validator does."""

    def __init__(
        self,
        ledger: Ledger,
        blobs: Blobs,
        aggregate: Aggregate,
        *,
        from_round: int,
        accomplices: Accomplices = NOBODY,
        **options: Unpack[ValidatorOptions],
    ) -> None:
        super().__init__(ledger, blobs, aggregate, **options)
        self._from_round = from_round
        self._accomplices = accomplices

    async def watch(self, view: state_pb2.TaskView, attempt: state_pb2.Attempt) -> None:
        if attempt.round >= self._from_round:
            await super().watch(view, attempt)


class SpammingChallenger(ByzantineChallenger):
    """Sends a well-formed proof about the first chunk of every attempt, right or wrong."""

    async def verify(self, view: state_pb2.TaskView, attempt: state_pb2.Attempt) -> transaction_pb2.Body | None:
        if is_float(view.task.parameters):
            return await super().verify(view, attempt)  # no proof there is even looked at
        roots = [given.update_root for given in attempt.inputs]
        (base, claimed), updates = await fetch_round(self._blobs, view, [attempt.base_root, attempt.model_root], roots)
        proof = transaction_pb2.SubmitFraudProof(
            task_id=attempt.task_id, attempt_id=attempt.attempt_id, output=build_output_proof(0, updates, base, claimed)
        )
        return transaction_pb2.Body(submit_fraud_proof=proof)


class SerialChallenger(ByzantineChallenger):
    """Calls all validators to a vote on every attempt (V6)."""

    async def watch(self, view: state_pb2.TaskView, attempt: state_pb2.Attempt) -> None:
        is_due = attempt.round >= self._from_round and attempt.status == state_pb2.ATTEMPT_STATUS_OPEN
        if not is_due or not attempt.aggregator or attempt.attempt_id in self._verified:
            return
        self._verified.add(attempt.attempt_id)
        challenge = transaction_pb2.OpenChallenge(task_id=attempt.task_id, attempt_id=attempt.attempt_id)
        body = transaction_pb2.Body(open_challenge=challenge)
        try:
            await submit(self._ledger, body, f"attempt {attempt.attempt_id}: challenged for nothing")
        except LedgerUnavailable:
            self._verified.discard(attempt.attempt_id)


class SerialDemander(ByzantineChallenger):
    """Demands the model and all updates of every attempt, which anybody can read."""

    async def watch(self, view: state_pb2.TaskView, attempt: state_pb2.Attempt) -> None:
        current = next((r for r in view.rounds if r.attempt_id == attempt.attempt_id), None)
        is_due = attempt.round >= self._from_round and attempt.status == state_pb2.ATTEMPT_STATUS_OPEN
        if current is None or not is_due or not attempt.aggregator or attempt.attempt_id in self._verified:
            return
        self._verified.add(attempt.attempt_id)
        selected = list(current.selected)
        demand = transaction_pb2.DemandBlob(
            task_id=attempt.task_id,
            round=attempt.round,
            parent_attempt=attempt.parent_attempt,
            attempt_id=attempt.attempt_id,
            inputs=sorted(selected.index(given.client) for given in attempt.inputs),
            model=True,
        )
        body = transaction_pb2.Body(demand_blob=demand)
        try:
            await submit(self._ledger, body, f"attempt {attempt.attempt_id}: all of it demanded for nothing")
        except LedgerUnavailable:
            self._verified.discard(attempt.attempt_id)


class CopyingChallenger(ByzantineChallenger):
    """Takes others' proofs out of the mempool, announces them and sends them as its own (F7)."""

    async def watch(self, view: state_pb2.TaskView, attempt: state_pb2.Attempt) -> None:
        """Look for proofs against this attempt until the next block."""
        height = view.height
        waiting = asyncio.ensure_future(self._ledger.wait_for_block(height))
        try:
            while not waiting.done():
                await self._copy(attempt)
                await asyncio.wait([waiting], timeout=_PEEK_SECONDS)
        finally:
            waiting.cancel()

    async def _copy(self, attempt: state_pb2.Attempt) -> None:
        for tx in self._accomplices.peek():
            envelope = transaction_pb2.Transaction.FromString(tx)  # the mempool has checked it
            body = transaction_pb2.Body.FromString(envelope.body)
            proof = body.submit_fraud_proof
            is_anothers = address_of(envelope.public_key) != self._ledger.address
            if (
                body.WhichOneof("kind") != "submit_fraud_proof"
                or not is_anothers
                or proof.attempt_id != attempt.attempt_id
                or proof.attempt_id in self._verified
            ):
                continue
            self._verified.add(proof.attempt_id)
            copy = transaction_pb2.Body(submit_fraud_proof=proof)
            commitment = compute_announcement(self._ledger.chain_id, self._ledger.address, hash_proof(proof))
            announcement = transaction_pb2.AnnounceProof(
                task_id=proof.task_id, attempt_id=proof.attempt_id, commitment=commitment
            )
            what = f"attempt {attempt.attempt_id}: proof copied"
            try:
                await asyncio.gather(
                    submit(self._ledger, transaction_pb2.Body(announce_proof=announcement), what),
                    submit(self._ledger, copy, what),
                )
            except LedgerUnavailable:
                self._verified.discard(proof.attempt_id)


CHALLENGERS: dict[str, type[ByzantineChallenger]] = {
    "copied-proofs": CopyingChallenger,
    "serial-challenges": SerialChallenger,
    "serial-demands": SerialDemander,
    "spam-proofs": SpammingChallenger,
}
