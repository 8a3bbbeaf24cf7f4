"""TLS sessions that a peer breaks behind the handshake: over every protocol, before a request and within a tunnel, at a
listener, a parent and an origin. The connection ends, both ends of a tunnel see a reset, the event is counted once, and
the log says what was wrong.
"""

import contextlib
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.conftest import World
from tests.e2e.network.test_tls_parents import CART, far_tls, metrics, near_tls
from tests.support import wire
from tests.support.certificates import Authority
from tests.support.eventually import eventually
from tests.support.http2 import RfcClient
from tests.support.origins import Origin
from tests.support.ports import free_port
from tests.support.run_gateway import Gateway, Mapping, policy
from tests.support.tls import TlsSocket

MAC: Final = "decryption failed or bad record mac"
LONG: Final = ("packet length too long", "data length too long", "encrypted length too long")
CUT: Final = "it ended within a record"
ALERT: Final = (MAC, "bad record type", "not a record of the session")


def flipped(client: TlsSocket) -> bytes:
    record = bytearray(client.sealed(b"some payload"))
    record[-1] ^= 1
    return bytes(record)


# By name: what is sent, whether the connection's end follows, and the words for it.
BREAKS: Final[dict[str, tuple[Callable[[TlsSocket], bytes], bool, tuple[str, ...]]]] = {
    "a flipped byte": (flipped, False, (MAC,)),
    "a record twice": (lambda client: client.sealed(b"\n") * 2, False, (MAC,)),
    "a truncated record": (lambda client: client.sealed(b"some payload")[:-1], True, (CUT,)),
    "a header alone": (lambda client: client.sealed(b"some payload")[:5], True, (CUT,)),
    "half a header": (lambda client: client.sealed(b"some payload")[:3], True, (CUT,)),
    "an oversize record": (lambda _: b"\x17\x03\x03\x48\x01" + bytes(0x4801), False, LONG),
    "a plaintext record": (lambda _: b"\x17\x03\x03\x00\x20" + bytes(32), False, (MAC,)),
    "a plaintext alert": (lambda _: b"\x15\x03\x03\x00\x02\x02\x28", False, ALERT),
    "no record": (lambda _: b"GET / HTTP/1.1\r\n\r\n", False, ("wrong version number", "http request", *LONG)),
}  # fmt: skip


class Mesh:
    """A gateway whose listeners have TLS: `any` takes what comes, `hbone` certificates of workloads."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        certificate, key = self.authority.issue("gateway", "gateway.test", "spiffe://cluster.local/ns/egress/sa/sluice")
        tls = {"certificates": [{"certificate": certificate, "key": key}]}
        self.any, self.hbone = free_port(), free_port()
        self.source = 0
        self.workload = self.authority.issue("cart", CART, client=True)
        self.gateway = Gateway(
            [policy("all", [{"cidr": "127.0.0.0/8"}])],
            {"identity": {"trustDomains": [{"name": "cluster.local", "ca": str(self.authority.path)}]}},
        )
        self.gateway.config["listeners"] += [
            {"name": "any", "address": f"127.0.0.1:{self.any}", "tls": tls},
            {"name": "hbone", "protocol": "hbone", "address": f"127.0.0.1:{self.hbone}", "tls": tls},
        ]

    def connect(self, protocol: str, version: ssl.TLSVersion) -> TlsSocket:
        ambient = protocol == "hbone"
        context = self.authority.client(
            self.workload if ambient else None, *(["h2"] if protocol in ("http2", "hbone") else [])
        )
        context.maximum_version = version
        self.source += 1  # the lines about one source are limited
        source = (f"127.0.3.{self.source}", 0)
        plain = socket.create_connection(("127.0.0.1", self.hbone if ambient else self.any), 20, source)
        return TlsSocket(plain, context)

    def line(self, client: tuple[str, int], event: str) -> Mapping:
        """By address and port: the kernel gives a port to several addresses."""

        def found() -> list[Mapping]:
            lines = self.gateway.events(event=event)
            return [line for line in lines if (line["source"]["ip"], line["source"]["port"]) == client]

        return eventually(found, f"a {event} line of {client}")[-1]


@pytest.fixture(scope="module")
def mesh() -> Iterator[Mesh]:
    with tempfile.TemporaryDirectory() as folder:
        made = Mesh(Path(folder))
        with made.gateway:
            yield made


def counted(gateway: Gateway, reason: str) -> dict[str, float]:
    """Protocol errors of a reason, by protocol."""
    return {
        sample.labels["protocol"]: sample.value
        for family in text_string_to_metric_families(metrics(gateway))
        for sample in family.samples
        if sample.name == "sluice_protocol_errors_total" and sample.labels["reason"] == reason
    }


@contextlib.contextmanager
def one_more(gateway: Gateway, reason: str, *protocols: str) -> Iterator[None]:
    """Within it one error is counted, for one of the protocols."""
    before = counted(gateway, reason)
    yield

    def more() -> dict[str, float]:
        after = counted(gateway, reason)
        return {name: value - before.get(name, 0) for name, value in after.items() if value != before.get(name, 0)}

    found = eventually(more, "the error is counted")
    assert list(found.values()) == [1] and found.keys() <= set(protocols), found


def how_it_ends(connection: Any, origin: Origin) -> None:
    try:
        while connection.recv(65536):
            pass
        origin.note("end")
    except ConnectionResetError:
        origin.note("reset")


def begin(client: TlsSocket, protocol: str) -> None:
    """The first bytes of a client's request."""
    if protocol in ("http2", "hbone"):
        RfcClient(0, way=client)
    else:
        client.sendall({"socks5": b"\x05", "socks4": b"\x04\x01", "http": b"CONNECT local"}[protocol])


def tunnel(client: TlsSocket, protocol: str, port: int) -> None:
    connection: Any = client
    if protocol in ("http2", "hbone"):
        RfcClient(0, way=connection).open(f"127.0.0.1:{port}")
    elif protocol == "socks5":
        wire.open_socks5(connection, "127.0.0.1", port)
    elif protocol == "socks4":
        wire.open_socks4a(connection, "127.0.0.1", port)
    else:
        wire.open_http(connection, "127.0.0.1", port)


def break_session(client: TlsSocket, what: str) -> None:
    make, ends, _ = BREAKS[what]
    client.socket.sendall(make(client))
    if ends:
        client.socket.shutdown(socket.SHUT_WR)
    with contextlib.suppress(ConnectionError):
        while client.socket.recv(65536):
            pass


PROTOCOLS: Final = ("socks5", "socks4", "http", "http2", "hbone")
OLD, NEW = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
CASES: Final = [(protocol, NEW, what) for protocol in PROTOCOLS for what in BREAKS]
CASES_OLD: Final = [(protocol, OLD, what) for protocol in ("socks5", "http2") for what in BREAKS]


def names(protocol: str) -> str:
    """As the metric calls it."""
    return "http2tunnel" if protocol == "http2" else protocol


@pytest.mark.parametrize(("protocol", "version", "what"), CASES + CASES_OLD)
def test_within_a_tunnel(mesh: Mesh, protocol: str, version: ssl.TLSVersion, what: str) -> None:
    with Origin(how_it_ends) as origin, one_more(mesh.gateway, "malformed", names(protocol)):
        client = mesh.connect(protocol, version)
        name = client.getsockname()
        tunnel(client, protocol, origin.port)
        break_session(client, what)
        client.socket.close()
        assert origin.wait() == ["reset"]
        line = mesh.line(name, "close")
        assert (line["outcome"], line["detail"] in BREAKS[what][2]) == ("reset", True), line["detail"]


@pytest.mark.parametrize("what", BREAKS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_before_a_request(mesh: Mesh, protocol: str, what: str) -> None:
    with one_more(mesh.gateway, "malformed", names(protocol), "unknown"):
        client = mesh.connect(protocol, NEW)
        name = client.getsockname()
        begin(client, protocol)
        break_session(client, what)
        client.socket.close()
        line = mesh.line(name, "refused")
        assert (line["outcome"], line["detail"] in BREAKS[what][2]) == ("malformed", True), line


def test_an_end_without_close_notify_breaks_nothing(mesh: Mesh) -> None:
    """Between two records: many clients leave so. It is a reset, and no error of the protocol."""
    before = counted(mesh.gateway, "malformed")
    with Origin(how_it_ends) as origin:
        client = mesh.connect("socks5", NEW)
        name = client.getsockname()
        tunnel(client, "socks5", origin.port)
        client.socket.shutdown(socket.SHUT_WR)
        assert origin.wait() == ["reset"]
        client.socket.close()
        line = mesh.line(name, "close")
        assert (line["outcome"], "detail" in line) == ("reset", False)
    assert counted(mesh.gateway, "malformed") == before


class Flipper:
    """A relay to a TLS server that carries everything, until `flips`: then the server's come with one wrong."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.flips = False

    def live(self, connection: socket.socket, _: Origin) -> None:
        with socket.create_connection(("127.0.0.1", self.port)) as server:
            back = threading.Thread(target=self.carry, args=(server, connection, True))
            back.start()
            self.carry(connection, server, False)
            back.join()

    def carry(self, one: socket.socket, other: socket.socket, backward: bool) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                if backward and self.flips:
                    data = data[:-1] + bytes([data[-1] ^ 1])
                other.sendall(data)
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("kind", ["http2tunnel", "http", "socks5"])
def test_by_a_parent(world: World, tmp_path: Path, kind: str) -> None:
    authority = Authority(tmp_path)
    with far_tls(world, authority) as far:
        flipper = Flipper(far.port)
        pair = authority.issue("cart", CART, client=True)
        with Origin(flipper.live) as between, near_tls(between.port, authority, kind, pair) as near:
            with one_more(near, "upstream_failed", "socks5", "http2tunnel"), wire.connect(near.port) as client:
                wire.open_socks5(client, "open.test", world.echo.port)
                assert wire.echoes(client)
                flipper.flips = True
                client.sendall(b"comes back with a byte flipped")
                with pytest.raises(ConnectionResetError):
                    wire.to_the_end(client)
            line = near.event(event="close")
            assert (line["outcome"], line["detail"]) == ("reset", MAC)


def test_by_an_origin(world: World, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("origin", "open.test"))

    def live(connection: socket.socket, _: Origin) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            secure.sendall(b"hello")
            secure.recv(1)
            with socket.socket(fileno=secure.detach()) as plain:
                plain.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
                plain.recv(1)

    with Origin(live) as origin:
        spec = {"originate": True, "port": origin.port, "ca": str(authority.path)}
        rules = [policy("secure", [{"host": "open.test", "ports": [80]}], tls=spec)]
        with Gateway(rules, {"dns": {"servers": [world.names.address]}}) as near:
            with one_more(near, "upstream_failed", "socks5"), wire.connect(near.port) as client:
                wire.open_socks5(client, "open.test", 80)
                assert wire.exactly(client, 5) == b"hello"
                client.sendall(b"\0")
                with pytest.raises(ConnectionResetError):
                    wire.to_the_end(client)
            line = near.event(event="close")
            assert (line["outcome"], line["detail"]) == ("reset", MAC)
