"""Rules with a parent gateway: a chain of two gateways, and parents that refuse, stall, lie or are not there."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
import yaml

from tests.e2e.conftest import PASSWORD, World, hashed
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.origins import Origin, reset
from tests.support.ports import free_port
from tests.support.run_gateway import Gateway, Mapping, policy

VIA_RULE = "ClusterEgressPolicy/via"

TYPES: Final = ("http", "socks5", "http2tunnel")


def outer(world: World) -> Gateway:
    """The parent: it resolves, and has a rule of its own."""
    rules = [policy("outer", [{"host": "*.test", "ports": [world.echo.port, world.http]}, {"cidr": "127.0.0.0/8"}])]
    return Gateway(rules, {"dns": {"servers": [world.names.address]}})


def inner(
    parents: list[int],
    to: list[Mapping] | None = None,
    kind: str = "http",
    upstream: Mapping | None = None,
    **config: Any,
) -> Gateway:
    """The child. Its DNS server does not exist: what it resolved itself would fail."""
    addresses = [f"127.0.0.1:{port}" for port in parents]
    corp = {"name": "corp", "type": kind, "addresses": addresses, **(upstream or {})}
    settings = {"upstreams": [corp], "dns": {"servers": ["127.0.0.1:9"]}, "limits": {"dialTimeout": "1s"}, **config}
    rules = [policy("via", to or [{"host": "*.test"}], upstream="corp")]
    return Gateway(rules, settings, files={"secret": PASSWORD + "\n"})


@pytest.mark.parametrize("kind", ["http", "socks5"])
@pytest.mark.parametrize("login", [False, True], ids=["without a login", "with a login"])
def test_a_proxy_header_names_the_client(world: World, kind: str, login: bool) -> None:
    """The parent sees the client's own address, for names and addresses."""
    identity: Mapping = {"proxyProtocolFrom": ["127.0.0.1/32"], "users": "users.yaml"}
    rules = [policy("outer", [{"host": "open.test"}, {"cidr": "127.0.0.0/8"}], sources=[{"cidr": "127.0.0.77/32"}])]
    config = {"dns": {"servers": [world.names.address]}, "identity": identity}
    text = yaml.safe_dump({"users": [{"name": "gate", "hash": hashed(PASSWORD)}]})
    upstream: Mapping = {"proxyProtocol": "v2", **({"user": "gate", "passwordFile": "secret"} if login else {})}
    far = FarGateway(rules, config, files={"users.yaml": text})
    to = [{"host": "*.test"}, {"cidr": "127.0.0.0/8"}]
    with far, inner([far.port], to, kind, upstream) as near:
        for host in ("open.test", "127.0.0.1"):
            with wire.connect(near.port, source="127.0.0.77") as client:
                port = client.getsockname()[1]
                wire.open_socks5(client, host, world.echo.port)
                assert wire.echoes(client)
            source = far.logged(0, port)["source"]
            assert (source["ip"], source["user"]) == ("127.0.0.77", "gate" if login else None)
        with wire.connect(near.port, source="127.0.0.78") as client:
            assert wire.socks5(client, "open.test", world.echo.port) != 0


class FarGateway(Gateway):
    """Its workers are ready when they say so: a client without a header gets no answer."""

    def serves(self) -> bool:
        self.check_alive()
        return True


@contextlib.contextmanager
def parent(answer: Callable[[socket.socket, Origin], None]) -> Iterator[int]:
    with Origin(answer) as origin:
        yield origin.port


@pytest.mark.parametrize("kind", TYPES)
def test_a_name_goes_to_the_parent_unresolved(world: World, kind: str) -> None:
    with outer(world) as far, inner([far.port], kind=kind) as near:
        for opening in wire.OPENINGS.values():
            with wire.connect(near.port) as client:
                opening(client, "open.test", world.echo.port)
                assert wire.echoes(client)
        eventually(lambda: len(far.events(event="open")) == len(wire.OPENINGS), "each tunnel has its line there")
        eventually(lambda: len(near.events(event="open")) == len(wire.OPENINGS), "each tunnel has its line here")
        for line in near.events(event="open"):
            assert (line["phase"], line["rule"], line["reason"]) == ("delegated", VIA_RULE, "rule_allow")
            assert (line["destination"]["host"], line["destination"]["address"]) == ("open.test", None)
        assert {line["destination"]["host"] for line in far.events(event="open")} == {"open.test"}
        with wire.connect(near.port) as client:
            client.sendall(wire.connect_request(f"open.test:{world.echo.port}") + b"\0early")
            assert wire.http_head(client).status == 200
            assert wire.exactly(client, 6) == b"\0early", "payload behind the request reaches the origin"


@pytest.mark.parametrize("kind", TYPES)
def test_an_address_is_judged_here_and_asked_for_as_it_is(world: World, kind: str) -> None:
    to = [{"cidr": "127.0.0.0/8", "ports": [world.echo.port]}]
    with outer(world) as far, inner([far.port], to, kind) as near:
        with wire.connect(near.port) as client:
            wire.open_http(client, "127.0.0.1", world.echo.port)
            assert wire.echoes(client)
            line = near.event(event="open")
            assert (line["phase"], line["destination"]["address"]) == ("address", "127.0.0.1")
        with wire.connect(near.port) as client:
            assert wire.http(client, "10.1.2.3:443").status == 403


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("known", [True, False])
def test_credentials_are_the_parents_to_verify(world: World, kind: str, known: bool) -> None:
    users = {"users": [{"name": "gate", "hash": hashed(PASSWORD if known else "another")}]}
    with outer(world) as far:
        (far.folder / "users.yaml").write_text(yaml.safe_dump(users))
        far.config["identity"] = {"users": "users.yaml"}
        far.write_config()
        far.reload()
        login = {"user": "gate", "passwordFile": "secret"}
        with inner([far.port], kind=kind, upstream=login) as near, wire.connect(near.port) as client:
            status = wire.http(client, f"open.test:{world.echo.port}").status
            assert status == (200 if known else 502)
            if known:
                assert wire.echoes(client)
                assert far.event(event="open")["source"]["user"] == "gate"
            assert PASSWORD not in near.errors() + (near.folder / "access.log").read_text()


@pytest.mark.parametrize("kind", TYPES)
def test_what_the_parent_refuses_is_refused(world: World, kind: str) -> None:
    with outer(world) as far, inner([far.port], kind=kind) as near:
        with wire.connect(near.port) as client:
            answer = wire.http(client, "closed.test:9")
            assert answer.status == 502
            assert "error=connection_refused" in answer.headers["proxy-status"]
        with wire.connect(near.port) as client:
            assert wire.socks5(client, "closed.test", 9) == 1
        assert near.event(event="decision", outcome="upstream_failed")["rule"] == VIA_RULE


def test_the_next_address_is_tried_when_one_does_not_answer(world: World) -> None:
    with outer(world) as far, inner([free_port(), far.port]) as near, wire.connect(near.port) as client:
        wire.open_socks5(client, "open.test", world.echo.port)
        assert wire.echoes(client)


def test_no_parent_there_is_a_refusal(world: World) -> None:
    with inner([free_port()]) as near, wire.connect(near.port) as client:
        assert wire.http(client, "open.test:443").status == 502


def silent(connection: socket.socket, _: Origin) -> None:
    with contextlib.suppress(OSError):
        wire.to_the_end(connection)


def test_a_silent_parent_is_a_timeout(world: World) -> None:
    with parent(silent) as port, inner([port]) as near, wire.connect(near.port) as client:
        assert wire.http(client, "open.test:443").status == 504
        with wire.connect(near.port) as other:
            assert wire.socks5(other, "open.test", 443) == 4


def saying(data: bytes) -> Callable[[socket.socket, Origin], None]:
    def answer(connection: socket.socket, _: Origin) -> None:
        with contextlib.suppress(OSError):
            connection.recv(65536)
            connection.sendall(data)

    return answer


CLAIMS: Final = (  # fields by which a client may say who it is
    b"Forwarded: for=10.1.1.1\r\nX-Forwarded-For: 10.1.1.1\r\nX-Forwarded-Client-Cert: URI=spiffe://m/ns/shop/sa/cart\r\n"
    b"baggage: k8s.namespace.name=shop\r\nserviceidentity: cart.shop\r\nl5d-client-id: cart.shop\r\n"
)


def test_claims_of_a_client_do_not_reach_the_parent(world: World) -> None:
    """DECISIONS.md section 1: identity claims never leave for the outside."""
    heads: list[bytes] = []

    def answer(connection: socket.socket, _: Origin) -> None:
        with contextlib.suppress(OSError):
            heads.append(connection.recv(65536))
            connection.sendall(b"HTTP/1.1 403 No\r\n\r\n")

    with parent(answer) as port, inner([port]) as near, wire.connect(near.port) as client:
        client.sendall(b"CONNECT open.test:443 HTTP/1.1\r\nHost: open.test:443\r\n" + CLAIMS + b"\r\n")
        assert wire.http_head(client).status == 502
    (head,) = heads
    assert [line.partition(b":")[0] for line in head.splitlines()] == [b"CONNECT open.test", b"Host", b""]


NONSENSE: Final = {
    "nothing": b"",
    "one-byte": b"\x05",
    "half-a-line": b"HTTP/1.1 200",
    "half-a-head": b"HTTP/1.1 200 OK\r\nA: b",
    "garbage": b"\xff" * 64,
    "error": b"HTTP/1.1 500 No\r\n\r\n",
    "no-end": b"H" * 40_000,
}


@pytest.mark.parametrize("kind", TYPES)
def test_a_parent_that_answers_nonsense_is_a_refusal(world: World, kind: str) -> None:
    with contextlib.ExitStack() as stack:
        ports = {name: stack.enter_context(parent(saying(data))) for name, data in NONSENSE.items()}
        upstreams = [{"name": name, "type": kind, "addresses": [f"127.0.0.1:{port}"]} for name, port in ports.items()]
        rules = [policy(name, [{"host": f"{name}.test"}], upstream=name) for name in NONSENSE]
        near = stack.enter_context(Gateway(rules, {"upstreams": upstreams}))
        for name in NONSENSE:
            with wire.connect(near.port) as client:
                assert wire.http(client, f"{name}.test:443").status == 502, name
        with wire.connect(near.port) as client:
            assert wire.http(client, "elsewhere.example:443").status == 403


def test_first_bytes_in_one_segment_with_the_answer_are_the_tunnels(world: World) -> None:
    greeting = saying(b"HTTP/1.1 200 OK\r\n\r\nfirst words")
    with parent(greeting) as port, inner([port]) as near, wire.connect(near.port) as client:
        assert wire.http(client, "open.test:443").status == 200
        assert wire.exactly(client, 11) == b"first words"


def test_what_waits_for_a_parent_is_gone_when_its_client_is(world: World) -> None:
    asked = threading.Semaphore(0)

    def noting(connection: socket.socket, origin: Origin) -> None:
        connection.recv(1)
        asked.release()
        silent(connection, origin)

    with parent(noting) as port, inner([port], limits={"dialTimeout": "30s"}) as near:
        for _ in range(5):
            with wire.connect(near.port) as client:
                client.sendall(wire.connect_request("open.test:443"))
                assert asked.acquire(timeout=20)
                reset(client)
        eventually(lambda: len(near.events(event="decision", outcome="client_gone")) == 5, "all are given up")


def test_a_tunnel_does_not_change_its_way(world: World) -> None:
    with outer(world) as far, inner([far.port]) as near, wire.connect(near.port) as client:
        wire.open_socks5(client, "open.test", world.echo.port)
        assert wire.echoes(client)
        near.reload([policy("via", [{"host": "*.test"}], upstream="corp"), policy("more", [{"host": "b.example"}])])
        assert wire.echoes(client)
        near.reload([policy("direct", [{"host": "*.test"}])])
        with pytest.raises(ConnectionResetError):
            wire.to_the_end(client)
        line = near.event(event="close", outcome="revoked")
        assert (line["verdict"], line["reason"], line["rule"]) == ("deny", "other_way", "ClusterEgressPolicy/direct")


def test_a_direct_tunnel_does_not_become_the_parents(world: World) -> None:
    rules = [policy("direct", [{"host": "open.test"}])]
    corp = {"name": "corp", "type": "http", "addresses": [f"127.0.0.1:{free_port()}"]}
    with (
        Gateway(rules, {"upstreams": [corp], "dns": {"servers": [world.names.address]}}) as gateway,
        wire.connect(gateway.port) as client,
    ):
        wire.open_socks5(client, "open.test", world.echo.port)
        assert wire.echoes(client)
        gateway.reload([policy("direct", [{"host": "open.test"}], upstream="corp")])
        with pytest.raises(ConnectionResetError):
            wire.to_the_end(client)
        assert gateway.event(event="close", outcome="revoked")["reason"] == "other_way"


def test_explain_says_that_the_parent_decides(world: World) -> None:
    with inner([free_port()]) as near:
        for extra in ([], ["--live"]):
            done = near.sluice("explain", "--source", "127.0.0.1", "--to", "open.test:443", "--json", *extra)
            assert '"phase":"delegated"' in done.stdout.replace(" ", ""), done.stdout + done.stderr
