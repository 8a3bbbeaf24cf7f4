"""Clients and origins that stop in the middle: each ends after `limits.idleTimeout`, by an answer where there is still
one to give, and is counted by its reason."""

import socket
from collections.abc import Iterator
from typing import Final

import pytest

from tests.e2e.http.conftest import Site
from tests.support.eventually import eventually
from tests.support.http2 import RfcClient
from tests.support.http_client import Client
from tests.support.http_origin import HttpOrigin
from tests.support.metrics import labelled
from tests.support.names import NameServer
from tests.support.run_gateway import Gateway, policy

ERRORS: Final = "sluice_protocol_errors_total"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with NameServer({"www.test": ["127.0.0.1"]}) as server, HttpOrigin() as origin:
        config = {
            "dns": {"servers": [server.address]},
            "limits": {"idleTimeout": "700ms", "requestTimeout": "500ms"},
        }
        with Gateway([policy("open", [{"host": "www.test"}])], config) as gateway:
            yield Site(gateway, origin)
            assert gateway.counter("internal_errors_total") == 0


def post(site: Site, path: str, *fields: str) -> bytes:
    lines = [f"POST {site.url(path)} HTTP/1.1", f"Host: {site.authority}", "Content-Length: 100000", *fields]
    return "\r\n".join([*lines, "", ""]).encode()


def counted(site: Site, reason: str, before: int, protocol: str = "http") -> None:
    eventually(lambda: count(site, reason, protocol) == before + 1, f"{reason} is counted")


def count(site: Site, reason: str, protocol: str = "http") -> int:
    return labelled(site.gateway, ERRORS, protocol=protocol, reason=reason)


@pytest.mark.parametrize("fields", [(), ("Expect: 100-continue",)], ids=["content", "content behind a 100"])
@pytest.mark.parametrize("piece", [b"", b"some of it"], ids=["nothing", "a part"])
def test_content_that_does_not_come_is_408(site: Site, fields: tuple[str, ...], piece: bytes) -> None:
    before = count(site, "request_timeout")
    with Client(site.gateway.port) as client:
        client.send(post(site, "/expect", *fields))
        if fields:
            assert client.any_response().status == 100
        client.send(piece)
        found = client.response()
        assert found.status == 408 and "http_request_error" in found.value("proxy-status") and client.is_ended()
    counted(site, "request_timeout", before)


def test_content_that_does_not_come_over_http2_is_408(site: Site) -> None:
    before = count(site, "request_timeout", "http2tunnel")
    head = [(":method", "POST"), (":scheme", "http"), (":authority", site.authority), (":path", "/up")]
    with RfcClient(site.gateway.port) as client:
        number = client.request(head)
        client.write(number, b"some of it")
        assert client.over(number).status == 408
    counted(site, "request_timeout", before, "http2tunnel")


def test_a_head_that_does_not_end_is_counted(site: Site) -> None:
    before = count(site, "request_timeout")
    with Client(site.gateway.port) as client:
        client.send(b"GET http://www.test/ HTTP/1.1\r\nX-Slow: ")
        assert client.response().status == 408 and client.is_ended()
    counted(site, "request_timeout", before)


def test_an_origin_that_does_not_answer_is_504(site: Site) -> None:
    before = count(site, "response_timeout")
    with Client(site.gateway.port) as client:
        found = client.get(site.url("/silence"))
        assert found.status == 504 and "http_response_timeout" in found.value("proxy-status")
        assert client.get(site.url("/after")).status == 200
    counted(site, "response_timeout", before)


def test_an_answer_that_stalls_is_cut(site: Site) -> None:
    before = count(site, "idle_timeout")
    with Client(site.gateway.port) as client:
        client.send(f"GET {site.url('/stall')} HTTP/1.1\r\nHost: {site.authority}\r\n\r\n".encode())
        with pytest.raises((EOFError, ConnectionResetError)):
            client.response()
    counted(site, "idle_timeout", before)


def test_a_reader_that_stalls_is_cut(site: Site) -> None:
    before = count(site, "idle_timeout")
    with Client(site.gateway.port) as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for _ in range(8):  # more than the kernel keeps on the way
            client.send(f"GET {site.url('/large')} HTTP/1.1\r\nHost: {site.authority}\r\n\r\n".encode())
        counted(site, "idle_timeout", before)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/garbage", "response_invalid"),
        ("/bad-chunk", "response_invalid"),
        ("/upgrade-unasked", "response_invalid"),
        ("/nothing", "response_incomplete"),
        ("/cut", "response_incomplete"),
        ("/reset", "response_incomplete"),
    ],
)
def test_answers_that_break_their_protocol_are_counted(site: Site, path: str, reason: str) -> None:
    before = count(site, reason)
    with Client(site.gateway.port) as client:
        try:
            assert client.get(site.url(path)).status == 502
        except (EOFError, ConnectionResetError, ValueError):
            pass
    counted(site, reason, before)
    assert site.gateway.event(event="request", path=path)["outcome"] == reason


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        ("GET http://www.test/ HTTP/1.1\r\nHost: www.test\r\nTransfer-Encoding: gzip\r\n\r\n", "malformed"),
        ("GET http://www.test/ HTTP/1.1\r\nHost: www.test\r\nX: " + "a" * 70_000 + "\r\n\r\n", "head_too_large"),
        ("GET http://www.test/ HTTP/1.1\r\nHost: www.test\r\nExpect: x\r\n\r\n", "expectation"),
    ],
    ids=["framing", "size", "Expect"],
)
def test_requests_that_break_it_are_counted(site: Site, head: str, reason: str) -> None:
    before = count(site, reason)
    with Client(site.gateway.port) as client:
        client.send(head.encode())
        assert client.response().status in (400, 417, 431)
    counted(site, reason, before)
