"""Envoy as the parent gateway: it terminates HTTP/2 CONNECT, and its one cluster is the origin."""

import contextlib
import hashlib
import os
import socket
from pathlib import Path
from typing import Final

import pytest

from bench.peers.envoy import configuration
from tests.e2e.conftest import World
from tests.e2e.protocols.test_envoy import envoy
from tests.support import wire
from tests.support.http2 import RfcClient
from tests.support.ports import free_port
from tests.support.run_gateway import Gateway, Mapping, policy

TUNNELS: Final = 250


def terminating(port: int, origin: int) -> Mapping:
    """The bench's Envoy, also with CONNECT over HTTP/2."""
    found: Mapping = configuration(port, origin)
    (chain,) = found["static_resources"]["listeners"][0]["filter_chains"]
    chain["filters"][0]["typed_config"]["http2_protocol_options"] = {
        "allow_connect": True,
        "max_concurrent_streams": 100,
    }
    return found


@pytest.mark.full
def test_tunnels_through_envoy(tmp_path: Path, world: World) -> None:
    port, content = free_port(), os.urandom(2_000_000)
    corp = {"name": "corp", "type": "http2tunnel", "addresses": [f"127.0.0.1:{port}"]}
    rules = [policy("via", [{"host": "*.test"}], upstream="corp")]
    with (
        envoy(tmp_path, terminating(port, world.echo.port), port),
        Gateway(rules, {"upstreams": [corp]}) as gateway,
        contextlib.ExitStack() as stack,
    ):
        clients = []
        for number in range(TUNNELS):
            client = stack.enter_context(wire.connect(gateway.port))
            wire.open_socks5(client, "open.test", 443)
            client.sendall(b"\0%d." % number)
            clients.append(client)
        for number, client in enumerate(clients):
            assert wire.exactly(client, len(b"\0%d." % number)) == b"\0%d." % number
        assert gateway.counter("parent_connections_open") == 3

        for at in range(0, len(content), 50_000):
            clients[0].sendall(content[at : at + 50_000])
            assert wire.exactly(clients[0], 50_000) == content[at : at + 50_000]
        clients[1].shutdown(socket.SHUT_WR)
        assert wire.to_the_end(clients[1]) == b"", "a half-close goes there and back"

        other = stack.enter_context(RfcClient(gateway.port))
        number = other.open("open.test:443")
        other.write(number, b"\0" + content[:100_000])
        echoed = other.read(number, 100_001)
        assert hashlib.sha256(echoed).digest() == hashlib.sha256(b"\0" + content[:100_000]).digest()


@pytest.mark.full
def test_an_origin_that_envoy_cannot_reach_is_a_refusal(tmp_path: Path) -> None:
    port = free_port()
    corp = {"name": "corp", "type": "http2tunnel", "addresses": [f"127.0.0.1:{port}"]}
    rules = [policy("via", [{"host": "*.test"}], upstream="corp")]
    with (
        envoy(tmp_path, terminating(port, free_port()), port),
        Gateway(rules, {"upstreams": [corp]}) as gateway,
        wire.connect(gateway.port) as client,
    ):
        assert wire.http(client, "open.test:443").status == 502
        assert gateway.event(event="decision")["outcome"] == "upstream_failed"
