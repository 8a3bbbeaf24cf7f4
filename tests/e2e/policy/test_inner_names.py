"""The name inside a tunnel: what is asked for must be what is spoken to (DECISIONS.md section 3, "inner")."""

import contextlib
import json
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any, cast

import pytest

from tests.e2e.conftest import World
from tests.support import wire
from tests.support.origins import Origin, collect, holding
from tests.support.run_gateway import Gateway, Mapping, policy

OPEN_RULE = "ClusterEgressPolicy/open"

REQUEST = b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n"


def client_hello(name: str | None) -> bytes:
    """The first bytes a real TLS client sends."""
    outgoing = ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without the system's CAs, which take long to read
    if name is None:
        context.check_hostname = False
    session = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        session.do_handshake()
    return outgoing.read()


def rules(world: World, **spec: Any) -> list[Mapping]:
    return [policy("open", [{"host": "open.test"}, {"host": "other.test"}], **spec)]


def settings(world: World, **more: object) -> Mapping:
    return {"dns": {"servers": [world.names.address]}, **more}


def passes(client: socket.socket, origin: Origin, payload: bytes) -> None:
    """The payload arrives at the origin, whole."""
    client.sendall(payload)
    client.shutdown(socket.SHUT_WR)
    wire.to_the_end(client)
    assert origin.wait() == [payload]


def is_refused(client: socket.socket, payload: bytes) -> None:
    client.sendall(payload)
    with pytest.raises(ConnectionResetError):
        wire.to_the_end(client)


PASSING = {
    "TLS for the name": client_hello("open.test"),
    "TLS for the name in capitals": client_hello("OPEN.test"),
    "TLS without a name": client_hello(None),
    "HTTP for the name": REQUEST % b"open.test",
    "HTTP for the name and a port": REQUEST % b"Open.Test.:8080",
    "HTTP/1.0 without Host": b"GET / HTTP/1.0\r\n\r\n",
    "neither": b"\x00\x01\x02 binary",
    "one word": b"hello",
    "a line": b"hello world, this is a line\n",
}
REFUSED = {
    "TLS for another name": client_hello("other.test"),
    "HTTP for another name": REQUEST % b"other.test",
    "HTTP for an address": REQUEST % b"127.0.0.1",
    "two Hosts": b"GET / HTTP/1.1\r\nHost: open.test\r\nHost: other.test\r\n\r\n",
    "an absolute target elsewhere": b"GET http://other.test/ HTTP/1.1\r\nHost: open.test\r\n\r\n",
}


@pytest.fixture(scope="module")
def gateway(world: World) -> Iterator[Gateway]:
    with Gateway(rules(world), settings(world)) as running:
        yield running


@pytest.mark.parametrize("payload", PASSING.values(), ids=list(PASSING))
@pytest.mark.parametrize("early", [True, False], ids=["with the request", "after the answer"])
def test_what_agrees_or_says_nothing_passes(gateway: Gateway, payload: bytes, early: bool) -> None:
    with Origin(collect) as origin, wire.connect(gateway.port) as client:
        if early:
            request = b"CONNECT open.test:%d HTTP/1.1\r\nHost: x\r\n\r\n" % origin.port
            client.sendall(request + payload)
            client.shutdown(socket.SHUT_WR)
            assert wire.to_the_end(client).startswith(b"HTTP/1.1 200 ")
            assert origin.wait() == [payload]
        else:
            wire.open_socks5(client, "open.test", origin.port)
            passes(client, origin, payload)


@pytest.mark.parametrize("payload", REFUSED.values(), ids=list(REFUSED))
@pytest.mark.parametrize("early", [True, False], ids=["with the request", "after the answer"])
def test_what_names_another_host_is_reset_and_nothing_of_it_leaves(
    gateway: Gateway, payload: bytes, early: bool
) -> None:
    before = len(gateway.events())
    with Origin(collect) as origin, wire.connect(gateway.port) as client:
        if early:
            client.sendall(b"CONNECT open.test:%d HTTP/1.1\r\nHost: x\r\n\r\n" % origin.port + payload)
            with pytest.raises(ConnectionResetError):
                wire.to_the_end(client)
                wire.to_the_end(client)
        else:
            wire.open_socks5(client, "open.test", origin.port)
            is_refused(client, payload)
        (seen,) = origin.wait()
        assert isinstance(seen, ConnectionResetError) or seen == b""
        line = gateway.logged(before, client.getsockname()[1])
        assert (line["phase"], line["reason"], line["outcome"]) == ("inner", "inner_name_mismatch", "denied")


@pytest.mark.parametrize("payload", [REFUSED[f"{kind} for another name"] for kind in ("TLS", "HTTP")])
def test_a_name_that_comes_byte_by_byte_does_not_slip_past(gateway: Gateway, payload: bytes) -> None:
    with Origin(collect) as origin, wire.connect(gateway.port) as client:
        wire.open_socks5(client, "open.test", origin.port)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with pytest.raises(OSError):
            for byte in payload:
                client.sendall(bytes([byte]))
                time.sleep(0.0005)
            wire.to_the_end(client)
            raise AssertionError("the tunnel ended in peace")
        (seen,) = origin.wait()
        # A first word names nothing and may have left; the name must not.
        assert isinstance(seen, ConnectionResetError) or b"other" not in cast(bytes, seen)


def test_a_first_word_is_answered_before_more_comes(gateway: Gateway, world: World) -> None:
    with wire.connect(gateway.port) as client:
        wire.open_socks5(client, "open.test", world.echo.port)
        for word in (b"ping", b"PING", b"GET", b" / HTTP/1.1\r\nHost: open.test\r\n\r\n"):
            client.sendall(word)
            assert wire.exactly(client, len(word)) == word


def test_a_first_word_does_not_open_the_door_for_another_name(gateway: Gateway, world: World) -> None:
    with wire.connect(gateway.port) as client:
        wire.open_socks5(client, "open.test", world.echo.port)
        client.sendall(b"GET")
        assert wire.exactly(client, 3) == b"GET"
        is_refused(client, b" / HTTP/1.1\r\nHost: other.test\r\n\r\n")


def test_a_server_that_speaks_first_is_never_held(gateway: Gateway) -> None:
    with Origin(holding) as origin, wire.connect(gateway.port) as client:
        wire.open_socks5(client, "open.test", origin.port)
        assert wire.exactly(client, 5) == b"hello"


@pytest.mark.parametrize("where", ["listener", "rule"])
@pytest.mark.parametrize(("mode", "verdict"), [("off", "allow"), ("audit", "audit")])
def test_a_rule_or_a_listener_may_audit_or_not_look(world: World, where: str, mode: str, verdict: str) -> None:
    spec = {"innerName": mode} if where == "rule" else {}
    gateway = Gateway(rules(world, **spec), settings(world))
    if where == "listener":
        gateway.config["listeners"][0]["innerName"] = mode
    with gateway, Origin(collect) as origin, wire.connect(gateway.port) as client:
        wire.open_socks5(client, "open.test", origin.port)
        passes(client, origin, REFUSED["TLS for another name"])
        line = gateway.event(event="close")
        assert (line["verdict"], line["would_deny"]) == (verdict, verdict == "audit")
        assert line["inner"] == ("other.test" if mode == "audit" else None)


def test_an_address_is_let_in_by_the_name_shown(gateway: Gateway) -> None:
    with Origin(holding) as origin, wire.connect(gateway.port) as client:
        wire.open_socks5(client, "127.0.0.1", origin.port)
        client.sendall(client_hello("open.test"))
        assert wire.exactly(client, 5) == b"hello"
        client.shutdown(socket.SHUT_WR)
        assert origin.wait() == [b""]
    line = gateway.event(event="close", phase="inner", verdict="allow")
    assert (line["phase"], line["rule"], line["destination"]["host"]) == ("inner", OPEN_RULE, "127.0.0.1")


@pytest.mark.parametrize(
    "payload", [client_hello("stranger.test"), client_hello(None), b"\x00binary", REQUEST % b"127.0.0.1"],
    ids=["a name no rule allows", "TLS without a name", "neither TLS nor HTTP", "an address"],
)  # fmt: skip
def test_an_address_with_no_allowed_name_inside_is_reset(gateway: Gateway, payload: bytes) -> None:
    with Origin(collect) as origin, wire.connect(gateway.port) as client:
        wire.open_socks5(client, "127.0.0.1", origin.port)
        is_refused(client, payload)
        (seen,) = origin.wait()
        assert isinstance(seen, ConnectionResetError) or seen == b""


@pytest.mark.parametrize(
    ("asked", "inside", "verdict"),
    [
        ("open.test", "open.test", "allow"), ("open.test", "other.test", "deny"),
        ("127.0.0.1", "other.test", "allow"), ("127.0.0.1", "stranger.test", "deny"),
    ],
)  # fmt: skip
def test_explain_says_it_beforehand(gateway: Gateway, asked: str, inside: str, verdict: str) -> None:
    with Origin(collect) as origin, wire.connect(gateway.port) as client:
        done = gateway.sluice("explain", "--json", "--live", "--to", f"{asked}:{origin.port}", "--sni", inside)
        said = json.loads(done.stdout)
        before = len(gateway.events())
        local = client.getsockname()[1]
        wire.open_socks5(client, asked, origin.port)
        client.sendall(client_hello(inside))
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_WR)
            wire.to_the_end(client)
    line = gateway.logged(before, local)
    assert said["verdict"] == verdict
    for key in ("verdict", "phase", "reason"):
        assert said[key] == line[key]


def test_an_address_that_shows_no_name_is_denied_in_time(gateway: Gateway) -> None:
    with Origin(collect) as origin, wire.connect(gateway.port) as client:
        wire.open_socks5(client, "127.0.0.1", origin.port)
        with pytest.raises(ConnectionResetError):
            wire.to_the_end(client)
    assert gateway.event(event="close", reason="inner_name_missing")["outcome"] == "denied"


def test_a_source_holds_at_most_a_hundred_tunnels_without_a_name(world: World) -> None:
    """The next one waits for a place, for at most dialTimeout (CONTRACT.md section 1)."""
    limits = {"dialTimeout": "300ms"}
    with Origin(collect) as origin, Gateway(rules(world), settings(world, limits=limits)) as gateway:
        clients = [wire.connect(gateway.port) for _ in range(101)]
        try:
            answers = [wire.socks5(client, "127.0.0.1", origin.port) for client in clients]
            assert answers == [0] * 100 + [1]
        finally:
            for client in clients:
                client.close()
