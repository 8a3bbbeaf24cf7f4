"""The rules that routes come to, and what is said of them."""

from pathlib import Path

from supervisor.policy.loader import Policy
from supervisor.policy.resources.conditions import AllOf, AnyOf, Asks, Method, Shows, Through
from supervisor.policy.resources.conditions import Path as PathCondition
from supervisor.policy.resources.model import Rules, Selector
from tests.supervisor.policy.dialects.gateway_api.loading import lines, load

GATEWAY = """apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: outside, namespace: egress}
spec:
  gatewayClassName: sluice
  listeners:
    - {name: default, port: 1080, protocol: sluice.dev/proxy, allowedRoutes: {namespaces: {from: All}}}
"""
ROUTE = """apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: api, namespace: shop}
spec:
  parentRefs: [{name: outside, namespace: egress}]
  hostnames: [api.example.com]
"""
POLICY = """apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: tls, namespace: shop}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: api}]
  validation: {hostname: api.example.com, wellKnownCACertificates: System}
"""
ONE = (("default", 1080),)


def routed(policy: Policy) -> list[Rules]:
    """Without what is said of requests that no route matches."""
    return [rules for rules in policy.rules if not rules.no_route]


def test_a_route_of_another_namespace_is_for_its_own_sources(tmp_path: Path) -> None:
    found, problems = load(tmp_path, GATEWAY, ROUTE, ROUTE.replace("shop", "egress"))
    assert problems.errors == [] and problems.warnings == []
    selectors = {rules.namespace: rules.selectors for rules in found.rules}
    assert selectors == {"shop": (Selector(namespace="shop"),), "egress": (Selector(),)}
    rules = found.rules[0]
    assert (rules.kind, rules.tier, rules.protocol, rules.group, rules.by_order) == (
        "HTTPRoute",
        "allow",
        "http",
        4,
        True,
    )


def test_the_listener_is_a_condition_unless_there_is_no_other(tmp_path: Path) -> None:
    (item,) = load(tmp_path, GATEWAY, ROUTE)[0].rules[0].items
    assert item.when == Through("default")
    (item,) = load(tmp_path, GATEWAY, ROUTE, listeners=ONE)[0].rules[0].items
    assert item.when is None
    two = GATEWAY + "    - {name: second, port: 1081, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}\n"
    three = (*ONE, ("second", 1081), ("third", 1082))
    (item,) = load(tmp_path, two, ROUTE, listeners=three)[0].rules[0].items
    assert item.when == AnyOf((Through("default"), Through("second")))


def test_conditions_of_requests_stand_beside_the_listener(tmp_path: Path) -> None:
    match = "  rules: [{matches: [{path: {value: /v1}, method: GET}]}]\n"
    found, problems = load(tmp_path, GATEWAY, ROUTE + match)
    (item,) = found.rules[0].items
    assert isinstance(item.path, PathCondition) and item.path.value.value == "/v1"
    assert item.when == AllOf((Through("default"), Method("GET")))
    assert problems.errors == [] and problems.warnings == []


def test_what_no_route_matches_is_denied_by_a_default(tmp_path: Path) -> None:
    older = ROUTE.replace("name: api, ", "name: older, creationTimestamp: '2024-01-01T00:00:00Z', ")
    found, _ = load(tmp_path, GATEWAY, ROUTE, older, listeners=ONE)
    (rules,) = (rules for rules in found.rules if rules.no_route)
    assert (rules.name, rules.tier, rules.precedence) == ("older", "default_deny", 0), "one for each host"
    (item,) = rules.items
    assert item.destination.host is not None and item.destination.host.value == "api.example.com"
    assert item.path is None and item.when is None and all(one.precedence for one in found.rules if one != rules)


def test_filters_that_are_not_known_are_errors(tmp_path: Path) -> None:
    text = "  rules: [{filters: [{type: ExtensionRef, extensionRef: {group: a.test, kind: A, name: one}}]}]\n"
    found, problems = load(tmp_path, GATEWAY, ROUTE + text, listeners=ONE)
    assert found.rules == ()
    assert lines(tmp_path, problems)[0] == [
        "a.yaml:15:22: the filter ExtensionRef of HTTPRoute shop/api is not known here: its rule would let nothing pass"
        " (remove the filter, or its rule)"
    ]


def test_a_hostname_is_looked_up_as_it_stands(tmp_path: Path) -> None:
    text = ROUTE.replace("[api.example.com]", '[api.example.com, "*.example.org"]') + "  rules: [{}, {}]\n"
    items = [item for rules in routed(load(tmp_path, GATEWAY, text, listeners=ONE)[0]) for item in rules.items]
    hosts = [(item.index, item.destination.host.value) for item in items if item.destination.host]
    assert hosts == [(0, "api.example.com"), (1, "*.example.org"), (2, "api.example.com"), (3, "*.example.org")]
    every = ROUTE.replace("  hostnames: [api.example.com]\n", "")
    (rules,) = routed(load(tmp_path, GATEWAY, every, listeners=ONE)[0])
    assert rules.items[0].destination.anything


def test_a_policy_makes_its_host_leave_as_tls(tmp_path: Path) -> None:
    found, problems = load(tmp_path, GATEWAY, ROUTE, POLICY, listeners=ONE)
    assert problems.errors == [] and problems.warnings == []
    (rules,) = routed(found)
    assert rules.tls is not None and (rules.tls.originate, rules.tls.server_name, rules.tls.port) == (
        *(True, "api.example.com", 0),
    )
    wild = ROUTE.replace("[api.example.com]", '["*.example.com"]')
    found, _ = load(tmp_path, GATEWAY, wild, POLICY, listeners=ONE)
    parts = [(rules.items[0].destination.host, rules.tls) for rules in routed(found)]
    hosts = {(host.value, tls is None) for host, tls in parts if host is not None}
    assert hosts == {("*.example.com", True), ("api.example.com", False)}
    assert {rules.precedence for rules in routed(found)} == {3}, "by the route's own hostname"


def test_of_two_policies_the_older_holds(tmp_path: Path) -> None:
    names = "System, subjectAltNames: [{type: Hostname, hostname: b.test}]"
    younger = POLICY.replace("name: tls,", "name: younger,").replace("System", names)
    found, problems = load(tmp_path, GATEWAY, ROUTE, POLICY, younger, listeners=ONE)
    assert found.rules[0].tls is not None and found.rules[0].tls.sans == ()
    assert [line.partition(": ")[2] for line in lines(tmp_path, problems)[1]] == [
        "BackendTLSPolicy shop/younger under HTTPRoute shop/api: Accepted=False, Conflicted: BackendTLSPolicy shop/tls"
        " is older and holds for api.example.com of HTTPRoute shop/api"
    ]


def test_a_policy_of_this_gateways_service(tmp_path: Path) -> None:
    route = "group: gateway.networking.k8s.io, kind: HTTPRoute, name: api"
    target = POLICY.replace(route, 'group: "", kind: Service, name: sluice')
    own = ROUTE + "  rules: [{backendRefs: [{name: sluice, namespace: egress, port: 80}]}]\n"
    policy = target.replace("namespace: shop", "namespace: egress")
    assert load(tmp_path, GATEWAY, own, policy)[0].rules[0].tls is not None
    assert load(tmp_path, GATEWAY, ROUTE, policy)[0].rules[0].tls is None, "it names no backend"
    gone = POLICY.replace("name: api}", "name: none}")
    statuses = load(tmp_path, GATEWAY, ROUTE, gone)[0].statuses
    assert [one.reason for one in statuses if one.kind == "BackendTLSPolicy"] == ["TargetNotFound", "ResolvedRefs"]


def test_kinds_on_one_listener_are_for_their_own_protocols(tmp_path: Path) -> None:
    tls = (
        ROUTE.replace("HTTPRoute", "TLSRoute")
        + "  rules: [{backendRefs: [{name: sluice, namespace: egress, port: 443}]}]\n"
    )
    found, problems = load(tmp_path, GATEWAY, ROUTE, tls, listeners=ONE)
    assert {rules.kind: rules.items[0].when for rules in found.rules} == {
        "HTTPRoute": Shows("http"),
        "TLSRoute": Shows("tls"),
    }
    assert problems.warnings == []
    (rules,) = load(tmp_path, GATEWAY, tls, listeners=ONE)[0].rules
    assert rules.items[0].when is None and rules.protocol == "tls", "alone it demands its protocol"


AUTHORIZATION = """apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: {name: cart-alone, namespace: shop}
spec:
  targetRef: {group: gateway.networking.k8s.io, kind: HTTPRoute, name: api}
  requiredAuthenticationRefs: [{kind: ServiceAccount, name: cart}]
"""


def test_a_route_admits_those_that_its_authorizations_name(tmp_path: Path) -> None:
    cart = Asks((Selector("shop", "cart"),))
    (rules,) = routed(load(tmp_path, GATEWAY, ROUTE)[0])
    assert rules.admit is None
    found, problems = load(tmp_path, GATEWAY, ROUTE, AUTHORIZATION)
    assert problems.errors == [] and [rules.admit for rules in routed(found)] == [cart]
    of_others = AUTHORIZATION.replace("name: api", "name: other")
    assert any("NoMatchingTarget" in line for line in lines(tmp_path, load(tmp_path, GATEWAY, ROUTE, of_others)[1])[0])
    two = AUTHORIZATION.replace("cart-alone", "bot").replace("name: cart}", "name: bot}")
    (rules,) = routed(load(tmp_path, GATEWAY, ROUTE, AUTHORIZATION, two)[0])
    assert rules.admit == AnyOf((cart, Asks((Selector("shop", "bot"),))))
