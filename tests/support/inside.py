"""Tunnels that were opened over any protocol, each as a socket, and requests inside them."""

import socket
from collections.abc import Callable
from typing import Any, Final

from tests.support import wire
from tests.support.http2 import PipySidecar, RfcClient
from tests.support.http_client import Client
from tests.support.http_origin import Stream


class Rfc:
    """A CONNECT stream of an RFC client."""

    def __init__(self, port: int, host: str, to: int) -> None:
        self.client = RfcClient(port)
        self.number = self.client.open(f"{host}:{to}")

    def sendall(self, data: bytes) -> None:
        self.client.write(self.number, data)

    def recv(self, count: int) -> bytes:
        stream = self.client.streams[self.number]
        self.client.wait(lambda: bool(stream.data) or stream.over)
        if not stream.data and stream.reset is not None:
            raise ConnectionResetError(stream.reset)
        return self.client.read(self.number, min(count, len(stream.data)))

    def shutdown(self, _: int) -> None:
        self.client.write(self.number, b"", end=True)

    def close(self) -> None:
        self.client.socket.close()


class Pipy:
    """A CONNECT stream of a Pipy sidecar, byte for byte its opening."""

    def __init__(self, port: int, host: str, to: int) -> None:
        self.client = PipySidecar(port)
        self.number = self.client.connect(f"{host}:{to}")
        self.client.wait(lambda: self.number in self.client.status, "an answer")
        assert self.client.status[self.number] == 200

    def sendall(self, data: bytes) -> None:
        for at in range(0, len(data), 16384):
            self.client.write(self.number, data[at : at + 16384])

    def recv(self, count: int) -> bytes:
        client, number = self.client, self.number
        client.wait(lambda: bool(client.data[number]) or number in client.ended, "bytes of the tunnel")
        found, client.data[number] = client.data[number][:count], client.data[number][count:]
        return found

    def shutdown(self, _: int) -> None:
        self.client.end(self.number)

    def close(self) -> None:
        self.client.socket.close()


def by_socket(protocol: str) -> Callable[[int, str, int], socket.socket]:
    def opened(port: int, host: str, to: int) -> socket.socket:
        connection = wire.connect(port)
        wire.OPENINGS[protocol](connection, host, to)
        return connection

    return opened


# Each opens a tunnel through the gateway at a port, and gives what is inside as a socket.
TUNNELS: Final[dict[str, Callable[[int, str, int], Any]]] = {
    **{protocol: by_socket(protocol) for protocol in wire.OPENINGS},
    "http2": Rfc,
    "pipy": Pipy,
}


def port_of(way: Any) -> int:
    """Of the client's socket, as the access log has it."""
    connection: socket.socket = way.client.socket if isinstance(way, Rfc | Pipy) else way
    found: int = connection.getsockname()[1]
    return found


class Inside(Client):
    """Requests of HTTP/1.1 inside a tunnel."""

    def __init__(self, way: Any, authority: str) -> None:
        self.socket = way
        self.stream = Stream(way, bytearray())
        self.authority = authority

    def ask(self, path: str, *fields: str, method: str = "GET", host: str | None = None, body: bytes = b"") -> None:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host or self.authority}", *fields]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def status(self, path: str, *fields: str, method: str = "GET", host: str | None = None, body: bytes = b"") -> int:
        self.ask(path, *fields, method=method, host=host, body=body)
        return self.response(method).status
