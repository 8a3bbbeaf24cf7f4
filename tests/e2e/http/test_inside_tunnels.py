"""Tunnels whose only rules have conditions on requests become connections of HTTP, and each request is judged
(DECISIONS.md section 3, "HTTP conditions on tunnels")."""

import hashlib
import json
import socket
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import pytest
import yaml

from tests.e2e.conftest import PASSWORD, hashed
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.http2 import RfcClient
from tests.support.http_origin import LARGE, HttpOrigin
from tests.support.inside import TUNNELS, Inside, Pipy, Rfc, port_of
from tests.support.names import NameServer
from tests.support.run_gateway import Gateway, Mapping, policy

LOGGED: Final = {"socks4a": "socks4", "http2": "http2tunnel", "pipy": "http2tunnel"}  # `protocol` of the line
HELLO: Final = bytes.fromhex("16030100050100000100")
READS: Final = {"http": [{"methods": ["GET", "POST"], "paths": ["/v1/*", "/large", "/websocket", "/silence"]}]}


class Place(NamedTuple):
    gateway: Gateway
    origin: HttpOrigin

    @property
    def authority(self) -> str:
        return f"www.test:{self.origin.port}"

    def open(self, kind: str, host: str = "www.test") -> Any:
        return TUNNELS[kind](self.gateway.port, host, self.origin.port)

    def inside(self, kind: str, host: str = "www.test") -> Inside:
        return Inside(self.open(kind, host), f"{host}:{self.origin.port}")


def rules() -> list[Mapping]:
    return [
        policy("reads", [{"host": "www.test", **READS}]),
        policy("open", [{"host": "open.test"}]),
        policy("admin", [{"host": "open.test", "http": [{"paths": ["/admin/*"]}]}], "Deny"),
    ]


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    names = {name: ["127.0.0.1"] for name in ("www.test", "open.test")}
    with NameServer(names) as server, HttpOrigin() as origin:
        config = {
            "dns": {"servers": [server.address]},
            "limits": {"perSource": {"provisional": 3}, "dialTimeout": "1s"},
        }
        with Gateway(rules(), config) as gateway:
            yield Place(gateway, origin)


def last(place: Place, way: Any) -> Mapping:
    """The one line of the client behind a tunnel."""
    (line,) = eventually(
        lambda: [line for line in place.gateway.events() if line["source"]["port"] == port_of(way)], "its line"
    )
    return line


def ended(way: Any) -> bool:
    """Whether the tunnel ends without a byte."""
    try:
        return bool(way.recv(1) == b"")
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("kind", TUNNELS)
def test_each_request_is_judged_routed_and_logged(place: Place, kind: str) -> None:
    skip = len(place.gateway.events())
    with place.inside(kind) as client:
        port = port_of(client.socket)
        assert [client.status(path) for path in ("/v1/a", "/admin", "/v1/b")] == [200, 403, 200]
        assert client.status("/v1/c", method="PUT") == 403
        client.ask("/v1/d?secret=1", method="POST", body=b"abc")
        assert json.loads(client.response().body)["length"] == 3

    def lines() -> list[Mapping]:
        found = [line for line in place.gateway.events()[skip:] if line["source"]["port"] == port]
        return found if len(found) >= 5 else []

    seen = eventually(lines, "five lines")
    assert {line["event"] for line in seen} == {"request"}
    assert [(line["path"], line["status"], line["verdict"]) for line in seen] == [
        ("/v1/a", 200, "allow"), ("/admin", 403, "deny"), ("/v1/b", 200, "allow"), ("/v1/c", 403, "deny"),
        ("/v1/d?(redacted)", 200, "allow"),
    ]  # fmt: skip
    assert {line["protocol"] for line in seen} == {LOGGED.get(kind, kind)}
    assert seen[0]["rule"] == "ClusterEgressPolicy/reads" and seen[1]["reason"] == "no_rule"
    assert seen[0]["destination"] == {"host": "www.test", "port": place.origin.port, "address": "127.0.0.1"}


@pytest.mark.parametrize("kind", ["socks5", "http2", "pipy"])
def test_http2_inside(place: Place, kind: str) -> None:
    way = place.open(kind)
    with RfcClient(0, way=way) as client:
        for path, status in (("/v1/a", 200), ("/admin", 403), ("/v1/b", 200)):
            head = [(":method", "GET"), (":scheme", "http"), (":authority", place.authority), (":path", path)]
            assert client.over(client.request(head, end=True)).status == status
        head[2] = (":authority", "open.test")
        assert client.over(client.request(head, end=True)).status == 421
        assert client.refused("www.test:80").status == 501


@pytest.mark.parametrize("kind", ["http", "http2", "pipy"])
def test_content_both_ways(place: Place, kind: str) -> None:
    with place.inside(kind) as client:
        client.ask("/large")
        assert client.response().body == LARGE
        content = LARGE[:40_000] if kind == "pipy" else LARGE  # that client here knows no windows
        client.ask("/v1/up", method="POST", body=content)
        told = json.loads(client.response().body)
        assert (told["length"], told["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize("kind", ["http", "http2"])
def test_an_upgrade_inside(place: Place, kind: str) -> None:
    fields = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: YWJj")
    with place.inside(kind) as client:
        assert client.status("/websocket", *fields) == 101
        for _ in range(2):
            client.send(bytes([0x81, 0x85, 0, 0, 0, 0]) + b"hello")
            assert client.stream.exactly(7) == b"\x81\x05hello"
        client.send(bytes([0x88, 0x80, 0, 0, 0, 0]))
        assert ended(client.socket)


@pytest.mark.parametrize("kind", TUNNELS)
@pytest.mark.parametrize("first", [HELLO, b"\x00ping", b"SSH-2.0-OpenSSH_9.2 Debian-2\r\n", b"hello there\r\n"])
def test_what_is_no_http_satisfies_no_condition(place: Place, kind: str, first: bytes) -> None:
    way = place.open(kind)
    way.sendall(first)
    assert ended(way)
    line = last(place, way)
    assert (line["event"], line["outcome"], line["verdict"]) == ("decision", "denied", "deny")
    assert (line["reason"], line["phase"], line["rule"]) == ("needs_http", "name", None)
    way.close()


def test_a_denial_with_conditions_holds_and_is_named(place: Place) -> None:
    way = place.open("socks5", "open.test")
    way.sendall(HELLO)
    assert ended(way)
    line = last(place, way)
    assert (line["reason"], line["rule"]) == ("needs_http", "ClusterEgressPolicy/admin")
    with place.inside("http", "open.test") as client:
        assert [client.status(path) for path in ("/", "/admin/x", "/y")] == [200, 403, 200]


@pytest.mark.parametrize("kind", ["socks5", "http2"])
def test_nothing_in_five_seconds(place: Place, kind: str) -> None:
    way = place.open(kind)
    way.sendall(b"GET /v1/a")
    assert ended(way)
    line = last(place, way)
    assert (line["reason"], line["phase"], line["outcome"]) == ("inner_protocol_missing", "inner", "denied")


@pytest.mark.parametrize("kind", ["http", "pipy"])
def test_a_request_for_another_host_is_misdirected(place: Place, kind: str) -> None:
    with place.inside(kind) as client:
        for host in ("open.test", f"www.test:{place.origin.port + 1}", "127.0.0.1"):
            assert client.status("/v1/a", host=host) == 421
        assert client.status(f"http://open.test:{place.origin.port}/v1/a", host=f"open.test:{place.origin.port}") == 421
        assert client.status(f"https://{place.authority}/v1/a") == 421
        assert client.status("/v1/a", host="WWW.test") == 200  # the port is the tunnel's
    assert place.gateway.event(event="refused", reason="misdirected")["outcome"] == "misdirected"


def test_an_address_and_its_conditions(place: Place) -> None:
    with Gateway([policy("block", [{"cidr": "127.0.0.1/32", "http": [{"paths": ["/v1/*"]}]}])]) as gateway:
        way = TUNNELS["socks5"](gateway.port, "127.0.0.1", place.origin.port)
        with Inside(way, f"127.0.0.1:{place.origin.port}") as client:
            assert [client.status("/v1/a"), client.status("/x")] == [200, 403]
            assert client.status("/v1/a", host="www.test") == 421


def test_connect_inside_is_refused(place: Place) -> None:
    with place.inside("http") as client:
        assert client.status("/v1/a") == 200
        client.send(wire.connect_request(place.authority))
        assert client.response().status == 400 and client.is_ended()


def test_a_request_behind_which_the_client_ends(place: Place) -> None:
    for kind in ("http", "http2"):
        with place.inside(kind) as client:
            client.ask("/v1/half")
            client.socket.shutdown(socket.SHUT_WR)
            assert client.response().status == 200 and client.is_ended()


def test_request_and_payload_in_one_piece(place: Place) -> None:
    with wire.connect(place.gateway.port) as client:
        client.sendall(wire.connect_request(place.authority) + b"GET /v1/a HTTP/1.1\r\nHost: www.test\r\n\r\n")
        assert wire.http_head(client).status == 200
        assert wire.http_head(client).status == 200


def test_streams_end_by_themselves(place: Place) -> None:
    """A stream whose requests are over ends like a tunnel, and its connection goes on."""
    with RfcClient(place.gateway.port) as client:
        for _ in range(3):
            number = client.open(place.authority)
            client.write(number, b"GET /v1/a HTTP/1.1\r\nHost: www.test\r\nConnection: close\r\n\r\n")
            assert client.over(number).data.startswith(b"HTTP/1.1 200")
        number = client.open(place.authority)
        before = len(place.origin.heads)
        client.write(number, b"GET /silence HTTP/1.1\r\nHost: www.test\r\n\r\n")
        eventually(lambda: len(place.origin.heads) > before, "the request is at the origin")
        client.reset(number)
        assert client.open(place.authority)
        line = place.gateway.event(event="request", path="/silence")
        assert line["outcome"] == "client_gone"


def test_as_many_as_provisional_tunnels(place: Place) -> None:
    held = [place.open("socks5") for _ in range(3)]
    with wire.connect(place.gateway.port) as client:
        assert wire.http(client, place.authority).status == 429
    for way in held:
        way.close()
    with place.inside("socks5") as client:
        eventually(lambda: client.status("/v1/a") == 200, "a place is free again")


def test_a_reload_judges_the_next_request(place: Place) -> None:
    try:
        with place.inside("pipy") as stream, place.inside("http") as client:
            assert client.status("/v1/a") == stream.status("/v1/a") == 200
            place.gateway.reload([policy("other", [{"host": "www.test", "http": [{"paths": ["/v2/*"]}]}])])
            assert [client.status(path) for path in ("/v1/a", "/v2/a")] == [403, 200]
            assert [stream.status(path) for path in ("/v1/a", "/v2/a")] == [403, 200]
            assert place.gateway.event(event="request", path="/v2/a")["rule"] == "ClusterEgressPolicy/other"
    finally:
        place.gateway.reload(rules())


def test_a_reload_ends_what_waits_and_may_no_more(place: Place) -> None:
    way = place.open("socks5")
    try:
        place.gateway.reload([policy("never", [{"host": "www.test"}], "Deny")])
        assert ended(way)
        line = last(place, way)
        assert (line["event"], line["outcome"], line["rule"]) == ("decision", "revoked", "ClusterEgressPolicy/never")
    finally:
        place.gateway.reload(rules())


def test_a_client_that_leaves_its_requests(place: Place) -> None:
    for kind in (Rfc, Pipy):
        way = kind(place.gateway.port, "www.test", place.origin.port)
        way.sendall(b"GET /silence HTTP/1.1\r\nHost: www.test\r\n\r\n")
        eventually(lambda: "GET /silence" in place.origin.heads, "the request is at the origin")
        way.close()
    eventually(lambda: place.gateway.counter("connections_open") == 0, "nothing is left")
    assert place.gateway.counter("http2_streams_open") == 0


def test_who_asks_has_proved_it_to_the_tunnel(place: Place) -> None:
    """Requests inside need no credentials, and none that are sent count; a login that is gone denies them."""
    rule = policy("bot", [{"host": "localhost", "http": [{"paths": ["/v1/*"]}]}], sources=[{"user": "bot"}])
    users = yaml.safe_dump({"users": [{"name": "bot", "hash": hashed(PASSWORD)}, {"name": "cat", "hash": hashed("x")}]})
    config = {"identity": {"users": "users.yaml"}}
    with (
        Gateway([rule], config, files={"users.yaml": users}, listener={"auth": "required"}) as gateway,
        wire.connect(gateway.port) as way,
    ):
        assert wire.http(way, f"localhost:{place.origin.port}", wire.basic("bot", PASSWORD)).status == 200
        client = Inside(way, f"localhost:{place.origin.port}")
        assert client.status("/v1/a") == 200
        assert client.status("/v1/b", wire.basic("cat", "x").strip()) == 200
        assert gateway.event(event="request", path="/v1/b")["source"]["user"] == "bot"
        (gateway.folder / "users.yaml").write_text(yaml.safe_dump({"users": [{"name": "cat", "hash": hashed("x")}]}))
        gateway.reload([policy("bot", [{"host": "localhost", "http": [{"paths": ["/v1/*"]}]}])])
        assert client.status("/v1/c") == 403
        assert gateway.event(event="request", path="/v1/c")["reason"] == "unauthorized"
