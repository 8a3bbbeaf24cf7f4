"""A BackendTLSPolicy for a Service: its endpoints are reached over TLS, checked for its hostname by its own CAs."""

import socket
import ssl
from pathlib import Path
from typing import Any, Final

from tests.e2e.http.test_route_vectors import Seen, ask, documents, noting
from tests.support.certificates import Authority
from tests.support.names import NameServer
from tests.support.origins import Origin
from tests.support.run_gateway import Gateway

PLACE: Final = "127.0.0.12"
NAME: Final = "api.shop.internal"
MANIFESTS: Final = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: outside, namespace: shop}
spec: {gatewayClassName: sluice, listeners: [{name: default, port: 1080, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: api, namespace: shop}
spec:
  parentRefs: [{name: outside}]
  hostnames: [a.example.com]
  rules: [{backendRefs: [{name: api, port: 8443}]}]
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec: {ports: [{name: secure, port: 8443, appProtocol: https}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: api-1, namespace: shop, labels: {kubernetes.io/service-name: api}}
addressType: IPv4
ports: [{name: secure, port: PORT}]
endpoints: [{addresses: [127.0.0.12], conditions: {ready: true}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: tls, namespace: shop}
spec:
  targetRefs: [{group: "", kind: Service, name: api, sectionName: secure}]
  validation: {hostname: HOSTNAME, caCertificateRefs: [{group: "", kind: ConfigMap, name: ca}]}
"""


def test_requests_reach_its_endpoints_over_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    shown: list[str | None] = []
    seen: list[Seen] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("endpoint", NAME))
    context.sni_callback = lambda _, name, of: shown.append(name)
    serve = noting("api", seen)

    def handshake(connection: socket.socket, origin: Origin) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            serve(secure, origin)

    def policy(origin: Origin, gateway: Gateway, hostname: str) -> list[dict[str, Any]]:
        text = MANIFESTS.replace("PORT", str(origin.port)).replace("HOSTNAME", hostname)
        found = documents(text, gateway.port)
        data = {"ca.crt": authority.path.read_text()}
        return [
            *found,
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ca", "namespace": "shop"}, "data": data},
        ]

    with Origin(handshake, PLACE) as origin, NameServer({}) as names:
        gateway = Gateway([], {"dns": {"servers": [names.address]}}, listener={"name": "default"})
        gateway.write_policy(policy(origin, gateway, NAME))
        with gateway:
            request = {"method": "GET", "url": "http://a.example.com/a?b"}
            assert ask(gateway, request)[0] == 200
            assert shown == [NAME] and [(one.path, one.fields["host"]) for one in seen] == [("/a?b", "a.example.com")]
            line = gateway.event(event="request")
            assert line["backend"] == "shop/api:8443" and line["tls"]["upstream"]["sni"] == NAME
            gateway.reload(policy(origin, gateway, "other.shop.internal"))
            status, fields = ask(gateway, request)
            assert status == 502 and "tls_certificate_error" in fields["proxy-status"]
            assert len(seen) == 1 and shown[-1] == "other.shop.internal"
