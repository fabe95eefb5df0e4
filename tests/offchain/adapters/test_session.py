"""Zenoh sessions: endpoints that are wrong or taken, and what a stranger may do at a replica."""

from __future__ import annotations

import asyncio
import socket

import pytest
import zenoh

from offchain.adapters.blobs import ZenohTransport
from offchain.adapters.session import EndpointTaken, SessionError, account_prefix, key_expression, open_session
from support.ports import find_free_port
from support.replicas import endpoint_of, make_services, open_lawless, serving
from support.storage import AGGREGATORS, CHAIN_ID, REPLICAS, TRAINING, make_view


def test_a_taken_port_is_said() -> None:
    async def scenario() -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            endpoint = endpoint_of(other.getsockname()[1])
            with pytest.raises(EndpointTaken, match=f"{endpoint} is taken; .* configure another port"):
                async with open_session([], endpoint):
                    pass

    asyncio.run(scenario())


def test_an_address_that_is_not_of_this_machine_is_said() -> None:
    async def scenario() -> None:
        with pytest.raises(SessionError, match=r"cannot listen on tcp/192.+ configure another endpoint"):
            async with open_session([], "tcp/192.0.2.1:7447"):
                pass

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "endpoint",
    ["", "7447", "127.0.0.1:7447", "tcp/127.0.0.1", "tcp/127.0.0.1:0", "tcp/127.0.0.1:65536", "udp/127.0.0.1:7447",
     "tcp/127.0.0.1:7447 ", "tcp/::1:7447", "tcp/a:1#b=c"],
)  # fmt: skip
def test_a_mistaken_endpoint_is_said_and_not_waited_for(endpoint: str) -> None:
    async def scenario(endpoints: list[str], listen: str | None) -> None:
        with pytest.raises(SessionError, match="is not like tcp/"):
            async with open_session(endpoints, listen):
                pass

    asyncio.run(scenario([endpoint], None))
    asyncio.run(scenario([], endpoint))


@pytest.mark.parametrize("chain_id", ["localnet-1", "a/b", "*", "a#b?c$d", "größe", "a b"])
def test_any_chain_id_makes_one_key(chain_id: str) -> None:
    key = zenoh.KeyExpr(key_expression(chain_id, REPLICAS[0].address, "put"))
    assert str(key).count("/") == 4


def ask(session: zenoh.Session, replica: int) -> list[bytes]:
    replies = session.get(
        key_expression(CHAIN_ID, REPLICAS[replica].address, "get"), target=zenoh.QueryTarget.ALL, payload=b"?"
    )
    return [reply.ok.payload.to_bytes() for reply in replies if reply.ok is not None]


def test_a_stranger_cannot_answer_in_another_replicas_name_through_an_honest_one() -> None:
    """A Zenoh client that links to a replica would have its own queries passed on to everybody linked there."""

    def steal(query: zenoh.Query) -> None:
        with query:
            query.reply(query.key_expr, b"stolen")

    async def scenario() -> None:
        port = find_free_port()
        async with serving(make_services(make_view((3, TRAINING)))[0], port):
            stranger = await asyncio.to_thread(open_lawless, "client", connect=[endpoint_of(port)])
            try:
                stranger.declare_queryable(key_expression(CHAIN_ID, REPLICAS[1].address, "get"), steal)
                # The replica answers the stranger, so it has seen what the stranger declared before that.
                assert len(await asyncio.to_thread(ask, stranger, 0)) == 1
                async with open_session([endpoint_of(port)]) as session:
                    await ZenohTransport(session, CHAIN_ID, b"").wait_for_any([REPLICAS[0].address], "put")
                    assert len(await asyncio.to_thread(ask, session, 0)) == 1
                    assert await asyncio.to_thread(ask, session, 1) == []
            finally:
                await asyncio.to_thread(stranger.close)

    asyncio.run(scenario())


def test_a_stranger_cannot_ask_through_a_role_what_it_cannot_reach_itself() -> None:
    """Roles link to many; a relay would spend their bandwidth, and open networks that are closed to the stranger."""

    async def scenario() -> None:
        inner, outer = find_free_port(), find_free_port()
        account = account_prefix(CHAIN_ID, AGGREGATORS[0].address)
        async with (
            serving(make_services(make_view((3, TRAINING)))[1], inner),
            open_session([endpoint_of(inner)], endpoint_of(outer), account=account) as role,
        ):
            transport = ZenohTransport(role, CHAIN_ID, AGGREGATORS[0].address)
            transport.serve("ballot", lambda request: b"mine")
            await transport.wait_for_any([REPLICAS[1].address], "put")
            assert len(await asyncio.to_thread(ask, role, 1)) == 1
            stranger = await asyncio.to_thread(open_lawless, "client", connect=[endpoint_of(outer)])
            try:
                own = stranger.get(key_expression(CHAIN_ID, AGGREGATORS[0].address, "ballot"), payload=b"?")
                assert [reply.ok.payload.to_bytes() for reply in own if reply.ok is not None] == [b"mine"]
                assert await asyncio.to_thread(ask, stranger, 1) == []
            finally:
                await asyncio.to_thread(stranger.close)
                await transport.close()

    asyncio.run(scenario())
