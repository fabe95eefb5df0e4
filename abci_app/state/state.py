"""Typed stores, read through and written over the committed state, which they never touch."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Generic, TypeVar

from google.protobuf.message import Message

from abci_app.state_machine import Changes, Event, Stores
from optfl.wire import state_pb2

M = TypeVar("M", bound=Message)


class Store(Generic[M]):
    """One store: keys to messages. `get` returns a copy; nothing changes until `put`."""

    def __init__(self, name: str, message_type: type[M], base: Mapping[bytes, bytes]) -> None:
        self.name = name
        self._message_type = message_type
        self._base = base
        self.changes: dict[bytes, bytes | None] = {}

    def get_bytes(self, key: bytes) -> bytes | None:
        if key in self.changes:
            return self.changes[key]
        return self._base.get(key)

    def get(self, key: bytes) -> M | None:
        value = self.get_bytes(key)
        return None if value is None else self._message_type.FromString(value)

    def __getitem__(self, key: bytes) -> M:
        """The message under a key that is known to be there; KeyError is our own bug."""
        message = self.get(key)
        if message is None:
            raise KeyError(f"store {self.name} has no key {key.hex()}")
        return message

    def __contains__(self, key: bytes) -> bool:
        return self.get_bytes(key) is not None

    def put(self, key: bytes, message: M) -> None:
        self.changes[key] = message.SerializeToString(deterministic=True)

    def delete(self, key: bytes) -> None:
        self.changes[key] = None

    @cached_property
    def _base_keys(self) -> list[bytes]:
        """Sorted once: a transaction that looks at one round's few keys must not pay for going through all others'."""
        return sorted(self._base)

    def all_keys(self, prefix: bytes = b"") -> list[bytes]:
        """Keys with `prefix`, ascending: the order never depends on insertion."""
        start = bisect_left(self._base_keys, prefix)
        stop = bisect_right(self._base_keys, prefix, key=lambda key: key[: len(prefix)])
        kept = [k for k in self._base_keys[start:stop] if k not in self.changes]
        written = [k for k, v in self.changes.items() if v is not None and k.startswith(prefix)]
        return sorted(kept + written)

    def items(self, prefix: bytes = b"") -> Iterator[tuple[bytes, M]]:
        for key in self.all_keys(prefix):
            yield key, self[key]


class State:
    """All stores over `stores`, and the events that the block being applied has caused so far.

    The names of the attributes are the names of the stores, and those of state.proto.
    """

    def __init__(self, stores: Stores) -> None:
        self._base = stores

        def store(name: str, message_type: type[M]) -> Store[M]:
            return Store(name, message_type, stores.get(name, {}))

        self.params_store = store("params", state_pb2.Params)
        self.supply_store = store("supply", state_pb2.Supply)
        self.chain_store = store("chain", state_pb2.Chain)
        self.accounts = store("accounts", state_pb2.Account)
        self.stakes = store("stakes", state_pb2.Stake)
        self.unbonding = store("unbonding", state_pb2.Unbonding)
        self.validators = store("validators", state_pb2.Validator)
        self.tasks = store("tasks", state_pb2.Task)
        self.rounds = store("rounds", state_pb2.Round)
        self.commitments = store("commitments", state_pb2.Commitment)
        self.seen_updates = store("seen_updates", state_pb2.SeenUpdate)
        self.attempts = store("attempts", state_pb2.Attempt)
        self.disputes = store("disputes", state_pb2.Conviction)
        self.digests = store("digests", state_pb2.Digest)
        self.challenges = store("challenges", state_pb2.Challenge)
        self.demands = store("demands", state_pb2.Demand)
        self.audits = store("audits", state_pb2.Audit)
        self.watches = store("watches", state_pb2.Watch)
        self.announcements = store("announcements", state_pb2.Announcement)
        self.equivocations = store("equivocations", state_pb2.Equivocation)
        self.events: list[Event] = []
        self._params: state_pb2.Params | None = None

    @property
    def all_stores(self) -> list[Store[Message]]:
        return [s for s in vars(self).values() if isinstance(s, Store)]

    @property
    def params(self) -> state_pb2.Params:
        """The chain's parameters; set in genesis, so read once."""
        if self._params is None:
            self._params = self.params_store[b"params"]
        return self._params

    @property
    def chain(self) -> state_pb2.Chain:
        return self.chain_store[b"chain"]

    def put_chain(self, chain: state_pb2.Chain) -> None:
        self.chain_store.put(b"chain", chain)

    @property
    def supply(self) -> state_pb2.Supply:
        return self.supply_store[b"supply"]

    def put_supply(self, supply: state_pb2.Supply) -> None:
        self.supply_store.put(b"supply", supply)

    def emit(self, kind: str, **attributes: str | int | bytes) -> None:
        """Record an event. Events are hints for watchers: they are in no hash."""
        self.events.append(
            Event(kind, tuple((k, v.hex() if isinstance(v, bytes) else str(v)) for k, v in attributes.items()))
        )

    def take_events(self) -> tuple[Event, ...]:
        events, self.events = tuple(self.events), []
        return events

    def collect_changes(self) -> Changes:
        return {s.name: dict(s.changes) for s in self.all_stores if s.changes}

    def get_base_bytes(self, store: str, key: bytes) -> bytes | None:
        """A value as it was before this block."""
        return self._base.get(store, {}).get(key)
