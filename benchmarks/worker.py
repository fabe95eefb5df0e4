"""A process of a run: plays the accounts that its file names, each in a thread with a loop and connections of its own.

The roles are those of `offchain.roles`, untouched; meters stand at their interfaces.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.meters import Meter
from benchmarks.setting import Setting
from benchmarks.trace import Trace
from benchmarks.workload import make_trainer
from offchain.adapters.allocator import keep_large_buffers
from offchain.adapters.blobs import ZenohTransport
from offchain.adapters.ledger import CometLedger
from offchain.adapters.memory import MemoryJournal
from offchain.adapters.session import account_prefix, open_session
from offchain.interfaces import Blobs
from offchain.roles.aggregator import Aggregator, run_aggregator
from offchain.roles.client import run_client
from offchain.roles.signing import Signer
from offchain.roles.validator import run_validator
from offchain.roles.views import Aggregate
from offchain.storage.ballots import ExchangedBallots
from offchain.storage.replicated import ReplicatedBlobs
from optfl.wire import transaction_pb2
from optfl_cli.options import load_key
from optfl_cli.roles import ensure_registered, load_kernel


@dataclass(frozen=True)
class Account:
    """Whom a worker plays: the `number`-th of its kind, with its key file and the node that it trusts."""

    name: str
    number: int
    key: str
    node: str
    stake: int
    listen: str | None = None


@dataclass(frozen=True)
class Work:
    """A worker's file."""

    setting: Setting
    kind: str
    accounts: list[Account]
    trace: str
    task: int = 1
    replicas: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    port: int = 0  # of the plain server

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")


def read_work(path: Path) -> Work:
    fields = json.loads(path.read_text(encoding="utf-8"))
    fields["setting"] = Setting(**fields["setting"])
    fields["accounts"] = [Account(**account) for account in fields["accounts"]]
    return Work(**fields)


async def play(work: Work, account: Account, trace: Trace, kernel: Aggregate | None) -> None:
    """One account's role in the task, until the task has ended."""
    meter = Meter(trace, account.name, work.kind)
    key = load_key(Path(account.key))
    async with await CometLedger.connect(account.node, key) as real_ledger:
        ledger = meter.ledger(real_ledger)
        prefix = account_prefix(ledger.chain_id, ledger.address)
        async with open_session([*work.replicas, *work.peers], account.listen, account=prefix) as session:
            zenoh = ZenohTransport(session, ledger.chain_id, ledger.address)
            transport = meter.transport(zenoh)
            storage = ReplicatedBlobs(transport, key, ledger)
            blobs: Blobs = meter.blobs(storage)
            try:
                if kernel is None:
                    await ensure_registered(real_ledger, transaction_pb2.ROLE_CLIENT, account.stake)
                    trainer = make_trainer(work.setting.training, account.number, work.setting.length)
                    await run_client(work.task, ledger, blobs, meter.trainer(trainer))
                    return
                signer = Signer(key, MemoryJournal(), ExchangedBallots(transport, ledger.address))
                aggregate = meter.aggregate(kernel)
                if work.kind == "aggregator":
                    await ensure_registered(real_ledger, transaction_pb2.ROLE_AGGREGATOR, account.stake)
                    await run_aggregator(Aggregator(ledger, blobs, aggregate, signer=signer), work.task)
                else:
                    await run_validator(work.task, ledger, blobs, aggregate, signer=signer)
            finally:
                await storage.close()
                await zenoh.close()


def run_all(targets: list[Callable[[], Any]]) -> None:
    """Each in a thread of its own; the first failure is raised once all have ended."""
    failures: list[Exception] = []

    def guard(target: Callable[[], Any]) -> None:
        try:
            target()
        except Exception as error:  # raised below
            logging.getLogger(__name__).exception("this account is out")
            failures.append(error)

    threads = [threading.Thread(target=guard, args=(target,)) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def main(path: Path) -> None:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    keep_large_buffers()
    work = read_work(path)
    trace = Trace(Path(work.trace))
    kernel = None if work.kind == "client" else load_kernel(work.setting.threads)

    def bind(account: Account) -> Callable[[], None]:
        return lambda: asyncio.run(play(work, account, trace, kernel))

    run_all([bind(account) for account in work.accounts])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
