"""Ports and sockets: free, taken, answering."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from optfl_cli import ports


def test_free_ports_differ_and_can_be_listened_on() -> None:
    found = ports.find_free_ports(8)
    assert len(set(found)) == 8
    with socket.create_server(("127.0.0.1", found[0])):
        assert not ports.is_port_free("127.0.0.1", found[0])
        assert ports.is_tcp_open("127.0.0.1", found[0])
    assert ports.is_port_free("127.0.0.1", found[0])
    assert not ports.is_tcp_open("127.0.0.1", found[0])


def test_ports_of_what_is_not_started_yet_are_not_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_LAST_PORT", ports._FIRST_PORT + 4)
    monkeypatch.setattr(ports, "is_port_free", lambda host, port: True)
    first = ports.find_free_ports(2)
    assert set(first).isdisjoint(ports.find_free_ports(2, besides=first))


def test_no_free_ports_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_port_free", lambda host, port: False)
    with pytest.raises(OSError, match="no 2 free ports"):
        ports.find_free_ports(2)


def test_a_unix_socket_is_open_while_somebody_listens(tmp_path: Path) -> None:
    path = tmp_path / "s"
    assert not ports.is_unix_open(path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        assert not ports.is_unix_open(path)
        listener.listen()
        assert ports.is_unix_open(path)
    assert not ports.is_unix_open(path)


def test_nobody_answers_http_on_a_free_port() -> None:
    (port,) = ports.find_free_ports(1)
    assert not ports.is_http_open(f"http://127.0.0.1:{port}/health")
