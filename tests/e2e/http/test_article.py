"""The manifest of the article as it stands: a pod's plain request leaves as it was asked, is mirrored, and counted."""

import contextlib
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.e2e.http.test_route_vectors import Seen, noting
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.names import NameServer
from tests.support.origins import Origin
from tests.support.run_gateway import Gateway

ARTICLE: Final = Path(__file__).resolve().parents[3] / "deploy/examples/linkerd-egress-routes/policy.yaml"
POD: Final = "127.0.20.1"  # of frontend-namespace/frontend
ORIGIN: Final = ("127.0.0.10", 80)
MIRROR: Final = ("127.0.0.11", 8080)
SERVICE: Final[list[dict[str, Any]]] = [
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "api-example-com-mirror", "namespace": "frontend-namespace"},
        "spec": {"ports": [{"port": 8080}]},
    },
    {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "mirror-1",
            "namespace": "frontend-namespace",
            "labels": {"kubernetes.io/service-name": "api-example-com-mirror"},
        },
        "addressType": "IPv4",
        "ports": [{"port": MIRROR[1]}],
        "endpoints": [{"addresses": [MIRROR[0]], "conditions": {"ready": True}}],
    },
]


@pytest.fixture(scope="module")
def seen() -> Iterator[list[Seen]]:
    found: list[Seen] = []
    with contextlib.ExitStack() as stack:
        stack.enter_context(Origin(noting("origin", found), *ORIGIN))
        stack.enter_context(Origin(noting("mirror", found), *MIRROR))
        yield found


@pytest.fixture(scope="module")
def gateway(seen: list[Seen]) -> Iterator[Gateway]:
    del seen
    pods = [{"cidr": f"{POD}/32", "namespace": "frontend-namespace", "serviceAccount": "frontend"}]
    with NameServer({"api.example.com": [ORIGIN[0]]}) as server:
        config = {"dns": {"servers": [server.address]}, "identity": {"networks": pods}}
        with Gateway([*yaml.safe_load_all(ARTICLE.read_text()), *SERVICE], config) as running:
            yield running


def metrics(gateway: Gateway) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{gateway.admin}/metrics") as page:
        text: str = page.read().decode()
        return text


def ask(gateway: Gateway, source: str, text: str) -> bytes:
    with wire.connect(gateway.port, source=source) as client:
        client.sendall(text.encode())
        return wire.to_the_end(client)


def test_a_request_leaves_as_asked_and_is_mirrored(gateway: Gateway, seen: list[Seen]) -> None:
    """As a pod sends it to the gateway's Service: origin-form, and no word of a proxy."""
    fields = "Host: api.example.com\r\nX-Forwarded-For: 10.1.2.3\r\nl5d-client-id: a\r\nConnection: close\r\n"
    answer = ask(gateway, POD, f"POST /v1/items?a=b HTTP/1.1\r\n{fields}Content-Length: 5\r\n\r\nhello")
    assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"origin")
    eventually(lambda: len(seen) >= 2, "the mirror has got its copy")
    first, second = sorted(seen[:2], key=lambda one: one.origin, reverse=True)
    assert (first.origin, second.origin) == ("origin", "mirror")
    assert (first.method, first.path) == (second.method, second.path) == ("POST", "/v1/items?a=b")
    assert first.fields["host"] == second.fields["host"] == "api.example.com"
    assert not {name for one in (first, second) for name in one.fields} & {"x-forwarded-for", "l5d-client-id"}

    def line() -> list[dict[str, Any]]:
        return [one for one in gateway.events(event="request") if one["source"]["ip"] == POD]

    (told,) = eventually(line, "the request's line")
    assert (told["verdict"], told["status"], told["mirrored"]) == ("allow", 200, 1)
    assert told["route"] == "HTTPRoute/frontend-namespace/allow-api-example-com"
    assert told["source"]["identity"] == "frontend-namespace/frontend"
    eventually(lambda: 'sluice_http_mirrored_total{result="sent"} 1' in metrics(gateway), "the mirror is counted")


def test_another_pod_is_denied_and_mirrors_nothing(gateway: Gateway, seen: list[Seen]) -> None:
    before = len(seen)
    answer = ask(gateway, "127.0.20.2", "GET / HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 403 ")
    time.sleep(0.2)
    assert len(seen) == before
