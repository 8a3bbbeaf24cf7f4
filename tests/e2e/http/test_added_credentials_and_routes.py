"""Credentials beside routes of other dialects: mirrors, redirections and other backends get none (DECISIONS.md section
7, "Credentials")."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import pytest

from tests.support.certificates import Authority
from tests.support.eventually import eventually
from tests.support.http_client import Client, Response
from tests.support.http_origin import HttpOrigin
from tests.support.names import NameServer
from tests.support.run_gateway import Gateway, Mapping, policy
from tests.support.secure_origin import SecureOrigin

VALUE: Final = "sk_live_5Jq8Zr2Xw9TkVb3NmLcPyH7dGf4"
API: Final = "gateway.networking.k8s.io/v1"


class Site(NamedTuple):
    """api.test is `origin`; the Service `copy` is `other`."""

    gateway: Gateway
    origin: SecureOrigin
    other: HttpOrigin

    def get(self, path: str, *fields: str) -> Response:
        with Client(self.gateway.port) as client:
            return client.get(f"http://api.test{path}", *fields)

    def seen(self) -> list[str]:
        return self.origin.requests[-1].values("authorization")


def rule(path: str, *filters: Mapping, to: list[Mapping] | None = None) -> Mapping:
    found: Mapping = {"matches": [{"path": {"value": path}}]}
    found |= {"filters": list(filters)} if filters else {}
    return found | ({"backendRefs": to} if to else {})


def manifests(listener: int, other: int, origin: int, ca: str) -> list[Mapping]:
    copy: Mapping = {"name": "copy", "port": other}
    own: Mapping = {"name": "sluice", "port": listener}
    mirror: Mapping = {"type": "RequestMirror", "requestMirror": {"backendRef": copy}}
    moved: Mapping = {"type": "RequestRedirect", "requestRedirect": {"hostname": "elsewhere.test"}}
    fields = [{"name": "Authorization", "value": "the route's"}, {"name": "X-Team", "value": "${credential:api}"}]
    named: Mapping = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": fields}}
    spec: Mapping = {"gatewayClassName": "sluice"}
    spec["listeners"] = [{"name": "default", "port": listener, "protocol": "HTTP"}]
    rules = [
        rule("/mirrored", mirror),
        rule("/moved", moved),
        rule("/away", to=[copy]),
        rule("/shared", to=[{**copy, "weight": 1}, {**own, "weight": 1}]),
        rule("/set", named),
        rule("/elsewhere", {"type": "URLRewrite", "urlRewrite": {"hostname": "evil.test"}}),
        rule(
            "/same",
            {"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplaceFullPath", "replaceFullPath": "/x"}}},
        ),
        rule("/"),
    ]
    changes: Mapping = {"set": {"Authorization": "Bearer ${credential:api}", "X-Also": "fixed"}, "remove": ["x-drop"]}
    tls: Mapping = {"originate": True, "port": origin, "ca": ca}
    return [
        {"apiVersion": API, "kind": "Gateway", "metadata": {"name": "outside", "namespace": "egress"}, "spec": spec},
        {
            "apiVersion": API,
            "kind": "HTTPRoute",
            "metadata": {"name": "ways", "namespace": "egress"},
            "spec": {"parentRefs": [{"name": "outside"}], "hostnames": ["api.test"], "rules": rules},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "copy", "namespace": "egress"},
            "spec": {"ports": [{"port": other}]},
        },
        policy("api", [{"host": "api.test"}], tls=tls, headers=changes),
    ]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    authority = Authority(tmp_path_factory.mktemp("ca"))
    hosts = {name: ["127.0.0.1"] for name in ("api.test", "copy.egress.svc.cluster.local")}
    with NameServer(hosts) as names, SecureOrigin(authority, "api.test") as origin, HttpOrigin() as other:
        config = {
            "dns": {"servers": [names.address]},
            "credentials": [{"name": "api", "file": "api.token", "hosts": ["api.test"]}],
        }
        gateway = Gateway([], config, files={"api.token": VALUE}, listener={"name": "default"})
        gateway.write_policy(manifests(gateway.port, other.listener.getsockname()[1], origin.port, str(authority.path)))
        with gateway:
            yield Site(gateway, origin, other)
            assert gateway.counter("internal_errors_total") == 0
        assert VALUE.encode() not in other.received()


def test_a_mirror_gets_the_request_without_it(site: Site) -> None:
    assert site.get("/mirrored", "Authorization: mine", "X-Drop: 1").status == 200
    assert site.origin.requests[-1].values("authorization") == [f"Bearer {VALUE}"]
    assert site.origin.requests[-1].values("x-also") == ["fixed"]
    eventually(lambda: site.other.requests, "the mirror has got its copy")
    copied = site.other.requests[-1]
    assert copied.target == "/mirrored"
    assert [copied.values(name) for name in ("authorization", "x-also", "x-drop")] == [[], [], []]


def test_a_mirror_of_content_does_not_either(site: Site) -> None:
    before = len(site.other.requests)
    with Client(site.gateway.port) as client:
        client.send(b"POST http://api.test/mirrored HTTP/1.1\r\nHost: api.test\r\nContent-Length: 5\r\n\r\n")
        client.send(b"hello")
        assert client.response("POST").status == 200
    eventually(lambda: len(site.other.requests) > before, "the mirror has got its copy")
    assert site.other.requests[-1].body == b"hello"
    assert site.other.requests[-1].values("authorization") == []


def test_a_redirection_of_a_route_does_not_have_it(site: Site) -> None:
    found = site.get("/moved")
    assert (found.status, VALUE in str(found)) == (302, False)
    assert found.value("location") == "http://elsewhere.test/moved"


def test_another_backend_gets_the_request_without_it(site: Site) -> None:
    found = site.get("/away", "Authorization: mine")
    assert found.status == 200
    assert site.other.requests[-1].target == "/away"
    assert site.other.requests[-1].values("authorization") == [], "nor does it get the client's own"


def test_shares_and_second_tries_of_backends_are_told_apart(site: Site) -> None:
    """Each try has the backend that it has chosen; the connection to /close is gone before the next request."""
    before = len(site.origin.requests), len(site.other.requests)
    for at in range(24):
        assert site.get("/close" if at % 4 == 3 else "/shared", "Authorization: mine").status == 200
    ours, others = site.origin.requests[before[0] :], site.other.requests[before[1] :]
    assert ours and others
    assert all(one.values("authorization") == [f"Bearer {VALUE}"] for one in ours)
    assert all(one.values("authorization") == [] for one in others)


def test_a_route_that_rewrites_the_host_does_not_have_it(site: Site) -> None:
    """The server may serve that host as well, for another owner."""
    before = len(site.origin.requests)
    found = site.get("/elsewhere")
    assert (found.status, "credential_host: ${credential:api}" in found.body.decode()) == (502, True)
    assert len(site.origin.requests) == before
    assert site.get("/same").status == 200
    assert (site.origin.requests[-1].target, site.seen()) == ("/x", [f"Bearer {VALUE}"])


def test_a_filter_of_a_route_knows_no_credentials(site: Site) -> None:
    """Its text is a text; and the rule's own field counts."""
    assert site.get("/set").status == 200
    assert site.origin.requests[-1].values("x-team") == ["${credential:api}"]
    assert site.origin.requests[-1].values("authorization") == [f"Bearer {VALUE}"]
