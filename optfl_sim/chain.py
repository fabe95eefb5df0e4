"""Consensus and mempool in memory: one honest node's view of a chain that decides a block every block time."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from abci_app import ledger
from abci_app.app_hash import MerkleState
from abci_app.overlay import Overlay
from abci_app.state import State
from abci_app.state.invariants import check_state
from abci_app.state_machine import Block, BlockResults, Event, ValidatorUpdate, find_nothing
from offchain.interfaces import LedgerUnavailable, TransactionResult
from optfl import errors
from optfl.beacon import HashChain
from optfl.fees import compute_fee
from optfl.keys import SigningKey, address_of
from optfl.transactions import sign_transaction
from optfl.wire import state_pb2, transaction_pb2

MAX_BLOCK_BYTES = 4 << 20
EXPIRY_BLOCKS = 20


@dataclass(frozen=True)
class _Pending:
    tx: bytes
    sender: bytes
    expiry_height: int
    result: asyncio.Future[TransactionResult]


class SimulatedChain:
    """Applies blocks of what was sent by the calls that CometBFT makes; checks every invariant after each."""

    def __init__(
        self,
        chain_id: str,
        genesis: bytes,
        block_seconds: float,
        seed: int,
        beacons: Mapping[bytes, HashChain] | None = None,  # by consensus address; without, blocks have no reveals
    ) -> None:
        stores, updates = ledger.init_chain(genesis, chain_id, [], 1)
        self.chain_id = chain_id
        self.state = MerkleState.from_stores(stores)
        self.height = 0
        self.max_block_bytes = MAX_BLOCK_BYTES
        self.trace: list[tuple[int, str, tuple[Event, ...]]] = []
        self.censors: dict[bytes, Callable[[Sequence[bytes]], list[bytes]]] = {}  # by proposer: what it lets through
        self.observers: list[Callable[[int, State, Sequence[Event]], None]] = []  # called after each block
        self.transactions: Counter[str] = Counter()  # in blocks, by kind; a refused one as well
        self.transaction_bytes: Counter[str] = Counter()
        self._proposers: list[bytes] = []
        self._update_validators(updates)
        self._beacons = dict(beacons or {})
        self._block_seconds = block_seconds
        self._random = random.Random(seed)
        self._mempool: list[_Pending] = []
        self._pending_state = Overlay(self.state)
        self._new_block = asyncio.Event()
        self._answers: dict[tuple[str, bytes], tuple[int, bytes]] = {}

    async def run(self) -> None:
        """Decide blocks until cancelled."""
        while True:
            await asyncio.sleep(self._block_seconds * self._random.uniform(0.8, 1.2))
            self._decide_block()

    async def wait_for_block(self, after_height: int) -> int:
        while self.height <= after_height:
            await self._new_block.wait()
        return self.height

    def query(self, path: str, data: bytes) -> tuple[int, bytes]:
        """As a node answers; computed once a block, since a hundred roles ask the same."""
        if (path, data) not in self._answers:
            self._answers[path, data] = ledger.query(self.state, path, data, self.height)
        return self._answers[path, data]

    def count_pending(self, sender: bytes) -> int:
        return sum(pending.sender == sender for pending in self._mempool)

    def list_pending(self) -> list[bytes]:
        """The mempool: what anyone's node can see."""
        return [pending.tx for pending in self._mempool]

    def sign(self, key: SigningKey, body: transaction_pb2.Body) -> bytes:
        """`body` as the next transaction of the account with `key`, behind what it has in the mempool."""
        _, value = self.query("/account", key.address)
        body.chain_id = self.chain_id
        body.sequence = state_pb2.Account.FromString(value).sequence + self.count_pending(key.address)
        body.expiry_height = self.height + EXPIRY_BLOCKS
        body.fee = compute_fee(State(self.state).params, body.ByteSize() + 256)
        return sign_transaction(key, body)

    def broadcast(self, tx: bytes, sender: bytes, expiry_height: int) -> asyncio.Future[TransactionResult]:
        """Offer `tx` to the mempool; the future is done once it is in a block, refused or expired."""
        future: asyncio.Future[TransactionResult] = asyncio.get_running_loop().create_future()
        result, changes = ledger.check_tx(self._pending_state, tx)
        if result.code != 0:
            future.set_result(TransactionResult(result.code, result.log, self.height, hashlib.sha256(tx).digest()))
            return future
        self._pending_state.apply(changes)
        self._mempool.append(_Pending(tx, sender, expiry_height, future))
        return future

    def _decide_block(self) -> None:
        proposer = self._random.choice(self._proposers)
        waiting = self.list_pending()
        if (censor := self.censors.get(proposer)) is not None:
            waiting = censor(waiting)
        beacon = self._beacons.get(proposer)
        txs = ledger.prepare_proposal(
            self.state,
            waiting,
            self.max_block_bytes,
            proposer,
            find_nothing if beacon is None else beacon.get_preimage,
        )
        if not ledger.process_proposal(self.state, txs, proposer):
            raise AssertionError("an honest proposal was refused")
        self.height += 1
        content = hashlib.sha256(b"".join(hashlib.sha256(tx).digest() for tx in txs)).digest()
        block = Block(
            height=self.height,
            hash=hashlib.sha256(self.height.to_bytes(8, "big") + self.state.app_hash + content).digest(),
            proposer_address=proposer,
            transactions=tuple(txs),
        )
        results = ledger.apply_block(self.state, block)
        self.state = self.state.update(results.changes)
        self._update_validators(results.validator_updates)
        self._answers.clear()
        check_state(State(self.state))
        events = tuple(event for result in results.results for event in result.events) + tuple(results.events)
        self.trace.append((self.height, self.state.app_hash.hex(), events))
        for tx in txs:
            kind = _get_kind(tx)
            self.transactions[kind] += 1
            self.transaction_bytes[kind] += len(tx)
        for observe in self.observers:
            observe(self.height, State(self.state), events)
        self._answer(txs, results)
        self._new_block.set()
        self._new_block = asyncio.Event()

    def _update_validators(self, updates: Sequence[ValidatorUpdate]) -> None:
        """Who has no power left proposes no more blocks."""
        for update in updates:
            address = address_of(update.consensus_key)
            if update.power == 0:
                self._proposers.remove(address)
            elif address not in self._proposers:
                self._proposers.append(address)

    def _answer(self, txs: Sequence[bytes], results: BlockResults) -> None:
        included = dict(zip(txs, results.results, strict=True))
        waiting, self._mempool = self._mempool, []
        self._pending_state = Overlay(self.state)
        for pending in waiting:
            done = included.get(pending.tx)
            if done is not None:
                tx_hash = hashlib.sha256(pending.tx).digest()
                answer = TransactionResult(done.code, done.log, self.height, tx_hash, done.data)
                _resolve(pending.result, answer)
            elif pending.expiry_height <= self.height:
                code = errors.ExpiredTransaction.code
                _resolve(pending.result, TransactionResult(code, "expired", self.height, b""))
            else:
                recheck, changes = ledger.check_tx(self._pending_state, pending.tx)
                if recheck.code != 0:
                    _resolve(pending.result, TransactionResult(recheck.code, recheck.log, self.height, b""))
                    continue
                self._pending_state.apply(changes)
                self._mempool.append(pending)


def _get_kind(tx: bytes) -> str:
    transaction = transaction_pb2.Transaction.FromString(tx)
    if transaction.HasField("beacon_reveal"):
        return "beacon_reveal"
    return transaction_pb2.Body.FromString(transaction.body).WhichOneof("kind") or "unknown"


def _resolve(future: asyncio.Future[TransactionResult], result: TransactionResult) -> None:
    if not future.done():  # whoever waited may have crashed
        future.set_result(result)


class SimulatedLedger:
    """`offchain.interfaces.Ledger` over a simulated chain, through a network that delays and sometimes fails."""

    def __init__(self, chain: SimulatedChain, key: SigningKey, delay: Callable[[], float], failure: Callable[[], bool]):
        self._chain = chain
        self._key = key
        self._delay = delay
        self._failure = failure

    @property
    def address(self) -> bytes:
        return self._key.address

    @property
    def chain_id(self) -> str:
        return self._chain.chain_id

    async def wait_for_block(self, after_height: int) -> int:
        return await self._chain.wait_for_block(after_height)

    async def wait_for_change(self, task_id: int, after_height: int) -> int:
        """At every block: what a look costs here, a view that is shared by all who ask saves as well."""
        return await self._chain.wait_for_block(after_height)

    async def get_task(self, task_id: int) -> state_pb2.TaskView | None:
        await self._travel()
        code, value = self._chain.query("/task", task_id.to_bytes(8, "big"))
        return state_pb2.TaskView.FromString(value) if code == 0 else None

    async def list_tasks(self) -> list[state_pb2.Task]:
        await self._travel()
        return list(state_pb2.TaskList.FromString(self._chain.query("/tasks", b"")[1]).tasks)

    async def get_stakes(self, address: bytes) -> list[state_pb2.Stake]:
        await self._travel()
        return list(state_pb2.StakeList.FromString(self._chain.query("/stakes", address)[1]).stakes)

    async def submit(self, body: transaction_pb2.Body) -> TransactionResult:
        await self._travel()
        tx = self._chain.sign(self._key, body)
        result = await self._chain.broadcast(tx, self.address, body.expiry_height)
        await self._travel()  # the answer may be lost, and the transaction be in a block all the same
        return result

    async def _travel(self) -> None:
        await asyncio.sleep(self._delay())
        if self._failure():
            raise LedgerUnavailable("the simulated network lost a message")
