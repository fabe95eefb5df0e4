"""Ports and sockets on this machine: which are free, and whether somebody answers."""

from __future__ import annotations

import http.client
import os
import random
import socket
import urllib.parse
from collections.abc import Collection
from pathlib import Path

MAX_UNIX_PATH_BYTES = 103  # macOS has the least room: 104 with the final NUL

# Below the range that systems give to outgoing connections (32768 and up): a port that is free when a net is made is
# still free when a node of it is started again.
_FIRST_PORT = 20_000
_LAST_PORT = 32_000


def is_tcp_open(host: str, port: int) -> bool:
    """Whether somebody accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def is_unix_open(path: Path) -> bool:
    """Whether somebody accepts connections on this Unix socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(1)
        try:
            connection.connect(os.fspath(path))
        except OSError:
            return False
    return True


def is_http_open(url: str) -> bool:
    """Whether a GET of `url` is answered with 200. Never goes through a proxy."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=1)
    try:
        connection.request("GET", parts.path or "/")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def is_port_free(host: str, port: int) -> bool:
    """Whether a server could listen there now (a port that is merely in TIME_WAIT counts as free)."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def find_free_ports(count: int, host: str = "127.0.0.1", besides: Collection[int] = ()) -> list[int]:
    """Different ports that nobody listens on, drawn at random so that two callers hardly ever draw the same.

    None is among `besides`, which are taken by what is not started yet.
    """
    candidates = [port for port in range(_FIRST_PORT, _LAST_PORT) if port not in besides]
    random.Random(os.urandom(16)).shuffle(candidates)
    free = [port for port in candidates[: 50 * count] if is_port_free(host, port)][:count]
    if len(free) < count:
        raise OSError(f"no {count} free ports from {_FIRST_PORT} to {_LAST_PORT}")
    return free
