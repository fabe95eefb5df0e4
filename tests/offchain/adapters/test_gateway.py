"""The gateway against a node that answers, refuses, hangs up, talks nonsense or is not there."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from offchain.adapters import gateway as module
from offchain.adapters.gateway import Gateway, GatewayError
from offchain.interfaces import LedgerUnavailable
from optfl import errors
from optfl.wire import state_pb2
from support.rpc import CHAIN_ID, FakeNode, Refusal


def run(scenario: Callable[[FakeNode, Gateway], Awaitable[None]]) -> None:
    async def main() -> None:
        async with FakeNode().serve() as node, Gateway(node.url) as gateway:
            await asyncio.wait_for(scenario(node, gateway), 30)

    asyncio.run(main())


def refuse(text: str) -> Callable[..., Any]:
    def method(**params: object) -> Any:
        raise Refusal(text)

    return method


def test_status_and_height() -> None:
    async def scenario(node: FakeNode, gateway: Gateway) -> None:
        status = await gateway.get_status()
        assert (status.chain_id, status.version, status.height, status.peers) == (CHAIN_ID, "0.38.26", 10, 3)
        assert await gateway.get_height() == 10

    run(scenario)


def test_before_the_first_block_the_height_is_0() -> None:
    async def scenario(node: FakeNode, gateway: Gateway) -> None:
        node.methods["abci_info"] = lambda: {"response": {"data": ""}}
        assert await gateway.get_height() == 0

    run(scenario)


def test_a_view_that_does_not_exist_is_none() -> None:
    async def scenario(node: FakeNode, gateway: Gateway) -> None:
        assert await gateway.get_task(7) is None
        node.views["/task"] = state_pb2.TaskView(height=10, task=state_pb2.Task(task_id=7))
        assert await gateway.get_task(7) == node.views["/task"]

    run(scenario)


def test_of_a_view_comes_what_has_changed() -> None:
    async def scenario(node: FakeNode, gateway: Gateway) -> None:
        answers: list[state_pb2.TaskParts] = []
        answer = node.methods["abci_query"]

        def query(**params: Any) -> Any:
            answered = answer(**params)
            answers.append(state_pb2.TaskParts.FromString(base64.b64decode(answered["response"]["value"])))
            return answered

        node.methods["abci_query"] = query
        view = state_pb2.TaskView(height=10, task=state_pb2.Task(task_id=7), rounds=[state_pb2.Round(round=1)])
        node.views["/task"] = view
        first = await gateway.get_task(7)
        assert first == view
        first.task.escrow = 1  # what a caller does to its copy is its own business
        view.height = 11
        assert await gateway.get_task(7) == view
        assert not any(part.HasField("content") for part in answers[1].parts)
        view.rounds.add(round=2)
        assert await gateway.get_task(7) == view
        (news,) = (part.content for part in answers[2].parts if part.HasField("content"))
        assert state_pb2.TaskView.FromString(news) == state_pb2.TaskView(rounds=[state_pb2.Round(round=2)])

    run(scenario)


@pytest.mark.parametrize("part", [state_pb2.TaskPart(digest=bytes(32)), state_pb2.TaskPart(content=b"\xff")])
def test_a_part_that_was_not_named_or_is_none_is_an_error(part: state_pb2.TaskPart) -> None:
    async def scenario(node: FakeNode, gateway: Gateway) -> None:
        node.views["/task/parts"] = state_pb2.TaskParts(height=10, parts=[part])
        with pytest.raises(GatewayError, match="no view of a task"):
            await gateway.get_task(7)

    run(scenario)


def test_waiting_that_is_cancelled_as_the_block_comes_is_cancelled() -> None:
    """asyncio.wait_for of Python 3.11 returns instead: a role that was told to stop would wait for ever."""

    async def scenario(node: FakeNode, gateway: Gateway) -> None:
        for steps in range(4):
            waiting = asyncio.create_task(gateway._wait_for_news(30))
            await asyncio.sleep(0.01)
            gateway._news.set()
            for _ in range(steps):
                await asyncio.sleep(0)
            was_too_late = waiting.done()
            waiting.cancel()
            await asyncio.wait([waiting])
            assert waiting.cancelled() != was_too_late

    run(scenario)


def test_no_block_yet_is_transient() -> None:
    async def scenario(node: FakeNode, gateway: Gateway) -> None:
        node.methods["abci_query"] = lambda **_: {"response": {"code": 101, "log": "no block is committed yet"}}
        with pytest.raises(LedgerUnavailable, match="no block is committed yet"):
            await gateway.get_params()

    run(scenario)


@pytest.mark.parametrize(
    ("response", "message"),
    [
        ({"code": 2, "log": "7 bytes; a task id has 8"}, "7 bytes; a task id has 8"),
        ({"code": 0, "value": "/////w=="}, "is no TaskParts; ask a node that runs this version"),
    ],
)
def test_an_answer_that_is_no_use_is_an_error(response: dict[str, Any], message: str) -> None:
    async def scenario(node: FakeNode, gateway: Gateway) -> None:
        node.methods["abci_query"] = lambda **_: {"response": response}
        with pytest.raises(GatewayError, match=message):
            await gateway.get_task(1)

    run(scenario)


def test_another_chain_is_named() -> None:
    async def scenario(node: FakeNode, gateway: Gateway) -> None:
        node.views.clear()
        with pytest.raises(GatewayError, match="has no /params; it is not one of Optimistic FL"):
            await gateway.get_params()

    run(scenario)


def test_a_node_that_is_not_there() -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        async with Gateway(f"http://127.0.0.1:{port}") as gateway:
            with pytest.raises(LedgerUnavailable) as caught:
                await gateway.get_status()
        assert str(caught.value) == (
            f"no answer from the node at http://127.0.0.1:{port} (Connection refused); "
            "check that it runs and that this is its RPC address"
        )

    asyncio.run(main())


def test_a_name_that_nobody_has(monkeypatch: pytest.MonkeyPatch) -> None:
    def know_nobody(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def main() -> None:
        async with Gateway("http://nobody.invalid:1") as gateway:
            with pytest.raises(LedgerUnavailable, match="no host of this name is known"):
                await gateway.get_status()

    monkeypatch.setattr("socket.getaddrinfo", know_nobody)
    asyncio.run(main())


def test_a_port_without_tls() -> None:
    async def main() -> None:
        async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        async with server, Gateway(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}") as gateway:
            with pytest.raises(LedgerUnavailable, match="it speaks no TLS that works here; is it http://"):
                await gateway.get_status()

    asyncio.run(main())


@pytest.mark.parametrize("text", ["<html>", "[]", "{}", '{"error": "x"}', '"x"', "", "\xff"])
def test_something_else_that_answers_is_no_node(text: str) -> None:
    async def main() -> None:
        async def answer(request: web.Request) -> web.Response:
            return web.Response(body=text.encode("latin-1"), content_type="text/html")

        application = web.Application()
        application.router.add_post("/", answer)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with Gateway(f"http://127.0.0.1:{runner.addresses[0][1]}") as gateway:
            with pytest.raises(LedgerUnavailable, match="is not a CometBFT node"):
                await gateway.get_status()
        await runner.cleanup()

    asyncio.run(main())


def test_a_connection_that_was_closed_while_idle_is_opened_again() -> None:
    """CometBFT closes idle connections; whether before or just after a request is sent is a matter of luck."""

    async def main() -> None:
        requests = 0

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal requests
            await reader.readuntil(b"}}")
            requests += 1
            if requests != 2:  # the second is read and then hung up on
                body = b'{"result": {"response": {"last_block_height": "5"}}}'
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                await writer.drain()
                if requests == 1:
                    await reader.readuntil(b"}}")
                    requests += 1
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server, Gateway(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as gateway:
            assert await gateway.get_height() == 5
            assert await gateway.get_height() == 5
            assert requests == 3

    asyncio.run(main())


@pytest.mark.parametrize("takes_subscriptions", [True, False])
def test_waiting_for_a_block_with_and_without_a_subscription(takes_subscriptions: bool) -> None:
    async def scenario(node: FakeNode, gateway: Gateway) -> None:
        node.takes_subscriptions = takes_subscriptions
        assert await gateway.wait_for_block(0) == 10
        waiters = [asyncio.create_task(gateway.wait_for_block(height)) for height in (9, 10, 10)]
        assert await waiters[0] == 10
        blocks = asyncio.create_task(node.run())
        assert [await waiter > 10 for waiter in waiters[1:]] == [True, True]
        assert await gateway.wait_for_block(20) > 20
        blocks.cancel()

    run(scenario)


def test_a_subscription_spares_the_polling() -> None:
    async def scenario(node: FakeNode, gateway: Gateway) -> None:
        await gateway.wait_for_block(0)
        await node.wait_until(lambda: bool(node.subscriptions))
        await node.make_block()
        await gateway.wait_for_block(10)
        node.calls.clear()
        for height in range(11, 31):
            waiter = asyncio.create_task(gateway.wait_for_block(height))
            await node.make_block()
            assert await waiter == height + 1
        assert node.calls == []

    run(scenario)


async def _subscribe(node: FakeNode, gateway: Gateway) -> None:
    """Returns once the gateway has the events of block 11, and knows no earlier ones."""
    await gateway.wait_for_block(0)
    await node.wait_until(lambda: bool(node.subscriptions))
    await node.make_block()
    await gateway.wait_for_block(10)


@pytest.mark.parametrize("news", [7, "all"])
def test_waiting_for_a_change_passes_over_blocks_that_say_they_made_none(news: int | str) -> None:
    async def scenario(node: FakeNode, gateway: Gateway) -> None:
        await _subscribe(node, gateway)
        waiter = asyncio.create_task(gateway.wait_for_change(7, 11))
        for changed in ((), (8,), (8, news)):
            await asyncio.sleep(0)
            assert not waiter.done()
            await node.make_block(*changed)
        assert await waiter == 14
        assert await gateway.wait_for_change(7, 13) == 14
        assert "abci_query" not in node.calls

    run(scenario)


def test_waiting_for_a_change_ends_where_events_are_missing() -> None:
    """Whatever was in them: one look too many does no harm."""

    async def scenario(node: FakeNode, gateway: Gateway) -> None:
        assert await gateway.wait_for_change(7, 0) == 10  # nothing is known of these
        await _subscribe(node, gateway)
        assert await gateway.wait_for_change(7, 9) == 11
        waiter = asyncio.create_task(gateway.wait_for_change(7, 11))
        await node.make_block()
        await node.make_block(7, without_events=True)
        await node.make_block()
        assert await waiter == 14
        await node.make_block(without_events=True)
        assert await gateway.get_height() == 15
        assert await gateway.wait_for_change(7, 14) == 15

    run(scenario)


def test_waiting_for_a_change_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_REST_BLOCKS", 3)

    async def scenario(node: FakeNode, gateway: Gateway) -> None:
        await _subscribe(node, gateway)
        waiter = asyncio.create_task(gateway.wait_for_change(7, 11))
        for _ in range(3):
            assert not waiter.done()
            await node.make_block()
        assert await waiter == 14

    run(scenario)


def test_changes_of_many_tasks_are_forgotten_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_CHANGES", 2)

    async def scenario(node: FakeNode, gateway: Gateway) -> None:
        await _subscribe(node, gateway)
        await node.make_block(7)
        await node.make_block(8, 9)
        await gateway.wait_for_block(12)
        assert await gateway.wait_for_change(7, 11) == 13

    run(scenario)


def test_waiting_for_a_change_without_a_subscription_is_waiting_for_a_block() -> None:
    async def scenario(node: FakeNode, gateway: Gateway) -> None:
        node.takes_subscriptions = False
        await gateway.wait_for_block(0)
        waiter = asyncio.create_task(gateway.wait_for_change(7, 10))
        await node.make_block()
        assert await waiter == 11

    run(scenario)


def test_waiting_bears_a_node_that_restarts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SLOW_POLL_SECONDS", 0.05)

    async def scenario(node: FakeNode, gateway: Gateway) -> None:
        assert await gateway.wait_for_block(0) == 10
        await node.wait_until(lambda: bool(node.subscriptions))
        waiter = asyncio.create_task(gateway.wait_for_block(10))
        info, node.methods["abci_info"] = node.methods["abci_info"], refuse("EOF")
        await node.close_sockets()
        node.calls.clear()
        await node.wait_until(lambda: node.calls.count("abci_info") > 1)
        node.methods["abci_info"] = info
        await node.make_block()
        assert await waiter == 11

    run(scenario)


def test_a_node_without_its_application_is_unavailable() -> None:
    async def scenario(node: FakeNode, gateway: Gateway) -> None:
        node.methods["abci_query"] = node.methods["abci_info"] = refuse("EOF")
        with pytest.raises(LedgerUnavailable, match=r"gets no answer from its ledger \(EOF\); read the node's logs"):
            await gateway.get_task(1)
        with pytest.raises(LedgerUnavailable, match="gets no answer from its ledger"):
            await gateway.get_height()

    run(scenario)


def test_waiting_gives_up_on_a_node_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr(module, "_SLOW_POLL_SECONDS", 0.1)

    async def main() -> None:
        async with FakeNode().serve() as node:
            gateway = Gateway(node.url)
            assert await gateway.wait_for_block(0) == 10
        with pytest.raises(LedgerUnavailable, match="no answer from the node"):
            await gateway.wait_for_block(10)
        await gateway.close()

    asyncio.run(asyncio.wait_for(main(), 30))


def test_broadcast_of_what_the_mempool_has_already_is_no_error() -> None:
    async def scenario(node: FakeNode, gateway: Gateway) -> None:
        node.methods["broadcast_tx_sync"] = refuse("tx already exists in cache")
        assert await gateway.broadcast(b"x") == (0, "")

    run(scenario)


def test_a_transaction_that_is_too_large_for_the_node_is_refused_for_good() -> None:
    async def scenario(node: FakeNode, gateway: Gateway) -> None:
        for text in (
            "Tx too large. Max size is 1, but got 2",
            "error reading request body: http: request body too large",
        ):
            node.methods["broadcast_tx_sync"] = refuse(text)
            code, log = await gateway.broadcast(b"xy")
            assert code == errors.TransactionTooLarge.code
            assert text in log

    run(scenario)


def test_a_full_mempool_is_transient() -> None:
    async def scenario(node: FakeNode, gateway: Gateway) -> None:
        node.methods["broadcast_tx_sync"] = refuse("mempool is full: number of txs 5000")
        with pytest.raises(LedgerUnavailable, match=r"takes no transaction now \(mempool is full.*try again"):
            await gateway.broadcast(b"x")

    run(scenario)


def test_a_transaction_that_no_block_has_is_none_and_other_refusals_are_errors() -> None:
    async def scenario(node: FakeNode, gateway: Gateway) -> None:
        assert await gateway.get_transaction(b"\0" * 32) is None
        node.methods["tx"] = refuse("transaction indexing is disabled")
        with pytest.raises(GatewayError, match="indexing is disabled"):
            await gateway.get_transaction(b"\0" * 32)

    run(scenario)
