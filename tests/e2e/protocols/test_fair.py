"""Destinations that do not answer hold up no other request: over HTTP/2 in both dialects, CONNECT and SOCKS.

Dials and look-ups are given a minute here, and clients 30 seconds: whatever is served did not wait for one of the dead.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from tests.e2e.conftest import World, full_listener
from tests.e2e.operation.test_limits import Crowd, limited
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.http2 import PipySidecar, RfcClient
from tests.support.names import NameServer
from tests.support.run_gateway import Gateway, policy

OPEN: Final = [policy("open", [{"cidr": "127.0.0.0/8"}]), policy("names", [{"host": "*.test"}])]
PATIENT: Final = {"dialTimeout": "60s"}


class RfcStreams:
    """One connection of an RFC client, as PipyStreams is one of a sidecar."""

    def __init__(self, gateway: Gateway) -> None:
        self.client = RfcClient(gateway.port)

    def ask(self, target: str) -> int:
        return self.client.connect(target)

    def status(self, stream: int) -> int:
        return self.client.answer(stream).status

    def echoes(self, stream: int, data: bytes) -> bool:
        return self.client.echoes(stream, data)

    def close(self) -> None:
        self.client.socket.close()


class PipyStreams:
    def __init__(self, gateway: Gateway) -> None:
        self.client = PipySidecar(gateway.port)

    def ask(self, target: str) -> int:
        return self.client.connect(target)

    def status(self, stream: int) -> int:
        self.client.wait(lambda: stream in self.client.status, "the answer")
        return self.client.status[stream]

    def echoes(self, stream: int, data: bytes) -> bool:
        self.client.write(stream, data)
        self.client.wait(lambda: len(self.client.data[stream]) >= len(data), "the echo")
        return self.client.data[stream] == data

    def close(self) -> None:
        self.client.socket.close()


Streams = RfcStreams | PipyStreams
DIALECTS: Final[dict[str, Callable[[Gateway], Streams]]] = {"rfc": RfcStreams, "pipy": PipyStreams}
dialects = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=list(DIALECTS))


@contextlib.contextmanager
def streams(dialect: Callable[[Gateway], Streams], gateway: Gateway) -> Iterator[Streams]:
    with contextlib.closing(dialect(gateway)) as opened:
        yield opened


def serves_at_once(gateway: Gateway, target: str) -> bool:
    """By CONNECT and by SOCKS5 from the address that all the others come from."""
    host, _, port = target.rpartition(":")
    with wire.connect(gateway.port) as client:
        if wire.http(client, target).status != 200 or not wire.echoes(client):
            return False
    with wire.connect(gateway.port) as client:
        wire.open_socks5(client, host, int(port))
        return wire.echoes(client)


@pytest.mark.parametrize("count", [65, 200, 600, 900])
@dialects
def test_a_stream_behind_many_that_do_not_connect(
    world: World, dialect: Callable[[Gateway], Streams], count: int
) -> None:
    with Gateway(OPEN, {"limits": PATIENT}) as gateway, streams(dialect, gateway) as client:
        for _ in range(count):
            client.ask(f"127.0.0.1:{world.full}")
        stream = client.ask(f"127.0.0.1:{world.echo.port}")
        assert client.status(stream) == 200
        assert client.echoes(stream, b"\0alive")
        assert serves_at_once(gateway, f"127.0.0.1:{world.echo.port}")
        assert limited(gateway) == {}


@dialects
def test_a_stream_behind_many_destinations_that_do_not_connect(
    world: World, dialect: Callable[[Gateway], Streams]
) -> None:
    with contextlib.ExitStack() as stack:
        hosts = [f"127.0.8.{number}" for number in range(1, 41)]
        dead = [f"{host}:{stack.enter_context(full_listener(host))}" for host in hosts]
        gateway = stack.enter_context(Gateway(OPEN, {"limits": PATIENT}))
        client = stack.enter_context(streams(dialect, gateway))
        for _ in range(20):
            for target in dead:
                client.ask(target)
        stream = client.ask(f"127.0.0.1:{world.echo.port}")
        assert client.status(stream) == 200
        assert client.echoes(stream, b"\0alive")
        assert serves_at_once(gateway, f"127.0.0.1:{world.echo.port}")


@pytest.mark.parametrize("request_for", ["socks5", "http"])
def test_connections_behind_many_that_do_not_connect(world: World, request_for: str) -> None:
    with Gateway(OPEN, {"limits": PATIENT}) as gateway, Crowd(gateway) as crowd:
        for _ in range(600):
            client = crowd.connect()
            client.sendall(
                b"\5\1\0" + wire.socks5_request("127.0.0.1", world.full)
                if request_for == "socks5"
                else wire.connect_request(f"127.0.0.1:{world.full}")
            )
        eventually(lambda: gateway.counter("dials_total") > 437, "most of them are dialed")
        assert serves_at_once(gateway, f"127.0.0.1:{world.echo.port}")


NAMES: Final[dict[str, Callable[[int], str]]] = {
    "one name": lambda number: "dead.test",
    "names of one domain": lambda number: f"n{number}.dead.test",
    "names of many domains": lambda number: f"n{number}.test",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=list(NAMES))
@dialects
def test_names_that_dns_does_not_answer(
    world: World, dialect: Callable[[Gateway], Streams], name: Callable[[int], str]
) -> None:
    dead = [name(number) for number in range(600)]
    with contextlib.ExitStack() as stack:
        names = stack.enter_context(NameServer({"ok.test": ["127.0.0.1"], "ok2.test": ["127.0.0.1"]}, frozenset(dead)))
        config = {"dns": {"servers": [names.address], "timeout": "60s"}, "limits": PATIENT}
        gateway = stack.enter_context(Gateway(OPEN, config))
        client = stack.enter_context(streams(dialect, gateway))
        for one in dead:
            client.ask(f"{one}:443")
        stream = client.ask(f"ok.test:{world.echo.port}")
        assert client.status(stream) == 200
        assert client.echoes(stream, b"\0alive")
        assert serves_at_once(gateway, f"ok2.test:{world.echo.port}")
        assert limited(gateway) == {}


def test_a_name_that_is_known_waits_for_no_look_up(world: World) -> None:
    dead = frozenset(f"n{number}.test" for number in range(3))
    with NameServer({"ok.test": ["127.0.0.1"]}, dead) as names:
        config = {
            "dns": {"servers": [names.address], "timeout": "60s", "minTTL": "60s"},
            "limits": {"dialTimeout": "60s", "perSource": {"lookups": 1}},
        }
        with Gateway(OPEN, config) as gateway, Crowd(gateway) as crowd:
            assert serves_at_once(gateway, f"ok.test:{world.echo.port}")
            for name in dead:
                crowd.ask(1, name, 443)
            assert serves_at_once(gateway, f"ok.test:{world.echo.port}")


def test_a_dead_parent_holds_up_nobody_else(world: World) -> None:
    """Tunnels through a parent that does not connect, in each of the ways there are."""
    kinds = ("http", "socks5", "http2tunnel")
    parents = [{"name": kind, "type": kind, "addresses": [f"127.0.0.1:{world.full}"]} for kind in kinds]
    rules = [OPEN[0], *(policy(kind, [{"host": f"*.{kind}.test"}], upstream=kind) for kind in kinds)]
    with Gateway(rules, {"upstreams": parents, "limits": PATIENT}) as gateway, Crowd(gateway) as crowd:
        for kind in kinds:
            crowd.ask(200, f"any.{kind}.test", 443)
        eventually(lambda: gateway.counter("connections_open") >= 600, "they are accepted")
        assert serves_at_once(gateway, f"127.0.0.1:{world.echo.port}")


def test_streams_that_wait_leave_nothing_behind(world: World) -> None:
    config = {"limits": {"dialTimeout": "60s", "perSource": {"requests": 100}}}
    with Gateway(OPEN, config) as gateway:
        for dialect in DIALECTS.values():
            with streams(dialect, gateway) as client:
                for _ in range(190):
                    client.ask(f"127.0.0.1:{world.full}")
                stream = client.ask(f"127.0.0.1:{world.echo.port}")
                assert client.status(stream) == 200
            eventually(lambda: gateway.counter("http2_streams_open") == 0, "its streams have ended")
        with Crowd(gateway) as crowd:
            for asking in crowd.ask(90, "127.0.0.1", world.echo.port):
                assert wire.http_head(asking).status == 200
