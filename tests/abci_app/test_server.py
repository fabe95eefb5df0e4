"""The socket protocol: framing, order, flushing, limits, a clean end and a loud one."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abci_app import server as server_module
from abci_app.server import AddressError, ProtocolError, Server, ServerFailed, read_request
from abci_app.wire import abci_pb2
from abci_app.wire.abci_pb2 import Request, Response
from optfl.merkle import encode_uvarint
from support.abci_peer import BOUND_SECONDS, FLUSH, Peer, frame
from support.ports import find_free_port

ECHO = Request(echo=abci_pb2.RequestEcho(message="hello"))


class Running:
    """A server in a thread, and the peers that a test connects to it."""

    def __init__(self, address: str, answer: Callable[[Request], Response]) -> None:
        self.server = Server(address, answer)
        self.failure: BaseException | None = None
        self._path = address.removeprefix("unix://") if address.startswith("unix") else None
        self._thread = threading.Thread(target=self._serve)
        self._peers: list[Peer] = []
        self._thread.start()

    def _serve(self) -> None:
        try:
            self.server.serve()
        except ServerFailed as failure:
            self.failure = failure

    def connect(self) -> Peer:
        if self._path is not None:
            peer = Peer(socket.AF_UNIX, self._path)
        else:
            peer = Peer(socket.AF_INET, ("127.0.0.1", self.server.port))
        self._peers.append(peer)
        return peer

    def wait(self) -> None:
        self._thread.join(BOUND_SECONDS)
        assert not self._thread.is_alive()

    def close(self) -> None:
        self.server.stop()
        self.wait()
        for peer in self._peers:
            peer.close()


def answer_info(request: Request) -> Response:
    return Response(info=abci_pb2.ResponseInfo(data=request.info.version))


def receive_after(peer: Peer, request: Request) -> Response | None:
    peer.send(request)
    return peer.receive()


def info(text: str) -> Request:
    return Request(info=abci_pb2.RequestInfo(version=text))


@contextmanager
def serving(address: str, answer: Callable[[Request], Response] = answer_info) -> Iterator[Running]:
    running = Running(address, answer)
    try:
        yield running
    finally:
        running.close()


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"unix://{tmp_path}/abci.sock"


@pytest.mark.parametrize("scheme", ["unix", "tcp"])
def test_requests_are_answered_in_order(scheme: str, tmp_path: Path) -> None:
    with serving("tcp://127.0.0.1:0" if scheme == "tcp" else f"unix://{tmp_path}/abci.sock") as running:
        peer = running.connect()
        peer.send(*(info(str(i)) for i in range(1000)), ECHO, FLUSH)
        answers = [peer.receive() for _ in range(1002)]
        assert [a.info.data for a in answers[:1000] if a is not None] == [str(i) for i in range(1000)]
        assert answers[1000] == Response(echo=abci_pb2.ResponseEcho(message="hello"))
        assert answers[1001] == Response(flush=abci_pb2.ResponseFlush())


def test_answers_wait_for_a_flush(address: str) -> None:
    answered = threading.Event()

    def answer(request: Request) -> Response:
        answered.set()
        return answer_info(request)

    with serving(address, answer) as running:
        peer = running.connect()
        peer.send(info("a"))
        assert answered.wait(BOUND_SECONDS)
        peer.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            peer.socket.recv(1)
        peer.socket.settimeout(BOUND_SECONDS)
        peer.send(FLUSH)
        assert peer.receive() == Response(info=abci_pb2.ResponseInfo(data="a"))


def test_connections_take_turns_at_the_application(address: str) -> None:
    """CometBFT's four connections speak at once; the application hears them one by one."""
    inside = 0

    def answer(request: Request) -> Response:
        nonlocal inside
        inside += 1
        assert inside == 1
        response = answer_info(request)
        inside -= 1
        return response

    with serving(address, answer) as running:
        peers = [running.connect() for _ in range(4)]
        for peer in peers:
            peer.send(*(info(str(i)) for i in range(500)), FLUSH)
        for peer in peers:
            data = [response.info.data for _ in range(500) if (response := peer.receive()) is not None]
            assert data == [str(i) for i in range(500)]
    assert running.failure is None


def test_a_large_request_arrives_whole(address: str) -> None:
    with serving(address) as running:
        text = "x" * (5 * 1024 * 1024)
        assert running.connect().call(info(text)).info.data == text


def test_a_peer_that_leaves_does_not_disturb_the_others(address: str) -> None:
    with serving(address) as running:
        stayer, leaver = running.connect(), running.connect()
        leaver.socket.sendall(frame(ECHO)[:3])
        leaver.close()
        assert stayer.call(info("a")).info.data == "a"
        assert running.connect().call(info("b")).info.data == "b"


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"\x80\x80\x80\x80\x80\x01", "too many bytes"),
        (encode_uvarint(server_module.MAX_REQUEST_BYTES + 1), "over the limit"),
        (b"\x03\xff\xff\xff", "not protobuf"),
        (b"\x00", "no kind"),
        (b"\x02\x22\x00", "no kind"),  # field 4, SetOption of ABCI 0.x
        (b"\x80", "inside a length"),
        (b"\x05\x01", "inside a request"),
    ],
)
def test_what_is_not_abci_is_refused(sent: bytes, reason: str) -> None:
    with pytest.raises(ProtocolError, match=reason):
        read_request(io.BufferedReader(io.BytesIO(sent)))


def test_only_the_connection_that_speaks_no_abci_is_closed(address: str) -> None:
    with serving(address) as running:
        good, bad = running.connect(), running.connect()
        bad.socket.sendall(b"GET / HTTP/1.1\r\n\r\n" * 10)
        assert bad.receive() is None
        assert good.call(info("a")).info.data == "a"
    assert running.failure is None


@given(st.binary(max_size=40))
def test_no_bytes_raise_anything_but_a_protocol_error(sent: bytes) -> None:
    try:
        request = read_request(io.BufferedReader(io.BytesIO(sent)))
    except ProtocolError:
        return
    assert (request is None) == (sent == b"")


def test_a_bug_is_told_to_every_asker_and_ends_the_server(address: str) -> None:
    def fail(request: Request) -> Response:
        raise ZeroDivisionError("our own bug")

    with serving(address, fail) as running:
        response = running.connect().call(info("a"))
        assert response.WhichOneof("value") == "exception"
        assert "our own bug" in response.exception.error
        running.wait()
    assert isinstance(running.failure, ServerFailed)
    assert isinstance(running.failure.__cause__, ZeroDivisionError)


def test_a_bug_ends_the_server_when_nobody_is_left_to_tell(address: str) -> None:
    entered, resume = threading.Event(), threading.Event()

    def fail(request: Request) -> Response:
        entered.set()
        assert resume.wait(BOUND_SECONDS)
        raise ZeroDivisionError

    with serving(address, fail) as running:
        peer = running.connect()
        peer.send(info("a"))
        assert entered.wait(BOUND_SECONDS)
        peer.close()
        resume.set()
        running.wait()
    assert isinstance(running.failure, ServerFailed)


def test_an_answer_that_cannot_be_sent_ends_the_server(address: str) -> None:
    """Our own bug too, wherever it shows."""
    with serving(address, lambda request: None) as running:  # type: ignore[arg-type, return-value]  # the bug
        assert receive_after(running.connect(), info("a")) is None
        running.wait()
    assert isinstance(running.failure, ServerFailed)


def test_nothing_is_answered_after_a_bug(address: str) -> None:
    """The state in memory may be half done: a request that was waiting for its turn gets the exception too."""
    calls: list[str] = []
    entered, resume = threading.Event(), threading.Event()

    def fail(request: Request) -> Response:
        calls.append(request.info.version)
        entered.set()
        assert resume.wait(BOUND_SECONDS)
        raise ZeroDivisionError

    with serving(address, fail) as running:
        first, second = running.connect(), running.connect()
        first.send(info("first"))
        assert entered.wait(BOUND_SECONDS)
        second.send(info("second"))
        resume.set()
        answers = [first.receive(), second.receive()]
        assert answers[0] is not None
        assert answers[0].WhichOneof("value") == "exception"
        # The second gets the exception or the end of its connection, whichever is first.
        assert answers[1] is None or answers[1].WhichOneof("value") == "exception"
        assert calls == ["first"]


def test_stop_lets_the_running_request_finish(address: str) -> None:
    """SIGTERM in the middle of a Commit: it is completed before the database is closed."""
    entered, resume, done = threading.Event(), threading.Event(), threading.Event()

    def answer(request: Request) -> Response:
        entered.set()
        assert resume.wait(BOUND_SECONDS)
        done.set()
        return answer_info(request)

    with serving(address, answer) as running:
        running.connect().send(info("a"), FLUSH)
        assert entered.wait(BOUND_SECONDS)
        running.server.stop()
        resume.set()
        running.wait()
        assert done.is_set()
    assert running.failure is None


def test_stop_ends_idle_connections_and_removes_the_socket(address: str, tmp_path: Path) -> None:
    with serving(address) as running:
        peer = running.connect()
        assert (tmp_path / "abci.sock").stat().st_mode & 0o777 == 0o600
        running.server.stop()
        running.wait()
        assert peer.receive() is None
        assert not (tmp_path / "abci.sock").exists()


def test_too_many_connections_are_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "MAX_CONNECTIONS", 2)
    with serving(address) as running:
        first, second = running.connect(), running.connect()
        assert first.call(info("a")).info.data == "a"
        assert second.call(info("b")).info.data == "b"
        assert running.connect().receive() is None
        assert first.call(info("c")).info.data == "c"


def test_a_taken_port_is_said_clearly() -> None:
    port = find_free_port()
    with serving(f"tcp://127.0.0.1:{port}"), pytest.raises(AddressError, match="in use by another process; stop"):
        Server(f"tcp://127.0.0.1:{port}", answer_info)


def test_a_taken_socket_is_said_clearly(address: str) -> None:
    with serving(address) as running:
        with pytest.raises(AddressError, match="in use by another process; stop"):
            Server(address, answer_info)
        assert running.connect().call(info("a")).info.data == "a"


def test_the_socket_of_a_killed_process_is_taken_over(address: str, tmp_path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "abci.sock"))
    left.close()
    with serving(address) as running:
        assert running.connect().call(info("a")).info.data == "a"


def test_a_file_in_the_sockets_place_is_left_alone(address: str, tmp_path: Path) -> None:
    (tmp_path / "abci.sock").write_text("precious")
    with pytest.raises(AddressError, match="is not a socket"):
        Server(address, answer_info)
    assert (tmp_path / "abci.sock").read_text() == "precious"


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("tcp://0.0.0.0:1234", "not on loopback"),
        ("tcp://192.0.2.1:1234", "not on loopback"),
        ("tcp://example.org:1234", "not on loopback"),
        ("tcp://127.0.0.1", "no valid port"),
        ("tcp://127.0.0.1:99999", "no valid port"),
        ("tcp://127.0.0.1:http", "no valid port"),
        ("127.0.0.1:1234", "is not an address"),
        ("unix://relative.sock", "is not an address"),
        ("grpc://127.0.0.1:1", "is not an address"),
        ("", "is not an address"),
        ("unix:///no/such/folder/abci.sock", "cannot listen"),
        (f"unix:///{'x' * 200}", "cannot listen"),
    ],
)
def test_addresses_that_are_refused(address: str, reason: str) -> None:
    with pytest.raises(AddressError, match=reason):
        Server(address, answer_info)


def test_localhost_is_loopback() -> None:
    with serving("tcp://localhost:0") as running:
        assert running.connect().call(info("a")).info.data == "a"
