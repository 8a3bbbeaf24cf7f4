"""Listeners that take no plain requests, and those that carry none: what each answers to one."""

import socket

import pytest

from tests.e2e.http.conftest import Site
from tests.support import wire
from tests.support.http2 import RfcClient
from tests.support.http_client import Client
from tests.support.ports import free_port
from tests.support.run_gateway import Gateway, policy


def test_requests_are_a_listeners_choice(site: Site) -> None:
    """Three more listeners: without requests, for SOCKS alone, and for TLS by its name alone."""
    gateway = Gateway([policy("all", [{"cidr": "127.0.0.0/8"}])], listener={"requests": False, "diagnostics": True})
    socks, secure = free_port(), free_port()
    gateway.config["listeners"] += [
        {"name": "socks", "address": f"127.0.0.1:{socks}", "protocol": "socks5"},
        {"name": "secure", "address": f"127.0.0.1:{secure}", "protocol": "tls"},
    ]
    url, before = f"http://127.0.0.1:{site.origin.port}/", len(site.origin.heads)
    with gateway:
        with Client(gateway.port) as client:
            found = client.get(url)
            assert (found.status, found.value("sluice-id") != "") == (501, True)
        with wire.connect(gateway.port) as tunnel:
            assert wire.http(tunnel, f"127.0.0.1:{site.origin.port}").status == 200, "tunnels pass as ever"
        with RfcClient(gateway.port) as streams:
            asked = [(":method", "GET"), (":scheme", "http"), (":authority", "127.0.0.1"), (":path", "/x")]
            assert streams.over(streams.request(asked, end=True)).status == 501
            for method in ("GET", "POST"):  # diagnostics, as load balancers ask for them
                health = [(":method", method), (":scheme", "http"), (":authority", "sluice"), (":path", "/")]
                assert streams.over(streams.request(health, end=True)).status == 200
        for port in (socks, secure):
            with socket.create_connection(("127.0.0.1", port), 20) as client:
                client.sendall(f"GET {url} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
                with pytest.raises((ConnectionResetError, EOFError)):
                    if not client.recv(100):
                        raise EOFError
    assert len(site.origin.heads) == before
