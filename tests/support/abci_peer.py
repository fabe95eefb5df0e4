"""CometBFT's end of an ABCI socket."""

from __future__ import annotations

import socket

from abci_app.wire import abci_pb2
from abci_app.wire.abci_pb2 import Request, Response
from optfl.merkle import encode_uvarint

FLUSH = Request(flush=abci_pb2.RequestFlush())
BOUND_SECONDS = 20.0


def frame(message: Request | Response) -> bytes:
    encoded = message.SerializeToString()
    return encode_uvarint(len(encoded)) + encoded


class Peer:
    """One connection."""

    def __init__(self, family: int, address: str | tuple[str, int]) -> None:
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(BOUND_SECONDS)
        self.socket.connect(address)
        self._reader = self.socket.makefile("rb")

    def send(self, *requests: Request) -> None:
        self.socket.sendall(b"".join(frame(request) for request in requests))

    def receive(self) -> Response | None:
        """The next response; None when the server has closed the connection."""
        size, shift = 0, 0
        try:
            while byte := self._reader.read(1):
                size |= (byte[0] & 0x7F) << shift
                shift += 7
                if byte[0] < 0x80:
                    return Response.FromString(self._reader.read(size))
        except ConnectionResetError:  # closed with a request unread
            return None
        return None

    def call(self, request: Request) -> Response:
        self.send(request, FLUSH)
        response = self.receive()
        assert response is not None
        if response.WhichOneof("value") != "exception":
            assert self.receive() == Response(flush=abci_pb2.ResponseFlush())
        return response

    def close(self) -> None:
        self._reader.close()
        self.socket.close()
