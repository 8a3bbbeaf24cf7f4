"""Requests of one connection: in order, whatever pieces they come in, and how the connection ends."""

import json
import socket
import time

import pytest

from tests.e2e.http.conftest import Site
from tests.support import wire
from tests.support.http_client import Client


def request(
    site: Site, path: str, *fields: str, method: str = "GET", body: bytes = b"", host: str = "www.test"
) -> bytes:
    lines = [f"{method} {site.url(path, host)} HTTP/1.1", f"Host: {host}:{site.origin.port}", *fields]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def target(body: bytes) -> str:
    found: str = json.loads(body)["target"]
    return found


def test_pipelined_requests_are_answered_in_order(site: Site) -> None:
    with Client(site.gateway.port) as client:
        client.send(b"".join(request(site, f"/{n}", method="POST", body=b"b" * n) for n in range(1, 60)))
        assert [target(client.response().body) for _ in range(1, 60)] == [f"/{n}" for n in range(1, 60)]


def test_refusals_stand_in_their_place(site: Site) -> None:
    with Client(site.gateway.port) as client:
        hosts = ["www.test", "blocked.test", "www.test", "missing.test", "www.test"]
        client.send(b"".join(request(site, "/x", host=host) for host in hosts))
        assert [client.response().status for _ in hosts] == [200, 403, 200, 502, 200]


def test_byte_by_byte(site: Site) -> None:
    data = request(site, "/slow", method="POST", body=b"abc") + request(site, "/second")
    with Client(site.gateway.port) as client:
        wire.send_split(client.socket, data, [1] * len(data))
        assert [target(client.response().body) for _ in range(2)] == ["/slow", "/second"]


def test_a_chunked_request_byte_by_byte(site: Site) -> None:
    head = request(site, "/chunks", "Transfer-Encoding: chunked", method="POST")
    data = head + b"3\r\nabc\r\n00a\r\n0123456789\r\n0\r\nX-Trailer: t\r\n\r\n" + request(site, "/after")
    with Client(site.gateway.port) as client:
        wire.send_split(client.socket, data, [1] * len(data))
        assert json.loads(client.response().body)["length"] == 13
        assert target(client.response().body) == "/after"


def test_a_chunked_request_in_one_piece(site: Site) -> None:
    head = request(site, "/chunks", "Transfer-Encoding: chunked", method="POST")
    with Client(site.gateway.port) as client:
        for _ in range(3):
            client.send(head + b"3\r\nabc\r\n0\r\n\r\n")
            assert json.loads(client.response().body)["length"] == 3


def test_a_connection_that_says_close_is_closed(site: Site) -> None:
    with Client(site.gateway.port) as client:
        found = client.get(site.url("/x"), "Connection: close")
        assert found.status == 200 and found.value("connection") == "close"
        assert client.is_ended()


def test_http_1_0_is_closed_unless_it_asks(site: Site) -> None:
    old = f"GET {site.url('/old')} HTTP/1.0\r\nHost: {site.authority}\r\n"
    with Client(site.gateway.port) as client:
        client.send(f"{old}\r\n".encode())
        assert client.response().status == 200 and client.is_ended()
    with Client(site.gateway.port) as client:
        for _ in range(2):
            client.send(f"{old}Connection: keep-alive\r\n\r\n".encode())
            assert client.response().status == 200


def test_a_client_that_ends_its_side_still_gets_its_answer(site: Site) -> None:
    with Client(site.gateway.port) as client:
        client.send(request(site, "/last"))
        client.socket.shutdown(socket.SHUT_WR)
        assert target(client.response().body) == "/last" and client.is_ended()


@pytest.mark.parametrize("sent", [b"GET", b"GET http://www.test/ HTTP/1.1\r\nHo"])
def test_a_head_that_does_not_end_is_408(site: Site, sent: bytes) -> None:
    began = time.monotonic()
    with Client(site.gateway.port) as client:
        client.send(sent)
        assert client.response().status == 408 and client.is_ended()
    assert 1.5 < time.monotonic() - began < 8


def test_a_slow_head_behind_another_request_is_408(site: Site) -> None:
    with Client(site.gateway.port) as client:
        assert client.get(site.url("/first")).status == 200
        client.send(b"GET http://www.test/ HT")
        assert client.response().status == 408


def test_a_continue_whose_content_never_comes_holds_nothing_else_up(site: Site) -> None:
    with Client(site.gateway.port) as waiting, Client(site.gateway.port) as client:
        head = request(site, "/expect", "Expect: 100-continue", "Content-Length: 5", method="POST")
        waiting.send(head)
        assert waiting.any_response().status == 100
        assert client.get(site.url("/other")).status == 200
        waiting.send(b"12345")
        assert json.loads(waiting.response().body)["length"] == 5


def test_a_connection_idle_between_requests_is_kept(site: Site) -> None:
    with Client(site.gateway.port) as client:
        assert client.get(site.url("/a")).status == 200
        time.sleep(2.5)  # beyond requestTimeout
        assert client.get(site.url("/b")).status == 200
