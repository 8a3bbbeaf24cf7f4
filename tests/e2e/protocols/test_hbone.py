"""HBONE: HTTP/2 CONNECT over mTLS, as ztunnel speaks it. Identities come from SPIFFE certificates alone."""

import os
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.conftest import World
from tests.support import wire
from tests.support.certificates import Authority
from tests.support.eventually import eventually
from tests.support.http2 import RfcClient
from tests.support.run_gateway import Gateway, policy
from tests.support.sluice_process import ROOT
from tests.support.tls import TlsSocket

CLIENT: Final = Path(os.environ.get("HBONE_CLIENT", ROOT / "build/hbone/client"))
CART = "spiffe://cluster.local/ns/shop/sa/cart"
FORWARDED = [
    ("baggage", "k8s.cluster.name=Kubernetes,k8s.namespace.name=bank,k8s.deployment.name=vault"),
    ("forwarded", "for=192.0.2.1"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
]


class Ambient(Gateway):
    """A gateway with one HBONE listener, for sources of namespace shop."""

    def __init__(self, world: World, authority: Authority, ports: list[int]) -> None:
        certificate, key = authority.issue("gateway", "gateway.test", "spiffe://cluster.local/ns/egress/sa/sluice")
        listener = {"protocol": "hbone", "tls": {"certificates": [{"certificate": certificate, "key": key}]}}
        to = [{"host": "*.test", "ports": ports}, {"cidr": "127.0.0.0/8", "ports": ports}]
        rules = [policy("web", to, namespace="shop", sources=[{"serviceAccount": "cart"}])]
        trust = {"trustDomains": [{"name": "cluster.local", "ca": str(authority.path)}]}
        super().__init__(rules, {"dns": {"servers": [world.names.address]}, "identity": trust}, listener=listener)

    def serves(self) -> bool:
        self.check_alive()
        return True


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("mesh"))


@pytest.fixture(scope="module")
def ambient(world: World, authority: Authority) -> Iterator[Ambient]:
    with Ambient(world, authority, [world.echo.port, 9]) as gateway:
        yield gateway


def identity(authority: Authority, uri: str = CART) -> ssl.SSLContext:
    """A client that verifies nothing by name, as ztunnel does, and offers h2."""
    context = authority.client(authority.issue("workload", uri, client=True), "h2")
    context.check_hostname = False
    return context


def test_a_workload_tunnels_by_its_certificate(world: World, ambient: Ambient, authority: Authority) -> None:
    with RfcClient(ambient.port, identity(authority)) as client:
        numbers = [client.open(f"127.0.0.1:{world.echo.port}", *FORWARDED) for _ in range(3)]
        numbers.append(client.open(f"open.test:{world.echo.port}", *FORWARDED))
        for number in numbers:
            assert client.echoes(number, b"\0" + b"z" * 50_000)
        eventually(lambda: len(ambient.events(event="open")) >= 4, "each tunnel has its line")
        line = ambient.events(event="open")[0]
        assert line["protocol"] == "hbone"
        assert (line["source"]["identity"], line["source"]["identity_source"]) == ("shop/cart", "certificate")
        assert (line["tls"]["client"]["alpn"], line["tls"]["client"]["peer"]) == ("h2", CART)


def test_answers_are_those_of_ztunnel(world: World, ambient: Ambient, authority: Authority) -> None:
    with RfcClient(ambient.port, identity(authority)) as client:
        denied = client.refused("other.example:443")
        assert denied.status == 401
        assert "error=http_request_denied" in denied.headers["proxy-status"]
        assert client.refused("127.0.0.1:9").status == 503
        assert client.refused(f"nowhere.test:{world.echo.port}").status == 503
        number = client.request(
            [(":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", "/x")], True
        )
        assert client.answer(number).status == 404
    with RfcClient(ambient.port, identity(authority, "spiffe://cluster.local/ns/bank/sa/vault")) as client:
        assert client.refused(f"open.test:{world.echo.port}").status == 401


def test_a_certificate_without_an_identity_is_not_admitted(
    world: World, ambient: Ambient, authority: Authority
) -> None:
    with RfcClient(ambient.port, identity(authority, "spiffe://other.domain/ns/shop/sa/cart")) as client:
        assert client.refused(f"open.test:{world.echo.port}").status == 401
    context = authority.client(None, "h2")
    context.check_hostname = False
    with pytest.raises((ssl.SSLError, OSError)), RfcClient(ambient.port, context) as client:
        client.connect(f"open.test:{world.echo.port}")
        client.answer(1)


def test_other_protocols_are_not_spoken(ambient: Ambient, authority: Authority) -> None:
    plain = socket.create_connection(("127.0.0.1", ambient.port), timeout=20)
    with identity(authority).wrap_socket(plain) as client:
        client.sendall(b"\x05\x01\x00")
        assert wire.to_the_end(client) == b""
    assert ambient.event(event="refused", reason="malformed")["listener"] == "mesh"


class StreamSocket:
    """A tunnel of an HTTP/2 client, as the socket that it stands for."""

    def __init__(self, client: RfcClient, number: int) -> None:
        self.client, self.number = client, number

    def sendall(self, data: bytes) -> None:
        self.client.write(self.number, data)

    def recv(self, most: int) -> bytes:
        stream = self.client.streams[self.number]
        self.client.wait(lambda: bool(stream.data) or stream.over)
        found, stream.data = stream.data[:most], stream.data[most:]
        return found

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        pass


def test_double_hbone(world: World, ambient: Ambient, authority: Authority) -> None:
    """An mTLS connection of its own inside a tunnel, to a second gateway: each judges by its own rules."""
    with Ambient(world, authority, [ambient.port]) as outer, RfcClient(outer.port, identity(authority)) as carrier:
        way = StreamSocket(carrier, carrier.open(f"127.0.0.1:{ambient.port}"))
        inner = TlsSocket(way, identity(authority))  # type: ignore[arg-type]
        with RfcClient(0, way=inner) as client:
            number = client.open(f"127.0.0.1:{world.echo.port}")
            assert client.echoes(number, b"\0" + b"q" * 40_000)
            assert client.refused("other.example:443").status == 401
        lines = (outer.event(event="open"), ambient.events(event="open")[-1])
        assert [line["source"]["identity"] for line in lines] == ["shop/cart", "shop/cart"]


@pytest.mark.full
def test_istio_s_own_client(world: World, ambient: Ambient, authority: Authority) -> None:
    """The package that Istio's tests tunnel by."""
    if not CLIENT.exists():
        subprocess.run([ROOT / "deploy/go_client.sh", ROOT / "tests/e2e/hbone", CLIENT], check=True, timeout=900)
    certificate, key = authority.issue("workload", CART, client=True)
    proxy = f"127.0.0.1:{ambient.port}"

    def run(target: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [CLIENT, proxy, target, authority.path, certificate, key], capture_output=True, timeout=60, check=False
        )

    done = run(f"127.0.0.1:{world.echo.port}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(b"\n\0hello\n"), "behind what the package logs"
    assert b"401" in run("127.0.0.1:1").stderr
    assert b"503" in run("127.0.0.1:9").stderr
