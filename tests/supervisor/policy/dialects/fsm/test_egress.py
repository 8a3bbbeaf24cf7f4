"""Egress of FSM: the samples of its documents, what they decide, and what is wrong with others."""

import contextlib
import os
import re
from pathlib import Path
from typing import Any

import pytest

from gateway.policy.image import PolicyImage
from supervisor.cli.turning import turning
from supervisor.policy.explanation import explain, read_question
from tests.support.front import compiled, errors, warnings, write

CONFIG = """\
policy: {paths: [fsm.yaml]}
identity: {networks: [{cidr: 10.1.0.0/24, namespace: curl, serviceAccount: curl}]}
"""
SOURCE = "{kind: ServiceAccount, name: curl, namespace: curl}"
ROUTES = """\
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: egress-http-route, namespace: curl}
spec: {matches: [{name: get, pathRegex: /get}, {name: status, pathRegex: "/status.*"}]}
"""
MATCHES = "[{apiGroup: specs.smi-spec.io/v1alpha4, kind: HTTPRouteGroup, name: egress-http-route}]"
SETTING = """\
apiVersion: policy.flomesh.io/v1alpha1
kind: UpstreamTrafficSetting
metadata: {name: httpbin, namespace: curl}
spec:
  host: httpbin.org
  connectionSettings:
    tcp: {maxConnections: 10, connectTimeout: 5s}
    http:
      maxRequestsPerConnection: 3
      circuitBreaking: {statTimeWindow: 30s, errorRatioThreshold: 0.5, degradedStatusCode: 503}
"""


def egress(spec: str, group: str = "policy.flomesh.io", name: str = "httpbin", namespace: str = "curl") -> str:
    frame = f"kind: Egress\napiVersion: {group}/v1alpha1\nmetadata: {{name: {name}, namespace: {namespace}}}\n"
    return f"{frame}spec: {spec}\n"


def spec(**fields: str) -> str:
    given = {"sources": f"[{SOURCE}]", "hosts": "[httpbin.org]", "ports": "[{number: 80, protocol: http}]"} | fields
    return "{" + ", ".join(f"{name}: {value}" for name, value in given.items() if value) + "}"


def check(folder: Path, *documents: str, config: str = CONFIG) -> tuple[list[str], list[str]]:
    """Errors and warnings of the compilation, without the folder and the hints."""
    write(folder, sluice_yaml=config, fsm_yaml="---\n".join(documents))
    report, image = compiled(folder)
    if image is not None:
        os.close(image)
    assert report.ok == (not report.problems)
    plain = [re.compile(r" \([^()]*(\([^()]*\))?[^()]*\)$").sub("", line) for line in errors(folder, report)]
    return plain, [re.sub(r" \([^()]*\)$", "", line) for line in warnings(folder, report)]


def decision(
    folder: Path, to: str, who: str = "curl/curl", address: str | None = None, **request: Any
) -> dict[str, Any]:
    """The answer of `explain` by the files that are there."""
    report, image = compiled(folder)
    assert image is not None and report.config is not None
    try:
        with contextlib.closing(PolicyImage.from_fd(image)) as opened:
            question = read_question({"to": to, "from": who} | ({"address": [address]} if address else {}) | request)
            return explain(opened, report.config, question)
    finally:
        os.close(image)


def ask(folder: Path, to: str, who: str = "curl/curl", address: str | None = None) -> str:
    """The verdict."""
    return str(decision(folder, to, who, address)["verdict"])


@pytest.mark.parametrize("group", ["policy.flomesh.io", "policy.openservicemesh.io"])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"ports": "[{number: 443, protocol: https}]"},
        {"ports": "[{number: 443, protocol: HTTPS}, {number: 8443, protocol: https}]"},
        {"ports": "[{number: 443, protocol: tcp}]", "hosts": ""},
        {"ports": "[{number: 3306, protocol: tcp-server-first}]", "hosts": "", "ipAddresses": "[203.0.113.0/24]"},
        {"ports": "[{number: 80, protocol: http}]", "hosts": "", "ipAddresses": '[203.0.113.0/24, "2001:db8::/32"]'},
    ],
)
def test_samples_load_without_a_word(tmp_path: Path, group: str, fields: dict[str, str]) -> None:
    assert check(tmp_path, egress(spec(**fields), group)) == ([], [])


def test_http_and_https_are_about_names(tmp_path: Path) -> None:
    ports = "[{number: 80, protocol: http}, {number: 443, protocol: https}]"
    assert check(tmp_path, egress(spec(ports=ports))) == ([], [])
    assert ask(tmp_path, "httpbin.org:80") == ask(tmp_path, "httpbin.org:443") == "allow"
    for to in ("httpbin.org:8080", "www.httpbin.org:80", "example.com:443", "203.0.113.9:80"):
        assert ask(tmp_path, to) == "deny", to
    assert ask(tmp_path, "httpbin.org:80", "curl/other") == "deny"
    assert ask(tmp_path, "httpbin.org:80", "shop/curl") == "deny"


def test_they_have_to_carry_what_they_say(tmp_path: Path) -> None:
    """http allows no TLS on its port, and https nothing else."""
    ports = "[{number: 80, protocol: http}, {number: 443, protocol: https}]"
    check(tmp_path, egress(spec(ports=ports)))
    for to, shown in (("httpbin.org:80", "http"), ("httpbin.org:443", "tls")):
        found = decision(tmp_path, to)
        assert found["attributes"]["inner"]["value"] == shown
        assert found["rule"]["kind"] == "Egress"


def test_tcp_is_about_addresses(tmp_path: Path) -> None:
    """Example 19 of the policy model: hosts do not count, and any name may lead to the address."""
    check(tmp_path, egress(spec(ports="[{number: 5432, protocol: tcp}]", hosts="", ipAddresses="[203.0.113.0/24]")))
    assert ask(tmp_path, "203.0.113.9:5432") == "allow"
    assert ask(tmp_path, "198.51.100.9:5432") == "deny"
    assert ask(tmp_path, "any.example.com:5432", "curl/curl", "203.0.113.9") == "allow"
    assert ask(tmp_path, "any.example.com:5432", "curl/curl", "198.51.100.9") == "deny"


def test_a_name_of_http_and_https_has_to_lie_in_the_addresses(tmp_path: Path) -> None:
    """Example 19 of the policy model; neither alone is enough."""
    ports = "[{number: 443, protocol: https}]"
    assert check(tmp_path, egress(spec(ports=ports, ipAddresses="[203.0.113.0/24]"))) == ([], [])
    assert decision(tmp_path, "httpbin.org:443")["reason"] == "needs_address"
    assert ask(tmp_path, "httpbin.org:443", "curl/curl", "203.0.113.9") == "deny", "the guard is not lifted by it"
    check(tmp_path, egress(spec(ports=ports, ipAddresses="[9.9.0.0/16]")))
    assert ask(tmp_path, "httpbin.org:443", "curl/curl", "9.9.9.9") == "allow"
    assert ask(tmp_path, "httpbin.org:443", "curl/curl", "8.8.8.8") == "deny"
    assert ask(tmp_path, "example.com:443", "curl/curl", "9.9.9.9") == "deny"
    assert decision(tmp_path, "9.9.9.9:443")["reason"] == "inner_name_missing"


def test_tcp_without_addresses_is_a_port_of_every_address(tmp_path: Path) -> None:
    check(tmp_path, egress(spec(ports="[{number: 5432, protocol: tcp-server-first}]", hosts="")))
    assert ask(tmp_path, "8.8.8.8:5432") == ask(tmp_path, "[2606:4700::1111]:5432") == "allow"
    assert ask(tmp_path, "8.8.8.8:5433") == "deny"
    assert ask(tmp_path, "10.0.0.1:5432") == "deny", "the address guard is not lifted by it"


def test_every_port_and_host_is_an_item_of_its_own(tmp_path: Path) -> None:
    ports = "[{number: 443, protocol: https}, {number: 80, protocol: http}, {number: 8443, protocol: https}]"
    check(tmp_path, egress(spec(ports=ports, hosts="[a.example.com, b.example.com]")))
    found = set()
    for host in ("a", "b"):
        for port in (443, 80, 8443):
            found.add(decision(tmp_path, f"{host}.example.com:{port}")["rule"]["index"])
    assert found == {0, 1, 2, 3, 4, 5}


def test_conditions_need_http_routing(tmp_path: Path) -> None:
    """Conditions of requests never open a tunnel; ports of other protocols are open as before."""
    ports = "[{number: 80, protocol: http}, {number: 443, protocol: https}]"
    found, odd = check(tmp_path, egress(spec(ports=ports, matches=MATCHES)), ROUTES)
    assert (found, odd) == ([], [])
    assert decision(tmp_path, "httpbin.org:80")["reason"] == "needs_http"
    assert ask(tmp_path, "httpbin.org:443") == "allow"
    routed = decision(tmp_path, "httpbin.org:80", path="/get")["attributes"]["route"]["value"]
    assert (routed["route"], routed["system"]) == ("HTTPRouteGroup/curl/egress-http-route", "fsm")


@pytest.mark.parametrize(
    ("request_of", "verdict"),
    [
        ({"path": "/a/get"}, "allow"),  # searched for, in the path and in the query
        ({"path": "/x?y=/get"}, "allow"),
        ({"path": "/forget"}, "deny"),
        ({"path": "/get", "method": "TRACE"}, "deny"),  # not one of the usual methods
        ({"path": "/status", "method": "POST"}, "allow"),
        ({"path": "/status"}, "deny"),
        ({"path": "/team", "header": "x-team: shop"}, "allow"),
        ({"path": "/team", "header": ["x-team: pay", "x-team: shop"]}, "deny"),
    ],
)
def test_any_match_of_a_group_lets_requests_pass(request_of: dict[str, Any], verdict: str, tmp_path: Path) -> None:
    group = """\
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: egress-http-route, namespace: curl}
spec:
  matches:
    - {name: get, pathRegex: /get}
    - {name: status, pathRegex: "/status.*", methods: [POST]}
    - {name: team, pathRegex: /team, headers: [{X-Team: sho.}]}
"""
    ports = "[{number: 80, protocol: http}]"
    check(tmp_path, egress(spec(ports=ports, matches=MATCHES)), group)
    assert decision(tmp_path, "httpbin.org:80", **request_of)["verdict"] == verdict


MESH = """\
apiVersion: config.flomesh.io/v1alpha3
kind: MeshConfig
metadata: {name: fsm-mesh-config, namespace: fsm}
spec: {traffic: {enableEgress: %s}, observability: {tracing: {enable: false}}}
"""


def opened(passthrough: str) -> str:
    return CONFIG.replace("fsm.yaml]", f"fsm.yaml], passthrough: {passthrough}")


def passed(folder: Path, passthrough: str, *documents: str) -> list[str]:
    """Verdicts of another host on port 80, which an Egress names, and on 443; then of another source on 80."""
    check(folder, egress(spec()), *documents, config=opened(passthrough))
    ways = (("example.com:80", "curl/curl"), ("example.com:443", "curl/curl"), ("example.com:80", "shop/cart"))
    return [ask(folder, *way) for way in ways]


def test_passthrough_ends_on_the_ports_that_an_egress_names(tmp_path: Path) -> None:
    """Example 16 of the policy model; other sources keep it on all ports."""
    assert passed(tmp_path, "true") == ["deny", "allow", "allow"]
    assert ask(tmp_path, "8.8.8.8:443") == "allow"
    assert ask(tmp_path, "8.8.8.8:80") == "deny"
    assert ask(tmp_path, "10.0.0.1:443") == "deny", "the address guard holds"
    assert passed(tmp_path, "false") == ["deny", "deny", "deny"]


@pytest.mark.parametrize("fields", [{"hosts": ""}, {"matches": MATCHES}])
def test_ports_of_an_egress_that_opens_none_are_closed_all_the_same(tmp_path: Path, fields: dict[str, str]) -> None:
    """Without a destination, or with conditions that no tunnel satisfies."""
    check(tmp_path, egress(spec(**fields)), ROUTES, config=opened("true"))
    assert ask(tmp_path, "httpbin.org:80") == ask(tmp_path, "example.com:80") == "deny"
    assert ask(tmp_path, "example.com:443") == "allow"


def test_the_policy_that_opens_such_a_port_is_tried(tmp_path: Path) -> None:
    """Passthrough has ended for the source in a trial of few rules as well."""
    check(tmp_path, egress(spec(hosts="")), config=opened("true"))
    report, image = compiled(tmp_path)
    assert image is not None and report.config is not None
    with contextlib.closing(PolicyImage.from_fd(image)) as policy:
        os.close(image)
        question = read_question({"to": "example.com:80", "from": "curl/curl"})
        answer = explain(policy, report.config, question)
        assert turning(policy, report.config, (), report.rules, question, answer)["flips"] is True


@pytest.mark.parametrize("selected", ["", "from: [{serviceAccount: curl}], ", "from: [{cidr: 10.1.0.0/25}], "])
def test_an_allow_of_an_egress_policy_ends_it_on_every_port(tmp_path: Path, selected: str) -> None:
    frame = "apiVersion: sluice.dev/v1alpha1\nkind: EgressPolicy\nmetadata: {name: own, namespace: curl}\n"
    own = f"{frame}spec: {{{selected}to: [{{host: own.example.com}}], action: Allow}}\n"
    assert passed(tmp_path, "true", own) == ["deny", "deny", "allow"]


@pytest.mark.parametrize(("enabled", "verdicts"), [("true", ["deny", "allow", "allow"]), ("false", ["deny"] * 3)])
def test_the_mesh_says_it(tmp_path: Path, enabled: str, verdicts: list[str]) -> None:
    assert passed(tmp_path, "mesh", MESH % enabled) == verdicts


def test_a_mesh_says_it_once(tmp_path: Path) -> None:
    found, _ = check(tmp_path, egress(spec()), MESH % "true", (MESH % "true").replace("fsm-mesh-config", "other"))
    assert [error.split(": ", 1)[1] for error in found] == [
        "MeshConfig fsm/other beside MeshConfig fsm/fsm-mesh-config: a mesh has one MeshConfig"
    ]
    found, _ = check(tmp_path, egress(spec()), config=opened("mesh"))
    assert len(found) == 1 and "no MeshConfig is among the manifests" in found[0]


def test_settings_of_connections_decide_nothing(tmp_path: Path) -> None:
    matches = "[{apiGroup: policy.flomesh.io/v1alpha1, kind: UpstreamTrafficSetting, name: httpbin}]"
    assert check(tmp_path, egress(spec(matches=matches)), SETTING) == ([], [])
    assert ask(tmp_path, "httpbin.org:80") == "allow"


def test_a_missing_reference_closes_the_resource(tmp_path: Path) -> None:
    other = ROUTES.replace("namespace: curl", "namespace: shop")
    found, _ = check(tmp_path, egress(spec(matches=MATCHES)), other)
    assert found == ["fsm.yaml:4:210: there is no HTTPRouteGroup curl/egress-http-route"]


def test_differences_from_fsm_are_said(tmp_path: Path) -> None:
    secret = "{issuer: other, cert: {sn: 1, expiration: '2030-1-1 00:00:00', secret: {name: a, namespace: b}}}"
    source = f"[{{kind: ServiceAccount, name: curl, namespace: curl, mtls: {secret}}}]"
    secure = spec(sources=source, hosts="[a.example.com, b.example.com]", ports="[{number: 443, protocol: https}]")
    found, odd = check(tmp_path, egress(secure), egress(spec(ports="[{number: 1, protocol: tcp}]"), name="tcp"))
    assert found == []
    words = " ".join(odd)
    assert "mtls of Egress curl/httpbin is the sidecar's matter" in words
    assert "mixes the https hosts of one port up" in words
    assert "hosts have no effect on tcp" in words
    _, odd = check(tmp_path, egress(spec(hosts="")))
    assert "neither hosts nor ipAddresses" in odd[0]


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"sources": ""}, "`sources` is missing"),
        ({"sources": "[]"}, "the list is empty"),
        ({"sources": "[{kind: Pod, name: a, namespace: b}]"}, "expected one of ServiceAccount"),
        ({"sources": "[{kind: ServiceAccount, name: a}]"}, "`namespace` is missing"),
        ({"sources": "[{kind: ServiceAccount, namespace: a}]"}, "`name` is missing"),
        ({"sources": f"[{SOURCE[:-1]}, mtls: {{issuer: a, certs: {{}}}}}}]"}, "unknown key `certs`"),
        ({"ports": ""}, "`ports` is missing"),
        ({"ports": "[{number: 0, protocol: http}]"}, "0 is out of range"),
        ({"ports": "[{number: 80}]"}, "`protocol` is missing"),
        ({"ports": "[{number: 80, protocol: grpc}]"}, "expected one of http, https, tcp, tcp-server-first"),
        ({"ports": "[{number: 80, protocol: http}, {number: 80, protocol: tcp}]"}, "port 80 twice, as http and as tcp"),
        ({"ports": "[80]"}, "expected a mapping"),
        ({"hosts": '["*.example.com"]'}, "an Egress knows no wildcards"),
        ({"hosts": "[10.0.0.1]"}, "is an IP address, not a host name"),
        ({"hosts": "", "ipAddresses": "[10.0.0.1/8]"}, "has host bits set"),
        ({"hosts": "", "ipAddresses": "[example.com]"}, "expected a CIDR"),
        ({"matches": "[{kind: HTTPRouteGroup, name: a}]"}, "`apiGroup` is missing"),
        ({"matches": "[{apiGroup: a, kind: HTTPRouteGroup, name: a}]"}, "expected one of specs.smi-spec.io/v1alpha4"),
        ({"matches": "[{apiGroup: a, kind: Ingress, name: a}]"}, "expected one of HTTPRouteGroup"),
        ({"host": "[a]"}, "unknown key `host`"),
    ],
)
def test_mistakes(tmp_path: Path, fields: dict[str, str], wrong: str) -> None:
    found, _ = check(tmp_path, egress(spec(**fields)))
    assert any(wrong in error for error in found), found
    assert all(error.startswith("fsm.yaml:4:") for error in found), found


@pytest.mark.parametrize(
    ("routes", "wrong"),
    [
        ("{}", "`matches` is missing"),
        ("{matches: [{pathRegex: /}]}", "`name` is missing"),
        ("{matches: [{name: a, pathRegex: '/(a'}]}", "not a regular expression: missing )"),
        ("{matches: [{name: a, pathRegex: '/a(?=b)'}]}", "not a regular expression: invalid perl operator: (?="),
        ("{matches: [{name: a, pathRegex: '((a{100}){100}){100}'}]}", "not a regular expression"),
        ("{matches: [{name: a, pathRegex: '" + "a" * 1025 + "'}]}", "more than 1024 bytes"),
        ("{matches: [{name: a, methods: [get]}]}", "expected one of *, GET"),
        ("{matches: [{name: a, headers: {x: '['}}]}", "not a regular expression: missing ]"),
        ("{matches: [{name: a, headers: [{x: '['}]}]}", "not a regular expression: missing ]"),
    ],
)
def test_mistakes_of_routes(tmp_path: Path, routes: str, wrong: str) -> None:
    head = ROUTES.split("spec:")[0]
    found, _ = check(tmp_path, egress(spec()), f"{head}spec: {routes}\n")
    assert len(found) == 1 and wrong in found[0], found


def test_a_setting_is_read_to_its_last_field(tmp_path: Path) -> None:
    for old, new, wrong in (
        ("maxConnections: 10", "maxConnections: -1", "out of range"),
        ("connectTimeout: 5s", "connectTimeout: 5", "expected a duration"),
        ("0.5", "1.5", "out of range: 0 to 1"),
        ("degradedStatusCode", "degradedStatus", "unknown key"),
        ("host: httpbin.org", "host: httpbin", "has one label"),
    ):
        assert old in SETTING
        found, _ = check(tmp_path, egress(spec()), SETTING.replace(old, new))
        assert len(found) == 1 and wrong in found[0], found
