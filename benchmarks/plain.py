"""The baseline: a FedAvg server that everybody trusts, and its clients, over TCP on loopback. No ledger, no storage.

Nothing is signed, hashed or written to disk; the updates, the model and the aggregation kernel are those of the other
modes, so what differs is what trust costs. (Flower sends float32 through gRPC and aggregates in numpy: it is slower.)
"""

from __future__ import annotations

import logging
import socket
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.meters import AGGREGATION, BYTES
from benchmarks.trace import Trace
from benchmarks.worker import Account, Work, read_work, run_all
from benchmarks.workload import make_model, make_trainer
from offchain.adapters.allocator import keep_large_buffers
from offchain.roles.views import Aggregate
from optfl.rules import RoundFacts, parse_rule
from optfl_cli.roles import load_kernel

_NUMBER_BYTES = 4
_PATIENCE_SECONDS = 3600.0


def run_server(work: Work, trace: Trace, aggregate: Aggregate) -> None:
    """Send the model to every client, take its update, aggregate; round after round."""
    setting = work.setting
    model = make_model(setting.length)
    rule = parse_rule(setting.rule)
    with socket.create_server(("127.0.0.1", work.port), backlog=setting.clients) as server:
        links: dict[int, socket.socket] = {}
        while len(links) < setting.clients:
            link, _ = server.accept()
            link.settimeout(_PATIENCE_SECONDS)
            links[_receive_number(link)] = link
    clients = sorted(links)
    updates = [np.empty(setting.length, dtype=np.int16) for _ in clients]
    weights = [0 for _ in clients]

    def exchange(position: int) -> None:
        link = links[clients[position]]
        link.sendall(_view(model))
        weights[position] = _receive_number(link)
        _receive(link, _view(updates[position]))
        link.sendall(b"\x01")
        trace.count_bytes("server", "store", BYTES, model.nbytes + updates[position].nbytes + 2 * _NUMBER_BYTES + 1)

    for number in range(1, setting.total_rounds + 1):
        for link in links.values():
            link.sendall(number.to_bytes(_NUMBER_BYTES, "big"))
        run_all([partial(exchange, position) for position in range(len(clients))])
        with trace.span("server", "aggregate", AGGREGATION, number):
            model = aggregate(rule, model, updates, RoundFacts(tuple(weights))).model
    for link in links.values():
        link.sendall(bytes(_NUMBER_BYTES))
        link.close()


def run_client(work: Work, account: Account, trace: Trace) -> None:
    """Take part until the server says that it is over."""
    trainer = make_trainer(work.setting.training, account.number, work.setting.length)
    model = np.empty(work.setting.length, dtype=np.int32)
    with socket.create_connection(("127.0.0.1", work.port), timeout=_PATIENCE_SECONDS) as link:
        link.sendall(account.number.to_bytes(_NUMBER_BYTES, "big"))
        while (number := _receive_number(link)) > 0:
            with trace.span(account.name, "train", "get", number):
                _receive(link, _view(model))
            with trace.span(account.name, "train", "train", number):
                update, weight = trainer.train(model, number)
            with trace.span(account.name, "store", "put", number):
                link.sendall(weight.to_bytes(_NUMBER_BYTES, "big"))
                link.sendall(_view(update))
                _receive(link, memoryview(bytearray(1)))


def _view(vector: npt.NDArray[Any]) -> memoryview:
    """The vector's own memory."""
    return memoryview(vector.view(np.uint8).data)


def _receive(link: socket.socket, buffer: memoryview) -> None:
    while buffer:
        received = link.recv_into(buffer)
        if received == 0:
            raise ConnectionError("the other side has gone; read its log")
        buffer = buffer[received:]


def _receive_number(link: socket.socket) -> int:
    buffer = bytearray(_NUMBER_BYTES)
    _receive(link, memoryview(buffer))
    return int.from_bytes(buffer, "big")


def main(path: Path) -> None:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    keep_large_buffers()
    work = read_work(path)
    trace = Trace(Path(work.trace))
    threading.stack_size(1 << 20)
    if work.kind == "server":
        run_server(work, trace, load_kernel(work.setting.threads))
        return

    def bind(account: Account) -> Callable[[], None]:
        return partial(run_client, work, account, trace)

    run_all([bind(account) for account in work.accounts])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
