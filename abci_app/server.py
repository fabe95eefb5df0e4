"""ABCI's socket protocol: varint-delimited requests in, responses out in order, a thread for each connection.

CometBFT opens four connections (consensus, mempool, query, snapshot) and buffers: it sends Flush when it waits for the
answers so far. One lock makes the four take turns at the application.
"""

from __future__ import annotations

import contextlib
import errno
import io
import ipaddress
import logging
import selectors
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from google.protobuf.message import DecodeError

from abci_app.wire import abci_pb2
from optfl.merkle import encode_uvarint

MAX_REQUEST_BYTES = 104 * 1024 * 1024
"""The largest block that CometBFT can have (100 MiB), and what comes with it."""

MAX_CONNECTIONS = 16
"""CometBFT opens four; after its restart the old ones may linger for a moment."""

_MAX_UVARINT_BYTES = 5

logger = logging.getLogger(__name__)


class AddressError(Exception):
    """The server cannot listen there. The message is for the operator: what is wrong and what to do."""


class ProtocolError(Exception):
    """A peer does not speak ABCI; its connection is closed."""


class ServerFailed(Exception):
    """The application raised: a bug of ours, or a failing disk. CometBFT was told, and the server has stopped."""


class Server:
    """Serves `answer` at `address` (`unix:///path` or `tcp://host:port` on loopback) until `stop`.

    `answer` is never called twice at once. If it raises, CometBFT gets an Exception, which makes it stop, and `serve`
    raises ServerFailed: a node that went on after a bug would no longer agree with the others.
    """

    def __init__(self, address: str, answer: Callable[[abci_pb2.Request], abci_pb2.Response]) -> None:
        self._unix_path, self._listener = _listen(address)
        self._answer = answer
        self._lock = threading.Lock()
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._connections_lock = threading.Lock()
        self._failure: Exception | None = None
        self._failed_in: threading.Thread | None = None
        self._is_stopping = False
        self._woken, self._waker = socket.socketpair()
        self._waker.setblocking(False)

    @property
    def port(self) -> int:
        """Of a tcp address: the one chosen by the system where it was given as 0."""
        return int(self._listener.getsockname()[1])

    def serve(self) -> None:
        """Answer until `stop` is called, from a signal handler or another thread. Raises ServerFailed."""
        self._listener.setblocking(False)
        with self._listener, self._woken, self._waker, selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while not self._is_stopping:
                selector.select()
                with contextlib.suppress(BlockingIOError, ConnectionAbortedError):  # nobody, or gone again
                    self._accept()
        if self._unix_path is not None:
            self._unix_path.unlink(missing_ok=True)
        with self._connections_lock:
            threads = list(self._connections.items())
        for connection, thread in threads:
            with contextlib.suppress(OSError):  # its thread may have closed it by now
                connection.shutdown(socket.SHUT_RDWR)
            thread.join()
        if self._failure is not None:
            raise ServerFailed("the ledger failed and has stopped, and its node with it") from self._failure

    def stop(self) -> None:
        """End `serve` once the request being answered, if any, is done. Safe in signal handlers and other threads."""
        self._is_stopping = True
        with contextlib.suppress(OSError):  # woken often enough, or ended already
            self._waker.send(b"!")

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        connection.setblocking(True)
        if connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._connections_lock:
            if len(self._connections) >= MAX_CONNECTIONS:
                logger.warning("refused a connection: %d are open", MAX_CONNECTIONS)
                connection.close()
                return
            thread = threading.Thread(target=self._converse, args=(connection,), name="abci", daemon=True)
            self._connections[connection] = thread
            thread.start()

    def _converse(self, connection: socket.socket) -> None:
        """Answer one connection's requests until it ends."""
        try:
            with connection, connection.makefile("rb") as reader, connection.makefile("wb") as writer:
                while not self._is_stopping and (request := read_request(reader)) is not None:
                    response = self._respond(request)
                    message = response.SerializeToString()
                    writer.write(encode_uvarint(len(message)) + message)
                    kind = response.WhichOneof("value")
                    if kind in ("flush", "exception"):
                        writer.flush()
                    if kind == "exception":
                        return
        except ProtocolError as error:
            logger.warning("closed a connection: %s", error)
        except OSError as error:
            logger.info("a connection ended: %s", error)
        except Exception as error:  # noqa: BLE001  # any; `serve` raises it
            self._fail(error)
        finally:
            with self._connections_lock:
                del self._connections[connection]
            if self._failed_in is threading.current_thread():  # not sooner: its peer has been told by now
                self.stop()

    def _fail(self, error: Exception) -> None:
        self._failure, self._failed_in = error, threading.current_thread()

    def _respond(self, request: abci_pb2.Request) -> abci_pb2.Response:
        kind = request.WhichOneof("value")
        if kind == "flush":
            return abci_pb2.Response(flush=abci_pb2.ResponseFlush())
        if kind == "echo":
            return abci_pb2.Response(echo=abci_pb2.ResponseEcho(message=request.echo.message))
        with self._lock:
            # After a bug nothing is answered any more: the state in memory may be half done.
            if self._failure is None:
                try:
                    return self._answer(request)
                except Exception as error:  # noqa: BLE001  # any; `serve` raises it
                    self._fail(error)
            return abci_pb2.Response(exception=abci_pb2.ResponseException(error=repr(self._failure)))


def read_request(reader: io.BufferedReader) -> abci_pb2.Request | None:
    """The next request of a connection; None at its end. Raises ProtocolError."""
    size = 0
    for position in range(_MAX_UVARINT_BYTES):
        byte = reader.read(1)
        if not byte:
            if position:
                raise ProtocolError("it ended inside a length")
            return None
        size |= (byte[0] & 0x7F) << 7 * position
        if byte[0] < 0x80:
            break
    else:
        raise ProtocolError("a length has too many bytes")
    if size > MAX_REQUEST_BYTES:
        raise ProtocolError(f"a request of {size} bytes is over the limit of {MAX_REQUEST_BYTES}")
    message = reader.read(size)
    if len(message) < size:
        raise ProtocolError("it ended inside a request")
    try:
        request = abci_pb2.Request.FromString(message)
    except DecodeError as error:
        raise ProtocolError("a request is not protobuf") from error
    if request.WhichOneof("value") is None:
        raise ProtocolError("a request is of no kind that ABCI 2.0 has; use CometBFT 0.38")
    return request


def _listen(address: str) -> tuple[Path | None, socket.socket]:
    """Bind and listen; also returns the path of a Unix socket. Raises AddressError."""
    parts = urlsplit(address)
    if parts.scheme == "unix" and parts.path and not parts.netloc:
        path = Path(parts.path)
        return path, _listen_unix(path)
    if parts.scheme == "tcp" and parts.hostname and not parts.path:
        return None, _listen_tcp(address, parts.hostname)
    raise AddressError(f"{address} is not an address; use unix:///path/to/socket or tcp://127.0.0.1:26658")


def _listen_unix(path: Path) -> socket.socket:
    _remove_stale_socket(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen()
    except OSError as error:
        listener.close()
        raise AddressError(f"cannot listen at {path}: {error}; choose another --address") from error
    return listener


def _remove_stale_socket(path: Path) -> None:
    """Remove what a killed process left; AddressError when somebody listens there or it is no socket."""
    if not path.exists():
        return
    if not path.is_socket():
        raise AddressError(f"{path} exists and is not a socket; choose another --address")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError as error:
            raise AddressError(f"cannot listen at {path}: {error}; choose another --address") from error
    raise AddressError(f"{path} is in use by another process; stop that one, or choose another --address")


def _listen_tcp(address: str, host: str) -> socket.socket:
    """ABCI has no authentication: whoever reaches the port is the node. So only loopback."""
    try:
        port = urlsplit(address).port
    except ValueError:
        port = None
    if port is None:
        raise AddressError(f"{address} has no valid port; use something like tcp://127.0.0.1:26658")
    ip = "127.0.0.1" if host == "localhost" else host
    try:
        is_loopback = ipaddress.ip_address(ip).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise AddressError(f"{address} is not on loopback; use tcp://127.0.0.1:{port}, or a unix:// socket")
    try:
        return socket.create_server((ip, port), family=socket.AF_INET6 if ":" in ip else socket.AF_INET)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise AddressError(
                f"{address} is in use by another process; stop that one, or choose another --address"
            ) from error
        raise AddressError(f"cannot listen at {address}: {error}; choose another --address") from error
