"""The PROXY protocol in front of clients: required from the peers that are named, refused from all others, in any
pieces, before TLS; the address that it tells is the source (DECISIONS.md section 1)."""

import contextlib
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from bench.peers.base import environment
from bench.peers.haproxy import HAProxy
from tests.e2e.conftest import World
from tests.support import wire
from tests.support.certificates import Authority
from tests.support.eventually import eventually
from tests.support.ports import free_port
from tests.support.run_gateway import Gateway, Mapping, policy
from tests.support.tls import TlsSocket

SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"


def first(source: str, port: int = 56324) -> bytes:
    """Version 1."""
    family = "TCP6" if ":" in source else "TCP4"
    return f"PROXY {family} {source} {source} {port} 443\r\n".encode()


def second(source: str, port: int = 56324, tlvs: bytes = b"") -> bytes:
    """Version 2."""
    kind = socket.AF_INET6 if ":" in source else socket.AF_INET
    packed = socket.inet_pton(kind, source)
    rest = packed * 2 + struct.pack("!HH", port, 443) + tlvs
    return SIGNATURE + bytes([0x21, 0x21 if ":" in source else 0x11]) + struct.pack("!H", len(rest)) + rest


HEADERS: Final = {
    "1": first("10.9.0.7"),
    "2": second("10.9.0.7"),
    "2 with TLVs": second("10.9.0.7", tlvs=b"\x04\0\x02ab"),
}


def gateway(world: World, trusted: list[Any], **listener: Any) -> Gateway:
    """Sources of 10.9.0.0/16 are shop/cart, and nothing else may reach open.test."""
    return CheckedGateway(
        [policy("cart", [{"host": "open.test", "ports": [world.echo.port]}], namespace="shop")],
        {
            "dns": {"servers": [world.names.address]},
            "identity": {
                "proxyProtocolFrom": trusted,
                "networks": [{"cidr": cidr, "namespace": "shop"} for cidr in ("10.9.0.0/16", "2001:db8::/32")],
            },
        },
        listener=listener,
    )


class CheckedGateway(Gateway):
    """Its workers are ready when they say so: a client without a header gets no answer."""

    def serves(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.errors()
        return True


def assert_closed(client: socket.socket) -> None:
    """Not a byte of an answer; a reset, as what was sent is not read."""
    with contextlib.suppress(ConnectionResetError):
        assert client.recv(100) == b""


@pytest.fixture(scope="module")
def front(world: World) -> Iterator[Gateway]:
    with gateway(world, ["127.0.0.0/8"]) as found:
        yield found


@pytest.mark.parametrize("header", HEADERS.values(), ids=list(HEADERS))
@pytest.mark.parametrize("opening", wire.OPENINGS.values(), ids=list(wire.OPENINGS))
def test_the_client_is_the_source(front: Gateway, world: World, header: bytes, opening: Any) -> None:
    before = len(front.events())
    with wire.connect(front.port) as client:
        client.sendall(header)
        opening(client, "open.test", world.echo.port)
        assert wire.echoes(client)
    source: Mapping = front.logged(before, 56324)["source"]
    assert (source["ip"], source["port"], source["identity_source"]) == ("10.9.0.7", 56324, "network")


@pytest.mark.parametrize("header", HEADERS.values(), ids=list(HEADERS))
def test_in_any_pieces(front: Gateway, world: World, header: bytes) -> None:
    request = header + b"\x05\x01\x00"
    for at in range(1, len(request)):
        with wire.connect(front.port) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.sendall(request[:at])
            client.sendall(request[at:])
            assert wire.exactly(client, 2) == b"\x05\x00"
    with wire.connect(front.port) as client:
        wire.send_split(client, request, [1] * len(request))
        assert wire.exactly(client, 2) == b"\x05\x00"


@pytest.mark.parametrize(
    ("header", "address"),
    [
        (first("2001:db8::9"), "2001:db8::9"),
        (second("2001:db8::9"), "2001:db8::9"),
        (second("::ffff:10.9.0.7"), "10.9.0.7"),
    ],
)
def test_ipv6(front: Gateway, world: World, header: bytes, address: str) -> None:
    before = len(front.events())
    with wire.connect(front.port) as client:
        client.sendall(header)
        wire.open_socks5(client, "open.test", world.echo.port)
    assert front.logged(before, 56324)["source"]["ip"] == address


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", SIGNATURE + b"\x20\0\0\0", SIGNATURE + b"\x21\0\0\0"])
def test_a_header_that_names_no_client(front: Gateway, world: World, header: bytes) -> None:
    """The peer is the source, and no rule is for it."""
    with wire.connect(front.port) as client:
        port = client.getsockname()[1]
        before = len(front.events())
        client.sendall(header)
        assert wire.socks5(client, "open.test", world.echo.port) == 2
    assert front.logged(before, port)["source"]["ip"] == "127.0.0.1"


@pytest.mark.parametrize(
    "sent",
    [
        b"\x05\x01\x00",
        b"GET / HTTP/1.1\r\n\r\n",
        b"PROXY TCP4 10.9.0.7 10.9.0.7 1\r\n",
        b"PROXY " + b"x" * 200,
        SIGNATURE + b"\x21\x11\xff\xff",
        SIGNATURE + b"\x31\x11\0\0",
    ],
)
def test_without_a_header_nothing_is_answered(front: Gateway, sent: bytes) -> None:
    before = len(front.events(event="refused", reason="proxy_header"))
    with wire.connect(front.port) as client:
        client.sendall(sent)
        port = client.getsockname()[1]
        assert_closed(client)
    line = next_refusal(front, before)
    assert (line["source"]["port"], line["detail"], line["outcome"]) == (port, "expected a PROXY header", "malformed")


def next_refusal(gateway: Gateway, skip: int) -> Mapping:
    return eventually(lambda: gateway.events(event="refused", reason="proxy_header")[skip:], "a refused line")[0]


@pytest.mark.parametrize("header", HEADERS.values(), ids=list(HEADERS))
def test_from_other_peers_a_header_is_refused(world: World, header: bytes) -> None:
    with gateway(world, ["192.0.2.0/24"]) as found:
        with wire.connect(found.port) as client:
            client.sendall(header + b"\x05\x01\x00")
            assert wire.to_the_end(client) == b""
        line = found.event(event="refused")
        assert (line["reason"], line["source"]["ip"]) == ("proxy_header", "127.0.0.1")
        with wire.connect(found.port) as client:
            client.sendall(b"\x05\x01\x00")
            assert wire.exactly(client, 2) == b"\x05\x00"


@pytest.mark.parametrize("header", HEADERS.values(), ids=list(HEADERS))
def test_before_tls(world: World, tmp_path: Path, header: bytes) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("gateway.test", "gateway.test")
    tls = {"certificates": [{"certificate": certificate, "key": key}]}
    with gateway(world, [{"cidr": "127.0.0.0/8"}], tls=tls) as found:
        connection = socket.create_connection(("127.0.0.1", found.port), timeout=20)
        connection.sendall(header)
        with TlsSocket(connection, authority.client()) as client:
            wire.open_socks5(client, "open.test", world.echo.port)  # type: ignore[arg-type]
            assert wire.echoes(client)  # type: ignore[arg-type]
        assert found.event(event="close")["source"]["ip"] == "10.9.0.7"
        with socket.create_connection(("127.0.0.1", found.port), timeout=20) as other:
            other.sendall(b"\x16\x03\x01\x02\x00")
            assert_closed(other)
        assert found.event(event="refused")["reason"] == "proxy_header"


def test_a_reload_changes_who_must(world: World) -> None:
    with gateway(world, []) as found:
        with wire.connect(found.port) as client:
            client.sendall(b"\x05\x01\x00")
            assert wire.exactly(client, 2) == b"\x05\x00"
        found.config["identity"]["proxyProtocolFrom"] = ["127.0.0.0/8"]
        found.write_config()
        found.reload()
        with wire.connect(found.port) as client:
            client.sendall(HEADERS["2"] + b"\x05\x01\x00")
            assert wire.exactly(client, 2) == b"\x05\x00"


def test_a_header_has_the_time_of_a_request(world: World) -> None:
    found = gateway(world, ["127.0.0.0/8"])
    found.config["limits"] = {"requestTimeout": "300ms"}
    with found, wire.connect(found.port) as client:
        client.sendall(HEADERS["2"][:-1])
        assert_closed(client)
        assert found.event(event="refused")["reason"] == "proxy_header"


HAPROXY: Final = """\
defaults
    mode tcp
    timeout connect 20s
    timeout client 20s
    timeout server 20s
listen front
    bind 127.0.0.1:{port}
    server gateway 127.0.0.1:{gateway} {sends}
"""


@pytest.mark.full
@pytest.mark.parametrize("sends", ["send-proxy", "send-proxy-v2", "send-proxy-v2-ssl"])
@pytest.mark.parametrize("secure", [False, True], ids=["cleartext", "TLS"])
def test_haproxy_in_front(world: World, tmp_path: Path, sends: str, secure: bool) -> None:
    authority, port = Authority(tmp_path), free_port()
    certificate, key = authority.issue("gateway.test", "gateway.test")
    listener = {"tls": {"certificates": [{"certificate": certificate, "key": key}]}} if secure else {}
    with gateway(world, ["127.0.0.1/32"], **listener) as found:
        found.config["identity"]["networks"][0]["cidr"] = "127.0.0.9/32"
        found.write_config()
        found.reload()
        file = tmp_path / "haproxy.cfg"
        file.write_text(HAPROXY.format(port=port, gateway=found.port, sends=sends))
        command = [str(HAProxy.binary()), "-db", "-f", str(file)]
        with subprocess.Popen(command, env=environment(), stdin=subprocess.DEVNULL) as process:
            try:
                connection = eventually(lambda: dialed(port), "HAProxy listens")
                assert connection is not None
                client: Any = TlsSocket(connection, authority.client()) if secure else connection
                with client:
                    wire.open_socks5(client, "open.test", world.echo.port)
                    assert wire.echoes(client)
                    told = client.getsockname()
                line = found.event(event="open")["source"]
                assert (line["ip"], line["port"], line["identity"]) == (*told, "shop/")
            finally:
                process.terminate()


def dialed(port: int) -> socket.socket | None:
    """A connection from another address than the balancer's; None while there is no listener."""
    try:
        return socket.create_connection(("127.0.0.1", port), timeout=20, source_address=("127.0.0.9", 0))
    except OSError:
        return None
