"""A client's first bytes inside a tunnel, over every protocol: what could name nothing passes at once, what may be a
part of a request is held without a limit of time, and what some server would take for another's request never leaves.

The messages are those of tests/vectors/inner/first_messages.txt, which csrc/ is tested with as well.
"""

import contextlib
import functools
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import h2.config
import h2.connection
import pytest

from tests.e2e.conftest import World
from tests.e2e.policy.test_inner_names import client_hello, rules, settings
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.http2 import RfcClient
from tests.support.origins import Origin, received, sending
from tests.support.run_gateway import Gateway, Mapping, policy

FILE: Final = Path(__file__).parents[2] / "vectors" / "inner" / "first_messages.txt"
ESCAPES: Final = {"r": b"\r", "n": b"\n", "t": b"\t", "\\": b"\\"}
OPENINGS: Final = [pytest.param(opening, id=name) for name, opening in wire.OPENINGS.items()]


def messages(kind: str) -> dict[str, bytes]:
    """The rows of one kind, by what they are."""

    def byte(found: re.Match[str]) -> str:
        code = found[1]
        return chr(int(code[1:], 16)) if code[0] == "x" else ESCAPES[code].decode()

    rows = [line.split(" | ", 2) for line in FILE.read_text().splitlines() if not line.startswith("#")]
    return {
        what: re.sub(r"\\(x[0-9a-f]{2}|.)", byte, text).encode("latin-1") for found, what, text in rows if found == kind
    }


HUFFMAN: Final = functools.cache(h2.connection.H2Connection().encoder.huffman_coder.encode)


def h2c(authority: str | None, more: int = 0) -> list[bytes]:
    """An HTTP/2 client's preface with SETTINGS, and its first request, by the h2 library, whose coder is slow."""
    config = h2.config.H2Configuration(client_side=True, validate_outbound_headers=False)
    connection = h2.connection.H2Connection(config)
    vars(connection.encoder.huffman_coder)["encode"] = HUFFMAN
    connection.initiate_connection()
    preface = connection.data_to_send()
    named = [] if authority is None else [(":authority", authority)]
    fields = [(f"x-{n}", "x" * 4000) for n in range(more)]
    connection.send_headers(1, [(":method", "GET"), (":scheme", "http"), (":path", "/"), *named, *fields])
    return [preface, connection.data_to_send()]


def long_hello(name: str | None, size: int, record: int = 16384) -> bytes:
    """A real ClientHello with a padding extension of `size` bytes at its end, in records of `record` bytes."""
    body = client_hello(name)[9:]
    at = 2 + 32
    at += 1 + body[at]
    at += 2 + int.from_bytes(body[at : at + 2], "big")
    at += 1 + body[at]
    extensions = body[at + 2 :]
    while size > 0:
        part = min(size, 30000)
        extensions += struct.pack(">HH", 21, part) + bytes(part)
        size -= part
    body = body[:at] + struct.pack(">H", len(extensions) & 0xFFFF) + extensions
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"".join(
        b"\x16\x03\x01" + struct.pack(">H", len(message[n : n + record])) + message[n : n + record]
        for n in range(0, len(message), record)
    )


def head(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode()


REQUEST: Final = "GET / HTTP/1.1"
COOKIE: Final = "Cookie: " + "c" * 17000
ALLOWED: Final = {
    "the name, then 17 KiB": head(REQUEST, "Host: open.test", COOKIE),
    "60 KiB, then the name": head(REQUEST, "Cookie: " + "c" * 60000, "Host: open.test"),
    "the name, then 200 KiB": head(REQUEST, "Host: open.test", "Cookie: " + "c" * 200000),
    "a hello of 17 KiB": long_hello("open.test", 17000),
    "a hello of 60 KiB": long_hello("open.test", 60000),
    "a hello of 60 KiB without a name": long_hello(None, 60000),
    "a hello of many records": long_hello("open.test", 3000, 1),
    "a hello beyond 64 KiB": long_hello("open.test", 65000, 60),
    "h2c": b"".join(h2c("open.test")),
    "h2c, a port": b"".join(h2c("open.test:8080")),
    "h2c without a name": b"".join(h2c(None)),
    "h2c, 60 KB of fields": b"".join(h2c("open.test", 15)),
    "h2c, 200 KB of fields": b"".join(h2c("open.test", 50)),
    "a word of 300 KB": b"x" * 300000,
    "words of 300 KB": b"lorem ipsum dolor " * 17000,
    "empty lines of 100 KB": b"\r\n" * 50000,
    "counted syslog of 100 KB": b"59 <34>1 2003-10-11T22:14:15.003Z mymachine su - ID47 - failed" * 1700,
}
MISMATCH: Final = {
    **messages("denied"),
    "17 KiB, then another name": head(REQUEST, COOKIE, "Host: other.test"),
    "another name, then 200 KiB": head(REQUEST, "Host: other.test", "Cookie: " + "c" * 200000),
    "small letters": b"get / HTTP/1.1\r\nhost: other.test\r\n\r\n",
    "a method of digits": b"123 / HTTP/1.1\r\nHost: other.test\r\n\r\n",
    "empty lines ahead": b"\r\n\r\n" + head(REQUEST, "Host: other.test"),
    "absolute form": head("GET http://other.test/ HTTP/1.1", "Host: other.test"),
    "an upgrade to h2c": head(REQUEST, "Host: other.test", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"),
    "a method of 100 KB": b"x" * 100000 + b" / HTTP/1.1\r\nHost: other.test\r\n\r\n",
    "a hello of 60 KiB": long_hello("other.test", 60000),
    "a hello in records of one byte": long_hello("other.test", 0, 1),
    "a hello beyond 64 KiB": long_hello("other.test", 65000, 60),
    "h2c": b"".join(h2c("other.test")),
    "h2c, 200 KB of fields": b"".join(h2c("other.test", 50)),
    "h2c behind 100 KB of PING": h2c("other.test")[0]
    + (b"\0\0\x08\6\0\0\0\0\0" + bytes(8)) * 6000
    + h2c("other.test")[1],
}
TOO_LONG: Final = {
    "a head": head(REQUEST, "Cookie: " + "c" * 66000, "Host: open.test"),
    "a request line": b"GET /" + b"x" * 66000,
    "a hello": long_hello(None, 65000, 60),
    "h2c": b"".join(h2c(None, 50)),
}


@pytest.fixture(scope="module")
def gateway(world: World) -> Iterator[Gateway]:
    with Gateway(rules(world), settings(world)) as running:
        yield running


def noting(connection: socket.socket, origin: Origin) -> None:
    """Notes what comes as it comes."""
    for chunk in received(connection):
        origin.note(chunk)


def taken(origin: Origin) -> bytes:
    return b"".join(chunk for chunk in list(origin.seen) if isinstance(chunk, bytes))


def send(client: socket.socket, payload: bytes) -> None:
    """From a thread: an echo of more than both buffers hold is read beside it."""
    with contextlib.suppress(OSError):
        client.sendall(payload)


def passes_through(client: socket.socket, payload: bytes) -> None:
    sender = threading.Thread(target=send, args=(client, payload))
    sender.start()
    assert wire.exactly(client, len(payload)) == payload
    sender.join()


@pytest.mark.parametrize("opening", OPENINGS)
def test_what_names_nothing_is_answered_at_once(
    gateway: Gateway, world: World, opening: Callable[[socket.socket, str, int], None]
) -> None:
    found = messages("passes")
    assert len(found) > 80
    for payload in found.values():
        with wire.connect(gateway.port) as client:
            opening(client, "open.test", world.echo.port)
            passes_through(client, payload)


def test_what_names_nothing_is_answered_at_once_over_http2(gateway: Gateway, world: World) -> None:
    with RfcClient(gateway.port) as client:
        for payload in messages("passes").values():
            number = client.open(f"open.test:{world.echo.port}")
            assert client.echoes(number, payload)
            client.reset(number)


@pytest.mark.parametrize("payload", ALLOWED.values(), ids=list(ALLOWED))
def test_large_messages_with_the_right_name_pass(gateway: Gateway, world: World, payload: bytes) -> None:
    for opening in wire.OPENINGS.values():
        with wire.connect(gateway.port) as client:
            opening(client, "open.test", world.echo.port)
            passes_through(client, payload)
    with RfcClient(gateway.port) as stream:
        number = stream.open(f"open.test:{world.echo.port}")
        stream.write(number, payload)
        assert stream.read(number, len(payload)) == payload


def is_denied(
    gateway: Gateway, port: int, payload: bytes, opening: Callable[[socket.socket, str, int], None]
) -> Mapping:
    """The log line of a tunnel to open.test that ends by `payload`."""
    before = len(gateway.events())
    with wire.connect(gateway.port) as client:
        opening(client, "open.test", port)
        sender = threading.Thread(target=send, args=(client, payload))
        sender.start()
        with pytest.raises(ConnectionResetError):
            wire.to_the_end(client)
        sender.join()
        return gateway.logged(before, client.getsockname()[1])


@pytest.mark.parametrize("payload", MISMATCH.values(), ids=list(MISMATCH))
def test_what_a_server_would_take_for_another_name_never_leaves(gateway: Gateway, payload: bytes) -> None:
    with Origin(noting) as origin:
        line = is_denied(gateway, origin.port, payload, wire.open_socks5)
        assert (line["phase"], line["reason"], line["outcome"]) == ("inner", "inner_name_mismatch", "denied")
        assert is_denied(gateway, origin.port, payload, wire.open_http)["reason"] == "inner_name_mismatch"
        with RfcClient(gateway.port) as client:
            number = client.open(f"open.test:{origin.port}")
            client.write(number, payload)
            assert client.over(number).reset is not None
        assert b"other" not in taken(origin) and b" HTTP/1.1\r\n" not in taken(origin)


@pytest.mark.parametrize("payload", [*h2c("other.test")[1:], long_hello("other.test", 0), MISMATCH["absolute form"]])
def test_byte_by_byte_nothing_of_another_name_leaves(gateway: Gateway, payload: bytes) -> None:
    before = len(gateway.events())
    with Origin(noting) as origin, wire.connect(gateway.port) as client:
        wire.open_socks5(client, "open.test", origin.port)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if payload[0] == 0:
            client.sendall(h2c("other.test")[0])
        with contextlib.suppress(OSError):
            for byte in payload:
                client.sendall(bytes([byte]))
        with pytest.raises(ConnectionResetError):
            wire.to_the_end(client)
        assert gateway.logged(before, client.getsockname()[1])["reason"] == "inner_name_mismatch"
        assert b"other" not in taken(origin) and payload[:11] not in taken(origin)


@pytest.mark.parametrize("size", [1, 37, 1448])
def test_a_large_head_in_pieces_passes(gateway: Gateway, world: World, size: int) -> None:
    payload = head(REQUEST, "Cookie: " + "c" * (4000 if size == 1 else 60000), "Host: open.test")
    with wire.connect(gateway.port) as client:
        wire.open_socks5(client, "open.test", world.echo.port)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(payload), size):
            client.sendall(payload[at : at + size])
        assert wire.exactly(client, len(payload)) == payload


def test_an_http2_client_that_waits_for_settings_gets_them_and_is_judged_then(gateway: Gateway, world: World) -> None:
    for authority, inner in (("open.test", None), ("other.test", "inner_name_mismatch")):
        preface, request = h2c(authority)
        before = len(gateway.events())
        with wire.connect(gateway.port) as client:
            wire.open_socks5(client, "open.test", world.echo.port)
            client.sendall(preface)
            assert wire.exactly(client, len(preface)) == preface
            client.sendall(request)
            if inner is None:
                assert wire.exactly(client, len(request)) == request
            else:
                with pytest.raises(ConnectionResetError):
                    wire.to_the_end(client)
                assert gateway.logged(before, client.getsockname()[1])["reason"] == inner


@pytest.mark.parametrize("payload", TOO_LONG.values(), ids=list(TOO_LONG))
def test_64_kib_without_a_name_are_too_long(gateway: Gateway, payload: bytes) -> None:
    with Origin(noting) as origin:
        for opening in (wire.open_socks5, wire.open_http):
            line = is_denied(gateway, origin.port, payload, opening)
            assert (line["phase"], line["reason"], line["inner"]) == ("inner", "inner_too_long", "none")
        with RfcClient(gateway.port) as client:
            number = client.open(f"open.test:{origin.port}")
            with contextlib.suppress(Exception):
                client.write(number, payload)
            assert client.over(number).reset is not None
        assert gateway.event(event="close", protocol="http2tunnel", reason="inner_too_long")


def test_under_audit_what_is_too_long_is_reported_and_passes(world: World) -> None:
    with Gateway(rules(world, innerName="audit"), settings(world)) as gateway:
        for payload in TOO_LONG.values():
            before = len(gateway.events())
            with wire.connect(gateway.port) as client:
                port = client.getsockname()[1]
                wire.open_socks5(client, "open.test", world.echo.port)
                passes_through(client, payload)
            line = gateway.logged(before, port)
            assert (line["verdict"], line["would_deny"], line["reason"]) == ("audit", True, "inner_too_long")


@pytest.mark.parametrize(
    ("inside", "reason"), [("other.test", None), ("stranger.test", "no_cidr_rule"), (None, "inner_name_missing")]
)
def test_h2c_lets_in_an_address_by_its_first_request(
    gateway: Gateway, world: World, inside: str | None, reason: str | None
) -> None:
    payload = b"".join(h2c(inside))
    before = len(gateway.events())
    with wire.connect(gateway.port) as client:
        wire.open_socks5(client, "127.0.0.1", world.echo.port)
        if reason is None:
            passes_through(client, payload)
            return
        client.sendall(payload)
        with pytest.raises(ConnectionResetError):
            wire.to_the_end(client)
        line = gateway.logged(before, client.getsockname()[1])
        assert (line["phase"], line["reason"]) == ("inner", reason)


def test_time_alone_denies_no_named_tunnel(gateway: Gateway) -> None:
    """Held tunnels outlive a provisional one that began after them, and are judged by what comes next."""
    held = messages("held")
    with contextlib.ExitStack() as stack:
        origin = stack.enter_context(Origin(noting))
        clients = {what: stack.enter_context(wire.connect(gateway.port)) for what in held}
        for what, client in clients.items():
            wire.open_socks5(client, "open.test", origin.port)
            client.sendall(held[what])
        provisional = stack.enter_context(wire.connect(gateway.port))
        wire.open_socks5(provisional, "127.0.0.1", origin.port)
        with pytest.raises(ConnectionResetError):
            wire.to_the_end(provisional)
        ports = {client.getsockname()[1] for client in clients.values()}
        assert not [e for e in gateway.events(event="close") if e["source"]["port"] in ports]
        assert b"/" not in taken(origin).replace(b"HTTP/2.0", b"") and b"other" not in taken(origin)
        line = clients["a request line without an end"]
        line.sendall(b" HTTP/1.1\r\nHost: open.test\r\n\r\n")
        eventually(lambda: taken(origin).endswith(b"GET / HTTP/1.1\r\nHost: open.test\r\n\r\n"), "the request")
        line = clients["absolute form"]
        line.sendall(b" HTTP/1.1\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            wire.to_the_end(line)


def ends_first(connection: socket.socket, origin: Origin) -> None:
    sending(b"bye")(connection, origin)


@pytest.mark.parametrize("after", ["the same policy", "a denial that drains", "other timeouts"])
def test_five_seconds_are_the_limit_of_a_provisional_tunnel_whatever_else_happens(world: World, after: str) -> None:
    """Its other limits are far away: a reload, a server that ends, and bytes that trickle in change nothing."""
    drain = [policy("no", [{"cidr": "127.0.0.0/8"}], "Deny", onRevoke="drain"), *rules(world)]
    with (
        Gateway(rules(world), {**settings(world), "shutdown": {"drain": "300s"}}) as gateway,
        contextlib.ExitStack() as on,
    ):
        ending, speaking = on.enter_context(Origin(ends_first)), on.enter_context(Origin(noting))
        clients = [on.enter_context(wire.connect(gateway.port)) for _ in range(6)]
        for n, client in enumerate(clients):
            wire.open_socks5(client, "127.0.0.1", (ending if n % 2 else speaking).port)
            client.sendall([b"", b"GET /", client_hello("open.test")[:50]][n // 2])
        stream = on.enter_context(RfcClient(gateway.port))
        number = stream.open(f"127.0.0.1:{ending.port}")
        stream.write(number, b"GET / HTTP/1.1\r\n")
        if after == "other timeouts":
            gateway.config["limits"] = {"halfCloseTimeout": "200s", "idleTimeout": "100s"}
            gateway.write_config()
        gateway.reload(drain if after == "a denial that drains" else None)
        send(clients[2], b"more")
        for client in clients:
            with pytest.raises(ConnectionResetError):
                wire.to_the_end(client)
        assert stream.over(number).reset is not None
        eventually(lambda: len(gateway.events(event="close")) == 7, "seven ends")
        lines = gateway.events(event="close")
        assert {(line["outcome"], line["reason"]) for line in lines} == {("denied", "inner_name_missing")}
