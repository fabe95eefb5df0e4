"""Answering Zenoh queries: off its threads at once, on a few of our own, and never more than so many at a time."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import zenoh

from offchain.storage.protocol import Handle, Verb

log = logging.getLogger(__name__)

# Threads and waiting requests, by verb. Gets have their own, so that none waits for a put's fsync; a get's thread is
# held by a reader that takes its bytes slowly. What comes beyond these is dropped, and asked again.
WORKERS: dict[Verb, int] = {"put": 4, "get": 8, "ballot": 2}
MAX_WAITING: dict[Verb, int] = {"put": 64, "get": 1024, "ballot": 1024}


class Desk:
    """Takes the queries of one verb off Zenoh's threads, and answers them on its own, until it is closed."""

    def __init__(self, session: zenoh.Session, key: str, verb: Verb, handle: Handle) -> None:
        self._verb = verb
        self._handle = handle
        self._pool = ThreadPoolExecutor(WORKERS[verb], thread_name_prefix=verb)
        self._room = threading.BoundedSemaphore(WORKERS[verb] + MAX_WAITING[verb])
        callback = zenoh.handlers.Callback(self._take, indirect=False)
        self._queryable = session.declare_queryable(key, callback, complete=True)

    def close(self) -> None:
        """Take no more queries; return once those that are being answered are."""
        self._queryable.undeclare()  # type: ignore[no-untyped-call]  # its stub is untyped
        self._pool.shutdown(cancel_futures=True)

    def _take(self, query: zenoh.Query) -> None:
        """Runs on the thread that reads the link, so it never waits."""
        if not self._room.acquire(blocking=False):
            log.warning("too many %s requests at once; dropping one", self._verb)
            _drop(query)
            return
        try:
            self._pool.submit(self._answer, query)
        except RuntimeError:  # closed: the process is stopping
            self._room.release()
            _drop(query)

    def _answer(self, query: zenoh.Query) -> None:
        try:
            with query:
                query.reply(query.key_expr, self._handle(b"" if query.payload is None else query.payload.to_bytes()))
        except zenoh.ZError as error:
            log.warning("cannot answer a %s: %s", self._verb, error)
        except Exception:  # our own bug: said loudly, while the other requests are still served
            log.exception("a %s could not be answered; this is a bug", self._verb)
        finally:
            self._room.release()


def _drop(query: zenoh.Query) -> None:
    """End a query without an answer: its asker tries again, or elsewhere."""
    query.drop()  # type: ignore[no-untyped-call]  # its stub is untyped
