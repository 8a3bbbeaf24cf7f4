"""Gateways, ReferenceGrants and BackendTLSPolicies: every field, and mistakes at their places."""

from pathlib import Path

import pytest

from supervisor.policy.dialects.dialect import Part
from supervisor.policy.dialects.gateway_api.read import KINDS, read
from supervisor.policy.dialects.gateway_api.resources import BackendTLSPolicy, Gateway, ReferenceGrant
from supervisor.policy.resources.labels import Requirement
from supervisor.policy.resources.manifest import manifests_of
from supervisor.source.problems import Invalid, Problems, render
from supervisor.source.yaml_source import each_document
from tests.supervisor.policy.dialects.gateway_api.loading import lines, load

HEAD = "apiVersion: gateway.networking.k8s.io/v1\nkind: {}\nmetadata: {{name: one, namespace: egress}}\nspec:\n"
GATEWAY = HEAD.format("Gateway") + "  gatewayClassName: sluice\n"
LISTENER = GATEWAY + "  listeners:\n    - {name: default, port: 1080, protocol: "
GRANT = HEAD.format("ReferenceGrant")
POLICY = HEAD.format("BackendTLSPolicy")
TARGET = POLICY + "  targetRefs: [{group: '', kind: Service, name: sluice}]\n"
FULL = (
    GATEWAY
    + """  addresses: [{value: 192.0.2.1}]
  infrastructure: {labels: {a: b}}
  listeners:
    - name: default
      port: 1080
      protocol: HTTPS
      hostname: "*.example.com"
      tls: {mode: Terminate, certificateRefs: [{name: secret, namespace: certs}], options: {a: b}}
      allowedRoutes:
        namespaces: {from: Selector, selector: {matchLabels: {tier: gold}}}
        kinds: [{kind: HTTPRoute}, {group: example.com, kind: Other}]
    - {name: second, port: 1081, protocol: TCP}
"""
)


def part_of(text: str) -> tuple[Part | None, list[str]]:
    """The part of one document, and the errors, each `line:column: words`."""
    problems = Problems()
    found: Part | None = None
    for document in each_document(text.encode(), "a.yaml", problems):
        for manifest in manifests_of(document, problems):
            try:
                found = read(manifest, (), problems)
            except Invalid as wrong:
                problems.add(wrong.problem)
    return found, [line.removeprefix("a.yaml:") for line in render(problems.errors)]


def test_every_field_of_a_gateway() -> None:
    gateway, errors = part_of(FULL)
    assert errors == [] and isinstance(gateway, Gateway)
    assert gateway.class_name == "sluice" and [text.value for text in gateway.unused] == ["addresses", "infrastructure"]
    first, second = gateway.listeners
    assert (first.name, first.port, first.protocol, first.hostname, first.mode) == (
        *("default", 1080, "HTTPS", "*.example.com", "Terminate"),
    )
    assert first.kinds == (("gateway.networking.k8s.io", "HTTPRoute"), ("example.com", "Other"))
    assert (first.routes_from, first.spaces) == ("Selector", (Requirement("tier", "In", ("gold",)),))
    assert (second.kinds, second.routes_from, second.hostname, second.mode) == (None, "Same", "", "")


def test_a_grant_and_a_policy() -> None:
    grant, errors = part_of(
        GRANT
        + "  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: shop}]\n"
        + "  to: [{group: '', kind: Service, name: a}, {group: '', kind: Service}]\n"
    )
    assert errors == [] and isinstance(grant, ReferenceGrant)
    assert [one.namespace for one in grant.sources] == ["shop"] and [one.name for one in grant.targets] == ["a", ""]
    policy, errors = part_of(
        TARGET.replace("}]", ", sectionName: https}]")
        + "  validation:\n    hostname: api.example.com\n    wellKnownCACertificates: System\n"
        + "    subjectAltNames: [{type: Hostname, hostname: b.example.com}, {type: URI, uri: spiffe://a/b}]\n"
        + "  options: {}\n"
    )
    assert errors == [] and isinstance(policy, BackendTLSPolicy)
    assert (policy.hostname.value, policy.names) == ("api.example.com", ("b.example.com", "spiffe://a/b"))
    assert policy.targets[0].section == "https" and policy.targets[0].reference.name == "sluice"
    refs = "[{group: '', kind: ConfigMap, name: a}, {group: '', kind: ConfigMap, name: b}]"
    policy, errors = part_of(TARGET + f"  validation: {{hostname: a.test, caCertificateRefs: {refs}}}\n")
    assert errors == [] and isinstance(policy, BackendTLSPolicy)
    assert [one.name for one in policy.authorities] == ["a", "b"]


MANY = "".join(f"    - {{name: l{number}, port: {number + 1}, protocol: HTTP}}\n" for number in range(64))
MISTAKES = (
    (GATEWAY, "`listeners` is missing (write listeners: [{name:, port:, protocol: HTTP}])"),
    (GATEWAY + "  listeners: []\n", "listeners: the list is empty"),
    (HEAD.format("Gateway") + "  listeners: [{name: a, port: 1, protocol: HTTP}]\n", "`gatewayClassName` is missing"),
    (LISTENER + "HTTP, hostName: a.test}\n", "unknown key `hostName` (did you mean `hostname`?)"),
    (LISTENER + "'a b'}\n", "protocol: expected a protocol: HTTP, HTTPS, TLS, TCP"),
    (LISTENER + "HTTP, hostname: A.test}\n", "hostname: expected a hostname in lower case"),
    (LISTENER + "HTTP, tls: {mode: Passthrough}}\n", "`tls` beside protocol: HTTP"),
    (LISTENER + "TCP, hostname: a.test}\n", "`hostname` beside protocol: TCP"),
    (LISTENER + "HTTPS, tls: {mode: Passthrough}}\n", "protocol: HTTPS has mode: Terminate"),
    (LISTENER + "TLS}\n", "protocol: TLS without tls.mode (write tls: {mode: Passthrough})"),
    (LISTENER + "TLS, tls: {mode: Terminate}}\n", "mode: Terminate without certificateRefs"),
    (LISTENER + "TLS, tls: {mode: terminate}}\n", "mode: expected one of Terminate, Passthrough"),
    (LISTENER + "HTTP, allowedRoutes: {namespaces: {from: Any}}}\n", "from: expected one of All, Same, Selector, None"),
    (LISTENER + "HTTP, allowedRoutes: {namespaces: {from: Selector}}}\n", "from: Selector without selector"),
    (LISTENER + "HTTP, allowedRoutes: {namespaces: {selector: {}}}}\n", "`selector` beside from: Same"),
    (LISTENER + "HTTP, allowedRoutes: {kinds: [{group: a}]}}\n", "`kind` is missing (such as HTTPRoute)"),
    (LISTENER + "HTTP}\n    - {name: default, port: 2, protocol: HTTP}\n", "two listeners are named `default`"),
    (LISTENER + "HTTP}\n    - {name: other, port: 1080, protocol: HTTP}\n", "two listeners have port 1080, HTTP"),
    (LISTENER + "HTTP, port: 0}\n", "duplicate key"),
    (LISTENER.replace("1080", "0") + "HTTP}\n", "port: 0 is out of range: 1 to 65535"),
    (LISTENER + "HTTP}\n" + MANY, "expected at most 64 items, found 65"),
    (LISTENER + "HTTP}\n  defaultScope: some\n", "defaultScope: expected one of All, None"),
    (LISTENER + "HTTP}\n  addresses: {}\n", "addresses: expected a list"),
    (GRANT + "  to: [{group: '', kind: Service}]\n", "`from` is missing"),
    (GRANT + "  from: [{group: a, kind: B}]\n  to: [{kind: Service}]\n", "`namespace` is missing (the namespace that"),
    (GRANT + "  from: []\n  to: [{group: '', kind: Service}]\n", "from: the list is empty"),
    (POLICY + "  options: {}\n", "`targetRefs` is missing"),
    (TARGET, "`validation` is missing"),
    (TARGET + "  validation: {wellKnownCACertificates: System}\n", "`hostname` is missing"),
    (TARGET + "  validation: {hostname: a.test}\n", "no CA is named (write wellKnownCACertificates:"),
    (TARGET + "  validation: {hostname: '*.a.test', wellKnownCACertificates: System}\n", "expected one name"),
    (TARGET + "  validation: {hostname: a.test, wellKnownCACertificates: Mozilla}\n", "expected one of System"),
    (
        TARGET
        + "  validation: {hostname: a.test, wellKnownCACertificates: System,"
        + " caCertificateRefs: [{group: '', kind: A, name: a}]}\n",
        "wellKnownCACertificates beside caCertificateRefs (remove one of them)",
    ),
    (TARGET + "  validation: {hostname: a.test, caCertificateRefs: [{kind: A, name: a}]}\n", "`group` is missing"),
    (
        TARGET + "  validation: {hostname: a.test, wellKnownCACertificates: System, subjectAltNames: [{type: URI}]}\n",
        "`uri` is missing",
    ),
    (
        TARGET.replace("}]", "}, {group: '', kind: Service, name: sluice}]")
        + "  validation: {hostname: a.test, wellKnownCACertificates: System}\n",
        "Service sluice twice: each reference needs another sectionName",
    ),
)  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), MISTAKES)
def test_a_mistake_is_found(text: str, expected: str) -> None:
    _, errors = part_of(text)
    assert any(expected in error for error in errors), errors


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_needs_a_namespace(kind: tuple[str, str], tmp_path: Path) -> None:
    text = HEAD.format(kind[1]).replace(", namespace: egress", "") + "  parentRefs: []\n"
    assert any("metadata.namespace is missing" in error for error in part_of(text)[1])


def test_what_has_no_effect_is_said(tmp_path: Path) -> None:
    _, problems = load(tmp_path, FULL)
    errors, warnings = lines(tmp_path, problems)
    assert errors == []
    assert any("addresses of Gateway egress/one has no effect" in line for line in warnings), warnings
    assert any("`options` have no effect here" in line for line in warnings)


def test_other_classes_are_one_line(tmp_path: Path) -> None:
    other = FULL.replace("gatewayClassName: sluice", "gatewayClassName: istio")
    route = HEAD.format("HTTPRoute") + "  parentRefs: [{name: one}]\n"
    found, problems = load(tmp_path, other, route)
    warnings = [line for line in lines(tmp_path, problems)[1] if "options" not in line]
    assert found.rules == () and found.statuses == ()
    assert warnings == [
        "a.yaml:1:1: 1 Gateway and 1 route of other classes (istio) decide nothing here (gatewayClassName: sluice names"
        " this gateway)"
    ]
