"""The ledger as one account uses it, over the RPC of the CometBFT node that it trusts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from offchain.adapters.gateway import Gateway, hash_transaction
from offchain.interfaces import TransactionResult
from optfl import errors
from optfl.fees import compute_fee
from optfl.keys import SigningKey
from optfl.transactions import MAX_TRANSACTION_BYTES, sign_transaction
from optfl.wire import state_pb2, transaction_pb2

EXPIRY_BLOCKS = 50  # a transaction that is in no block by then never will be

# From a block's header to the looks for an own transaction in it: the node indexes it behind the header.
_INDEX_SECONDS = (0.02, 0.1)


def sign_with_fee(key: SigningKey, body: transaction_pb2.Body, params: state_pb2.Params) -> bytes:
    """Set the least fee that is enough, and sign. The fee is part of the size that sets it, so this goes up to it."""
    while True:
        transaction = sign_transaction(key, body)
        fee = compute_fee(params, len(transaction))
        if fee <= body.fee:
            return transaction
        body.fee = fee


class CometLedger:
    """`offchain.interfaces.Ledger` over a gateway: signs with `key`, keeps count of its account's sequence.

    Several submissions may be under way at once; they get sequences in the order of the calls.
    """

    def __init__(self, gateway: Gateway, key: SigningKey, chain_id: str) -> None:
        self.gateway = gateway
        self._key = key
        self._chain_id = chain_id
        self._params: state_pb2.Params | None = None
        self._sequence: int | None = None  # of the next transaction, as far as is known
        self._sending = asyncio.Lock()

    @classmethod
    async def connect(cls, url: str, key: SigningKey) -> Self:
        """Ask the node for its chain; raises LedgerUnavailable."""
        gateway = Gateway(url)
        try:
            return cls(gateway, key, (await gateway.get_status()).chain_id)
        except BaseException:
            await gateway.close()
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.gateway.close()

    @property
    def address(self) -> bytes:
        return self._key.address

    @property
    def chain_id(self) -> str:
        return self._chain_id

    async def wait_for_block(self, after_height: int) -> int:
        return await self.gateway.wait_for_block(after_height)

    async def wait_for_change(self, task_id: int, after_height: int) -> int:
        return await self.gateway.wait_for_change(task_id, after_height)

    async def get_task(self, task_id: int) -> state_pb2.TaskView | None:
        return await self.gateway.get_task(task_id)

    async def list_tasks(self) -> Sequence[state_pb2.Task]:
        return (await self.gateway.list_tasks()).tasks

    async def get_stakes(self, address: bytes) -> Sequence[state_pb2.Stake]:
        return (await self.gateway.list_stakes(address)).stakes

    async def submit(self, body: transaction_pb2.Body) -> TransactionResult:
        """Complete, sign and send `body`; return once it is in a block, refused, or past its expiry height."""
        async with self._sending:
            sent, refusal = await self._send(body)
            if refusal is not None and refusal.code == errors.WrongSequence.code:
                await self._refresh_sequence(sent.sequence)
                sent, refusal = await self._send(body)
        return refusal if refusal is not None else await self._wait_for_inclusion(sent)

    async def _send(self, body: transaction_pb2.Body) -> tuple[_Sent, TransactionResult | None]:
        """Hand `body` to the mempool; with the refusal, if it is refused."""
        if self._params is None:
            self._params = await self.gateway.get_params()
        if self._sequence is None:
            self._sequence = await self._get_sequence()
        height = await self.gateway.get_height()
        completed = transaction_pb2.Body()
        completed.CopyFrom(body)
        completed.chain_id = self._chain_id
        completed.sequence = self._sequence
        completed.expiry_height = height + EXPIRY_BLOCKS
        transaction = sign_with_fee(self._key, completed, self._params)
        sent = _Sent(hash_transaction(transaction), completed.sequence, height, completed.expiry_height)
        if len(transaction) > MAX_TRANSACTION_BYTES:
            log = f"{len(transaction)} bytes; a transaction has at most {MAX_TRANSACTION_BYTES}"
            return sent, TransactionResult(errors.TransactionTooLarge.code, log, height, sent.hash)
        code, log = await self.gateway.broadcast(transaction)
        if code != 0:
            return sent, TransactionResult(code, log, height, sent.hash)
        self._sequence += 1
        return sent, None

    async def _get_sequence(self) -> int:
        account = await self.gateway.get_account(self.address)
        return 0 if account is None else account.sequence  # no account: the mempool says so, and what to do

    async def _refresh_sequence(self, refused: int) -> None:
        """Ask the ledger, after it refused `refused`; once more in the next block if it would still say the same."""
        self._sequence = await self._get_sequence()
        if self._sequence == refused:  # an earlier transaction of this account waits in the mempool
            await self.gateway.wait_for_block(await self.gateway.get_height())
            self._sequence = await self._get_sequence()

    async def _wait_for_inclusion(self, sent: _Sent) -> TransactionResult:
        height = sent.height
        while True:
            height = await self.gateway.wait_for_block(height)
            for seconds in _INDEX_SECONDS:
                await asyncio.sleep(seconds)
                result = await self.gateway.get_transaction(sent.hash)
                if result is not None:
                    return result
            if height > sent.expiry_height:  # what was in time is indexed by now
                log = f"in no block up to its expiry height {sent.expiry_height}; send it again"
                return TransactionResult(errors.ExpiredTransaction.code, log, height, sent.hash)


@dataclass(frozen=True)
class _Sent:
    hash: bytes
    sequence: int
    height: int  # of the node, before
    expiry_height: int
