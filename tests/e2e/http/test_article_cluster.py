"""The article's manifest as its author means it, in a network of its own: a pod, the gateway's Service, a mirror that
is a pod, and the outside. No address is loopback, and `addresses.allow` is empty."""

import contextlib
import socket
import ssl
import urllib.request
from pathlib import Path
from typing import Any, Final

import yaml

from tests.e2e.http.test_article import ARTICLE, SERVICE
from tests.e2e.http.test_route_vectors import Seen, noting
from tests.e2e.policy.test_workloads import pod
from tests.support import wire
from tests.support.certificates import Authority
from tests.support.eventually import eventually
from tests.support.names import NameServer
from tests.support.network import ip, own_network
from tests.support.origins import Origin
from tests.support.run_gateway import Gateway, Mapping, policy

HOST: Final = "api.example.com"
POD: Final = "10.244.1.7"
OTHER: Final = "10.244.1.8"  # a pod of another account
MIRROR: Final = "10.244.2.9"
GATEWAY: Final = "10.96.0.5"
OUTSIDE: Final = "93.184.216.34"
INSIDE: Final = "10.244.2.10"  # an address that a mirror must not reach: no pod has it


def placed(manifest: Mapping, address: str) -> Mapping:
    """In the article's namespace, at this address."""
    manifest["metadata"] |= {"namespace": "frontend-namespace"}
    manifest["status"]["podIPs"] = [{"ip": address}]
    return manifest


def manifests(endpoint: str) -> list[Mapping]:
    """The article's route as it stands, and what a cluster has: pods, and the mirror's Service with its endpoint."""
    service, endpoints = (yaml.safe_load(yaml.safe_dump(one)) for one in SERVICE)
    endpoints["endpoints"] = [{"addresses": [endpoint], "conditions": {"ready": True}}]
    pods = [
        placed(pod("frontend", POD, {}), POD),
        placed(pod("other", OTHER, {}), OTHER),
        placed(pod("mirror", MIRROR, {}), MIRROR),
    ]
    return [*yaml.safe_load_all(ARTICLE.read_text()), service, endpoints, *pods]


def secured(context: ssl.SSLContext, name: str, seen: list[Seen]) -> Any:
    serve = noting(name, seen)

    def handshake(connection: socket.socket, origin: Origin) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            serve(secure, origin)

    return handshake


def ask(gateway: Gateway, source: str, path: str = "/v1/items?a=b") -> bytes:
    """A request as a pod sends it to the gateway's Service: origin-form, and no word of a proxy."""
    head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: cart\r\nl5d-client-id: a\r\n"
    with socket.create_connection((GATEWAY, gateway.port), 20, (source, 0)) as client:
        client.sendall(f"{head}Connection: close\r\nContent-Length: 5\r\n\r\nhello".encode())
        return wire.to_the_end(client)


def counted(gateway: Gateway, text: str) -> None:
    def found() -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{gateway.admin}/metrics") as page:
            return text in page.read().decode()

    eventually(found, text)


def mirrored(seen: list[Seen], main: str) -> None:
    """Both have come as they were asked; what was seen is forgotten."""
    eventually(lambda: {one.origin for one in seen} == {main, "mirror"}, "the origin and its mirror have it")
    for one in seen:
        assert (one.method, one.path, one.fields["host"]) == ("POST", "/v1/items?a=b", HOST)
        assert one.fields["user-agent"] == "cart" and "l5d-client-id" not in one.fields
    seen.clear()


@own_network
def test_a_pods_request_leaves_as_asked_and_is_mirrored(tmp_path: Path) -> None:
    ip(*(f"addr add {address}/32 dev lo" for address in (POD, OTHER, MIRROR, GATEWAY, OUTSIDE, INSIDE)))
    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("outside", HOST))
    seen: list[Seen] = []
    with contextlib.ExitStack() as stack:
        stack.enter_context(Origin(noting("plain", seen), OUTSIDE, 80))
        stack.enter_context(Origin(secured(context, "tls", seen), OUTSIDE, 443))
        stack.enter_context(Origin(noting("mirror", seen), MIRROR, 8080))
        stack.enter_context(Origin(noting("inside", seen), INSIDE, 8080))
        names = stack.enter_context(NameServer({HOST: [OUTSIDE]}))
        config = {
            "addresses": {"allow": []},
            "dns": {"servers": [names.address]},
            "gateway": {"podNetworks": ["10.244.0.0/16"], "services": ["linkerd-egress/linkerd-egress"]},
        }
        gateway = Gateway(manifests(MIRROR), config)
        gateway.config["listeners"][0]["address"] = f"0.0.0.0:{gateway.port}"
        stack.enter_context(gateway)
        assert ask(gateway, POD).startswith(b"HTTP/1.1 200 ")
        mirrored(seen, "plain")
        line = gateway.event(event="request")
        assert (line["verdict"], line["status"], line["mirrored"]) == ("allow", 200, 1)
        assert line["route"] == line["rule"] == "HTTPRoute/frontend-namespace/allow-api-example-com"
        assert line["source"]["ip"] == POD and line["destination"]["address"] == OUTSIDE
        counted(gateway, 'sluice_http_mirrored_total{result="sent"} 1')
        assert ask(gateway, OTHER).startswith(b"HTTP/1.1 403 ") and not seen

        # TLS comes from a policy beside the route, the mirror from the route: attributes of both.
        tls = {"originate": True, "ca": str(authority.path)}
        beside = policy("to-tls", [{"host": HOST, "ports": [80]}], namespace="frontend-namespace", tls=tls)
        gateway.reload([*manifests(MIRROR), beside])
        assert ask(gateway, POD).startswith(b"HTTP/1.1 200 ")
        mirrored(seen, "tls")
        counted(gateway, 'sluice_http_mirrored_total{result="sent"} 2')
        line = eventually(lambda: gateway.events(event="request", status=200)[1:], "its line")[0]
        assert (line["mirrored"], line["tls"]["upstream"]["version"]) == (1, "TLSv1.3")

        # An endpoint that is no pod of the namespace stays behind the guard; the request itself goes its way.
        gateway.reload([*manifests(INSIDE), beside])
        assert ask(gateway, POD).startswith(b"HTTP/1.1 200 ")
        counted(gateway, 'sluice_http_mirrored_total{result="failed"} 1')
        assert [one.origin for one in seen] == ["tls"]
