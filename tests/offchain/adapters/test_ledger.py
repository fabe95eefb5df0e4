"""Submitting transactions: fees, sequences, inclusion, and what goes wrong on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offchain.adapters import ledger as module
from offchain.adapters.gateway import Gateway
from offchain.adapters.ledger import EXPIRY_BLOCKS, CometLedger, sign_with_fee
from offchain.interfaces import LedgerUnavailable
from optfl import errors
from optfl.fees import compute_fee
from optfl.keys import SigningKey
from optfl.transactions import decode_transaction
from optfl.wire import state_pb2, transaction_pb2
from support.rpc import CHAIN_ID, FakeNode, Refusal

KEY = SigningKey.from_seed(b"\x01" * 32)


def transfer(amount: int = 1) -> transaction_pb2.Body:
    return transaction_pb2.Body(transfer=transaction_pb2.Transfer(recipient=b"r" * 20, amount=amount))


def run(scenario: Callable[[FakeNode, CometLedger], Awaitable[None]], blocks: bool = True) -> None:
    """Run `scenario` on a node that makes a block every few milliseconds."""

    async def main() -> None:
        async with FakeNode().serve() as node, await CometLedger.connect(node.url, KEY) as ledger:
            making = asyncio.create_task(node.run() if blocks else asyncio.sleep(0))
            await asyncio.wait_for(scenario(node, ledger), 30)
            making.cancel()

    asyncio.run(main())


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_INDEX_SECONDS", (0.001, 0.01))


def test_a_transaction_is_completed_sent_and_found_in_its_block() -> None:
    async def scenario(node: FakeNode, ledger: CometLedger) -> None:
        body = transfer()
        result = await ledger.submit(body)
        assert result.accepted
        assert (result.log, result.data) == ("done", b"\x01")
        (sent,) = node.accepted
        assert (sent.chain_id, sent.sequence) == (CHAIN_ID, 0)
        assert 0 < sent.expiry_height - result.height <= EXPIRY_BLOCKS
        assert body == transfer()  # the caller's is left as it was

    run(scenario)


def test_address_and_chain() -> None:
    async def scenario(node: FakeNode, ledger: CometLedger) -> None:
        assert (ledger.address, ledger.chain_id) == (KEY.address, CHAIN_ID)

    run(scenario)


def test_sequences_count_up_also_when_many_are_under_way() -> None:
    async def scenario(node: FakeNode, ledger: CometLedger) -> None:
        results = await asyncio.gather(*(ledger.submit(transfer(i)) for i in range(1, 6)))
        assert all(result.accepted for result in results)
        assert [body.sequence for body in node.accepted] == [0, 1, 2, 3, 4]
        assert [body.transfer.amount for body in node.accepted] == [1, 2, 3, 4, 5]

    run(scenario)


def test_a_sequence_that_another_process_has_used_is_asked_for_again() -> None:
    async def scenario(node: FakeNode, ledger: CometLedger) -> None:
        assert (await ledger.submit(transfer())).accepted
        node.sequence += 3
        assert (await ledger.submit(transfer())).accepted
        assert [body.sequence for body in node.accepted] == [0, node.sequence - 1]
        assert node.calls.count("broadcast_tx_sync") == 3

    run(scenario)


def test_a_transaction_of_an_earlier_run_that_still_waits_is_waited_for() -> None:
    async def scenario(node: FakeNode, ledger: CometLedger) -> None:
        node.pending = 1
        submission = asyncio.create_task(ledger.submit(transfer()))
        await node.wait_until(lambda: "broadcast_tx_sync" in node.calls)
        making = asyncio.create_task(node.run())
        assert (await submission).accepted
        assert [body.sequence for body in node.accepted] == [1]
        making.cancel()

    run(scenario, blocks=False)


def test_a_sequence_that_stays_wrong_is_tried_once_more_and_no_longer() -> None:
    async def scenario(node: FakeNode, ledger: CometLedger) -> None:
        node.methods["broadcast_tx_sync"] = lambda tx: {"code": errors.WrongSequence.code, "log": "no"}
        result = await ledger.submit(transfer())
        assert (result.code, result.log) == (errors.WrongSequence.code, "no")
        assert node.calls.count("broadcast_tx_sync") == 2

    run(scenario)


def test_a_refusal_is_returned_and_uses_no_sequence() -> None:
    async def scenario(node: FakeNode, ledger: CometLedger) -> None:
        take = node.methods["broadcast_tx_sync"]
        node.methods["broadcast_tx_sync"] = lambda tx: {"code": errors.CannotPayFee.code, "log": "poor"}
        result = await ledger.submit(transfer())
        assert (result.code, result.log, result.accepted) == (errors.CannotPayFee.code, "poor", False)
        node.methods["broadcast_tx_sync"] = take
        assert (await ledger.submit(transfer())).accepted
        assert [body.sequence for body in node.accepted] == [0]

    run(scenario)


def test_a_rejection_in_the_block_is_returned() -> None:
    async def scenario(node: FakeNode, ledger: CometLedger) -> None:
        node.code = errors.NotYourTurn.code
        result = await ledger.submit(transfer())
        assert result.code == errors.NotYourTurn.code

    run(scenario)


def test_what_is_in_no_block_expires() -> None:
    async def scenario(node: FakeNode, ledger: CometLedger) -> None:
        node.blocks_until_included = None
        result = await ledger.submit(transfer())
        assert result.code == errors.ExpiredTransaction.code
        assert result.height > node.accepted[0].expiry_height

    run(scenario)


def test_what_the_mempool_has_already_is_waited_for() -> None:
    async def scenario(node: FakeNode, ledger: CometLedger) -> None:
        take = node.methods["broadcast_tx_sync"]

        def take_twice(tx: str) -> None:
            take(tx=tx)
            raise Refusal("tx already exists in cache")

        node.methods["broadcast_tx_sync"] = take_twice
        assert (await ledger.submit(transfer())).accepted

    run(scenario)


def test_what_is_too_large_is_not_even_sent() -> None:
    async def scenario(node: FakeNode, ledger: CometLedger) -> None:
        parameters = transaction_pb2.TaskParameters(name="x" * (1 << 20))
        result = await ledger.submit(
            transaction_pb2.Body(create_task=transaction_pb2.CreateTask(parameters=parameters))
        )
        assert result.code == errors.TransactionTooLarge.code
        assert "broadcast_tx_sync" not in node.calls

    run(scenario)


def test_a_node_that_goes_away_while_waiting_is_unavailable() -> None:
    async def main() -> None:
        async with FakeNode().serve() as node:
            node.blocks_until_included = None
            ledger = await CometLedger.connect(node.url, KEY)
            submission = asyncio.create_task(ledger.submit(transfer()))
            await node.wait_until(lambda: bool(node.accepted))
        with pytest.raises(LedgerUnavailable, match="no answer from the node"):
            await submission
        await ledger.gateway.close()

    asyncio.run(asyncio.wait_for(main(), 30))


def test_connecting_to_nothing_is_unavailable() -> None:
    with pytest.raises(LedgerUnavailable, match="Connection refused"):
        asyncio.run(CometLedger.connect("http://127.0.0.1:1", KEY))


def test_it_is_the_ledger_that_roles_expect() -> None:
    from offchain.interfaces import Ledger

    ledger: Ledger = CometLedger(Gateway(), KEY, CHAIN_ID)
    assert ledger.chain_id == CHAIN_ID


@given(
    st.integers(0, 2**40), st.integers(0, 2**40), st.text(max_size=3000), st.integers(0, 2**63), st.integers(0, 2**63)
)
def test_the_fee_is_enough_and_at_most_a_kilobyte_too_much(
    min_fee: int, fee_per_kilobyte: int, name: str, sequence: int, expiry: int
) -> None:
    params = state_pb2.Params(min_fee=min_fee, fee_per_kilobyte=fee_per_kilobyte)
    body = transaction_pb2.Body(sequence=sequence, expiry_height=expiry)
    body.create_task.parameters.name = name
    transaction = sign_with_fee(KEY, body, params)
    fee = decode_transaction(transaction).body.fee
    assert compute_fee(params, len(transaction)) <= fee <= compute_fee(params, len(transaction)) + fee_per_kilobyte
