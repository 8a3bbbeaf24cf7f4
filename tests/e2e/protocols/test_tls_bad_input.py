"""Bad input to TLS listeners: bytes that are not records, records that are cut or forged, odd names in certificates,
crowds that never finish. Each has a reason in the log and a counter, and harms no neighbour."""

import contextlib
import datetime
import ipaddress
import socket
import ssl
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.conftest import World
from tests.support import wire
from tests.support.certificates import Authority
from tests.support.eventually import eventually
from tests.support.ports import free_port
from tests.support.run_gateway import Gateway, Mapping, policy
from tests.support.tls import TlsSocket

CART: Final = "spiffe://mesh.test/ns/shop/sa/cart"


class Mesh:
    """A gateway with three certificates on `open`, and certificates of clients demanded on `mutual`."""

    def __init__(self, folder: Path, world: World) -> None:
        self.authority, self.world = Authority(folder), world
        names = (("gateway.test", "127.0.0.1"), ("*.wild.test",), ("10.1.2.3",))
        pairs = [self.authority.issue(f"gateway{number}", *found) for number, found in enumerate(names)]
        tls = {"certificates": [{"certificate": certificate, "key": key} for certificate, key in pairs]}
        self.open, self.mutual = free_port(), free_port()
        self.gateway = Gateway(
            [policy("all", [{"host": "localhost", "ports": [world.echo.port]}])],
            {"identity": {"trustDomains": [{"name": "mesh.test", "ca": str(self.authority.path)}]}},
        )
        self.gateway.config["listeners"] += [
            {"name": "open", "address": f"127.0.0.1:{self.open}", "tls": tls},
            {"name": "mutual", "address": f"127.0.0.1:{self.mutual}",
             "tls": {**tls, "clientCA": str(self.authority.path)}},
        ]  # fmt: skip

    def connect(self, pair: tuple[str, str] | None = None, name: str = "gateway.test") -> TlsSocket:
        connection = socket.create_connection(("127.0.0.1", self.mutual if pair else self.open), timeout=20)
        return TlsSocket(connection, self.authority.client(pair), name)

    def tunnel(self, pair: tuple[str, str] | None = None) -> TlsSocket:
        """One that works, still open."""
        client = self.connect(pair)
        wire.open_socks5(client, "localhost", self.world.echo.port)  # type: ignore[arg-type]
        assert wire.echoes(client)  # type: ignore[arg-type]
        return client

    def line(self, port: int, **fields: object) -> Mapping:
        """The line about the client of a port."""

        def found() -> list[Mapping]:
            return [line for line in self.gateway.events(**fields) if line["source"]["port"] == port]

        return eventually(found, f"a line with {fields}")[-1]


@pytest.fixture(scope="module")
def mesh(world: World) -> Iterator[Mesh]:
    with tempfile.TemporaryDirectory() as folder:
        made = Mesh(Path(folder), world)
        with made.gateway:
            yield made


def record(payload: bytes, kind: int = 23, version: bytes = b"\x03\x03") -> bytes:
    return bytes([kind]) + version + len(payload).to_bytes(2, "big") + payload


HOUR: Final = datetime.timedelta(hours=1)
# As the library says it of a record that is not the session's, or of one where none is due.
DETAILS: Final = (
    "wrong version number", "decryption failed or bad record mac", "bad record type", "packet length too long",
    "unexpected message", "invalid alert", "http request", "length too short", "data length too long",
)  # fmt: skip


def uri(text: str) -> x509.GeneralName:
    return x509.UniformResourceIdentifier(text)


FORGED: Final[dict[str, bytes]] = {
    "no record": b"GET / HTTP/1.1\r\n\r\n" * 4,
    "a record of another key": record(bytes(64)),
    "an empty record": record(b""),
    "a record that is too long": record(b"", 23)[:3] + b"\xff\xff" + bytes(500),
    "a cleartext alert": record(b"\x02\x28", 21),
    "a ClientHello again": record(b"\x01\x00\x00\x02\x03\x03", 22),
    "change_cipher_spec, many": record(b"\x01", 20) * 50 + record(bytes(40)),
}


@pytest.mark.parametrize("sent", FORGED.values(), ids=list(FORGED))
@pytest.mark.parametrize("within", ["a request", "a tunnel"])
def test_forged_records_end_the_connection(mesh: Mesh, sent: bytes, within: str) -> None:
    before = counted(mesh.gateway, "sluice_protocol_errors_total")
    with mesh.tunnel() as neighbour:
        client = mesh.tunnel() if within == "a tunnel" else mesh.connect()
        port = client.getsockname()[1]
        client.socket.sendall(sent)
        assert ended(client.socket)
        if within == "a tunnel":
            assert mesh.line(port, event="close")["outcome"] == "reset"
        else:
            line = mesh.line(port, event="refused")
            assert (line["reason"], line["outcome"]) == ("malformed", "malformed")
            assert line["detail"] in DETAILS
            assert line["tls"]["client"]["version"] == "TLSv1.3"
            eventually(lambda: counted(mesh.gateway, "sluice_protocol_errors_total") > before, "it is counted")
        assert wire.echoes(neighbour)  # type: ignore[arg-type]


@pytest.mark.parametrize("within", ["the handshake", "a request", "a tunnel"])
def test_a_record_that_is_cut_is_a_reset(mesh: Mesh, within: str) -> None:
    if within == "the handshake":
        raw = socket.create_connection(("127.0.0.1", mesh.open), timeout=20)
        raw.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
    else:
        raw = (mesh.tunnel() if within == "a tunnel" else mesh.connect()).socket
        raw.sendall(b"\x17\x03\x03\x01\x00half a record")
    with raw:
        port = raw.getsockname()[1]
        raw.shutdown(socket.SHUT_WR)
        assert ended(raw)
    if within == "the handshake":
        line = mesh.line(port, event="refused")
        assert (line["reason"], line["tls"]["client"]["failure"]) == ("tls_handshake", "ended")
    elif within == "a tunnel":
        assert mesh.line(port, event="close")["outcome"] == "reset"


def ended(connection: socket.socket) -> bool:
    """Whether the gateway ends a connection: not by its timeout, which is longer than this test waits."""
    with contextlib.suppress(ConnectionError):
        while connection.recv(4096):
            pass
    return True


def counted(gateway: Gateway, name: str) -> float:
    """A metric of the gateway, over all labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{gateway.admin}/metrics", timeout=20) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    return sum(sample.value for family in families for sample in family.samples if sample.name == name)


# ---- certificates ----


def refused(mesh: Mesh, pair: tuple[str, str]) -> str:
    """How the handshake of a client with this certificate fails, as logged."""
    connection = socket.create_connection(("127.0.0.1", mesh.mutual), timeout=20)
    port = connection.getsockname()[1]
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        client = TlsSocket(connection, mesh.authority.client(pair))
        client.sendall(b"\x05\x01\x00")
        assert client.recv(1) == b""
    connection.close()
    line = mesh.line(port, event="refused")
    assert (line["reason"], line["outcome"]) == ("tls_handshake", "auth_failed")
    return str(line["tls"]["client"]["failure"])


def test_a_certificate_that_is_not_valid_yet(mesh: Mesh) -> None:
    assert refused(mesh, mesh.authority.issue("early", CART, client=True, age=-HOUR)) == "certificate_not_yet_valid"


def test_a_chain_that_ends_at_a_leaf(mesh: Mesh, tmp_path: Path) -> None:
    """A client's certificate signs no other one."""
    leaf = Authority(tmp_path, "leaf")
    certificate, key = mesh.authority.issue("signer", CART, client=True)
    leaf.key = serialization.load_pem_private_key(Path(key).read_bytes(), None)  # type: ignore[assignment]
    leaf.subject = x509.load_pem_x509_certificate(Path(certificate).read_bytes()).subject
    pair = leaf.issue("below", CART, client=True)
    with Path(pair[0]).open("a") as chain:
        chain.write(Path(certificate).read_text())
    assert refused(mesh, pair) in ("certificate_invalid", "unknown_ca")


ODD: Final[dict[str, tuple[list[x509.GeneralName], str | None, str | None]]] = {
    "1,000 names": ([x509.DNSName(f"n{number}.test") for number in range(999)] + [uri(CART)], "shop/cart", None),
    "1,001 names": (
        [x509.DNSName(f"n{number}.test") for number in range(1000)] + [uri(CART)],
        None,
        "identity_invalid",
    ),
    "a NUL in a name": ([uri(CART + "\0.evil")], None, "identity_invalid"),
    "two SPIFFE IDs": ([uri(CART), uri(CART + "2")], None, "identity_ambiguous"),
    "a wildcard for a SPIFFE ID": ([uri("spiffe://mesh.test/ns/shop/sa/*")], None, "identity_invalid"),
    "a wildcard": ([x509.DNSName("*.serviceaccount.identity.linkerd.mesh.test")], None, None),
    "an IP address": ([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))], None, None),
    "an e-mail address": ([x509.RFC822Name("cart@mesh.test")], None, None),
    "no name that it may have": ([], None, None),
}


@pytest.mark.parametrize("odd", ODD)
def test_odd_names_give_no_identity(mesh: Mesh, odd: str) -> None:
    names, identity, failure = ODD[odd]
    with mesh.tunnel(mesh.authority.issue_names("odd", names)) as client:
        port = client.getsockname()[1]
    line = mesh.line(port, event="close")
    assert line["source"]["identity"] == identity
    assert line["source"]["identity_source"] == ("certificate" if identity else "none")
    assert line["tls"]["client"]["failure"] == failure


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("gateway.test", "gateway0"),
        ("api.wild.test", "gateway1"),
        ("a.b.wild.test", "gateway0"),  # a wildcard is one label (RFC 9525 6.3)
        ("wild.test", "gateway0"),
        ("unknown.test", "gateway0"),
        ("x" * 63 + ".test", "gateway0"),
    ],
)
def test_wildcard_certificates_are_shown_for_one_label(mesh: Mesh, name: str, shown: str) -> None:
    context = mesh.authority.client()
    context.check_hostname = False
    connection = socket.create_connection(("127.0.0.1", mesh.open), timeout=20)
    with TlsSocket(connection, context, name) as client:
        assert f"CN={shown}" in client.certificate().subject.rfc4514_string()


# ---- crowds ----


@pytest.mark.full
@pytest.mark.parametrize("kind", ["silent", "half a ClientHello"])
def test_ten_thousand_half_open_handshakes(mesh: Mesh, kind: str) -> None:
    """Those above `limits.handshakes` are closed at once and counted; neighbours go on, and places come free."""
    crowd: list[socket.socket] = []
    before = counted(mesh.gateway, "sluice_limited_total")
    with mesh.tunnel() as neighbour, contextlib.ExitStack() as stack:
        for number in range(10_000):
            client = stack.enter_context(socket.socket())
            client.bind((f"127.0.{1 + number // 5000}.1", 0))
            client.connect(("127.0.0.1", mesh.open))
            if kind != "silent":
                with contextlib.suppress(ConnectionError):
                    client.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
            crowd.append(client)
            if number % 500 == 0:
                assert wire.echoes(neighbour)  # type: ignore[arg-type]
        eventually(lambda: counted(mesh.gateway, "sluice_limited_total") >= before + 9_000, "the rest is refused")
        assert mesh.gateway.event(event="refused", reason="limit")["tls"]["client"]["failure"] == "limit"
        assert wire.echoes(neighbour)  # type: ignore[arg-type]
    eventually(lambda: works(mesh), "places are free")


def works(mesh: Mesh) -> bool:
    try:
        mesh.tunnel().close()
    except OSError:
        return False
    return True
