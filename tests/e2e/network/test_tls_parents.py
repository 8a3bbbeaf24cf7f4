"""Parents over TLS: chains of two gateways over mTLS, who a parent is, and how a handshake with one fails."""

import contextlib
import datetime
import hashlib
import os
import socket
import ssl
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.conftest import World
from tests.support import wire
from tests.support.certificates import Authority
from tests.support.eventually import eventually
from tests.support.origins import Origin, digest, received, reset
from tests.support.parents import far_gateway, linger, near_gateway, send_all
from tests.support.run_gateway import Gateway, Mapping
from tests.support.tls import TlsSocket

TYPES: Final = ("http2tunnel", "http", "socks5")
CART: Final = "spiffe://cluster.local/ns/shop/sa/cart"
BULK: Final = 3_000_000
Pair = tuple[str, str]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def cart(authority: Authority) -> Pair:
    return authority.issue("cart", CART, client=True)


def far_tls(world: World, authority: Authority, **more: Any) -> Gateway:
    """A parent that asks for certificates, and knows whom they name."""

    class Far(Gateway):
        def serves(self) -> bool:
            self.check_alive()
            return True

    certificate, key = authority.issue("parent", "parent.test", "127.0.0.1")
    plain = far_gateway(world)
    listener = {"certificates": [{"certificate": certificate, "key": key}], "clientCA": str(authority.path)}
    plain.config["listeners"][0]["tls"] = listener | more
    plain.config["identity"] = {"trustDomains": [{"name": "cluster.local", "ca": str(authority.path)}]}
    plain.__class__ = Far
    return plain


def near_tls(port: int, authority: Authority, kind: str, pair: Pair | None, **tls: Any) -> Gateway:
    """A child whose parent's certificate is of the CA."""
    shown = {"certificate": pair[0], "key": pair[1]} if pair else {}
    settings = {"type": kind, "tls": {"ca": str(authority.path), **shown, **tls}}
    return near_gateway(port, upstream=settings)


@contextlib.contextmanager
def tunnel(near: Gateway, host: str, port: int) -> Iterator[socket.socket]:
    with wire.connect(near.port) as client:
        wire.open_socks5(client, host, port)
        yield client


def metrics(gateway: Gateway) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{gateway.admin}/metrics", timeout=20) as answer:
        return str(answer.read(), "ascii")


def handshakes(gateway: Gateway, side: str) -> dict[str, float]:
    """Counted ones, by result."""
    return {
        sample.labels["result"]: sample.value
        for family in text_string_to_metric_families(metrics(gateway))
        for sample in family.samples
        if sample.name == "sluice_tls_handshakes_total" and sample.labels["side"] == side
    }


@pytest.mark.parametrize("kind", TYPES)
def test_gateways_chain_over_mtls(world: World, authority: Authority, cart: Pair, kind: str) -> None:
    with far_tls(world, authority) as far, near_tls(far.port, authority, kind, cart) as near:
        for _ in range(3):
            with tunnel(near, "open.test", world.echo.port) as client:
                assert wire.echoes(client)
                client.sendall(b"x" * 100_000)
                assert wire.exactly(client, 100_000) == b"x" * 100_000
        line = near.event(event="open")
        assert (line["phase"], line["tls"]["client"]) == ("delegated", None)
        facts = line["tls"]["upstream"]
        assert (facts["version"], facts["failure"]) == ("TLSv1.3", None)
        assert facts["alpn"] == {"http": "http/1.1", "http2tunnel": "h2"}.get(kind)
        source = far.event(event="open")["source"]
        assert (source["identity"], source["identity_source"]) == ("shop/cart", "certificate")
        found = handshakes(near, "parent")
        assert found["full"] >= 1
        assert kind == "http2tunnel" or found.get("resumed", 0) >= 1, "sessions are resumed"
        assert "sluice_tls_handshake_seconds_count" in metrics(near)


@pytest.mark.parametrize("kind", TYPES)
def test_bulk_ends_and_resets_cross(world: World, authority: Authority, cart: Pair, kind: str) -> None:
    content = os.urandom(BULK)

    def give(connection: socket.socket, _: Origin) -> None:
        connection.sendall(content)

    def cruel(connection: socket.socket, _: Origin) -> None:
        connection.sendall(b"last words")
        connection.recv(1)
        reset(connection)

    def first(connection: socket.socket, origin: Origin) -> None:
        connection.sendall(b"done")
        connection.shutdown(socket.SHUT_WR)
        origin.note(b"".join(received(connection)))

    with far_tls(world, authority) as far, near_tls(far.port, authority, kind, cart) as near:
        with Origin(give) as origin, tunnel(near, "127.0.0.1", origin.port) as client:
            assert hashlib.sha256(wire.to_the_end(client)).digest() == hashlib.sha256(content).digest()
        with Origin(digest) as origin, tunnel(near, "127.0.0.1", origin.port) as client:
            writer = send_all(client, content)
            assert wire.to_the_end(client).decode() == hashlib.sha256(content).hexdigest()
            writer.join()
        with Origin(first) as origin, tunnel(near, "127.0.0.1", origin.port) as client:
            assert wire.to_the_end(client) == b"done"
            client.sendall(b"still said")
            client.shutdown(socket.SHUT_WR)
            assert origin.wait() == [b"still said"]
        with Origin(cruel) as origin, tunnel(near, "127.0.0.1", origin.port) as client:
            assert wire.exactly(client, 10) == b"last words"
            client.sendall(b"x")
            with pytest.raises(ConnectionResetError):
                wire.to_the_end(client)
        eventually(lambda: far.counter("tunnels_open") == 0, "nothing is left there")
        eventually(lambda: near.counter("tunnels_open") == 0, "nothing is left here")


@contextlib.contextmanager
def parent(context: ssl.SSLContext | None, answer: bytes = b"HTTP/1.1 200 OK\r\n\r\n") -> Iterator[Origin]:
    """A parent with any TLS, which answers CONNECT and echoes."""

    def live(connection: socket.socket, _: Origin) -> None:
        with contextlib.suppress(OSError):
            if context is None:
                connection.sendall(b"220 no TLS here\r\n")
                wire.to_the_end(connection)
                return
            with context.wrap_socket(connection, server_side=True) as secure:
                while not secure.recv(65536).endswith(b"\r\n\r\n"):
                    pass
                secure.sendall(answer)
                while data := secure.recv(65536):
                    secure.sendall(data)

    with Origin(live) as origin:
        yield origin


def shows(pair: Pair, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    context.set_alpn_protocols(["h2", "http/1.1"])
    if version is not None:
        context.maximum_version = version
    return context


def expired(authority: Authority) -> ssl.SSLContext:
    day = datetime.timedelta(days=1)
    return shows(authority.issue("expired", "127.0.0.1", age=2 * day, left=-day))


def early(authority: Authority) -> ssl.SSLContext:
    day = datetime.timedelta(days=1)
    return shows(authority.issue("early", "127.0.0.1", age=-day))


def strange(authority: Authority) -> ssl.SSLContext:
    folder = authority.folder / "strange"
    folder.mkdir(exist_ok=True)
    return shows(Authority(folder, "strange").issue("strange", "127.0.0.1"))


def other(authority: Authority) -> ssl.SSLContext:
    return shows(authority.issue("other", "other.test", "192.0.2.1"))


def client_like(authority: Authority) -> ssl.SSLContext:
    return shows(authority.issue("client-like", "127.0.0.1", client=True))


def old(authority: Authority) -> ssl.SSLContext:
    return shows(authority.issue("old", "127.0.0.1"), ssl.TLSVersion.TLSv1_2)


def strict(authority: Authority) -> ssl.SSLContext:
    context = shows(authority.issue("strict", "127.0.0.1"))
    context.load_verify_locations(authority.path)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def strict_old(authority: Authority) -> ssl.SSLContext:
    context = strict(authority)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


FAILURES: Final[dict[str, tuple[Callable[[Authority], ssl.SSLContext] | None, Mapping, str]]] = {
    "expired": (expired, {}, "certificate_expired"),
    "not yet valid": (early, {}, "certificate_not_yet_valid"),
    "unknown CA": (strange, {}, "unknown_ca"),
    "another name": (other, {}, "name_mismatch"),
    "not one of the names": (other, {"sans": ["parent.test", "127.0.0.1", CART]}, "name_mismatch"),
    "wrong purpose": (client_like, {}, "certificate_purpose"),
    "no common version": (old, {"minVersion": "1.3"}, "alert_protocol_version"),
    "a certificate is asked for": (strict_old, {}, "alert_handshake_failure"),
    "a certificate is asked for, TLS 1.3": (strict, {}, "alert_certificate_required"),
    "no TLS": (None, {}, "not_tls"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_handshake_that_fails_has_its_reason(authority: Authority, name: str) -> None:
    context, tls, reason = FAILURES[name]
    with contextlib.ExitStack() as stack:
        origin = stack.enter_context(parent(context(authority) if context else None))
        for kind in ("http", "http2tunnel"):
            near = stack.enter_context(near_tls(origin.port, authority, kind, None, **tls))
            with wire.connect(near.port) as client:
                answer = wire.http(client, "open.test:443")
            assert answer.status == 502
            told = f'sluice; error=tls_certificate_error; details="tls_upstream: {reason}"'
            assert answer.headers["proxy-status"] == told
            line = near.event(event="decision")
            assert (line["outcome"], line["reason"]) == ("upstream_failed", "tls_upstream")
            assert line["tls"]["upstream"]["failure"] == reason
            counted = "alert" if reason.startswith("alert") else reason
            eventually(lambda: handshakes(near, "parent").get(counted, 0) >= 1, "it is counted")  # noqa: B023
            with wire.connect(near.port) as client:
                assert wire.socks5(client, "open.test", 443) == 1


@pytest.mark.parametrize("kind", ["http", "http2tunnel"])
def test_a_silent_parent_is_bounded_by_the_dial(authority: Authority, kind: str) -> None:
    with Origin(lambda connection, _: linger(connection)) as origin:
        near = near_tls(origin.port, authority, kind, None)
        near.config["limits"] = {"dialTimeout": "500ms"}
        with near, wire.connect(near.port) as client:
            assert wire.http(client, "open.test:443").status == 504
            # A shared connection has a time of its own, which may end a moment behind the request's.
            assert kind == "http2tunnel" or near.event(event="decision")["tls"]["upstream"]["failure"] == "timeout"
            eventually(lambda: handshakes(near, "parent").get("timeout", 0) >= 1, "it is counted")


ACCEPTED: Final[dict[str, tuple[tuple[str, ...], Mapping, str | None]]] = {
    "the address that is dialed": (("127.0.0.1",), {}, None),
    "a server name": (("parent.test",), {"serverName": "Parent.test"}, "parent.test"),
    "a wildcard of the certificate": (("*.parent.test",), {"serverName": "a.parent.test"}, "a.parent.test"),
    "one of the names": ((CART, "x.test"), {"sans": ["y.test", CART], "serverName": "any.test"}, CART),
    "an address among the names": (("127.0.0.1",), {"sans": ["127.0.0.1"]}, "127.0.0.1"),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_certificate_with_the_name_is_accepted(authority: Authority, name: str) -> None:
    names, tls, peer = ACCEPTED[name]
    asked: list[str | None] = []
    context = shows(authority.issue("named", *names))
    context.sni_callback = lambda _, server_name, __: asked.append(server_name)
    with parent(context) as origin, near_tls(origin.port, authority, "http", None, **tls) as near:
        with tunnel(near, "open.test", 443) as client:
            assert wire.echoes(client)
        facts = near.event(event="open")["tls"]["upstream"]
        assert facts["peer"] == peer
        assert asked == [tls["serverName"].lower() if "serverName" in tls else None]


def test_a_changed_ca_takes_effect_and_a_bad_one_does_not(authority: Authority, tmp_path: Path) -> None:
    ca = tmp_path / "ca.crt"
    ca.write_bytes(authority.path.read_bytes())
    (tmp_path / "next").mkdir()
    new = Authority(tmp_path / "next")
    contexts = [shows(authority.issue("first", "127.0.0.1")), shows(new.issue("second", "127.0.0.1"))]

    def replace(content: bytes) -> None:
        (tmp_path / "made").write_bytes(content)
        os.rename(tmp_path / "made", ca)

    def status(gateway: Gateway) -> int:
        with wire.connect(gateway.port) as client:
            return wire.http(client, "open.test:443").status

    with parent(contexts[1]) as origin:
        near = near_tls(origin.port, authority, "http", None, ca=str(ca))
        with near:
            assert status(near) == 502
            replace(b"no certificate")
            eventually(lambda: "reload_failed" in near.errors(), "it says so")
            assert status(near) == 502
            replace(new.path.read_bytes())
            eventually(lambda: status(near) == 200, "the new CA is trusted")


def test_the_parent_of_a_tls_client_is_a_tls_listener_of_curl(world: World, authority: Authority, cart: Pair) -> None:
    """Both legs of the child are TLS: the relay copies between them."""
    with far_tls(world, authority) as far:
        near = near_tls(far.port, authority, "http", cart)
        certificate, key = authority.issue("gateway", "gateway.test")
        near.config["listeners"][0]["tls"] = {"certificates": [{"certificate": certificate, "key": key}]}
        near.__class__ = far.__class__
        with near:
            client = TlsSocket(socket.create_connection(("127.0.0.1", near.port), timeout=20), authority.client())
            wire.open_socks5(client, "open.test", world.echo.port)  # type: ignore[arg-type]
            client.sendall(b"\0" + b"y" * 300_000)
            assert wire.exactly(client, 300_001)[1:] == b"y" * 300_000  # type: ignore[arg-type]
            line = near.event(event="open")["tls"]
            assert (line["client"]["version"], line["upstream"]["version"]) == ("TLSv1.3", "TLSv1.3")
            client.close()


def test_a_proxy_header_comes_ahead_of_tls(world: World, authority: Authority, cart: Pair) -> None:
    far = far_tls(world, authority)
    far.config["identity"]["proxyProtocolFrom"] = ["127.0.0.0/8"]
    with far:
        near = near_tls(far.port, authority, "http", cart)
        near.config["upstreams"][0]["proxyProtocol"] = "v2"
        with near, tunnel(near, "open.test", world.echo.port) as client:
            assert wire.echoes(client)
            assert far.event(event="open")["source"]["port"] == client.getsockname()[1]
