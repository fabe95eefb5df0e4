"""An author's own vectors: kept until their rounds are settled, and served when they are demanded (red team I2, A4).

Replicas may lose what they signed for. An author that serves it itself is never silent, and its work is not struck.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from offchain.interfaces import Blobs, Ledger
from offchain.roles.views import TRANSIENT, Rests, always, find_demanded_id, never, watch_task
from optfl.vectors import ChunkedVector
from optfl.wire import state_pb2

log = logging.getLogger(__name__)

MAX_KEPT_BYTES = 1 << 30  # what was kept longest goes first


class KeptVectors:
    """What one account stored in a task and may be asked for."""

    def __init__(self, blobs: Blobs, max_bytes: int = MAX_KEPT_BYTES) -> None:
        self._blobs = blobs
        self._max_bytes = max_bytes
        self._kept: dict[bytes, tuple[int, ChunkedVector]] = {}  # vector id -> round, vector; oldest first
        self._offered: set[bytes] = set()

    def keep(self, round_number: int, vector: ChunkedVector) -> None:
        """Keep `vector` until its round is settled."""
        self._kept[vector.id] = (round_number, vector)
        while sum(len(kept.data) for _, kept in self._kept.values()) > self._max_bytes and len(self._kept) > 1:
            self._forget(next(iter(self._kept)))

    async def offer_demanded(self, view: state_pb2.TaskView) -> None:
        """Serve what the ledger demands of ours; forget what it cannot demand any more."""
        for known in [known for known, (number, _) in self._kept.items() if number <= view.task.settled_round]:
            self._forget(known)
        for demand in view.demands:
            demanded = find_demanded_id(view, demand)
            if demanded not in self._kept or demanded in self._offered:
                continue
            _, vector = self._kept[demanded]
            await self._blobs.offer(view.task.task_id, vector.shape, demanded, vector.data)
            self._offered.add(demanded)
            log.warning("round %d: a vector of ours is demanded; serving it ourselves", demand.round)

    def _forget(self, vector_id: bytes) -> None:
        del self._kept[vector_id]
        self._offered.discard(vector_id)


async def work_on_task(
    ledger: Ledger,
    task_id: int,
    act: Callable[[state_pb2.TaskView], Awaitable[None]],
    kept: KeptVectors,
    rests: Rests = never,
) -> None:
    """Until the task ends: at each block, do what `act` finds to do, and all the while serve what is demanded.

    What is transient is tried again at the next block. Blocks may be passed over while `rests` holds.
    """
    async for view in watch_task(ledger, task_id, rests=rests):
        await kept.offer_demanded(view)
        try:
            async with keep_and_offer(ledger, view, kept):
                await act(view)
        except TRANSIENT as error:
            log.warning("%s; trying again at the next block", error)


@asynccontextmanager
async def keep_and_offer(ledger: Ledger, view: state_pb2.TaskView, kept: KeptVectors) -> AsyncIterator[None]:
    """Serve what is demanded of `kept` after `view`, as it is demanded, while the body of this runs.

    Work that waits for others must not make us silent.
    """

    async def offer_at_each_change() -> None:
        async for later in watch_task(ledger, view.task.task_id, view.height, always):
            await kept.offer_demanded(later)

    offering = asyncio.create_task(offer_at_each_change())
    try:
        yield
    finally:
        offering.cancel()
        await asyncio.wait([offering])
    if not offering.cancelled():
        offering.result()
