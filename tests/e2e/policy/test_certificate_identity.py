"""Identities of client certificates against a running gateway: whose rules hold for them, what satisfies `auth`, what a
reload or the end of a certificate's time does to their tunnels (DECISIONS.md section 1)."""

import datetime
import json
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.e2e.conftest import PASSWORD, World, sample_users
from tests.support import wire
from tests.support.certificates import Authority
from tests.support.eventually import eventually
from tests.support.http2 import RfcClient
from tests.support.run_gateway import Gateway, Mapping, policy
from tests.support.tls import TlsSocket

CART: Final = "spiffe://mesh.test/ns/shop/sa/cart"
TILL: Final = "spiffe://mesh.test/ns/shop/sa/till"
LINKERD: Final = "cart.shop.serviceaccount.identity.linkerd.mesh.test"


class Mesh:
    """A CA, the certificates of one gateway, and its configuration."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        certificate, key = self.authority.issue("gateway.test", "gateway.test")
        self.tls: Mapping = {
            "certificates": [{"certificate": certificate, "key": key}],
            "clientCA": str(self.authority.path),
        }
        self.trust: Mapping = {
            "trustDomains": [
                {"name": "mesh.test", "ca": str(self.authority.path), "linkerdNamespace": "linkerd"},
                {"name": "other.test", "ca": str(self.authority.path)},
            ]
        }

    def gateway(self, world: World, policies: list[Mapping], **listener: Any) -> Gateway:
        identity = {**self.trust, "users": "users.yaml"}
        config = {"dns": {"servers": [world.names.address]}, "identity": identity}
        return CertifiedGateway(
            policies,
            config,
            files={"users.yaml": yaml.safe_dump(sample_users())},
            listener={"tls": self.tls, **listener},
        )

    def client(self, name: str, *names: str, **more: Any) -> tuple[str, str]:
        return self.authority.issue(name, *names, client=True, **more)

    def connect(self, gateway: Gateway, pair: tuple[str, str] | None) -> TlsSocket:
        connection = socket.create_connection(("127.0.0.1", gateway.port), timeout=20)
        return TlsSocket(connection, self.authority.client(pair))


class CertifiedGateway(Gateway):
    """Its workers are ready when they say so: the question to a cleartext listener would be none here."""

    def serves(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.errors()
        return True


@pytest.fixture
def mesh(tmp_path: Path) -> Mesh:
    return Mesh(tmp_path)


@pytest.fixture(scope="module")
def shared() -> Iterator[Mesh]:
    with tempfile.TemporaryDirectory() as folder:
        yield Mesh(Path(folder))


def rules(world: World) -> list[Mapping]:
    """A destination for each way to select a source; team.test is the user's alone."""
    ports = [world.echo.port]
    return [
        policy("cart", [{"host": "open.test", "ports": ports}], namespace="shop", sources=[{"serviceAccount": "cart"}]),
        policy("shop", [{"host": "both.test", "ports": ports}], namespace="shop"),
        policy("uri", [{"host": "a.wild.test", "ports": ports}], sources=[{"identity": "spiffe://other.test/vm/1"}]),
        policy("team", [{"host": "team.test", "ports": ports}], sources=[{"user": "build-bot"}]),
        policy("local", [{"host": "localhost", "ports": ports}]),
        policy("barred", [{"host": "localhost", "ports": ports}], "Deny", sources=[{"user": "visitor"}]),
    ]


@pytest.fixture(scope="module")
def served(shared: Mesh, world: World) -> Iterator[Gateway]:
    shared.tls["clientCertificate"] = "optional"
    with shared.gateway(world, rules(world)) as gateway:
        yield gateway


@pytest.mark.parametrize(
    ("names", "reached", "identity"),
    [
        ((CART,), {"open.test", "both.test", "localhost"}, "shop/cart"),
        ((LINKERD,), {"open.test", "both.test", "localhost"}, "shop/cart"),
        ((CART, LINKERD), {"open.test", "both.test", "localhost"}, "shop/cart"),
        ((TILL,), {"both.test", "localhost"}, "shop/till"),
        # Of another domain than the first one: its URI alone, whatever its path looks like.
        (("spiffe://other.test/ns/shop/sa/cart",), {"localhost"}, "spiffe://other.test/ns/shop/sa/cart"),
        (("spiffe://other.test/vm/1",), {"a.wild.test", "localhost"}, "spiffe://other.test/vm/1"),
        # Names that count for nothing.
        (("spiffe://stranger.test/ns/shop/sa/cart",), {"localhost"}, None),
        ((CART, TILL), {"localhost"}, None),
        ((), {"localhost"}, None),
    ],
)
def test_whose_rules_hold(
    shared: Mesh, served: Gateway, world: World, names: tuple[str, ...], reached: set[str], identity: str | None
) -> None:
    pair = shared.client("client", *names)
    found = set()
    for host in ("open.test", "both.test", "a.wild.test", "team.test", "localhost"):
        with shared.connect(served, pair) as client:
            port = client.getsockname()[1]
            before = len(served.events())
            if wire.socks5(client, host, world.echo.port) == 0:  # type: ignore[arg-type]
                found.add(host)
                assert wire.echoes(client)  # type: ignore[arg-type]
        line = served.logged(before, port)
        assert line["source"]["identity"] == identity
        assert line["source"]["identity_source"] == ("certificate" if identity else "none")
    assert found == reached


def test_why_a_certificate_names_no_client_is_logged(shared: Mesh, served: Gateway, world: World) -> None:
    for names, failure in (((CART, TILL), "identity_ambiguous"), (("spiffe://Mesh.test/x",), "identity_invalid")):
        with shared.connect(served, shared.client("client", *names)) as client:
            port = client.getsockname()[1]
            wire.open_socks5(client, "localhost", world.echo.port)  # type: ignore[arg-type]
        line = served.logged(0, port)
        assert line["tls"]["client"]["failure"] == failure
        assert line["tls"]["client"]["peer"] is None


def test_the_facts_of_a_connection(shared: Mesh, served: Gateway, world: World) -> None:
    with shared.connect(served, shared.client("client", CART)) as client:
        port = client.getsockname()[1]
        wire.open_socks5(client, "open.test", world.echo.port)  # type: ignore[arg-type]
        (listed,) = json.loads(served.sluice("tunnels", "--from", "shop/cart", "--json").stdout)["items"]
        assert listed["source"]["identity"] == "shop/cart"
        assert listed["source"]["identity_source"] == "certificate"
    facts = served.logged(0, port)["tls"]
    assert facts["upstream"] is None
    assert facts["client"] == {
        "version": "TLSv1.3",
        "cipher": "TLS_AES_128_GCM_SHA256",
        "group": facts["client"]["group"],
        "alpn": None,
        "sni": "gateway.test",
        "peer": CART,
        "failure": None,
    }
    assert "25519" in facts["client"]["group"]


def test_a_lower_source_widens_nothing(shared: Mesh, served: Gateway, world: World) -> None:
    """A certificate stands above credentials: the user's allow does not count, the user's deny does."""
    pair = shared.client("client", CART)
    for user, host, answer in (("build-bot", "team.test", 2), ("visitor", "localhost", 2), ("visitor", "open.test", 0)):
        with shared.connect(served, pair) as client:
            assert wire.socks5(client, host, world.echo.port, user, PASSWORD) == answer  # type: ignore[arg-type]
    with shared.connect(served, None) as client:
        assert wire.socks5(client, "team.test", world.echo.port, "build-bot", "wrong") == 0x100  # type: ignore[arg-type]
    with shared.connect(served, pair) as client:
        assert wire.socks5(client, "open.test", world.echo.port, "build-bot", "wrong") == 0x100  # type: ignore[arg-type]


def test_streams_have_the_identity_of_their_connection(shared: Mesh, served: Gateway, world: World) -> None:
    context = shared.authority.client(shared.client("client", CART), "h2")
    with RfcClient(served.port, context) as client:
        numbers = [client.connect(f"{host}:{world.echo.port}") for host in ("open.test", "team.test")]
        assert [client.answer(number).status for number in numbers] == [200, 403]
    assert served.event(event="open", protocol="http2tunnel")["source"]["identity"] == "shop/cart"


def test_explain_names_the_source(served: Gateway, world: World) -> None:
    for options in ((), ("--live",)):
        done = served.sluice("explain", "--identity", CART, "--to", f"open.test:{world.echo.port}", "--json", *options)
        answer = json.loads(done.stdout)
        assert (answer["verdict"], answer["identity_source"]) == ("allow", "certificate")
        assert answer["source"]["service_account"] == "cart"
        foreign = CART.replace("mesh.test", "other.test")
        done = served.sluice(
            "explain", "--identity", foreign, "--to", f"open.test:{world.echo.port}", "--json", *options
        )
        assert json.loads(done.stdout)["verdict"] == "deny"


def test_an_identity_satisfies_auth(mesh: Mesh, world: World) -> None:
    mesh.tls["clientCertificate"] = "optional"
    with mesh.gateway(world, rules(world), auth="required") as gateway:
        with mesh.connect(gateway, mesh.client("client", CART)) as client:
            wire.open_socks5(client, "open.test", world.echo.port)  # type: ignore[arg-type]
        with mesh.connect(gateway, mesh.client("client", CART)) as client:
            assert wire.http(client, f"open.test:{world.echo.port}").status == 200  # type: ignore[arg-type]
        # Not one that names no client, and no certificate at all.
        for pair in (mesh.client("client", CART, TILL), mesh.client("client"), None):
            with mesh.connect(gateway, pair) as client:
                assert wire.http(client, f"localhost:{world.echo.port}").status == 407  # type: ignore[arg-type]
        with mesh.connect(gateway, None) as client:
            assert wire.socks5(client, "team.test", world.echo.port, "build-bot", PASSWORD) == 0  # type: ignore[arg-type]


def test_a_role_is_an_identity_where_it_is_asked_for(mesh: Mesh, world: World) -> None:
    mesh.trust["subject"] = {"role": "CN"}
    with (
        mesh.gateway(world, rules(world), auth="required") as gateway,
        mesh.connect(gateway, mesh.client("ci")) as client,
    ):
        wire.open_socks5(client, "localhost", world.echo.port)  # type: ignore[arg-type]
        assert gateway.event(event="open")["source"]["identity"] == "CN=ci"


def opened(mesh: Mesh, gateway: Gateway, world: World, pair: tuple[str, str]) -> TlsSocket:
    client = mesh.connect(gateway, pair)
    wire.open_socks5(client, "open.test", world.echo.port)  # type: ignore[arg-type]
    assert wire.echoes(client)  # type: ignore[arg-type]
    return client


def assert_ended(client: TlsSocket) -> None:
    def ended() -> bool:
        try:
            return not client.recv(100)
        except OSError:
            return True

    eventually(ended, "the tunnel has ended")


def without_cart(mesh: Mesh, gateway: Gateway, pair: tuple[str, str]) -> None:
    gateway.config["listeners"][0]["tls"]["crl"] = mesh.authority.revoke(pair[0])


def with_another_ca(mesh: Mesh, gateway: Gateway, _pair: tuple[str, str]) -> None:
    other = Authority(mesh.authority.folder, "another")
    gateway.config["listeners"][0]["tls"]["clientCA"] = str(other.path)


def without_certificates(_mesh: Mesh, gateway: Gateway, _pair: tuple[str, str]) -> None:
    gateway.config["listeners"][0]["tls"].pop("clientCA")
    gateway.config["listeners"][0]["tls"]["clientCertificate"] = "off"


@pytest.mark.parametrize("change", [without_cart, with_another_ca, without_certificates])
def test_a_revoked_certificate_ends_its_tunnels(
    mesh: Mesh, world: World, change: Callable[[Mesh, Gateway, tuple[str, str]], None]
) -> None:
    cart, till = mesh.client("cart", CART), mesh.client("till", TILL)
    both = policy("both", [{"host": "open.test", "ports": [world.echo.port]}], namespace="shop")
    with mesh.gateway(world, [both]) as gateway:
        gone, other = opened(mesh, gateway, world, cart), opened(mesh, gateway, world, till)
        change(mesh, gateway, cart)
        gateway.write_config()
        gateway.reload()
        assert_ended(gone)

        def lines() -> list[Mapping]:  # another CA ends the other tunnel as well, in any order
            found = gateway.events(event="close", outcome="revoked")
            return [line for line in found if line["source"]["identity"] == "shop/cart"]

        assert eventually(lines, "its line")[0]["reason"] == "unauthorized"
        if change is without_cart:
            assert wire.echoes(other)  # type: ignore[arg-type]
        for client in (gone, other):
            client.close()


def test_on_revoke_holds_for_certificates(mesh: Mesh, world: World) -> None:
    cart = mesh.client("cart", CART)
    keep = policy("keep", [{"host": "open.test", "ports": [world.echo.port]}], namespace="shop", onRevoke="keep")
    with mesh.gateway(world, [keep]) as gateway, opened(mesh, gateway, world, cart) as client:
        without_cart(mesh, gateway, cart)
        gateway.write_config()
        gateway.reload()
        assert wire.echoes(client)  # type: ignore[arg-type]
        assert gateway.event(event="decision", outcome="revoked")["reason"] == "unauthorized"


def test_an_identity_is_derived_anew(mesh: Mesh, world: World) -> None:
    """Without its trust domain the certificate stands, and names no client: no rule holds any more."""
    cart = mesh.client("cart", CART)
    with mesh.gateway(world, rules(world)) as gateway, opened(mesh, gateway, world, cart) as client:
        gateway.config["identity"]["trustDomains"] = []
        gateway.write_config()
        gateway.reload()
        assert_ended(client)
        assert gateway.event(event="close", outcome="revoked")["reason"] == "no_rule"


def test_a_tunnel_outlives_its_certificate_for_max_age(mesh: Mesh, world: World) -> None:
    left = datetime.timedelta(seconds=4)
    mesh.trust["maxAge"] = "5s"
    with mesh.gateway(world, rules(world)) as gateway:
        context = mesh.authority.client(mesh.client("brief", CART, left=left), "h2")
        with (
            opened(mesh, gateway, world, mesh.client("brief", CART, left=left)) as client,
            RfcClient(gateway.port, context) as streams,
        ):
            lasting = opened(mesh, gateway, world, mesh.client("lasting", CART))

            def refused() -> bool:
                return streams.answer(streams.connect(f"open.test:{world.echo.port}")).status == 403

            eventually(refused, "new requests need a valid certificate")
            assert gateway.event(event="decision", reason="identity_expired")["verdict"] == "deny"
            assert_ended(client)
            assert gateway.event(event="close", outcome="revoked", reason="identity_expired")
            assert wire.echoes(lasting)  # type: ignore[arg-type]
            lasting.close()
