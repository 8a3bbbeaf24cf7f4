"""Backends that speak HTTP/2 without TLS: a Service whose port says `appProtocol: kubernetes.io/h2c`."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Final, cast

import h2.exceptions
import pytest
import yaml

from tests.support.h2_origin import Exchange, serving
from tests.support.http2 import RfcClient
from tests.support.http_client import Client
from tests.support.names import NameServer
from tests.support.origins import Origin
from tests.support.run_gateway import Gateway

BULK: Final = bytes(range(256)) * 8_000
MANIFESTS: Final = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: outside, namespace: egress}
spec: {gatewayClassName: sluice, listeners: [{name: default, port: GATEWAY, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: way, namespace: egress}
spec:
  parentRefs: [{name: outside}]
  hostnames: [a.example.com]
  rules: [{backendRefs: [{name: known, port: 8080}]}]
---
apiVersion: v1
kind: Service
metadata: {name: known, namespace: egress}
spec: {ports: [{name: web, port: 8080, appProtocol: kubernetes.io/h2c}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: known-1, namespace: egress, labels: {kubernetes.io/service-name: known}}
addressType: IPv4
ports: [{name: web, port: ORIGIN}]
endpoints: [{addresses: [127.0.0.1], conditions: {ready: true}}]
"""


def answering(exchange: Exchange, what: str) -> None:
    if what == "end" and exchange.fields[":path"] == "/bulk":
        exchange.respond(200, BULK, trailers=[("x-end", "yes")])
    elif what == "end":
        told = f"{exchange.fields[':method']} {exchange.fields[':authority']} {len(exchange.body)}"
        exchange.respond(200, told.encode())


def serve(connection: socket.socket, origin: Origin) -> None:
    del origin
    with contextlib.suppress(OSError, h2.exceptions.ProtocolError):
        serving(answering)(cast(ssl.SSLSocket, connection))


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin(serve) as running:
        yield running


@contextlib.contextmanager
def before(origin: Origin) -> Iterator[Gateway]:
    """A gateway in front of the origin."""
    with NameServer({"a.example.com": ["127.0.0.9"]}) as names:
        running = Gateway([], {"dns": {"servers": [names.address]}}, listener={"name": "default"})
        text = MANIFESTS.replace("GATEWAY", str(running.port)).replace("ORIGIN", str(origin.port))
        running.write_policy(list(yaml.safe_load_all(text)))
        with running:
            yield running
            assert running.counter("internal_errors_total") == 0


@pytest.fixture(scope="module")
def gateway(origin: Origin) -> Iterator[Gateway]:
    with before(origin) as running:
        yield running


def head(path: str, method: str = "GET") -> list[tuple[str, str]]:
    return [(":method", method), (":scheme", "http"), (":authority", "a.example.com"), (":path", path)]


def test_requests_of_either_version_share_one_connection(gateway: Gateway, origin: Origin) -> None:
    with Client(gateway.port) as old, RfcClient(gateway.port) as new:
        assert old.get("http://a.example.com/x").body == b"GET a.example.com 0"
        numbers = [new.request(head(f"/{at}"), end=True) for at in range(40)]
        assert {new.over(number).data for number in numbers} == {b"GET a.example.com 0"}
        number = new.request(head("/up", "POST"))
        new.write(number, BULK)
        new.connection.end_stream(number)
        new.flush()
        assert new.over(number).data == f"POST a.example.com {len(BULK)}".encode()
    assert origin.accepted == 1


def test_content_and_trailers_reach_clients_of_http1(gateway: Gateway) -> None:
    with Client(gateway.port) as client:
        found = client.get("http://a.example.com/bulk")
        assert (found.status, found.body, found.trailers) == (200, BULK, [("x-end", "yes")])


def test_requests_that_come_at_once_share_the_one_dial() -> None:
    found: list[int] = []
    with Origin(serve) as origin, before(origin) as gateway:

        def ask() -> None:
            with Client(gateway.port) as client:
                found.append(client.get("http://a.example.com/x").status)

        threads = [threading.Thread(target=ask) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [200] * 20
        assert origin.accepted == 1
