"""Work that goes on side by side: what one vote, demand or attempt waits for holds up no other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from offchain.roles.views import TRANSIENT

log = logging.getLogger(__name__)


class Errands:
    """Pieces of work by name, one of a name at a time, in a task group."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._running: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Begin `work`, unless work of this name goes on. What is transient is logged: the next block tries again."""
        if name in self._running:
            return
        self._running[name] = self._group.create_task(self._run(name, work))

    async def _run(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except TRANSIENT as error:
            log.warning("%s: %s; trying again at the next block", name, error)
        finally:
            self._running.pop(name, None)
