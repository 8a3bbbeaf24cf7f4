"""Peers that may speak for others: certificates of identity.trusted by the field Forwarded, load balancers by the
identity in their PROXY header; what others say does not count (DECISIONS.md section 1)."""

import contextlib
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.conftest import World
from tests.e2e.policy.test_certificate_identity import CertifiedGateway, Mesh
from tests.e2e.protocols.test_proxy_header import second
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.http2 import RfcClient
from tests.support.run_gateway import Gateway, Mapping, policy
from tests.support.tls import TlsSocket

EDGE: Final = "spiffe://mesh.test/ns/edge/sa/waypoint"
CART: Final = "spiffe://mesh.test/ns/shop/sa/cart"


def rules(world: World) -> list[Mapping]:
    ports = [world.echo.port]
    hosts = [{"host": "open.test", "ports": ports}]
    return [
        policy("edge", hosts, namespace="edge"),
        policy("cart", [{"host": "team.test", "ports": ports}], namespace="shop"),
        policy("local", [{"host": "localhost", "ports": ports}]),
        policy("barred", hosts, "Deny", sources=[{"cidr": "10.9.1.0/24"}]),
        policy("mapped", hosts, "Deny", sources=[{"namespace": "barred"}]),
    ]


def gateway_of(mesh: Mesh, world: World, policies: list[Mapping] | None = None, **more: Any) -> Gateway:
    identity = {
        **mesh.trust,
        "trusted": [{"identity": EDGE, "sources": 2}],
        "networks": [{"cidr": "10.9.2.0/24", "namespace": "barred"}],
        "proxyProtocolFrom": [{"cidr": "127.0.0.8/32", "identity": True}, "127.0.0.9/32"],
        **more.pop("identity", {}),
    }
    mesh.tls["clientCertificate"] = "optional"
    config = {"dns": {"servers": [world.names.address]}, "identity": identity, **more}
    return CertifiedGateway(policies or rules(world), config, listener={"tls": mesh.tls})


@pytest.fixture(scope="module")
def mesh() -> Iterator[Mesh]:
    with tempfile.TemporaryDirectory() as folder:
        yield Mesh(Path(folder))


@pytest.fixture(scope="module")
def served(mesh: Mesh, world: World) -> Iterator[Gateway]:
    with gateway_of(mesh, world) as gateway:
        yield gateway


def asked(client: TlsSocket, world: World, host: str, *fields: str) -> int:
    """The status of a CONNECT with these fields."""
    lines = "".join(f"{field}\r\n" for field in fields)
    return wire.http(client, f"{host}:{world.echo.port}", lines).status  # type: ignore[arg-type]


def await_source(gateway: Gateway, since: int, *source: str | None) -> None:
    """A decision about a source with this address, identity and identity_source. Lines of earlier tests may come."""

    def told() -> bool:
        lines = [line["source"] for line in gateway.events()[since:] if line["event"] in ("open", "decision")]
        return source in [(each["ip"], each["identity"], each["identity_source"]) for each in lines]

    eventually(told, f"a decision about {source}")


@pytest.mark.parametrize(
    ("value", "address", "status"),
    [
        ("for=10.9.0.7", "10.9.0.7", 200),
        ('for=10.9.1.1, for="10.9.0.7:4711";by=10.0.0.1', "10.9.0.7", 200),
        ('for="[2001:db8::7]"', "2001:db8::7", 200),
        ('for="[::ffff:10.9.1.7]"', "10.9.1.7", 403),
        ("for=10.9.1.7", "10.9.1.7", 403),
        ("for=10.9.2.7", "10.9.2.7", 403),
        ("for=unknown", "127.0.0.1", 200),
    ],
)
def test_a_trusted_peer_names_its_client(
    mesh: Mesh, served: Gateway, world: World, value: str, address: str, status: int
) -> None:
    """Its address alone: the identity is still the peer's, and denies for the address hold as well."""
    for way in ("http", "http2"):
        since = len(served.events())
        if way == "http":
            with mesh.connect(served, mesh.client("edge", EDGE)) as client:
                assert asked(client, world, "open.test", f"Forwarded: {value}") == status
        else:
            with RfcClient(served.port, mesh.authority.client(mesh.client("edge", EDGE), "h2")) as streams:
                number = streams.connect(f"open.test:{world.echo.port}", ("forwarded", value))
                assert streams.answer(number).status == status
        await_source(served, since, address, "edge/waypoint", "certificate")


def test_streams_have_clients_of_their_own(mesh: Mesh, served: Gateway, world: World) -> None:
    with RfcClient(served.port, mesh.authority.client(mesh.client("edge", EDGE), "h2")) as streams:
        target = f"open.test:{world.echo.port}"
        numbers = [streams.connect(target, *fields) for fields in ([("forwarded", "for=10.9.1.7")], [])]
        assert [streams.answer(number).status for number in numbers] == [403, 200]


def test_what_others_say_is_ignored(mesh: Mesh, served: Gateway, world: World) -> None:
    for pair, identity in ((mesh.client("cart", CART), "shop/cart"), (None, None)):
        since = len(served.events())
        with mesh.connect(served, pair) as client:
            assert asked(client, world, "localhost", "Forwarded: for=10.9.1.7", "baggage: a=b") == 200
            assert wire.echoes(client)  # type: ignore[arg-type]
        await_source(served, since, "127.0.0.1", identity, "certificate" if identity else "none")
    assert all(line.get("baggage") != "a=b" for line in served.events())


def test_a_field_that_cannot_be_read_is_refused(mesh: Mesh, served: Gateway, world: World) -> None:
    with mesh.connect(served, mesh.client("edge", EDGE)) as client:
        assert asked(client, world, "open.test", "Forwarded: for=example.com") == 400
    line = served.event(event="refused", reason="malformed")
    assert line["detail"] == "Forwarded is not a list of elements (RFC 7239)"


def test_baggage_is_logged_and_nothing_else(mesh: Mesh, served: Gateway, world: World) -> None:
    baggage = "k8s.namespace.name=shop,service.name=cart"
    with mesh.connect(served, mesh.client("edge", EDGE)) as client:
        assert asked(client, world, "team.test", f"baggage: {baggage}") == 403
    line = served.event(event="decision", baggage=baggage)
    assert (line["verdict"], line["source"]["identity"]) == ("deny", "edge/waypoint")


def test_curl_speaks_for_another(mesh: Mesh, served: Gateway, world: World) -> None:
    certificate, key = mesh.client("edge", EDGE)
    command = ["curl", "-sS", "-p", "-x", f"https://gateway.test:{served.port}", "--max-time", "20", "-o", "/dev/null"]
    command += ["--resolve", f"gateway.test:{served.port}:127.0.0.1", "--proxy-cacert", str(mesh.authority.path)]
    command += ["--proxy-cert", certificate, "--proxy-key", key, "-w", "%{http_connect}"]
    for address, status in (("10.9.0.7", "200"), ("10.9.1.7", "403")):
        header = ["--proxy-header", f"Forwarded: for={address}"]
        url = f"http://open.test:{world.echo.port}/"
        done = subprocess.run([*command, *header, url], capture_output=True, text=True, timeout=60, check=False)
        assert done.stdout == status, done.stderr


# ---- identities in PROXY headers -------------------------------------------------------------------------------------


def tlv(identity: str, times: int = 1) -> bytes:
    return b"\xd0" + len(identity).to_bytes(2, "big") + identity.encode() if times == 1 else tlv(identity) * times


@contextlib.contextmanager
def announced(
    mesh: Mesh, gateway: Gateway, tlvs: bytes, source: str = "127.0.0.8", pair: tuple[str, str] | None = None
) -> Iterator[TlsSocket]:
    """A client behind a load balancer at `source`."""
    with wire.connect(gateway.port, source=source) as plain:
        plain.sendall(second("10.9.0.7", tlvs=tlvs))
        with TlsSocket(plain, mesh.authority.client(pair)) as client:
            yield client


def test_a_load_balancer_forwards_an_identity(mesh: Mesh, served: Gateway, world: World) -> None:
    since = len(served.events())
    with announced(mesh, served, b"\x04\0\2ab" + tlv(CART)) as client:
        wire.open_socks5(client, "team.test", world.echo.port)  # type: ignore[arg-type]
        assert wire.echoes(client)  # type: ignore[arg-type]
        done = served.sluice("tunnels", "--from", "shop/cart", "--json").stdout
        assert '"identity_source": "forwarded"' in done
    await_source(served, since, "10.9.0.7", "shop/cart", "forwarded")
    # A lower identity widens nothing, and its denies hold.
    with announced(mesh, served, tlv(CART), pair=mesh.client("edge", EDGE)) as client:
        assert wire.socks5(client, "open.test", world.echo.port) == 2  # type: ignore[arg-type]
    with announced(mesh, served, b"") as client:
        assert wire.socks5(client, "team.test", world.echo.port) == 2  # type: ignore[arg-type]


def test_other_load_balancers_forward_none(mesh: Mesh, served: Gateway, world: World) -> None:
    since = len(served.events())
    with announced(mesh, served, tlv(CART), source="127.0.0.9") as client:
        assert wire.socks5(client, "team.test", world.echo.port) == 2  # type: ignore[arg-type]
    await_source(served, since, "10.9.0.7", None, "none")


@pytest.mark.parametrize(
    "tlvs",
    [
        tlv("spiffe://stranger.test/ns/shop/sa/cart"),
        tlv("spiffe://Mesh.test/ns/shop/sa/cart"),
        tlv("spiffe://mesh.test/ns/shop/sa/cart\0"),
        tlv("shop/cart"),
        tlv(""),
        tlv(CART, 2),
        b"\xd0\xff\xff" + CART.encode(),
        b"\xd0\0",
    ],
    ids=range(1, 9),
)
def test_an_identity_that_does_not_count_is_refused(served: Gateway, tlvs: bytes) -> None:
    before = len(served.events(reason="proxy_header"))
    with wire.connect(served.port, source="127.0.0.8") as client:
        client.sendall(second("10.9.0.7", tlvs=tlvs))
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(100) == b""
    line = eventually(lambda: served.events(reason="proxy_header")[before:], "its line")[0]
    assert line["detail"] == "the identity in the PROXY header is not one of a trust domain"


def test_a_forwarded_identity_satisfies_auth(mesh: Mesh, world: World) -> None:
    with gateway_of(mesh, world) as gateway:
        gateway.config["listeners"][0]["auth"] = "required"
        gateway.config["identity"]["users"] = "users.yaml"
        (gateway.folder / "users.yaml").write_text("users: []\n")
        gateway.write_config()
        gateway.reload()
        with announced(mesh, gateway, tlv(CART)) as client:
            assert asked(client, world, "team.test") == 200
        with announced(mesh, gateway, b"") as client:
            assert asked(client, world, "team.test") == 407


# ---- reloads and limits ----------------------------------------------------------------------------------------------


def without_trusted(gateway: Gateway) -> None:
    gateway.config["identity"]["trusted"] = []


def without_identities(gateway: Gateway) -> None:
    gateway.config["identity"]["proxyProtocolFrom"] = ["127.0.0.8/32"]


def is_ended(client: TlsSocket) -> bool:
    try:
        return not client.recv(100)
    except OSError:
        return True


@pytest.mark.parametrize("change", [without_trusted, without_identities])
def test_trust_that_is_gone_ends_tunnels(mesh: Mesh, world: World, change: Callable[[Gateway], None]) -> None:
    with gateway_of(mesh, world) as gateway, contextlib.ExitStack() as stack:
        edge = stack.enter_context(mesh.connect(gateway, mesh.client("edge", EDGE)))
        assert asked(edge, world, "open.test", "Forwarded: for=10.9.0.7") == 200
        cart = stack.enter_context(announced(mesh, gateway, tlv(CART)))
        assert asked(cart, world, "team.test") == 200
        gone, kept = (edge, cart) if change is without_trusted else (cart, edge)
        assert wire.echoes(gone) and wire.echoes(kept)  # type: ignore[arg-type]
        change(gateway)
        gateway.write_config()
        gateway.reload()
        eventually(lambda: is_ended(gone), "its tunnel has ended")
        assert gateway.event(event="close", outcome="revoked")["reason"] == "unauthorized"
        assert wire.echoes(kept)  # type: ignore[arg-type]


def test_limits_count_the_forwarded_source(mesh: Mesh, world: World) -> None:
    """One tunnel for each client that is named; a peer that names none is as many sources as it stands for."""
    limits = {"tunnelsPerSource": 1, "dialTimeout": "300ms"}
    with gateway_of(mesh, world, limits=limits) as gateway, contextlib.ExitStack() as stack:

        def opened(*fields: str) -> int:
            client: TlsSocket = mesh.connect(gateway, mesh.client("edge", EDGE))
            stack.enter_context(client)
            return asked(client, world, "open.test", *fields)

        assert [opened("Forwarded: for=10.9.0.7"), opened("Forwarded: for=10.9.0.8")] == [200, 200]
        assert opened("Forwarded: for=10.9.0.7") == 429
        assert [opened(), opened(), opened()] == [200, 200, 429]


def test_no_one_else_may(mesh: Mesh, served: Gateway, world: World) -> None:
    """A PROXY header from a trusted certificate's peer is refused as any other is."""
    plain = socket.create_connection(("127.0.0.1", served.port), timeout=20)
    with TlsSocket(plain, mesh.authority.client(mesh.client("edge", EDGE))) as client:
        client.sendall(second("10.9.0.7", tlvs=tlv(CART)))
        assert is_ended(client)
