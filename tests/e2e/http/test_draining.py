"""A drain with requests under way: each gets its whole response, and its connection ends behind it. Listeners of every
kind that clients reach without a CONNECT."""

import contextlib
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.e2e.protocols.test_direct import hello
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.http2 import FrameClient
from tests.support.http_client import Client
from tests.support.http_origin import Stream
from tests.support.names import NameServer
from tests.support.origins import Origin
from tests.support.ports import free_port
from tests.support.run_gateway import Gateway, policy
from tests.vectors.http2 import block

HALF: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello"


class Slow:
    """An origin that sends the second half of every answer, but that of /quick, once it is let."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.begun = 0

    def __call__(self, connection: socket.socket, origin: Origin) -> None:
        stream = Stream(connection, bytearray())
        with contextlib.suppress(EOFError):
            while True:
                head = stream.until(b"\r\n\r\n")
                connection.sendall(HALF)
                if not head.startswith(b"GET /quick"):
                    self.begun += 1
                    self.go.wait(20)
                connection.sendall(b" world")


def relay(connection: socket.socket, origin: Origin) -> None:
    """For TLS and TCP: sends back what comes."""
    while data := connection.recv(65536):
        connection.sendall(data)


@pytest.fixture
def places() -> Iterator[tuple[Slow, Origin, Origin, NameServer]]:
    slow = Slow()
    with Origin(slow) as http, Origin(relay) as raw, NameServer({"www.test": ["127.0.0.1"]}) as names:
        yield slow, http, raw, names
        slow.go.set()


def test_what_is_under_way_ends_whole(places: Any) -> None:
    slow, http, raw, names = places
    config = {"dns": {"servers": [names.address]}, "shutdown": {"drain": "20s"}}
    gateway = Gateway([policy("all", [{"host": "www.test"}, {"cidr": "127.0.0.0/8"}])], config)
    extra = {"tls": free_port(), "tcp": free_port()}
    to = {"tls": raw.port, "tcp": f"127.0.0.1:{raw.port}"}
    for kind, port in extra.items():
        one = {"name": kind, "address": f"127.0.0.1:{port}", "protocol": kind, "destination": to[kind]}
        gateway.config["listeners"].append(one)
    head = f"GET http://www.test:{http.port}/ HTTP/1.1\r\nHost: www.test:{http.port}\r\n\r\n".encode()
    asked = block(f":method GET, :scheme http, :authority www.test:{http.port}, :path /")
    with gateway, contextlib.ExitStack() as stack:
        first, idle = (stack.enter_context(Client(gateway.port)) for _ in range(2))
        second = stack.enter_context(FrameClient(gateway.port))
        plain, secure = (stack.enter_context(wire.connect(extra[kind])) for kind in ("tcp", "tls"))
        plain.sendall(b"ping")
        assert wire.exactly(plain, 4) == b"ping"
        greeting = hello("www.test")
        secure.sendall(greeting)
        assert wire.exactly(secure, len(greeting)) == greeting
        assert idle.get(f"http://www.test:{http.port}/quick").status == 200
        first.send(head)
        second.send("HEADERS", 5, 1, asked)
        eventually(lambda: slow.begun == 2, "both requests are at the origin")
        gateway.process_signal(signal.SIGTERM)
        eventually(lambda: '"draining"' in gateway.errors(), "the drain has begun")
        assert idle.is_ended(), "a connection between two requests has nothing to wait for"
        slow.go.set()
        found = first.response()
        assert (found.status, found.body) == (200, b"hello world") and first.is_ended()
        came = second.to_the_end()
        assert b"".join(one.payload for one in came if one.kind == "DATA") == b"hello world"
        assert "GOAWAY" in [one.kind for one in came] and any(one.kind == "DATA" and one.flags & 1 for one in came)
        plain.sendall(b"still")
        assert wire.exactly(plain, 5) == b"still", "tunnels go on until they end, or the drain is over"
        secure.sendall(b"\x17")
        assert wire.exactly(secure, 1) == b"\x17"
        stack.close()
        assert gateway.ended() == 0
        outcomes = [(one["protocol"], one["outcome"]) for one in gateway.events(event="request")]
    assert sorted(outcomes) == [("http", "closed"), ("http", "closed"), ("http2tunnel", "closed")]


def test_what_does_not_end_in_time_is_cut(places: Any) -> None:
    slow, http, _, names = places
    config = {"dns": {"servers": [names.address]}, "shutdown": {"drain": "500ms"}}
    with Gateway([policy("all", [{"host": "www.test"}])], config) as gateway, Client(gateway.port) as client:
        client.send(f"GET http://www.test:{http.port}/ HTTP/1.1\r\nHost: www.test:{http.port}\r\n\r\n".encode())
        eventually(lambda: slow.begun == 1, "the request is at the origin")
        gateway.process_signal(signal.SIGTERM)
        with pytest.raises((EOFError, ConnectionResetError)):
            client.response()
        assert gateway.ended() == 0
        (line,) = gateway.events(event="request")
        assert (line["status"], line["outcome"]) == (200, "drained")
