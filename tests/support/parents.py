"""Parents of type http2tunnel: the gateways of a chain, and parents spoken frame by frame."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from tests.e2e.conftest import World
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.origins import Origin
from tests.support.run_gateway import Gateway, Mapping, policy
from tests.vectors.http2 import PREFACE, block, frame

OK: Final = block(":status 200")


def far_gateway(world: World, **config: Any) -> Gateway:
    """The parent: it resolves, and has rules of its own."""
    ports = [world.echo.port, world.collect.port, world.http]
    rules = [
        policy("outer", [{"host": "*.test", "ports": ports}, {"cidr": "127.0.0.0/8"}]),
        policy("no-blocked", [{"host": "blocked.test"}], action="Deny"),
    ]
    return Gateway(rules, {"dns": {"servers": [world.names.address]}, **config})


def near_gateway(*parents: int, upstream: Mapping | None = None, **config: Any) -> Gateway:
    """The child. Whatever it resolved itself would fail."""
    corp = {"name": "corp", "type": "http2tunnel", "addresses": [f"127.0.0.1:{port}" for port in parents]}
    settings = {"upstreams": [corp | (upstream or {})], "dns": {"servers": ["127.0.0.1:9"]}, **config}
    return Gateway([policy("via", [{"host": "*.test"}, {"cidr": "127.0.0.0/8"}], upstream="corp")], settings)


@contextlib.contextmanager
def tunnel(near: Gateway, host: str, port: int) -> Iterator[socket.socket]:
    with wire.connect(near.port) as client:
        wire.open_socks5(client, host, port)
        yield client


def gone(near: Gateway, far: Gateway | None = None) -> None:
    """Nothing of a tunnel is left."""
    for gateway in (near, far):
        if gateway is not None:
            eventually(partial(quiet, gateway), "every tunnel has ended")


def quiet(gateway: Gateway) -> bool:
    return gateway.counter("tunnels_open") == 0


class Peer:
    """The far side of one connection from the gateway, spoken frame by frame."""

    def __init__(self, connection: socket.socket, hello: bytes = frame("SETTINGS")) -> None:
        self.connection = connection
        assert wire.exactly(connection, len(PREFACE)) == PREFACE
        connection.sendall(hello)

    def next(self) -> tuple[int, int, int, bytes] | None:
        """Type, flags, stream and payload; None at the end."""
        head = wire.exactly(self.connection, 9)
        if len(head) < 9:
            return None
        payload = wire.exactly(self.connection, int.from_bytes(head[:3], "big"))
        return head[3], head[4], int.from_bytes(head[5:9], "big"), payload

    def until(self, kind: int) -> tuple[int, int, int, bytes]:
        while (found := self.next()) is not None:
            if found[0] == kind:
                return found
        raise ConnectionResetError("it has ended")

    def asked(self) -> int:
        """The stream of the next request."""
        return self.until(1)[2]

    def send(self, kind: str, flags: int = 0, stream: int = 0, payload: bytes = b"") -> None:
        self.connection.sendall(frame(kind, flags, stream, payload))

    def accept(self) -> int:
        stream = self.asked()
        self.send("HEADERS", 4, stream, OK)
        return stream

    def echo(self) -> None:
        """Answers every request and sends back what comes, to the end."""
        while (found := self.next()) is not None:
            kind, flags, stream, payload = found
            if kind == 1:
                self.send("HEADERS", 4, stream, OK)
            elif kind == 0:
                self.send("DATA", flags & 1, stream, payload)


@contextlib.contextmanager
def parent(*lives: Callable[[socket.socket], None]) -> Iterator[Origin]:
    """A parent whose connections live as given, the last one's life again and again."""
    count = iter(range(1 << 30))

    def live(connection: socket.socket, _: Origin) -> None:
        with contextlib.suppress(OSError):
            lives[min(next(count), len(lives) - 1)](connection)

    with Origin(live) as origin:
        yield origin


def echoing(connection: socket.socket) -> None:
    Peer(connection).echo()


def linger(connection: socket.socket) -> None:
    wire.to_the_end(connection)


def send_all(connection: socket.socket, content: bytes) -> threading.Thread:
    """Sends everything, then the end, while others read."""

    def run() -> None:
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=run)
    thread.start()
    return thread
