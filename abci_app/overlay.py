"""Stores with changes on top that are neither hashed nor kept: what the mempool checks transactions against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from abci_app.state_machine import Changes, Stores


class Overlay(Mapping[str, Mapping[bytes, bytes]]):
    """`base` with changes applied; `base` itself is never written to."""

    def __init__(self, base: Stores) -> None:
        self._base = base
        self._stores: dict[str, _OverlayStore] = {}

    def __getitem__(self, name: str) -> Mapping[bytes, bytes]:
        return self._stores[name] if name in self._stores else self._base[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({*self._base, *self._stores}))

    def __len__(self) -> int:
        return len({*self._base, *self._stores})

    def apply(self, changes: Changes) -> None:
        for name, of_store in changes.items():
            if name not in self._stores:
                self._stores[name] = _OverlayStore(self._base.get(name, {}))
            self._stores[name].changes.update(of_store)


class _OverlayStore(Mapping[bytes, bytes]):
    def __init__(self, base: Mapping[bytes, bytes]) -> None:
        self._base = base
        self.changes: dict[bytes, bytes | None] = {}

    def __getitem__(self, key: bytes) -> bytes:
        if key not in self.changes:
            return self._base[key]
        value = self.changes[key]
        if value is None:
            raise KeyError(key)
        return value

    def __iter__(self) -> Iterator[bytes]:
        kept = [key for key in self._base if key not in self.changes]
        return iter(sorted(kept + [key for key, value in self.changes.items() if value is not None]))

    def __len__(self) -> int:
        return sum(1 for _ in self)
