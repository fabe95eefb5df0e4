"""Somebody who reads the mempool, as every node can, and reports who signs two votes on one question.

No role does that yet: the ledger refuses the second commitment, so nothing depends on it but the slash.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from offchain.interfaces import Ledger, LedgerUnavailable
from offchain.roles.views import submit, watch_task
from optfl.keys import address_of
from optfl.votes import build_ballot
from optfl.wire import state_pb2, transaction_pb2

_PEEK_SECONDS = 0.25

Commitments = dict[tuple[bytes, int], transaction_pb2.CommitVote]
"""The first commitment that was seen, by voter and attempt."""


async def report_double_votes(ledger: Ledger, peek: Callable[[], Sequence[bytes]], task_id: int) -> None:
    """Until the task ends: send both ballots of whoever signs two."""
    seen: Commitments = {}
    async for view in watch_task(ledger, task_id):
        attempts = {attempt.attempt_id: attempt for attempt in view.attempts}
        waiting = asyncio.ensure_future(ledger.wait_for_block(view.height))
        while not waiting.done():
            for evidence in find_double_votes(ledger.chain_id, attempts, peek(), seen):
                with contextlib.suppress(LedgerUnavailable):
                    body = transaction_pb2.Body(submit_equivocation=evidence)
                    await submit(ledger, body, f"two votes of {evidence.member.hex()} reported")
            await asyncio.wait([waiting], timeout=_PEEK_SECONDS)


def find_double_votes(
    chain_id: str, attempts: dict[int, state_pb2.Attempt], txs: Sequence[bytes], seen: Commitments
) -> list[transaction_pb2.SubmitEquivocation]:
    """Evidence in these transactions and what was `seen` before, one for each voter and attempt; adds to `seen`."""
    found = []
    for tx in txs:
        envelope = transaction_pb2.Transaction.FromString(tx)
        body = transaction_pb2.Body.FromString(envelope.body)
        second = body.commit_vote
        if body.WhichOneof("kind") != "commit_vote" or second.attempt_id not in attempts:
            continue
        voter = address_of(envelope.public_key)
        first = seen.setdefault((voter, second.attempt_id), second)
        if first.commitment in (b"", second.commitment):
            continue
        attempt = attempts[second.attempt_id]
        found.append(
            transaction_pb2.SubmitEquivocation(
                member=voter,
                first=build_ballot(chain_id, attempt, first.commitment),
                first_signature=first.signature,
                second=build_ballot(chain_id, attempt, second.commitment),
                second_signature=second.signature,
            )
        )
        seen[voter, second.attempt_id] = transaction_pb2.CommitVote()  # reported
    return found
