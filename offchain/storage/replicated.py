"""Blobs at a task's replicas: put at all of them at once, certified by a quorum; read from one after another.

The same for Zenoh and for the simulation: how a request reaches a replica is the `Transport`'s business.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from offchain.interfaces import BlobUnavailable, Ledger
from offchain.kernels.hashing import make_vector
from offchain.storage import protocol
from offchain.storage.offers import Offers
from offchain.storage.protocol import MAX_SMALL_ANSWER_BYTES, GetRequest, Handle, Refusal, Verb
from offchain.storage.store import kind_of
from offchain.storage.verify import BadAnswer, check_opening_reply, check_receipt_reply, check_vector_reply
from optfl.certificates import Statement, build_certificate
from optfl.keys import SigningKey, address_of
from optfl.vectors import MAX_VECTOR_BYTES, Opening, Shape, compute_vector_id
from optfl.wire import receipt_pb2

log = logging.getLogger(__name__)

T = TypeVar("T")
Accept = Callable[[bytes], T]
"""What an answer says; raises BadAnswer, or the Refusal that came instead."""

ANSWER_SECONDS = 5.0  # beside the time for the bytes
ASSUMED_BYTES_PER_SECOND = 1 << 20
PATIENCE_SECONDS = 10.0  # with a replica that is behind, or away, in a put: beside the above
RECONNECT_SECONDS = 1.0  # for replicas that are not reachable, once the others have been asked
MAX_KNOWN_TASKS = 16  # whose replicas' keys are remembered
DEMOTION_SECONDS = 30.0  # a replica that lied or kept us waiting is asked last for so long
_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS = 0.05, 1.0


class NoAnswer(Exception):
    """The account is not there, or had nothing to say."""


class Transport(Protocol):
    """Carries requests from one account to others, which it knows by address, and theirs to it."""

    async def ask(self, account: bytes, verb: Verb, request: bytes, accept: Accept[T], max_answer_bytes: int) -> T:
        """Send `request`; the first answer of up to so many bytes that `accept` takes.

        Raises NoAnswer; BadAnswer for longer answers, or what `accept` raised, if every answer was like that.
        Cancelled when it takes too long.
        """
        ...

    async def wait_for_any(self, accounts: Sequence[bytes], verb: Verb) -> None:
        """Return as soon as one of `accounts` can be reached, and answers `verb`."""
        ...

    def is_reachable(self, account: bytes, verb: Verb) -> bool: ...

    def serve(self, verb: Verb, handle: Handle) -> None:
        """Answer others' requests to this account from now on. Again: nothing happens."""
        ...


class ReplicatedBlobs:
    """`offchain.interfaces.Blobs` of the account with `key`, over a transport."""

    def __init__(
        self,
        transport: Transport,
        key: SigningKey,
        ledger: Ledger,
        *,
        answer_seconds: float = ANSWER_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._transport = transport
        self._key = key
        self._ledger = ledger
        self._answer_seconds = answer_seconds
        self._patience_seconds = patience_seconds
        self._offers = Offers()
        self._replica_keys: dict[int, Sequence[bytes]] = {}  # task -> keys, once all its replicas have one
        self._demoted: dict[bytes, float] = {}  # replica -> loop time until which it is asked last
        self._stragglers: set[asyncio.Task[bytes]] = set()

    async def close(self) -> None:
        """Stop what still goes on behind certified puts."""
        stragglers = list(self._stragglers)
        for task in stragglers:
            task.cancel()
        await asyncio.gather(*stragglers, return_exceptions=True)

    async def put(self, statement: Statement, shape: Shape, data: bytes, quorum: int) -> receipt_pb2.Certificate:
        """See Blobs. Replicas beyond the quorum go on receiving after this returns. Raises LedgerUnavailable too."""
        self._check_own(statement, shape, data)
        replica_keys = await self._get_replica_keys(statement.task_id)
        height = await self._ledger.wait_for_block(0)
        request = protocol.encode_put(protocol.sign_put(self._key, statement, kind_of(shape), data, height))
        puts = [asyncio.create_task(self._put_at(replica_key, statement, request)) for replica_key in replica_keys]
        try:
            return await self._gather_quorum(puts, statement, quorum)
        except BaseException:
            for put in puts:
                put.cancel()
            raise
        finally:
            for put in puts:
                if not put.done():
                    self._stragglers.add(put)
                    put.add_done_callback(self._drop_straggler)

    async def get(self, task_id: int, shape: Shape, vector_id: bytes, replicas: Sequence[bytes]) -> bytes:
        request = protocol.encode_get(GetRequest(task_id, vector_id))
        return await self._get_from_any(
            vector_id, replicas, request, lambda answer: check_vector_reply(answer, shape, vector_id), shape.size_bytes
        )

    async def get_chunk(
        self, task_id: int, shape: Shape, root: bytes, chunk: int, replicas: Sequence[bytes]
    ) -> Opening:
        start, stop = shape.chunk_bounds(chunk)
        vector_id = compute_vector_id(shape, root)
        request = protocol.encode_get(GetRequest(task_id, vector_id, chunk))
        return await self._get_from_any(
            vector_id,
            replicas,
            request,
            lambda answer: check_opening_reply(answer, shape, root, chunk),
            (stop - start) * shape.value_bytes,
        )

    async def offer(self, task_id: int, shape: Shape, vector_id: bytes, data: bytes) -> None:
        vector = make_vector(shape, data)
        if vector.id != vector_id:
            raise ValueError(f"these bytes have the id {vector.id.hex()}, not {vector_id.hex()}")
        self._offers.add(task_id, vector)
        self._transport.serve("get", self._offers.handle_get)

    def _check_own(self, statement: Statement, shape: Shape, data: bytes) -> None:
        """Our own bugs, before they travel."""
        if statement.owner != self._key.address:
            raise ValueError(f"the statement is {statement.owner.hex()}'s; this account is {self._key.address.hex()}")
        if not len(data) == statement.size_bytes == shape.size_bytes:
            raise ValueError(f"{len(data)} bytes, stated as {statement.size_bytes}, of a shape of {shape.size_bytes}")
        if len(data) > MAX_VECTOR_BYTES:
            raise ValueError(f"{len(data)} bytes; a replica takes vectors of up to {MAX_VECTOR_BYTES}")

    async def _get_replica_keys(self, task_id: int) -> Sequence[bytes]:
        """Asked for once: an account's key never changes, and a view has all commitments of a round in it."""
        if (known := self._replica_keys.get(task_id)) is not None:
            return known
        view = await self._ledger.get_task(task_id)
        if view is None:
            raise BlobUnavailable(f"the ledger knows no task {task_id} yet; try again after its creation")
        if all(view.replica_keys):
            self._replica_keys[task_id] = tuple(view.replica_keys)
            if len(self._replica_keys) > MAX_KNOWN_TASKS:
                del self._replica_keys[next(iter(self._replica_keys))]
        return view.replica_keys

    async def _put_at(self, replica_key: bytes, statement: Statement, request: bytes) -> bytes:
        """The replica's signature. Tries again while the replica is away or behind, for a bounded time."""
        replica, delay = address_of(replica_key), _FIRST_RETRY_SECONDS
        failure: Exception = NoAnswer("not reachable")
        try:
            async with asyncio.timeout(self._patience_seconds + self._seconds_for(len(request))):
                while True:
                    await self._transport.wait_for_any([replica], "put")
                    try:
                        return await self._transport.ask(
                            replica,
                            "put",
                            request,
                            lambda answer: check_receipt_reply(answer, replica_key, statement),
                            MAX_SMALL_ANSWER_BYTES,
                        )
                    except NoAnswer as error:
                        failure = error
                    except Refusal as refusal:
                        if not refusal.retriable:
                            raise
                        failure = refusal
                    await asyncio.sleep(delay)  # nothing announces that its node has caught up but asking again
                    delay = min(2 * delay, _LAST_RETRY_SECONDS)
        except TimeoutError:
            raise failure from None

    async def _gather_quorum(
        self, puts: Sequence[asyncio.Task[bytes]], statement: Statement, quorum: int
    ) -> receipt_pb2.Certificate:
        pending = set(puts)
        while True:
            # In the replicas' order, never a set's.
            done = [(index, put) for index, put in enumerate(puts) if put.done()]
            for _, put in done:
                if (error := put.exception()) is not None and not isinstance(error, (NoAnswer, Refusal, BadAnswer)):
                    raise error
            signatures = [(index, put.result()) for index, put in done if put.exception() is None]
            if len(signatures) >= quorum:
                return build_certificate(statement.retain_until_height, signatures[:quorum])
            if len(puts) - len(done) + len(signatures) < quorum:
                failures = "; ".join(f"replica {index}: {put.exception()}" for index, put in done if put.exception())
                raise BlobUnavailable(
                    f"{len(signatures)} of {len(puts)} replicas signed for {statement.vector_id.hex()}, "
                    f"{quorum} are needed ({failures})"
                )
            _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)

    def _drop_straggler(self, put: asyncio.Task[bytes]) -> None:
        self._stragglers.discard(put)
        if not put.cancelled() and (error := put.exception()) is not None:
            log.info("a replica beyond the quorum has no copy: %s", error)

    async def _get_from_any(
        self, vector_id: bytes, replicas: Sequence[bytes], request: bytes, accept: Accept[T], size_bytes: int
    ) -> T:
        loop = asyncio.get_running_loop()
        seconds = self._seconds_for(size_bytes)
        untried = self._rank(vector_id, replicas, loop.time())
        failures: list[str] = []
        while untried:
            replica = next((replica for replica in untried if self._transport.is_reachable(replica, "get")), None)
            if replica is None:
                # A session that was opened just now learns of the replicas one by one.
                grace = RECONNECT_SECONDS if failures else self._answer_seconds
                try:
                    async with asyncio.timeout(grace):
                        await self._transport.wait_for_any(untried, "get")
                except TimeoutError:
                    failures.extend(f"{replica.hex()}: not reachable; is it running?" for replica in untried)
                    break
                continue
            untried.remove(replica)
            try:
                async with asyncio.timeout(seconds):
                    return await self._transport.ask(
                        replica, "get", request, accept, size_bytes + MAX_SMALL_ANSWER_BYTES
                    )
            except (Refusal, NoAnswer) as error:
                failures.append(f"{replica.hex()}: {error}")
            except (BadAnswer, TimeoutError) as error:
                reason = str(error) or f"no answer in {seconds:.0f} s"
                log.warning("replica %s asked for %s: %s", replica.hex(), vector_id.hex(), reason)
                self._demoted[replica] = loop.time() + DEMOTION_SECONDS
                failures.append(f"{replica.hex()}: {reason}")
        raise BlobUnavailable(f"no replica gave {vector_id.hex()} ({'; '.join(failures) or 'the task names none'})")

    def _rank(self, vector_id: bytes, replicas: Sequence[bytes], now: float) -> list[bytes]:
        """Where to ask first: another replica for each reader and vector, which spreads the load."""
        digest = hashlib.sha256(self._key.address + vector_id).digest()
        start = int.from_bytes(digest[:8], "big") % max(len(replicas), 1)
        rotated = [*replicas[start:], *replicas[:start]]
        return sorted(rotated, key=lambda replica: self._demoted.get(replica, 0.0) > now)

    def _seconds_for(self, size_bytes: int) -> float:
        return self._answer_seconds + size_bytes / ASSUMED_BYTES_PER_SECOND
