"""Reload against requests that are at their origins: each is judged again, as tunnels are (DECISIONS.md section 5)."""

import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from typing import Any, NamedTuple

import h2.errors
import pytest

from tests.support.certificates import Authority
from tests.support.eventually import eventually
from tests.support.h2_origin import Exchange, Server, serving
from tests.support.http2 import RfcClient
from tests.support.http_client import Client
from tests.support.http_origin import Stream
from tests.support.origins import Origin
from tests.support.run_gateway import Gateway, Mapping, policy


class Slow(NamedTuple):
    """An origin that answers half of what it was asked for, and the rest once it is told."""

    origin: Origin
    go_on: threading.Event


@pytest.fixture
def slow() -> Iterator[Slow]:
    go_on = threading.Event()

    def serve(connection: socket.socket, origin: Origin) -> None:
        head = Stream(connection, bytearray()).until(b"\r\n\r\n")
        origin.note("head")
        if b"/upgrade" in head:
            connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nup")
        elif b"/silent" not in head:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf.")
        connection.settimeout(0.05)
        while not go_on.is_set():
            try:
                connection.recv(1)
                break  # the gateway has let it go
            except TimeoutError:
                continue
        else:
            connection.sendall(b" and." if b"/silent" not in head else b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        origin.note("end")

    with Origin(serve) as origin:
        yield Slow(origin, go_on)
        go_on.set()


def rules(**spec: Any) -> list[Mapping]:
    return [policy("open", [{"host": "localhost"}], **spec)]


NOTHING = [policy("other", [{"host": "other.test"}])]


def begun(gateway: Gateway, slow: Slow, path: str = "/half", *fields: str) -> Client:
    """A client whose request has been at the origin for over a second."""
    client = Client(gateway.port)
    host = f"localhost:{slow.origin.port}"
    client.send("\r\n".join([f"GET http://{host}{path} HTTP/1.1", f"Host: {host}", *fields, "", ""]).encode())
    slow.origin.wait(1)
    if path != "/silent":
        client.stream.until(b"\r\n\r\n")
    time.sleep(1.1)
    return client


def is_reset(client: Client) -> bool:
    try:
        while client.socket.recv(4096):
            pass
    except ConnectionResetError:
        return True
    return False


@pytest.mark.parametrize("path", ["/half", "/silent"])
def test_one_that_nothing_allows_any_more_is_killed(slow: Slow, path: str) -> None:
    with Gateway(rules()) as gateway, begun(gateway, slow, path) as client:
        gateway.reload(NOTHING)
        assert is_reset(client)
        slow.origin.wait(2)  # and its origin was let go
        line = gateway.event(event="request", outcome="revoked")
        assert (line["reason"], line["verdict"], line["generation"]) == ("no_rule", "deny", 2)
        assert line["status"] == (200 if path == "/half" else None)
        with urllib.request.urlopen(f"http://127.0.0.1:{gateway.admin}/metrics", timeout=20) as page:
            assert b'sluice_rejudged_total{result="killed"} 1' in page.read()


def test_one_that_is_still_allowed_notices_nothing(slow: Slow) -> None:
    with Gateway(rules()) as gateway, begun(gateway, slow) as client:
        for _ in range(3):
            gateway.reload([*NOTHING, *rules()])
        slow.go_on.set()
        assert client.stream.exactly(10) == b"half. and."
        line = gateway.event(event="request", outcome="closed")
        assert (line["verdict"], line["generation"]) == ("allow", 4)


def test_a_young_one_is_judged_once_it_lasts(slow: Slow) -> None:
    with Gateway(rules()) as gateway, Client(gateway.port) as client:
        began = time.monotonic()
        host = f"localhost:{slow.origin.port}"
        client.send(f"GET http://{host}/half HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        slow.origin.wait(1)
        gateway.reload(NOTHING)
        assert is_reset(client)
        assert time.monotonic() - began >= 0.9
        assert gateway.event(event="request", outcome="revoked")


def test_drain_ends_it_later(slow: Slow) -> None:
    with Gateway(rules(onRevoke="drain")) as gateway, begun(gateway, slow) as client:
        gateway.reload(NOTHING)
        assert gateway.event(event="decision", outcome="revoked")["reason"] == "no_rule"
        assert client.stream.exactly(5) == b"half."
        assert is_reset(client)
        assert gateway.event(event="request", outcome="revoked")


def test_keep_leaves_it(slow: Slow) -> None:
    with Gateway(rules(onRevoke="keep")) as gateway, begun(gateway, slow) as client:
        gateway.reload(NOTHING)
        assert gateway.event(event="decision", outcome="revoked")
        slow.go_on.set()
        assert client.stream.exactly(10) == b"half. and."


def test_a_rule_that_denies_says_how_it_ends(slow: Slow) -> None:
    with Gateway(rules(onRevoke="keep")) as gateway, begun(gateway, slow) as client:
        gateway.reload([policy("never", [{"host": "localhost"}], "Deny", onRevoke="kill")])
        assert is_reset(client)


def test_another_way_ends_it(slow: Slow) -> None:
    parent = {"name": "corp", "type": "http", "addresses": ["127.0.0.1:9"]}
    with Gateway(rules(), {"upstreams": [parent]}) as gateway, begun(gateway, slow) as client:
        gateway.reload(rules(upstream="corp"))
        assert is_reset(client)
        assert gateway.event(event="request", outcome="revoked")["reason"] == "other_way"


def test_an_upgraded_one(slow: Slow) -> None:
    fields = ("Connection: Upgrade", "Upgrade: x")
    with Gateway(rules()) as gateway, begun(gateway, slow, "/upgrade", *fields) as client:
        gateway.reload([*NOTHING, *rules()])
        assert client.stream.exactly(2) == b"up"
        gateway.reload(NOTHING)
        assert is_reset(client)
        assert gateway.event(event="close", outcome="revoked")


def test_a_stream_of_a_client_alone_is_reset(slow: Slow) -> None:
    with Gateway([*rules(), policy("rest", [{"host": "*.localhost"}])]) as gateway, RfcClient(gateway.port) as client:
        head = [(":method", "GET"), (":scheme", "http"), (":authority", f"localhost:{slow.origin.port}")]
        number = client.request([*head, (":path", "/half")], end=True)
        client.answer(number)
        time.sleep(1.1)
        gateway.reload(NOTHING)
        assert client.over(number).reset == h2.errors.ErrorCodes.CANCEL
        assert client.over(client.request([*head, (":path", "/x")], end=True)).status == 403


def test_a_stream_of_an_origin_alone_is_reset(tmp_path_factory: pytest.TempPathFactory) -> None:
    authority = Authority(tmp_path_factory.mktemp("ca"))
    seen: list[str] = []

    def answers(exchange: Exchange, what: str) -> None:
        seen.append(exchange.fields[":path"])
        if what == "end" and exchange.fields[":path"] == "/stay":
            exchange.respond(200, b"stays")
        # /go: nothing

    with Server(authority, serving(answers)) as origin:
        tls = {"originate": True, "port": origin.port, "ca": str(authority.path)}
        both = [{"methods": ["GET"], "paths": ["/go", "/stay"]}]
        stay = [{"methods": ["GET"], "paths": ["/stay"]}]
        to = {"host": "localhost"}
        head = [(":method", "GET"), (":scheme", "http"), (":authority", "localhost")]
        with (
            Gateway([policy("both", [{**to, "http": both}], tls=tls)]) as gateway,
            RfcClient(gateway.port) as client,
        ):
            gone = client.request([*head, (":path", "/go")], end=True)
            eventually(lambda: "/go" in seen, "the request is at the origin")
            time.sleep(1.1)
            gateway.reload([policy("both", [{**to, "http": stay}], tls=tls)])
            assert client.over(gone).reset == h2.errors.ErrorCodes.CANCEL
            assert client.over(client.request([*head, (":path", "/stay")], end=True)).data == b"stays"
            assert origin.accepted == 1
