"""Byzantine replicas: they sign receipts like honest ones; honest up to a round of which they are asked to store."""

from __future__ import annotations

import contextlib

from offchain.storage import protocol
from offchain.storage.protocol import Malformed, Refusal
from offchain.storage.replicated import ANSWER_SECONDS
from offchain.storage.service import ReplicaService, TaskReader
from offchain.storage.store import BlobStore, NotStored, Record, Slot
from optfl.keys import SigningKey
from optfl.vectors import ChunkedVector


class ByzantineReplica(ReplicaService):
    """An honest replica, over a store that `bend_store` may have bent.

    Its code does not wait: whoever runs it lets `delay_seconds` pass before each answer.
    """

    delay_seconds: float = 0.0

    def __init__(
        self, chain_id: str, key: SigningKey, store: BlobStore, read_task: TaskReader, *, from_round: int
    ) -> None:
        super().__init__(chain_id, key, store, read_task)
        self._from_round = from_round
        self._has_turned = False

    @staticmethod
    def bend_store(store: BlobStore, from_round: int) -> BlobStore:
        """The store that this replica works on."""
        return store

    def handle_put(self, message: bytes) -> bytes:
        with contextlib.suppress(Malformed):  # it is refused below
            self._has_turned |= protocol.decode_put(message).round >= self._from_round
        return super().handle_put(message)


class LyingReplica(ByzantineReplica):
    """Sends bytes that are not what was asked for."""

    def handle_get(self, message: bytes) -> bytes:
        answer = super().handle_get(message)
        # The last byte belongs to the vector, or to the path of a chunk.
        return answer[:-1] + bytes([answer[-1] ^ 1]) if self._has_turned else answer


class SelectiveReplica(ByzantineReplica):
    """Serves every other vector, and says that it never had the rest."""

    def handle_get(self, message: bytes) -> bytes:
        try:
            request = protocol.decode_get(message)
        except Malformed:
            return super().handle_get(message)
        if self._has_turned and request.vector_id[0] % 2:
            return protocol.encode_refusal(Refusal("not-stored", "this replica has no such vector; ask another one"))
        return super().handle_get(message)


class SlowReplica(ByzantineReplica):
    """Answers, from the start on, just before whoever asked gives up."""

    delay_seconds = 0.9 * ANSWER_SECONDS


class ForgetfulReplica(ByzantineReplica):
    """Signs for what it is sent and stores none of it."""

    @staticmethod
    def bend_store(store: BlobStore, from_round: int) -> BlobStore:
        return _ForgetfulStore(store, from_round)


class _ForgetfulStore:
    """Keeps the records of what it was given, so that it looks as if nothing were missing, and not the vectors."""

    def __init__(self, store: BlobStore, from_round: int) -> None:
        self._store = store
        self._from_round = from_round
        self._forgotten: set[bytes] = set()

    def put(self, vector: ChunkedVector, slot: Slot, retain_until_height: int) -> None:
        if slot.round >= self._from_round:
            self._forgotten.add(vector.id)
        self._store.put(vector, slot, retain_until_height)

    def read(self, vector_id: bytes) -> ChunkedVector:
        if vector_id in self._forgotten:
            raise NotStored(vector_id.hex())
        return self._store.read(vector_id)

    def get_record(self, vector_id: bytes) -> Record | None:
        return self._store.get_record(vector_id)

    def get_ids(self, slot: Slot) -> frozenset[bytes]:
        return self._store.get_ids(slot)

    def prune(self, height: int) -> int:
        return self._store.prune(height)


REPLICAS: dict[str, type[ByzantineReplica]] = {
    "forgetful-replica": ForgetfulReplica,
    "lying-replica": LyingReplica,
    "selective-replica": SelectiveReplica,
    "slow-replica": SlowReplica,
}
