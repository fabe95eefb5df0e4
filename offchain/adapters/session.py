"""Zenoh sessions: how a role reaches the replicas, and a replica listens.

Every session is a *peer* with fixed endpoints and nothing found by multicast or gossip. A Zenoh *client* holds one link
only and cannot start while no endpoint answers; a peer links to every replica, starts while some are dead, and keeps
trying those.
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
async def open_session(endpoints: Sequence[str], listen: str | None = None) -> AsyncIterator[zenoh.Session]:
    """A session linked to `endpoints` ("tcp/host:port") as they come up and come back; closed at the end of the block.

    With `listen` others can link to it, to ask it what it answers and nothing else. Raises SessionError.
    """
    for endpoint in [*endpoints, *([] if listen is None else [listen])]:
        check_endpoint(endpoint)
    session = await asyncio.to_thread(_open, endpoints, listen)
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


def key_expression(chain_id: str, replica: bytes, verb: Verb) -> str:
    """Where the replica with this address answers."""
    return f"optfl/{quote(chain_id, safe='')}/replica/{replica.hex()}/{verb}"


def _open(endpoints: Sequence[str], listen: str | None) -> zenoh.Session:
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
    }
    if listen is not None:
        settings["access_control"] = _ANSWER_ONLY
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


# Without this, whoever connects as a Zenoh client could answer in another replica's name to everybody linked here,
# and use the replica as a relay.
_ANSWER_ONLY = {
    "enabled": True,
    "default_permission": "deny",
    "rules": [
        {
            "id": "asked",
            "permission": "allow",
            "flows": ["ingress"],
            "messages": ["query"],
            "key_exprs": ["optfl/**"],
        },
        {
            "id": "answers",
            "permission": "allow",
            "flows": ["egress"],
            "messages": ["declare_queryable", "reply"],
            "key_exprs": ["optfl/**"],
        },
    ],
    "subjects": [{"id": "everyone"}],
    "policies": [{"subjects": ["everyone"], "rules": ["asked", "answers"]}],
}


def _first_sentence(error: zenoh.ZError) -> str:
    return str(error).split(" at /", 1)[0]  # Zenoh appends where in its sources it came up
