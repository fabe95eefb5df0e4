"""Blobs straight on replicas in the same process: the simulation's transport, deterministic under any event loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from offchain.interfaces import Ledger
from offchain.storage.protocol import Verb
from offchain.storage.replicated import ANSWER_SECONDS, PATIENCE_SECONDS, Accept, NoAnswer, ReplicatedBlobs, T
from offchain.storage.service import ReplicaService
from optfl.keys import SigningKey

Deliver = Callable[[ReplicaService, Verb, bytes], Awaitable[bytes | None]]
"""How a request reaches a replica: its answer, any lie in its stead, or None where the replica is down.

The simulation's hook: it may also wait, on the virtual clock, before or after.
"""


async def deliver_at_once(service: ReplicaService, verb: Verb, request: bytes) -> bytes | None:
    return service.handle_put(request) if verb == "put" else service.handle_get(request)


class MemoryBlobs(ReplicatedBlobs):
    """`offchain.interfaces.Blobs` on `services`, for the account with `key`."""

    def __init__(
        self,
        services: Sequence[ReplicaService],
        key: SigningKey,
        ledger: Ledger,
        deliver: Deliver = deliver_at_once,
        *,
        answer_seconds: float = ANSWER_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        transport = _MemoryTransport(services, deliver)
        super().__init__(transport, key, ledger, answer_seconds=answer_seconds, patience_seconds=patience_seconds)


class _MemoryTransport:
    def __init__(self, services: Sequence[ReplicaService], deliver: Deliver) -> None:
        self._services = {service.address: service for service in services}
        self._deliver = deliver

    async def ask(self, replica: bytes, verb: Verb, request: bytes, accept: Accept[T]) -> T:
        service = self._services.get(replica)
        answer = None if service is None else await self._deliver(service, verb, request)
        if answer is None:
            raise NoAnswer("the replica is down")
        return accept(answer)

    async def wait_for_any(self, replicas: Sequence[bytes]) -> None:
        pass  # whether a replica is down shows when it is asked

    def is_reachable(self, replica: bytes) -> bool:
        return True
