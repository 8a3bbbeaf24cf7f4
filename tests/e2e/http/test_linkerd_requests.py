"""Requests under an EgressNetwork, whose routes are found where the destination lies: filters, backends, mirrors and
what no route matches."""

from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.support.eventually import eventually
from tests.support.http_client import Client
from tests.support.http_origin import HttpOrigin
from tests.support.names import NameServer
from tests.support.run_gateway import Gateway, Mapping, policy

GROUP: Final = "policy.linkerd.io"
BACKEND: Final = "127.0.0.2"


def manifest(kind: str, name: str, spec: Mapping, version: str) -> Mapping:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": "egress"}, "spec": spec}


def rule(path: str, *filters: Mapping, backend: Mapping | None = None) -> Mapping:
    """It leads to the destination that was asked for, or to a backend."""
    backends = {"backendRefs": [backend]} if backend else {}
    return {"matches": [{"path": {"value": path}}], "filters": list(filters), **backends}


class Site:
    def __init__(self, gateway: Gateway, asked: HttpOrigin, backend: HttpOrigin) -> None:
        self.gateway, self.asked, self.backend = gateway, asked, backend

    def get(self, path: str) -> Any:
        with Client(self.gateway.port) as client:
            return client.get(f"http://a.test:{self.asked.port}{path}")


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    service = "web.egress.svc.cluster.local"
    with (
        HttpOrigin() as asked,
        HttpOrigin(BACKEND) as backend,
        NameServer({"a.test": ["127.0.0.1"], service: [BACKEND]}) as names,
    ):
        web = {"name": "web", "port": backend.port}
        added = {
            "type": "RequestHeaderModifier",
            "requestHeaderModifier": {"set": [{"name": "x-by", "value": "r"}]},
        }
        moved = {"type": "RequestRedirect", "requestRedirect": {"hostname": "b.test", "statusCode": 301}}
        parent = {"group": GROUP, "kind": "EgressNetwork", "name": "all", "port": asked.port}
        route = {
            "parentRefs": [parent],
            "hostnames": ["a.test"],
            "rules": [rule("/set", added), rule("/moved", moved), rule("/service", added, backend=web)],
        }
        manifests = [
            # The destination lies in it, and the Service does not.
            manifest(
                "EgressNetwork",
                "all",
                {"trafficPolicy": "Deny", "networks": [{"cidr": "127.0.0.0/8", "except": [f"{BACKEND}/32"]}]},
                f"{GROUP}/v1alpha1",
            ),
            manifest("HTTPRoute", "r", route, "gateway.networking.k8s.io/v1"),
        ]
        config = {
            "dns": {"servers": [names.address]},
            "linkerd": {"globalNamespace": "egress"},
            "identity": {"networks": [{"cidr": "127.0.0.0/8", "namespace": "shop", "serviceAccount": "cart"}]},
        }
        with Gateway(manifests, config) as gateway:
            yield Site(gateway, asked, backend)


def test_filters(site: Site) -> None:
    assert site.get("/set").status == 200
    assert site.asked.requests[-1].values("x-by") == ["r"]


def test_a_redirect(site: Site) -> None:
    found = site.get("/moved")
    assert (found.status, found.value("location")) == (301, f"http://b.test:{site.asked.port}/moved")
    assert all(one.target != "/moved" for one in site.asked.requests)


def test_a_service_that_lies_elsewhere(site: Site) -> None:
    assert site.get("/service").status == 200
    seen = site.backend.requests[-1]
    assert seen.target == "/service" and seen.values("x-by") == ["r"]
    line = site.gateway.event(event="request", route="HTTPRoute/egress/r", path="/service")
    assert line["backend"] == f"egress/web:{site.backend.port}" and line["destination"]["address"] == BACKEND


def test_what_no_rule_matches_goes_by_the_network(site: Site) -> None:
    before = len(site.asked.requests)
    assert site.get("/other").status == 403
    assert len(site.asked.requests) == before


def test_a_reload_on_the_way_leads_to_what_routes_say_then(site: Site) -> None:
    for _ in range(20):
        site.gateway.reload()
        assert site.get("/service").status == 200
    eventually(lambda: len(site.backend.requests) >= 20, "all of them came to the backend")


@pytest.mark.parametrize("parent", [None, "corp"], ids=["directly", "where names go to a parent"])
def test_a_backend_s_address_passes_the_guard_whatever_decides_the_name(parent: str | None) -> None:
    """A rule with a parent names the host as well: what the Service resolves to is dialed from here all the same."""
    service = "web.egress.svc.cluster.local"
    with HttpOrigin("127.0.0.2") as backend, NameServer({service: ["127.0.0.2"]}) as names:
        gateway = Gateway(
            [],
            {
                "dns": {"servers": [names.address]},
                "addresses": {"allow": []},
                "upstreams": [{"name": "corp", "type": "http", "addresses": ["127.0.0.1:9"]}],
            },
        )
        listeners = [{"name": "mesh", "port": gateway.port, "protocol": "HTTP"}]
        version = "gateway.networking.k8s.io/v1"
        route = {
            "parentRefs": [{"name": "outside"}],
            "hostnames": ["a.test"],
            "rules": [{"backendRefs": [{"name": "web", "port": backend.port}]}],
        }
        manifests = [
            manifest("Gateway", "outside", {"gatewayClassName": "sluice", "listeners": listeners}, version),
            manifest("HTTPRoute", "r", route, version),
        ]
        if parent:
            manifests.append(policy("way", [{"host": "a.test"}], upstream=parent))
        gateway.write_policy(manifests)
        with gateway, Client(gateway.port) as client:
            found = client.get("http://a.test/")
            assert found.status == 403 and "destination_ip_prohibited" in found.value("proxy-status")
            assert backend.requests == []
