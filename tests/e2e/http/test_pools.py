"""Pools of connections to an origin: how many there are, how many requests wait for one, and what a source gets."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Final

import pytest

from tests.support import wire
from tests.support.eventually import eventually
from tests.support.http_client import Client
from tests.support.http_origin import Stream
from tests.support.names import NameServer
from tests.support.origins import Origin, reset
from tests.support.run_gateway import Gateway, policy

MOST: Final = 4
HALF: Final = MOST // 2
PENDING: Final = 3


class Held(Origin):
    """Answers a request once its path was let go, on connections that stay open; `/gone` ends without an answer."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.heads: list[str] = []
        self.free: set[str] = set()
        self.changed = threading.Condition()
        self.open = 0
        self.most = 0
        super().__init__(held, host, port)

    def let_go(self, *paths: str) -> None:
        with self.changed:
            self.free.update(paths)
            self.changed.notify_all()

    def wait_for(self, *paths: str) -> None:
        """Until exactly these requests came."""
        with self.changed:
            arrived = self.changed.wait_for(lambda: set(self.heads) >= set(paths), 10)
        assert arrived and sorted(self.heads) == sorted(paths), self.heads


def held(connection: socket.socket, origin: Origin) -> None:
    assert isinstance(origin, Held)
    with origin.changed:
        origin.open += 1
        origin.most = max(origin.most, origin.open)
    stream = Stream(connection, bytearray())
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            path = stream.until(b"\r\n\r\n").decode().split(" ")[1]
            with origin.changed:
                origin.heads.append(path)
                origin.changed.notify_all()
                while path not in origin.free and origin.changed.wait(20):
                    pass
            if path.startswith("/gone"):
                reset(connection)
                break
            connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(path)}\r\n\r\n{path}".encode())
    with origin.changed:
        origin.open -= 1


@pytest.fixture
def origin() -> Iterator[Held]:
    with Held() as running:
        yield running


@pytest.fixture
def gateway(origin: Held) -> Iterator[Gateway]:
    config = {
        "pools": {"perDestination": MOST, "pending": PENDING},
        "limits": {"dialTimeout": "3s"},
    }
    with Gateway([policy("open", [{"cidr": "127.0.0.1/32"}])], config) as running:
        yield running


class Asking:
    """Requests under way, each of a client of its own."""

    def __init__(self, gateway: Gateway, origin: Held) -> None:
        self.gateway, self.origin = gateway, origin
        self.clients: dict[str, Client] = {}

    def __enter__(self) -> "Asking":
        return self

    def __exit__(self, *_: object) -> None:
        for client in self.clients.values():
            client.socket.close()

    def ask(self, path: str, source: str, name: str = "127.0.0.1") -> None:
        client = Client.__new__(Client)
        client.socket = wire.connect(self.gateway.port, source=source)
        client.stream = Stream(client.socket, bytearray())
        host = f"{name}:{self.origin.port}"
        client.send(f"GET http://{host}{path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        self.clients[path] = client

    def status(self, path: str) -> int:
        found = self.clients[path].response()
        if found.status == 503:
            assert "error=destination_unavailable" in found.value("proxy-status") and found.value("retry-after")
        return found.status

    def leave(self, path: str) -> None:
        reset(self.clients.pop(path).socket)

    def figures(self) -> tuple[int, ...]:
        found = self.gateway.ask({"op": "stats"})["by_label"]["upstream_connections"]
        return tuple(found.get(state, 0) for state in ("idle", "active", "pending"))

    def expect(self, *figures: int) -> None:
        eventually(lambda: self.figures() == figures, f"{figures} idle, active and pending connections")


@pytest.fixture
def asking(gateway: Gateway, origin: Held) -> Iterator[Asking]:
    with Asking(gateway, origin) as made:
        yield made


def fill(asking: Asking) -> list[str]:
    """All places of the pool, by two sources that have their half each."""
    paths = [f"/{source}{number}" for source in "ab" for number in range(HALF)]
    for path in paths:
        asking.ask(path, f"127.0.8.{1 + 'ab'.index(path[1])}")
    asking.origin.wait_for(*paths)
    asking.expect(0, MOST, 0)
    return paths


def test_requests_wait_in_order_and_beyond_that_are_refused(asking: Asking) -> None:
    paths = fill(asking)
    for number in range(PENDING):
        asking.ask(f"/c{number}", f"127.0.8.{10 + number}")
        asking.expect(0, MOST, number + 1)
    asking.ask("/d", "127.0.8.20")
    assert asking.status("/d") == 503
    came = list(paths)
    for number in range(PENDING):
        asking.origin.let_go(paths[number])
        assert asking.status(paths[number]) == 200
        came.append(f"/c{number}")
        asking.origin.wait_for(*came)
        assert asking.origin.heads[MOST:] == came[MOST:]
    asking.origin.let_go(*came)
    for number in range(PENDING):
        assert asking.status(f"/c{number}") == 200
    asking.expect(MOST, 0, 0)
    assert asking.origin.accepted == asking.origin.most == MOST


def test_a_source_has_half_of_a_pool(asking: Asking) -> None:
    for number in range(HALF + 1):
        asking.ask(f"/a{number}", "127.0.8.1")
    asking.origin.wait_for(*(f"/a{number}" for number in range(HALF)))
    asking.expect(0, HALF, 1)
    asking.ask("/b", "127.0.8.2")  # passes by the one that waits
    asking.origin.wait_for("/a0", "/a1", "/b")
    asking.origin.let_go("/b")
    assert asking.status("/b") == 200
    asking.expect(1, HALF, 1)
    asking.origin.let_go("/a0")
    assert asking.status("/a0") == 200
    asking.origin.wait_for("/a0", "/a1", "/b", "/a2")
    asking.origin.let_go("/a1", "/a2")
    assert (asking.status("/a1"), asking.status("/a2")) == (200, 200)
    asking.expect(3, 0, 0)


def test_one_that_leaves_waits_no_more(asking: Asking) -> None:
    paths = fill(asking)
    asking.ask("/c", "127.0.8.10")
    asking.expect(0, MOST, 1)
    asking.ask("/d", "127.0.8.11")
    asking.expect(0, MOST, 2)
    asking.leave("/c")
    asking.expect(0, MOST, 1)
    asking.origin.let_go(paths[0])
    asking.origin.wait_for(*paths, "/d")


@pytest.mark.parametrize("end", ["it fails", "its client leaves"])
def test_a_connection_that_ends_makes_room(asking: Asking, end: str) -> None:
    for number in range(HALF):
        asking.ask(f"/gone{number}", "127.0.8.1")
        asking.ask(f"/b{number}", "127.0.8.2")
    paths = [f"/{name}{number}" for name in ("gone", "b") for number in range(HALF)]
    asking.origin.wait_for(*paths)
    asking.ask("/c", "127.0.8.3")
    asking.expect(0, MOST, 1)
    if end == "it fails":
        asking.origin.let_go("/gone0")
        assert asking.status("/gone0") == 502
    else:
        asking.leave("/gone0")
    asking.origin.wait_for(*paths, "/c")


def test_the_wait_has_an_end(asking: Asking) -> None:
    fill(asking)
    began = time.monotonic()
    asking.ask("/c", "127.0.8.10")
    assert asking.status("/c") == 503
    assert 2.5 < time.monotonic() - began < 10
    asking.expect(0, MOST, 0)


def test_a_reload_ends_a_wait_that_is_not_allowed_any_more(asking: Asking) -> None:
    fill(asking)
    asking.ask("/c", "127.0.8.10")
    asking.expect(0, MOST, 1)
    asking.gateway.write_policy([policy("closed", [{"cidr": "127.0.0.1/32", "ports": [1]}])])
    asking.gateway.reload()
    assert asking.status("/c") == 403
    asking.expect(0, MOST, 0)


def test_idle_connections_that_lead_elsewhere_make_room() -> None:
    """The name has another address: no request goes to the one before, and the pool has one place."""
    names = {"www.test": ["127.0.0.1"]}
    with NameServer(names) as server, Held() as first, Held(port=first.port, host="127.0.0.2") as second:
        config = {
            "pools": {"perDestination": 1, "pending": 1},
            "dns": {"servers": [server.address], "minTTL": "0s", "maxTTL": "0s"},
        }
        with Gateway([policy("open", [{"host": "www.test"}])], config) as running, Asking(running, first) as asking:
            for origin, path in ((first, "/one"), (second, "/two")):
                names["www.test"] = [origin.host]
                origin.let_go(path)
                asking.ask(path, "127.0.8.1", "www.test")
                assert asking.status(path) == 200
                assert origin.heads == [path]
                asking.expect(1, 0, 0)
            eventually(lambda: first.open == 0, "the connection to the address before is closed")
