"""A mirror whose backend is a name: each request's copy goes there, and the request to where it was asked."""

import contextlib
import socket
import threading
from pathlib import Path
from typing import Final

from tests.e2e.http.test_article import metrics
from tests.e2e.http.test_route_vectors import Seen, noting
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.origins import Origin
from tests.support.run_gateway import Gateway, policy

REQUESTS: Final = 50  # on each of the connections
CONNECTIONS: Final = 8
MOST: Final = 256  # copies under way to one backend
ROUTE: Final = """\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: outside, namespace: egress}}
spec: {{gatewayClassName: sluice, listeners: [{{name: mesh, port: {port}, protocol: HTTP}}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: copies, namespace: egress}}
spec:
  parentRefs: [{{name: outside}}]
  hostnames: [localhost]
  rules:
    - filters:
        - {{type: RequestMirror, requestMirror: {{backendRef: {{name: named, port: {copies}}}}}}}
        - {{type: RequestMirror, requestMirror: {{backendRef: {{name: sluice, port: {asked}}}}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: named, namespace: egress}}
spec: {{type: ExternalName, externalName: localhost, ports: [{{port: {copies}}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: sluice, namespace: egress}}
spec: {{ports: [{{port: {asked}}}]}}
"""


def mirrored(gateway: Gateway, result: str) -> int:
    """How many copies ended so."""
    head = f'sluice_http_mirrored_total{{result="{result}"}} '
    lines = [line for line in metrics(gateway).splitlines() if line.startswith(head)]
    return int(float(lines[0].rpartition(" ")[2])) if lines else 0


def ask(port: int, origin: int) -> None:
    with wire.connect(port) as client:
        for _ in range(REQUESTS):
            client.sendall(b"GET http://localhost:%d/ HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % (origin, origin))
            answer = b""
            while not answer.endswith(b"asked"):
                chunk = client.recv(65536)
                assert chunk, "the connection ended"
                answer += chunk


def test_copies_go_to_the_name_and_requests_where_they_are_asked_for() -> None:
    seen: list[Seen] = []
    with contextlib.ExitStack() as stack:
        asked = stack.enter_context(Origin(noting("asked", seen), "127.0.0.1"))
        copies = stack.enter_context(Origin(noting("named", seen), "127.0.0.1"))
        gateway = Gateway(
            [policy("all", [{"cidr": "127.0.0.0/8"}])], {"policy": {"paths": ["policy.yaml", "route.yaml"]}}
        )
        text = ROUTE.format(port=gateway.port, copies=copies.port, asked=asked.port)
        Path(gateway.folder, "route.yaml").write_text(text)
        stack.enter_context(gateway)
        worker = gateway.workers()
        clients = [threading.Thread(target=ask, args=(gateway.port, asked.port)) for _ in range(CONNECTIONS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        count = CONNECTIONS * REQUESTS
        eventually(lambda: sum(one.origin == "named" for one in seen) == count, "each request was copied to the name")
        eventually(lambda: sum(one.origin == "asked" for one in seen) == 2 * count, "and to the origin itself")
        assert gateway.workers() == worker, "the worker has lived"


def test_a_mirror_that_never_answers_gets_no_more_than_so_many_copies() -> None:
    seen: list[Seen] = []
    with contextlib.ExitStack() as stack:
        asked = stack.enter_context(Origin(noting("asked", seen), "127.0.0.1"))
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1024))
        gateway = Gateway(
            [policy("all", [{"cidr": "127.0.0.0/8"}])],
            {"policy": {"paths": ["policy.yaml", "route.yaml"]}, "pools": {"perDestination": 4 * MOST}},
        )
        text = ROUTE.format(port=gateway.port, copies=silent.getsockname()[1], asked=asked.port)
        Path(gateway.folder, "route.yaml").write_text(text)
        stack.enter_context(gateway)
        for _ in range(8):
            ask(gateway.port, asked.port)
        eventually(lambda: len(seen) == 16 * REQUESTS, "every request has come, and its copy to the origin itself")
        eventually(lambda: mirrored(gateway, "dropped") == 8 * REQUESTS - MOST, "the others are counted")
        silent.settimeout(0)
        kept = []
        with contextlib.suppress(BlockingIOError):
            while True:
                kept.append(stack.enter_context(silent.accept()[0]))
        assert len(kept) == MOST
