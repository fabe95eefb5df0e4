"""A blob store in memory, for the simulation and for tests of what stands on a store."""

from __future__ import annotations

from offchain.storage.store import Index, NotStored, Record, Slot
from optfl.vectors import ChunkedVector


class MemoryStore:
    """`BlobStore` without a disk. One thread only; forgets everything with its process."""

    def __init__(self) -> None:
        self._index = Index()
        self._vectors: dict[bytes, ChunkedVector] = {}

    def put(self, vector: ChunkedVector, slot: Slot, retain_until_height: int) -> None:
        record = self._index.records.get(vector.id) or Record(vector.shape, vector.root, {})
        self._vectors.setdefault(vector.id, vector)
        self._index.put(vector.id, record.extend(slot, retain_until_height))

    def read(self, vector_id: bytes) -> ChunkedVector:
        if (vector := self._vectors.get(vector_id)) is None:
            raise NotStored(vector_id.hex())
        return vector

    def get_record(self, vector_id: bytes) -> Record | None:
        return self._index.records.get(vector_id)

    def get_ids(self, slot: Slot) -> frozenset[bytes]:
        return self._index.get_ids(slot)

    def prune(self, height: int) -> int:
        expired = self._index.expire(height)
        for vector_id in expired:
            self._index.remove(vector_id)
            del self._vectors[vector_id]
        return len(expired)
