"""The simulated chain: takes what the ledger takes, and loses nothing that it promised to answer."""

from __future__ import annotations

import asyncio
import json

import pytest

from abci_app.state import State
from offchain.interfaces import LedgerUnavailable
from optfl import errors
from optfl.beacon import HashChain
from optfl.keys import SigningKey
from optfl.wire import transaction_pb2
from optfl_sim.chain import EXPIRY_BLOCKS, SimulatedChain, SimulatedLedger
from optfl_sim.clock import run_virtually

RICH, POOR = SigningKey.from_seed(b"r" * 32), SigningKey.from_seed(b"p" * 32)
GENESIS = json.dumps(
    {
        "params": {"validator_stake_unit": 1, "min_validator_stake": 1},
        "accounts": [{"address": RICH.address.hex(), "balance": 1_000_000}],
        "validators": [
            {"operator_public_key": RICH.public_key.hex(), "consensus_key": POOR.public_key.hex(), "stake": 10}
        ],
    }
).encode()


def transfer(amount: int) -> transaction_pb2.Body:
    return transaction_pb2.Body(transfer=transaction_pb2.Transfer(recipient=POOR.address, amount=amount))


def connect(chain: SimulatedChain, key: SigningKey, *, lossy: bool = False) -> SimulatedLedger:
    return SimulatedLedger(chain, key, lambda: 0.1, lambda: lossy)


def test_several_transactions_of_one_account_get_into_one_block() -> None:
    async def main() -> list[int]:
        chain = SimulatedChain("chain", GENESIS, 1.0, seed=1)
        deciding = asyncio.create_task(chain.run())
        ledger = connect(chain, RICH)
        results = await asyncio.gather(*(ledger.submit(transfer(1)) for _ in range(3)))
        deciding.cancel()
        assert all(result.accepted for result in results)
        return [result.height for result in results]

    assert run_virtually(main()) == [1, 1, 1]


def test_refusals_come_with_the_ledgers_codes() -> None:
    async def main() -> int:
        chain = SimulatedChain("chain", GENESIS, 1.0, seed=1)
        deciding = asyncio.create_task(chain.run())
        result = await connect(chain, RICH).submit(transfer(10_000_000))
        deciding.cancel()
        return result.code

    assert run_virtually(main()) == errors.InsufficientBalance.code


def test_what_no_block_takes_expires() -> None:
    async def main() -> tuple[int, int]:
        chain = SimulatedChain("chain", GENESIS, 1.0, seed=1)
        waiting = asyncio.create_task(connect(chain, RICH).submit(transfer(1)))
        await asyncio.sleep(1.0)  # it is in the mempool; now nobody decides a block that has room for it
        chain.max_block_bytes = 0
        deciding = asyncio.create_task(chain.run())
        result = await waiting
        deciding.cancel()
        return result.code, result.height

    assert run_virtually(main()) == (errors.ExpiredTransaction.code, EXPIRY_BLOCKS)


def test_a_lost_message_is_an_unavailable_ledger() -> None:
    async def main() -> None:
        chain = SimulatedChain("chain", GENESIS, 1.0, seed=1)
        await connect(chain, RICH, lossy=True).get_task(1)

    with pytest.raises(LedgerUnavailable):
        run_virtually(main())


def test_A9_simulated_proposers_reveal() -> None:
    """With a hash chain every block pays its proposer; without its secret the same chain burns the fees."""
    beacon = HashChain(b"b" * 32, 50)
    document = json.loads(GENESIS)
    document["validators"][0]["beacon_anchor"] = beacon.anchor.hex()

    async def main(beacons: dict[bytes, HashChain]) -> int:
        chain = SimulatedChain("chain", json.dumps(document).encode(), 1.0, 1, beacons)
        deciding = asyncio.create_task(chain.run())
        ledger = connect(chain, RICH)
        for _ in range(3):
            assert (await ledger.submit(transfer(1))).accepted
        deciding.cancel()
        return State(chain.state).supply.burned

    assert run_virtually(main({POOR.address: beacon})) == 0
    assert run_virtually(main({})) > 0
