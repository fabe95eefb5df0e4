"""Requesters who want the model and not the bill."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from offchain.interfaces import Blobs, Ledger
from offchain.roles.fetching import fetch_round
from offchain.roles.views import TRANSIENT, get_commitments, get_head, submit, watch_task
from optfl.wire import state_pb2, transaction_pb2

log = logging.getLogger(__name__)


async def take_free_training(ledger: Ledger, blobs: Blobs, task_id: int, from_round: int) -> None:
    """Take a round's updates as soon as they are readable, and cancel the task before they are paid for (R6)."""
    async for view in watch_task(ledger, task_id):
        current = get_head(view)
        if current is None or current.round < from_round or current.status != state_pb2.ROUND_STATUS_AGGREGATING:
            continue
        try:
            roots = [commitment.update_root for commitment in get_commitments(view, current)]
            await fetch_round(blobs, view, [current.base_root], roots)  # to aggregate them is a minute's work
            body = transaction_pb2.Body(cancel_task=transaction_pb2.CancelTask(task_id=task_id))
            await submit(ledger, body, f"round {current.round}: model taken, task cancelled")
        except TRANSIENT as error:
            log.warning("round %d: %s; trying again at the next block", current.round, error)
            continue
        return


REQUESTERS: dict[str, Callable[[Ledger, Blobs, int, int], Awaitable[None]]] = {"free-training": take_free_training}
