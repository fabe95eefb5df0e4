"""Replicas on loopback: real Zenoh sessions, in this process or in one that can be killed."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import zenoh

from offchain.adapters.session import account_prefix, open_session
from offchain.roles.replica import ReplicaServer
from offchain.storage.disk import DiskStore
from offchain.storage.memory import MemoryStore
from offchain.storage.service import ReplicaService
from optfl.wire import state_pb2
from support.storage import AGGREGATING, CHAIN_ID, REPLICAS, FakeNode, make_view


def endpoint_of(port: int) -> str:
    return f"tcp/127.0.0.1:{port}"


def open_lawless(mode: str, *, connect: Sequence[str] = (), listen: Sequence[str] = ()) -> zenoh.Session:
    """A Zenoh session with none of our rules: what somebody opens who does not follow them."""
    config = zenoh.Config()
    config.insert_json5("mode", json.dumps(mode))
    config.insert_json5("connect/endpoints", json.dumps(list(connect)))
    config.insert_json5("listen/endpoints", json.dumps(list(listen)))
    config.insert_json5("scouting/multicast/enabled", "false")
    return zenoh.open(config)


@asynccontextmanager
async def serving(service: ReplicaService, port: int) -> AsyncIterator[None]:
    """`service` answers on loopback until the end of the block."""
    stop = asyncio.Event()
    async with open_session([], endpoint_of(port), account=account_prefix(CHAIN_ID, service.address)) as session:
        running = asyncio.create_task(ReplicaServer(service, CHAIN_ID, session).run(stop))
        await asyncio.sleep(0)  # its queries are declared in its first step
        try:
            yield
        finally:
            stop.set()
            await running


def make_services(
    view: state_pb2.TaskView, wrap: Callable[[int, ReplicaService], ReplicaService] = lambda _, service: service
) -> list[ReplicaService]:
    """The four replicas' services, in memory, on nodes that have `view`."""
    return [wrap(i, ReplicaService(CHAIN_ID, key, MemoryStore(), FakeNode(view))) for i, key in enumerate(REPLICAS)]


async def _serve_for_ever(port: int, folder: Path) -> None:
    node = FakeNode(make_view((3, AGGREGATING), replicas=REPLICAS[:1]))
    async with serving(ReplicaService(CHAIN_ID, REPLICAS[0], DiskStore(folder), node), port):
        print("serving", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve_for_ever(int(sys.argv[1]), Path(sys.argv[2])))
