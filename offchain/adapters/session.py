"""Zenoh sessions: how a role reaches the replicas and other roles, and how some of them listen.

Every session is a *peer* with fixed endpoints and nothing found by multicast or gossip. A Zenoh *client* holds one link
only and cannot start while no endpoint answers; a peer links to every endpoint, starts while some are dead, and keeps
trying those. Over a link both sides ask and answer, whoever opened it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import zenoh

from offchain.storage.protocol import MAX_MESSAGE_BYTES, Verb

log = logging.getLogger(__name__)

_ENDPOINT = re.compile(r"tcp/(\[[0-9a-fA-F:.]+\]|[^\s/:?#\[\]]+):([0-9]{1,5})")
_FIRST_RETRY_MS, _LAST_RETRY_MS = 100, 1000


class SessionError(Exception):
    """No session can be opened like this; the message says what to change."""


class EndpointTaken(SessionError):
    """Another process listens there."""


@asynccontextmanager
async def open_session(
    endpoints: Sequence[str], listen: str | None = None, *, account: str | None = None
) -> AsyncIterator[zenoh.Session]:
    """A session linked to `endpoints` ("tcp/host:port") as they come up and come back; closed at the end of the block.

    With `listen` others can link to it. `account`, an `account_prefix`, is whom it answers for; without, it answers
    nobody. Raises SessionError.
    """
    for endpoint in [*endpoints, *([] if listen is None else [listen])]:
        check_endpoint(endpoint)
    others = [endpoint for endpoint in endpoints if endpoint != listen]  # one list may serve all who are in it
    session = await asyncio.to_thread(_open, others, listen, account)
    try:
        yield session
    finally:
        try:
            await asyncio.to_thread(session.close)
        except zenoh.ZError as error:
            log.warning("the Zenoh session did not close in time: %s", error)


def check_endpoint(endpoint: str) -> None:
    """Raises SessionError. Zenoh itself takes most mistakes in silence and never connects."""
    match = _ENDPOINT.fullmatch(endpoint)
    if match is None or not 1 <= int(match[2]) <= 65535:
        raise SessionError(f"endpoint {endpoint!r} is not like tcp/127.0.0.1:7447; correct it in the configuration")


def account_prefix(chain_id: str, account: bytes) -> str:
    """What begins all keys of the account with this address."""
    return f"optfl/{quote(chain_id, safe='')}/account/{account.hex()}"


def key_expression(chain_id: str, account: bytes, verb: Verb) -> str:
    """Where the account with this address answers."""
    return f"{account_prefix(chain_id, account)}/{verb}"


def _open(endpoints: Sequence[str], listen: str | None, account: str | None) -> zenoh.Session:
    settings: dict[str, Any] = {
        "mode": "peer",
        "connect/endpoints": list(endpoints),
        "connect/timeout_ms": -1,  # try for ever; 0 would give up on whoever is not there at the start
        "connect/exit_on_failure": False,
        "connect/retry": {
            "period_init_ms": _FIRST_RETRY_MS,
            "period_max_ms": _LAST_RETRY_MS,
            "period_increase_factor": 2,
        },
        "listen/endpoints": [] if listen is None else [listen],
        "listen/timeout_ms": 0,
        "listen/exit_on_failure": True,
        "scouting/delay": 0,  # open at once; whoever asks a replica waits for its link anyway
        "scouting/multicast/enabled": False,
        "scouting/gossip/enabled": False,
        "transport/link/protocols": ["tcp"],
        "transport/link/rx/max_message_size": MAX_MESSAGE_BYTES,
        "transport/shared_memory/enabled": False,  # segments would outlive a killed process
        "access_control": _build_access_control(account),
    }
    config = zenoh.Config()
    for name, value in settings.items():
        config.insert_json5(name, json.dumps(value))
    try:
        return zenoh.open(config)
    except zenoh.ZError as error:
        if "Address already in use" in str(error):
            raise EndpointTaken(f"{listen} is taken; stop what listens there or configure another port") from error
        raise SessionError(
            f"cannot listen on {listen}: {_first_sentence(error)}; configure another endpoint"
        ) from error


def _build_access_control(account: str | None) -> dict[str, Any]:
    """A session asks everybody, and answers for `account` alone.

    Without this, a session would pass on what it hears: whoever links to it as a Zenoh client could answer in another
    account's name to everybody linked there, and use the session as a relay.
    """
    rules = [
        _allow("ask", "egress", ["query"], "optfl/**"),
        _allow("hear", "ingress", ["declare_queryable", "reply"], "optfl/**"),
    ]
    if account is not None:
        rules += [
            _allow("be-asked", "ingress", ["query"], f"{account}/*"),
            _allow("answer", "egress", ["declare_queryable", "reply"], f"{account}/*"),
        ]
    return {
        "enabled": True,
        "default_permission": "deny",
        "rules": rules,
        "subjects": [{"id": "everyone"}],
        "policies": [{"subjects": ["everyone"], "rules": [rule["id"] for rule in rules]}],
    }


def _allow(name: str, flow: str, messages: list[str], keys: str) -> dict[str, Any]:
    return {"id": name, "permission": "allow", "flows": [flow], "messages": messages, "key_exprs": [keys]}


def _first_sentence(error: zenoh.ZError) -> str:
    return str(error).split(" at /", 1)[0]  # Zenoh appends where in its sources it came up
