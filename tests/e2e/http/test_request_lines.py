"""One `request` line for each HTTP request that was judged, its counts, and `sluice stats --routes`."""

import json
import socket
from collections.abc import Iterator
from typing import Final

import pytest

from tests.support import wire
from tests.support.eventually import eventually
from tests.support.origins import Origin, http_origin, received, reset
from tests.support.ports import free_port
from tests.support.run_gateway import Gateway, Mapping, policy

CONFIG: Final = {"addresses": {"allow": ["127.0.0.1/32"]}}


@pytest.fixture(scope="module")
def origin() -> Iterator[int]:
    with http_origin() as port:
        yield port


def noting(connection: socket.socket, origin: Origin) -> None:
    """Notes what it gets, and answers nothing."""
    for chunk in received(connection):
        origin.note(chunk)


@pytest.fixture(scope="module")
def silent() -> Iterator[Origin]:
    with Origin(noting) as running:
        yield running


@pytest.fixture(scope="module")
def closed() -> int:
    return free_port()


@pytest.fixture(scope="module")
def gateway(origin: int, silent: Origin, closed: int) -> Iterator[Gateway]:
    with Gateway([policy("open", [{"host": "localhost", "ports": [origin, silent.port, closed]}])], CONFIG) as running:
        yield running


def ask(port: int, source: str, text: str) -> bytes:
    with wire.connect(port, source=source) as client:
        client.sendall(text.encode("ascii"))
        return wire.to_the_end(client)


def get(gateway: Gateway, source: str, target: str, host: str, method: str = "GET") -> bytes:
    head = f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    return ask(gateway.port, source, head)


def line_of(gateway: Gateway, source: str) -> Mapping:
    def found() -> list[Mapping]:
        return [line for line in gateway.events(event="request") if line["source"]["ip"] == source]

    (line,) = eventually(found, "a request line")
    return line


def test_a_request_that_was_answered(gateway: Gateway, origin: int) -> None:
    answer = get(gateway, "127.0.8.1", f"http://localhost:{origin}/a%2Db?secret=1", f"localhost:{origin}")
    assert answer.startswith(b"HTTP/1.1 200")
    line = line_of(gateway, "127.0.8.1")
    assert (line["method"], line["path"], line["status"]) == ("GET", "/a-b?(redacted)", 200)
    assert (line["route"], line["backend"], line["tries"], line["mirrored"]) == (None, None, 1, 0)
    assert (line["verdict"], line["outcome"], line["downgraded"]) == ("allow", "closed", False)
    assert line["destination"] == {"host": "localhost", "port": origin, "address": "127.0.0.1"}
    assert line["bytes_up"] == 0 and line["bytes_down"] > 0
    assert 0 <= line["first_byte_ms"] <= line["duration_ms"]
    assert line["rule"].endswith("/open") and "secret" not in json.dumps(line)


def test_a_request_that_was_denied(gateway: Gateway) -> None:
    assert get(gateway, "127.0.8.2", "http://denied.test/x", "denied.test").startswith(b"HTTP/1.1 403")
    line = line_of(gateway, "127.0.8.2")
    assert (line["verdict"], line["outcome"], line["status"]) == ("deny", "denied", 403)
    assert (line["path"], line["tries"], line["first_byte_ms"]) == ("/x", 0, None)


def test_a_request_that_no_origin_took(gateway: Gateway, closed: int) -> None:
    target = f"http://localhost:{closed}/"
    assert get(gateway, "127.0.8.3", target, f"localhost:{closed}").startswith(b"HTTP/1.1 502")
    line = line_of(gateway, "127.0.8.3")
    assert (line["verdict"], line["outcome"], line["status"], line["tries"]) == ("allow", "refused", 502, 0)


def test_a_client_that_left_before_the_answer(gateway: Gateway, silent: Origin) -> None:
    head = f"GET http://localhost:{silent.port}/ HTTP/1.1\r\nHost: localhost:{silent.port}\r\n\r\n"
    with wire.connect(gateway.port, source="127.0.8.4") as client:
        client.sendall(head.encode("ascii"))
        silent.wait()
        reset(client)
    line = line_of(gateway, "127.0.8.4")
    assert (line["outcome"], line["status"], line["tries"]) == ("client_gone", None, 1)
    assert line["first_byte_ms"] is None


def test_requests_of_one_connection_have_a_line_each(gateway: Gateway, origin: int) -> None:
    head = f"GET http://localhost:{origin}/%d HTTP/1.1\r\nHost: localhost:{origin}\r\nConnection: %s\r\n\r\n"
    text = "".join(head % (number, "close" if number == 2 else "keep-alive") for number in range(3))
    assert ask(gateway.port, "127.0.8.5", text).count(b"HTTP/1.1 200") == 3

    def found() -> list[Mapping]:
        lines = gateway.events(event="request")
        return [line for line in lines if line["source"]["ip"] == "127.0.8.5"]

    lines = eventually(lambda: found() if len(found()) == 3 else [], "three lines")
    assert [line["path"] for line in lines] == ["/0", "/1", "/2"]
    assert len({line["id"] for line in lines}) == 3


def test_what_requests_count(gateway: Gateway, origin: int) -> None:
    before = gateway.ask({"op": "stats", "routes": True})
    for number in range(3):
        get(gateway, f"127.0.8.{10 + number}", f"http://localhost:{origin}/", f"localhost:{origin}")
    get(gateway, "127.0.8.20", "http://denied.test/", "denied.test", "BREW")
    after = gateway.ask({"op": "stats", "routes": True})
    assert after["counters"]["http_requests_total"] == before["counters"]["http_requests_total"] + 4
    assert after["by_label"]["http_requests_total"]["4xx"] >= 1
    assert sum(row["requests"] for row in after["routes"]) == sum(row["requests"] for row in before["routes"]) + 4
    assert set(after["by_label"]["upstream_connections"].values()) <= {0, 1, 2}
    text = gateway.sluice("stats", "--routes").stdout
    assert text.splitlines()[0].split()[:3] == ["ROUTE", "REQUESTS/S", "SUCCESS"]
    assert "(no route)" in text
    (row,) = json.loads(gateway.sluice("stats", "--routes", "--json").stdout)["routes"]
    assert 0.5 < row["success"] <= 1.0 and row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"]


def test_the_query_is_kept_where_it_is_wanted(origin: int) -> None:
    rules = [policy("open", [{"host": "localhost", "ports": [origin]}])]
    with Gateway(rules, {**CONFIG, "logs": {"access": "access.log", "query": "keep"}}) as running:
        get(running, "127.0.0.1", f"http://localhost:{origin}/a?b=c", f"localhost:{origin}")
        assert line_of(running, "127.0.0.1")["path"] == "/a?b=c"
