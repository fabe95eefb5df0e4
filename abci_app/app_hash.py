"""State with its app hash: immutable sorted maps whose leaf hashes are kept, so that only what changed is hashed again.

A store is CometBFT's simple map over its keys, the app hash the simple map over (store name, store root): what the
`simple:v` proof operator, and so a stock `cometbft light`, verifies. A store without keys is not part of the state.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from abci_app.state_machine import Changes, Stores
from optfl.merkle import MerkleTree, simple_map_leaf


@dataclass(frozen=True)
class SimpleProof:
    """Where a leaf is in a simple map, and the siblings from it up to the root: one `simple:v` operator."""

    key: bytes
    total: int
    index: int
    leaf_hash: bytes
    aunts: list[bytes]


class MerkleStore(Mapping[bytes, bytes]):
    """One store at one height. Iterates in the order of its keys, whatever order they were written in."""

    def __init__(self) -> None:
        self._keys: list[bytes] = []
        self._values: list[bytes] = []
        self._leaf_hashes: list[bytes] = []
        self._tree = MerkleTree([])

    def _find(self, key: bytes) -> int:
        index = bisect_left(self._keys, key)
        if index == len(self._keys) or self._keys[index] != key:
            raise KeyError(key)
        return index

    def __getitem__(self, key: bytes) -> bytes:
        return self._values[self._find(key)]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def root(self) -> bytes:
        return self._tree.root

    def prove(self, key: bytes) -> SimpleProof:
        """Proof that `key` has its value under `root`; KeyError when it is not there (absence has no proof)."""
        index = self._find(key)
        return SimpleProof(key, len(self._keys), index, self._leaf_hashes[index], self._tree.path(index))

    def update(self, changes: Mapping[bytes, bytes | None]) -> MerkleStore:
        """The store after `changes`; hashes their leaves and the tree above, and leaves this one as it is."""
        store = MerkleStore()
        keys = store._keys = self._keys.copy()
        values = store._values = self._values.copy()
        leaf_hashes = store._leaf_hashes = self._leaf_hashes.copy()
        for key in sorted(changes):
            value = changes[key]
            start = bisect_left(keys, key)
            stop = start + (start < len(keys) and keys[start] == key)
            keys[start:stop] = [] if value is None else [key]
            values[start:stop] = [] if value is None else [value]
            leaf_hashes[start:stop] = [] if value is None else [simple_map_leaf(key, value)]
        store._tree = MerkleTree(leaf_hashes)
        return store


_EMPTY = MerkleStore()


class MerkleState(Mapping[str, MerkleStore]):
    """All stores at one height; versions share the stores that did not change between them."""

    def __init__(self, stores: Mapping[str, MerkleStore] | None = None) -> None:
        given = stores or {}
        self._stores = {name: given[name] for name in sorted(given) if given[name]}
        # Names are few, and their order is that of their UTF-8: this tree is simply made afresh.
        self._names = _EMPTY.update({name.encode(): store.root for name, store in self._stores.items()})

    @classmethod
    def from_stores(cls, stores: Stores) -> MerkleState:
        return cls({name: _EMPTY.update(store) for name, store in stores.items()})

    def __getitem__(self, name: str) -> MerkleStore:
        return self._stores[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._stores)

    def __len__(self) -> int:
        return len(self._stores)

    @property
    def app_hash(self) -> bytes:
        return self._names.root

    def prove(self, name: str, key: bytes) -> tuple[SimpleProof, SimpleProof]:
        """Proofs from the value to the store's root and from there to the app hash; KeyError when it is not there."""
        return self._stores[name].prove(key), self._names.prove(name.encode())

    def update(self, changes: Changes) -> MerkleState:
        """The state after `changes`."""
        updated = {name: self._stores.get(name, _EMPTY).update(of_store) for name, of_store in changes.items()}
        return MerkleState({**self._stores, **updated})

    def compute_undo(self, changes: Changes) -> Changes:
        """Changes that lead back here from `update(changes)`."""
        return {
            name: {key: self._stores.get(name, _EMPTY).get(key) for key in of_store}
            for name, of_store in changes.items()
        }
