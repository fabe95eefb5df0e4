"""What an account serves under its own address: its own vectors that are demanded, and demanded ones that it holds.

A replica serves what it signed for; here somebody serves what it says on the ledger that it has (red team I1, I2, A4).
"""

from __future__ import annotations

import threading

from offchain.storage import protocol
from offchain.storage.protocol import GetRequest, Malformed, Refusal
from offchain.storage.service import answer_get
from optfl.vectors import ChunkedVector

MAX_OFFERED_BYTES = 1 << 30  # of one account; two of the largest vectors


class Offers:
    """Vectors in memory, oldest offer first to go. Safe to use from several threads.

    They are readable by everybody at once: whoever offers an update knows that its round is frozen.
    """

    def __init__(self, max_bytes: int = MAX_OFFERED_BYTES) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._vectors: dict[tuple[int, bytes], ChunkedVector] = {}  # by task and id, in the order they were offered
        self._size_bytes = 0

    def add(self, task_id: int, vector: ChunkedVector) -> None:
        key = (task_id, vector.id)
        with self._lock:
            self._drop(key)
            while self._vectors and self._size_bytes + len(vector.data) > self._max_bytes:
                self._drop(next(iter(self._vectors)))
            self._vectors[key] = vector
            self._size_bytes += len(vector.data)

    def handle_get(self, message: bytes) -> bytes:
        """Send a vector or a chunk, or refuse; never raises for a peer's fault."""
        try:
            request = protocol.decode_get(message)
            return answer_get(self._find(request), request)
        except Malformed as error:
            return protocol.encode_refusal(Refusal("malformed", str(error)))
        except Refusal as refusal:
            return protocol.encode_refusal(refusal)

    def _find(self, request: GetRequest) -> ChunkedVector:
        with self._lock:
            vector = self._vectors.get((request.task_id, request.vector_id))
        if vector is None:
            raise Refusal("not-stored", "this account offers no such vector of this task; ask another one")
        return vector

    def _drop(self, key: tuple[int, bytes]) -> None:
        if (vector := self._vectors.pop(key, None)) is not None:
            self._size_bytes -= len(vector.data)
