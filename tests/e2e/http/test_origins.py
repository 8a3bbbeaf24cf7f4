"""Origins that behave well and badly: what they send arrives whole, or the client is told that it is not."""

import socket
import time

import pytest

from tests.e2e.http.conftest import Site
from tests.support.eventually import eventually
from tests.support.http2 import RfcClient
from tests.support.http_client import Client
from tests.support.http_origin import LARGE
from tests.support.origins import reset


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/large", 200, LARGE),
        ("/chunked", 200, b"hello world"),
        ("/until-close", 200, b"until the end"),
        ("/204", 204, b""),
        ("/304", 304, b""),
        ("/close", 200, b"and the end\n"),
        ("/wide-head", 200, b"wide\n"),
    ],
)
def test_an_answer_arrives_as_it_is_and_the_connection_goes_on(site: Site, path: str, status: int, body: bytes) -> None:
    with Client(site.gateway.port) as client:
        for _ in range(2):
            found = client.get(site.url(path))
            assert (found.status, found.body, found.whole) == (status, body, True)
        assert client.get(site.url("/after")).status == 200


def test_no_content_has_no_length(site: Site) -> None:
    """RFC 9110 section 8.6: origins that say 0 are lenient."""
    with Client(site.gateway.port) as client:
        found = client.get(site.url("/204-length"))
        assert found.status == 204 and not found.value("content-length")
    with RfcClient(site.gateway.port) as streams:
        asked = [(":method", "GET"), (":scheme", "http"), (":authority", site.authority), (":path", "/204-length")]
        told = streams.over(streams.request(asked, end=True))
        assert told.status == 204 and "content-length" not in told.headers


def test_trailers_pass(site: Site) -> None:
    with Client(site.gateway.port) as client:
        assert client.get(site.url("/chunked"), "TE: trailers").trailers == [("x-sum", "11")]


def test_interim_answers_pass_in_order(site: Site) -> None:
    with Client(site.gateway.port) as client:
        client.send(f"GET {site.url('/interim')} HTTP/1.1\r\nHost: {site.authority}\r\n\r\n".encode())
        assert [client.any_response().status for _ in range(3)] == [102, 103, 200]
        assert client.get(site.url("/after")).status == 200


def test_head_of_an_answer_with_content(site: Site) -> None:
    with Client(site.gateway.port) as client:
        assert int(client.get(site.url("/x"), method="HEAD").value("content-length")) > 0
        assert client.get(site.url("/after")).status == 200


BROKEN = {
    "/nothing": "http_response_incomplete",
    "/cut-head": "http_response_incomplete",
    "/garbage": "http_protocol_error",
    "/two-lengths": "http_protocol_error",
    "/length-and-chunks": "http_protocol_error",
    "/huge-head": "http_protocol_error",
    "/many-fields": "http_protocol_error",
    "/upgrade-unasked": "http_protocol_error",
}


@pytest.mark.parametrize("path", BROKEN)
def test_an_answer_that_is_none_is_502(site: Site, path: str) -> None:
    with Client(site.gateway.port) as client:
        found = client.get(site.url(path))
        assert found.status == 502 and BROKEN[path] in found.value("proxy-status"), found
        assert client.get(site.url("/after")).status == 200, "of the client's connection nothing is in doubt"


@pytest.mark.parametrize("path", ["/cut", "/cut-chunk", "/bad-chunk", "/reset"])
def test_content_that_is_not_whole_is_cut_off(site: Site, path: str) -> None:
    with Client(site.gateway.port) as client, pytest.raises((EOFError, ConnectionResetError, ValueError)):
        found = client.get(site.url(path))
        raise AssertionError(f"it looks whole: {found}")


def test_an_answer_reaches_a_client_that_reads_late(site: Site) -> None:
    """Its end lies in what the gateway has read, and no byte comes behind it."""
    with Client(site.gateway.port) as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for path in ("/large", "/large-chunks", "/large"):
            client.send(f"GET {site.url(path)} HTTP/1.1\r\nHost: {site.authority}\r\n\r\n".encode())
            time.sleep(0.3)
            assert client.response().body == LARGE


def test_bytes_behind_an_answer_reach_no_one(site: Site) -> None:
    with Client(site.gateway.port) as client:
        assert client.get(site.url("/surplus")).body == b"whole\n"
        assert b"smuggled" not in client.get(site.url("/after")).body
    with Client(site.gateway.port) as client:
        assert b"smuggled" not in client.get(site.url("/other")).body


def test_a_silent_origin_holds_up_no_one_else(site: Site) -> None:
    with Client(site.gateway.port) as slow, Client(site.gateway.port) as client:
        slow.send(f"GET {site.url('/silence')} HTTP/1.1\r\nHost: {site.authority}\r\n\r\n".encode())
        eventually(lambda: "GET /silence" in site.origin.heads, "the origin has it")
        began = time.monotonic()
        assert client.get(site.url("/after")).status == 200
        assert time.monotonic() - began < 5


def test_a_client_that_leaves_takes_its_request_along(site: Site) -> None:
    with Client(site.gateway.port) as client:
        client.send(f"GET {site.url('/stall')} HTTP/1.1\r\nHost: {site.authority}\r\n\r\n".encode())
        client.stream.until(b"half.")
        reset(client.socket)
    with Client(site.gateway.port) as client:
        assert client.get(site.url("/after")).status == 200
    eventually(lambda: site.gateway.events(outcome="client_gone"), "its line")


def test_kept_connections_that_the_origin_has_closed_are_one_free_try(site: Site) -> None:
    """The origin closes behind `/close` without a word in between; what comes next gets a new connection."""
    with Client(site.gateway.port) as client:
        for number in range(10):
            assert client.get(site.url("/close")).status == 200
            assert client.get(site.url(f"/next/{number}")).status == 200
