"""What a replica keeps: vectors under their ids, and for whom and until when each is kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from optfl.vectors import ChunkedVector, Shape

Kind = Literal["update", "model", "trace"]


def kind_of(shape: Shape) -> Kind:
    """What a task's vectors of this shape are."""
    kinds: dict[str, Kind] = {"int32": "model", "int64": "trace"}
    return kinds.get(shape.dtype, "update")


_NEVER = 1 << 63  # above every height


class NotStored(Exception):
    """No such vector here."""


class CorruptBlob(Exception):
    """What the disk gave back is not what was stored. It is set aside and never served."""


class StoreFailed(Exception):
    """The disk did not take a vector; nothing may be signed for it."""


class StoreFull(StoreFailed):
    """No space is left for a vector."""


@dataclass(frozen=True)
class Slot:
    """What a vector is stored for. A slot may hold several vectors, a vector may be in several slots."""

    task_id: int
    round: int  # 0 for G_0
    owner: bytes
    kind: Kind


@dataclass(frozen=True)
class Record:
    """A stored vector's shape and root, and the last height at which each of its slots needs it."""

    shape: Shape
    root: bytes
    retain_until: Mapping[Slot, int]

    def extend(self, slot: Slot, retain_until_height: int) -> Record:
        """The record with `slot` kept until then at least; a promise is never shortened."""
        latest = max(retain_until_height, self.retain_until.get(slot, 0))
        return replace(self, retain_until={**self.retain_until, slot: latest})

    def expire(self, height: int) -> Record | None:
        """The record without the slots that `height` is past; None when no slot is left."""
        kept = {slot: until for slot, until in self.retain_until.items() if until >= height}
        return replace(self, retain_until=kept) if kept else None


class BlobStore(Protocol):
    """Content-addressed storage. Safe to use from several threads."""

    def put(self, vector: ChunkedVector, slot: Slot, retain_until_height: int) -> None:
        """Keep `vector`. Once this returns it is durable and has been read back.

        Raises StoreFull, StoreFailed; then nothing was promised.
        """
        ...

    def read(self, vector_id: bytes) -> ChunkedVector:
        """The vector, checked against its id. Raises NotStored, CorruptBlob, StoreFailed."""
        ...

    def get_record(self, vector_id: bytes) -> Record | None: ...

    def get_ids(self, slot: Slot) -> frozenset[bytes]:
        """Ids of the vectors in `slot`."""
        ...

    def prune(self, height: int) -> int:
        """Forget what nobody was promised at `height` or later; return how many vectors that were."""
        ...


class Index:
    """Records by id and ids by slot, in memory. Readers need no lock: values are immutable and replaced whole."""

    def __init__(self) -> None:
        self.records: dict[bytes, Record] = {}
        self._first_end = _NEVER  # no slot needs its vector for less long
        self._ids: dict[Slot, frozenset[bytes]] = {}

    def put(self, vector_id: bytes, record: Record) -> None:
        before = self.records.get(vector_id)
        self.records[vector_id] = record
        self._first_end = min([self._first_end, *record.retain_until.values()])
        for slot in record.retain_until:
            self._ids[slot] = self.get_ids(slot) | {vector_id}
        if before is not None:
            self._leave(vector_id, before.retain_until.keys() - record.retain_until.keys())

    def remove(self, vector_id: bytes) -> None:
        if (record := self.records.pop(vector_id, None)) is not None:
            self._leave(vector_id, record.retain_until)

    def _leave(self, vector_id: bytes, slots: Iterable[Slot]) -> None:
        for slot in slots:
            if left := self._ids[slot] - {vector_id}:
                self._ids[slot] = left
            else:
                del self._ids[slot]

    def get_ids(self, slot: Slot) -> frozenset[bytes]:
        return self._ids.get(slot, frozenset())

    def expire(self, height: int) -> list[bytes]:
        """Drop the slots that `height` is past; return the ids that no slot keeps any more, which stay in `records`."""
        if height <= self._first_end:
            return []  # as at most blocks, which must not cost a look at every record
        expired = []
        first_end = _NEVER
        for vector_id, record in list(self.records.items()):
            if (kept := record.expire(height)) is None:
                expired.append(vector_id)
                continue
            if len(kept.retain_until) < len(record.retain_until):
                self.put(vector_id, kept)
            first_end = min([first_end, *kept.retain_until.values()])
        self._first_end = height - 1 if expired else first_end  # not all of these may be removed: look again
        return expired
