"""TLS that a rule originates: a client's plain bytes leave as TLS, to the destination or through a parent."""

import contextlib
import hashlib
import json
import os
import socket
import ssl
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from tests.e2e.conftest import World
from tests.support import wire
from tests.support.certificates import Authority
from tests.support.http2 import RfcClient
from tests.support.origins import Origin, reset
from tests.support.parents import linger, send_all
from tests.support.run_gateway import Gateway, Mapping, policy
from tests.support.tls import TlsSocket

ASKED: Final = 80
BULK: Final = 2_000_000
Life = Callable[[Any, Origin], None]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def echo(connection: Any, _: Origin) -> None:
    while data := connection.recv(65536):
        connection.sendall(data)


def digest(connection: Any, _: Origin) -> None:
    found = hashlib.sha256()
    while data := connection.recv(65536):
        found.update(data)
    connection.sendall(found.hexdigest().encode())


def greeting(connection: Any, _: Origin) -> None:
    connection.sendall(b"220 first\r\n")
    echo(connection, _)


class ServerSocket(TlsSocket):
    """The server's side: it can end its writing alone, as the client's."""

    def __init__(self, connection: socket.socket, context: ssl.SSLContext) -> None:
        self.socket = connection
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._seen = b""
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._step(self._object.do_handshake)


def server(authority: Authority, *names: str, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("origin", *names))
    context.set_alpn_protocols(["http/1.1"])
    if version:
        context.maximum_version = version
    return context


@contextlib.contextmanager
def origin(context: ssl.SSLContext, life: Life) -> Iterator[Origin]:
    """Notes what each client asked for and showed."""
    asked: list[str | None] = []
    context.sni_callback = lambda _, name, __: asked.append(name)

    def live(connection: socket.socket, one: Origin) -> None:
        try:
            with ServerSocket(connection, context) as secure:
                shown = secure._object.getpeercert(binary_form=True)
                one.note((asked[-1], secure.protocol, bool(shown)))
                life(secure, one)
        except ssl.SSLError as wrong:
            one.note(wrong)

    with Origin(live) as one:
        yield one


def gateway(world: World, authority: Authority, port: int, to: Mapping | None = None, **tls: Any) -> Gateway:
    spec = {"originate": True, "port": port, "ca": str(authority.path), **tls}
    rules = [policy("secure", [to or {"host": "*.test", "ports": [ASKED]}], tls=spec)]
    return Gateway(rules, {"dns": {"servers": [world.names.address]}})


def parent(world: World, authority: Authority, port: int, secure: bool) -> Gateway:
    """It resolves and lets pass; `secure`: its listener has TLS."""
    rules = [policy("outer", [{"host": "*.test", "ports": [port]}])]
    far = Gateway(rules, {"dns": {"servers": [world.names.address]}})
    if secure:
        certificate, key = authority.issue("parent", "127.0.0.1")
        far.config["listeners"][0]["tls"] = {"certificates": [{"certificate": certificate, "key": key}]}
        far.serves = lambda: far.process is not None  # type: ignore[method-assign]
    return far


@contextlib.contextmanager
def tunnel(near: Gateway, host: str, port: int = ASKED) -> Iterator[socket.socket]:
    with wire.connect(near.port) as client:
        wire.open_socks5(client, host, port)
        yield client


def test_plain_bytes_leave_as_tls(world: World, authority: Authority) -> None:
    context = server(authority, "open.test")
    context.load_verify_locations(authority.path)
    context.verify_mode = ssl.CERT_REQUIRED
    certificate, key = authority.issue("cart", "spiffe://cluster.local/ns/shop/sa/cart", client=True)
    with origin(context, echo) as one:
        shown: Mapping = {"certificate": certificate, "key": key, "alpn": ["http/1.1"], "minVersion": "1.3"}
        with gateway(world, authority, one.port, **shown) as near:
            with tunnel(near, "open.test") as client:
                request = b"GET / HTTP/1.1\r\nHost: open.test\r\n\r\n"
                client.sendall(request)
                assert wire.exactly(client, len(request)) == request, "the inner check reads what the client wrote"
            assert one.wait() == [("open.test", "http/1.1", True)]
            line = near.event(event="open")
            assert (line["destination"]["host"], line["destination"]["port"]) == ("open.test", ASKED)
            facts = line["tls"]["upstream"]
            assert (facts["version"], facts["alpn"], facts["sni"], facts["peer"]) == (
                *("TLSv1.3", "http/1.1"), *("open.test", "open.test"),
            )  # fmt: skip
            with wire.connect(near.port) as client:
                assert wire.http(client, f"open.test:{one.port}").status == 403, "rules match the port asked for"
            with tunnel(near, "open.test") as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: other.test\r\n\r\n")
                with pytest.raises(ConnectionResetError):
                    wire.to_the_end(client)
            assert near.event(event="close", outcome="denied")["reason"] == "inner_name_mismatch"


def test_bulk_and_ends_cross(world: World, authority: Authority) -> None:
    content = b"\0" + os.urandom(BULK)

    def cruel(connection: Any, _: Origin) -> None:
        connection.sendall(b"last words")
        connection.recv(1)
        reset(connection.socket)

    def ends_first(connection: Any, one: Origin) -> None:
        connection.sendall(b"done")
        connection.shutdown(socket.SHUT_WR)
        one.note(b"".join(iter(lambda: connection.recv(65536), b"")))

    context = server(authority, "*.test", "open.test")
    with origin(context, digest) as one, gateway(world, authority, one.port) as near:
        with tunnel(near, "open.test") as client:
            writer = send_all(client, content)
            assert wire.to_the_end(client).decode() == hashlib.sha256(content).hexdigest()
            writer.join()
        assert near.event(event="close")["outcome"] == "closed"
        with RfcClient(near.port) as client2:
            number = client2.open(f"open.test:{ASKED}")
            client2.write(number, content[:300_000], end=True)
            assert client2.over(number).data.decode() == hashlib.sha256(content[:300_000]).hexdigest()
    with (
        origin(context, ends_first) as one,
        gateway(world, authority, one.port) as near,
        tunnel(near, "open.test") as client,
    ):
        assert wire.to_the_end(client) == b"done"
        client.sendall(b"\0still said")
        client.shutdown(socket.SHUT_WR)
        assert one.wait(2)[1] == b"\0still said"
    with (
        origin(context, cruel) as one,
        gateway(world, authority, one.port) as near,
        tunnel(near, "open.test") as client,
    ):
        assert wire.exactly(client, 10) == b"last words"
        client.sendall(b"\0")
        with pytest.raises(ConnectionResetError):
            wire.to_the_end(client)


def test_an_origin_that_speaks_first_and_sessions(world: World, authority: Authority) -> None:
    with origin(server(authority, "open.test"), greeting) as one, gateway(world, authority, one.port) as near:
        for _ in range(3):
            with tunnel(near, "open.test") as client:
                assert wire.exactly(client, 11) == b"220 first\r\n"
        with urllib.request.urlopen(f"http://127.0.0.1:{near.admin}/metrics", timeout=20) as answer:
            assert 'sluice_tls_handshakes_total{result="resumed",side="origin"}' in answer.read().decode()
        with RfcClient(near.port) as client2:
            number = client2.open(f"open.test:{ASKED}")
            assert client2.read(number, 11) == b"220 first\r\n"
            assert client2.echoes(number, b"\0" + b"k" * 200_000)


FAILURES: Final[dict[str, tuple[tuple[str, ...], Mapping, str]]] = {
    "another name": (("other.test",), {}, "name_mismatch"),
    "not one of the names": (("open.test",), {"sans": ["a.test", "spiffe://d/x"]}, "name_mismatch"),
    "another server name": (("open.test",), {"serverName": "front.test"}, "name_mismatch"),
    "an old version": (("open.test",), {"minVersion": "1.3"}, "alert_protocol_version"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_handshake_that_fails_has_its_reason(world: World, authority: Authority, name: str) -> None:
    names, tls, reason = FAILURES[name]
    context = server(authority, *names, version=ssl.TLSVersion.TLSv1_2)
    with origin(context, echo) as one, gateway(world, authority, one.port, **tls) as near:
        with wire.connect(near.port) as client:
            answer = wire.http(client, f"open.test:{ASKED}")
        assert answer.status == 502
        told = f'sluice; error=tls_certificate_error; details="tls_upstream: {reason}"'
        assert answer.headers["proxy-status"] == told
        line = near.event(event="decision")
        assert (line["outcome"], line["reason"], line["rule"]) == (
            *("upstream_failed", "tls_upstream"), "ClusterEgressPolicy/secure",
        )  # fmt: skip
        assert line["tls"]["upstream"]["failure"] == reason
        with RfcClient(near.port) as client2:
            assert client2.refused(f"open.test:{ASKED}").headers["proxy-status"] == told


def test_a_server_name_of_its_own(world: World, authority: Authority) -> None:
    context = server(authority, "front.test")
    with origin(context, echo) as one, gateway(world, authority, one.port, serverName="front.test") as near:
        with tunnel(near, "open.test") as client:
            assert wire.echoes(client)
        assert one.wait() == [("front.test", None, False)]


def test_an_address_is_verified_as_one(world: World, authority: Authority) -> None:
    to = {"cidr": "127.0.0.0/8", "ports": [ASKED]}
    with origin(server(authority, "127.0.0.1"), echo) as one, gateway(world, authority, one.port, to=to) as near:
        with tunnel(near, "127.0.0.1") as client:
            assert wire.echoes(client)
        assert one.wait() == [(None, None, False)]


def test_what_was_dialed_before_its_rule_is_known_stays_plain(world: World, authority: Authority) -> None:
    """Asked by address, and only a rule about names could allow: it is held, and denied."""
    with Origin(lambda connection, _: linger(connection)) as one:
        to = {"host": "*.test", "ports": [one.port]}
        with gateway(world, authority, one.port, to=to) as near, tunnel(near, "127.0.0.1", one.port) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: open.test\r\n\r\n")
            with pytest.raises(ConnectionResetError):
                wire.to_the_end(client)
            assert near.event(event="close")["reason"] == "other_way"


def test_the_gateway_itself_is_not_reached_by_the_port_that_is_dialed(world: World, authority: Authority) -> None:
    near = gateway(world, authority, 1)
    rule = policy("loop", [{"host": "*.test"}], tls={"originate": True, "port": near.port, "ca": str(authority.path)})
    near.write_policy([rule])
    with near, wire.connect(near.port) as client:
        assert wire.http(client, f"open.test:{ASKED}").status == 403
        assert near.event(event="decision")["reason"] == "own_address"


@pytest.mark.parametrize("secure", [False, True], ids=["in clear", "over TLS"])
@pytest.mark.parametrize("kind", ["http", "socks5", "http2tunnel"])
def test_through_a_parent(world: World, authority: Authority, kind: str, secure: bool) -> None:
    """TLS to the origin inside the tunnel; to a parent over TLS it is TLS in TLS."""
    with origin(server(authority, "open.test"), greeting) as one, parent(world, authority, one.port, secure) as far:
        near = gateway(world, authority, one.port)
        corp = {"name": "corp", "type": kind, "addresses": [f"127.0.0.1:{far.port}"]}
        near.config["upstreams"] = [{**corp, **({"tls": {"ca": str(authority.path)}} if secure else {})}]
        tls = {"originate": True, "port": one.port, "ca": str(authority.path)}
        near.write_policy([policy("secure", [{"host": "*.test"}], tls=tls, upstream="corp")])
        with near:
            for _ in range(2):
                with tunnel(near, "open.test") as client:
                    assert wire.exactly(client, 11) == b"220 first\r\n"
                    client.sendall(b"\0" + b"t" * 300_000)
                    assert wire.exactly(client, 300_001) == b"\0" + b"t" * 300_000
            assert near.event(event="open")["tls"]["upstream"]["peer"] == "open.test"
            assert far.event(event="open")["destination"]["port"] == one.port


def test_a_reload_that_changes_the_way_ends_tunnels(world: World, authority: Authority) -> None:
    with contextlib.ExitStack() as stack:
        one = stack.enter_context(origin(server(authority, "open.test"), echo))
        near = stack.enter_context(gateway(world, authority, one.port))
        client = stack.enter_context(tunnel(near, "open.test"))
        assert wire.echoes(client)
        near.reload()
        assert wire.echoes(client), "the same policy leaves it"
        tls = {"originate": True, "port": one.port, "ca": str(authority.path), "serverName": "other.test"}
        near.reload([policy("secure", [{"host": "*.test", "ports": [ASKED]}], tls=tls)])
        with pytest.raises(ConnectionResetError):
            wire.to_the_end(client)
        assert near.event(event="close", outcome="revoked")["reason"] == "other_way"


def test_explain_and_policy_show_it(world: World, authority: Authority) -> None:
    with gateway(world, authority, 8443) as near:
        said = json.loads(near.sluice("explain", "--to", "open.test:80", "--source", "127.0.0.1", "--json").stdout)
        tls = said["attributes"]["tls"]
        assert (tls["value"]["originate"], tls["value"]["port"]) == (True, 8443)
        assert tls["rule"]["name"] == "secure"
        text = near.sluice("explain", "--to", "open.test:80", "--source", "127.0.0.1").stdout
        assert "tls: originate true, port 8443" in text
        assert "tls: originate" in near.sluice("policy").stdout
