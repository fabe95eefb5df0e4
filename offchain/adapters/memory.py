"""Accounts in the same process that ask one another: the simulation's network, deterministic under any event loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence

from offchain.interfaces import Ledger
from offchain.storage.protocol import Handle, Verb
from offchain.storage.replicated import ANSWER_SECONDS, PATIENCE_SECONDS, Accept, NoAnswer, ReplicatedBlobs, T
from offchain.storage.service import ReplicaService
from offchain.storage.verify import check_size
from optfl.keys import SigningKey

Deliver = Callable[[bytes, Verb, Handle, bytes], Awaitable[bytes | None]]
"""How a request reaches the account with this address: its answer, any lie in its stead, or None where it is down.

The simulation's hook: it may also wait, on the virtual clock, before or after.
"""


async def deliver_at_once(account: bytes, verb: Verb, handle: Handle, request: bytes) -> bytes | None:
    return handle(request)


class MemoryNetwork:
    """Who answers what: replicas from the start, other accounts once they serve."""

    def __init__(self, services: Iterable[ReplicaService] = ()) -> None:
        self._handles: dict[tuple[bytes, Verb], Handle] = {}
        for service in services:
            self.serve(service.address, "put", service.handle_put)
            self.serve(service.address, "get", service.handle_get)

    def serve(self, account: bytes, verb: Verb, handle: Handle) -> None:
        self._handles[account, verb] = handle

    def find(self, account: bytes, verb: Verb) -> Handle | None:
        return self._handles.get((account, verb))

    def disconnect(self, account: bytes) -> None:
        """The account's process is gone, and with it all that it served."""
        self._handles = {key: handle for key, handle in self._handles.items() if key[0] != account}


class MemoryTransport:
    """`offchain.storage.replicated.Transport` of the account with this address, in a `MemoryNetwork`."""

    def __init__(self, network: MemoryNetwork, address: bytes, deliver: Deliver = deliver_at_once) -> None:
        self._network = network
        self._address = address
        self._deliver = deliver

    async def ask(self, account: bytes, verb: Verb, request: bytes, accept: Accept[T], max_answer_bytes: int) -> T:
        handle = self._network.find(account, verb)
        answer = None if handle is None else await self._deliver(account, verb, handle, request)
        if answer is None:
            raise NoAnswer("the account is down")
        check_size(len(answer), max_answer_bytes)
        return accept(answer)

    async def wait_for_any(self, accounts: Sequence[bytes], verb: Verb) -> None:
        pass  # whether an account is down shows when it is asked

    def is_reachable(self, account: bytes, verb: Verb) -> bool:
        return True

    def serve(self, verb: Verb, handle: Handle) -> None:
        self._network.serve(self._address, verb, handle)


class MemoryBlobs(ReplicatedBlobs):
    """`offchain.interfaces.Blobs` in `network`, for the account with `key`."""

    def __init__(
        self,
        network: MemoryNetwork,
        key: SigningKey,
        ledger: Ledger,
        deliver: Deliver = deliver_at_once,
        *,
        answer_seconds: float = ANSWER_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self.transport = MemoryTransport(network, key.address, deliver)
        super().__init__(self.transport, key, ledger, answer_seconds=answer_seconds, patience_seconds=patience_seconds)


class MemoryJournal:
    """`offchain.interfaces.VoteJournal` that lives as long as the object: pass it to a role's next life."""

    def __init__(self) -> None:
        self._entries: dict[str, bytes] = {}

    def get(self, name: str) -> bytes | None:
        return self._entries.get(name)

    def put(self, name: str, value: bytes) -> None:
        if self._entries.setdefault(name, value) != value:
            raise ValueError(f"{name} is journalled with another value")
