"""Routes under EgressNetworks: what they come to, what is refused, and the conditions of resources."""

import json
from pathlib import Path
from typing import Final

import pytest

from supervisor.policy.dialects.linkerd.order import BEFORE_ROUTES
from supervisor.policy.resources.conditions import AllOf, Asks, Method, Not
from supervisor.policy.resources.conditions import Path as Requested
from supervisor.policy.resources.model import Selector
from supervisor.policy.resources.routing import route_text
from tests.supervisor.policy.dialects.linkerd.loading import document, load, rule, rules_of
from tests.supervisor.policy.dialects.linkerd.test_rules import CART, NETWORK, PARENT, POLICY, ROUTE, TLS, policy_on


def http(rules: str, parents: str = PARENT, hosts: str = "") -> str:
    """A network with an HTTPRoute."""
    hostnames = f"hostnames: {hosts}, " if hosts else ""
    return NETWORK + document("HTTPRoute", f"{{{hostnames}parentRefs: [{parents}], rules: {rules}}}", "r")


def test_a_route_with_hosts_ports_and_conditions(tmp_path: Path) -> None:
    other = PARENT.replace("443", "8443")
    text = http("[{matches: [{path: {value: /v1}}, {method: GET}]}, {}]", f"{PARENT}, {other}", "[a.test, '*.b.test']")
    both = [one for one in rules_of(tmp_path, text) if one.kind == "HTTPRoute"]
    for number, found in enumerate(both):
        assert (found.tier, found.protocol, found.by_order, found.in_network) == ("allow", "http", True, "shop/net")
        assert found.route is not None and (found.route.route, found.route.rule) == ("HTTPRoute/shop/r", number)
    items = [item for found in both for item in found.items]
    hosts = [item.destination.host.value for item in items if item.destination.host]
    assert hosts == ["a.test", "*.b.test"] * 3 and [item.index for item in items] == [0, 1, 2, 3, 4, 5]
    assert {item.destination.ports for item in items} == {((443, 443), (8443, 8443))}
    assert isinstance(items[0].path, Requested) and items[0].path.value.value == "/v1"
    assert items[2].when == Method("GET") and items[2].ahead > items[4].ahead
    assert items[4].path is None and items[4].when is None


def test_protocols_are_those_of_the_kind(tmp_path: Path) -> None:
    for kind, protocol in (("GRPCRoute", "http"), ("TLSRoute", "tls"), ("TCPRoute", None)):
        text = NETWORK + document(
            kind, f"{{parentRefs: [{PARENT}], rules: [{{backendRefs: [{PARENT_BACKEND}]}}]}}", "r"
        )
        found = rule(rules_of(tmp_path, text), kind, "r")
        assert found.protocol == protocol and found.items[0].destination.anything


PARENT_BACKEND: Final = f"{{{POLICY}, kind: EgressNetwork, name: net}}"
REMOVES: Final = "{type: RequestHeaderModifier, requestHeaderModifier: {remove: [x]}}"


@pytest.mark.parametrize(
    "changed",
    [
        "{filters: [{type: RequestRedirect, requestRedirect: {scheme: https}}]}",
        "{backendRefs: [{name: other, port: 80}]}",
        f"{{backendRefs: [{{{POLICY}, kind: EgressNetwork, name: net, filters: [{REMOVES}]}}]}}",
    ],
)
def test_a_route_that_changes_requests_or_leads_elsewhere_allows_no_tunnel(changed: str, tmp_path: Path) -> None:
    policy, errors, warnings = load(tmp_path, http(f"[{changed}]"))
    found = rule(list(policy.rules), "HTTPRoute", "r")
    assert (errors, warnings) == ([], []) and [isinstance(item.when, Requested) for item in found.items] == [True]
    assert found.route is not None and (found.route.filters or found.route.backends)


def test_this_gateway_is_no_other_place(tmp_path: Path) -> None:
    for name in ("name: sluice", "name: sluice, namespace: egress"):
        rules = rules_of(tmp_path, http(f"[{{backendRefs: [{{{name}, port: 80}}]}}]"))
        assert rule(rules, "HTTPRoute", "r").items[0].when is None


def test_a_conditional_route_closes_tunnels_to_whom_it_does_not_admit(tmp_path: Path) -> None:
    text = http("[{matches: [{method: GET}, {method: PUT}]}]")
    rules = rules_of(tmp_path, text + policy_on(f"{ROUTE}, kind: HTTPRoute, name: r", CART))
    (item,) = rule(rules, "HTTPRoute", "r", "unauthorized").items
    assert item.ahead == BEFORE_ROUTES and item.destination.anything
    assert isinstance(item.when, AllOf) and item.when.of[0] == Not(Asks((Selector("shop", "cart"),)))


MISTAKES: Final = {
    "no port": (
        "HTTPRoute",
        "[]",
        f"{{{POLICY}, kind: EgressNetwork, name: net}}",
        "cannot target an EgressNetwork without specifying a port (write port: 443)",
    ),
    "no parent": (
        "HTTPRoute",
        "",
        f"{{{POLICY}, kind: EgressNetwork, name: met, port: 80}}",
        "NoMatchingParent: there is no EgressNetwork shop/met (did you mean `net`?)",
    ),
    "no backend": (
        "HTTPRoute",
        f"[{{backendRefs: [{{{POLICY}, kind: EgressNetwork, name: met}}]}}]",
        PARENT,
        "BackendNotFound: there is no EgressNetwork shop/met (did you mean `net`?)",
    ),
    "another kind": (
        "HTTPRoute",
        "[{backendRefs: [{group: a.test, kind: Bucket, name: net}]}]",
        PARENT,
        "InvalidKind: a backend is an EgressNetwork or a Service, found Bucket (a.test)",
    ),
    "another network": (
        "HTTPRoute",
        f"[{{backendRefs: [{{{POLICY}, kind: EgressNetwork, name: other}}]}}]",
        PARENT,
        "InvalidKind: the backend EgressNetwork shop/other is not the parent, shop/net",
    ),
    "no weight": (
        "HTTPRoute",
        "[{backendRefs: [{name: sluice, port: 80, weight: 0}]}]",
        PARENT,
        "every backend has weight 0: nothing would pass (leave weight out, or remove the rule)",
    ),
    "another Service": (
        "TCPRoute",
        "[{backendRefs: [{name: other, port: 80}]}]",
        PARENT,
        "backends of a TCPRoute other than its EgressNetwork are not supported yet: other (write",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_of_a_route(mistake: str, tmp_path: Path) -> None:
    kind, rules, parent, error = MISTAKES[mistake]
    other = document("EgressNetwork", "{trafficPolicy: Deny, networks: [{cidr: 9.0.0.0/8}]}", "other")
    rules = f", rules: {rules}" if rules not in ("", "[]") else ""
    _, (found,), _ = load(tmp_path, NETWORK + other + document(kind, f"{{parentRefs: [{parent}]{rules}}}", "r"))
    assert found.startswith("14:") and error in found


def test_tls_and_tcp_routes_have_exactly_one_rule(tmp_path: Path) -> None:
    for kind in ("TLSRoute", "TCPRoute"):
        one = f"{{backendRefs: [{PARENT_BACKEND}]}}"
        for rules in ("[]", f"[{one}, {one}]"):
            text = NETWORK + document(kind, f"{{parentRefs: [{PARENT}], rules: {rules}}}", "r")
            assert load(tmp_path, text)[1], f"{kind} {rules}"


def test_routes_under_other_parents_decide_nothing_here(tmp_path: Path) -> None:
    parent = "{group: '', kind: Service, name: web, port: 80}"
    _, errors, warnings = load(tmp_path, document("HTTPRoute", f"{{parentRefs: [{parent}]}}", "r"))
    assert errors == []
    assert warnings == [
        "4:21: HTTPRoute shop/r decides nothing here under Service web"
        " (for what leaves the mesh name an EgressNetwork as the parent)"
    ]


LIMIT: Final = f"{{targetRef: {{{POLICY}, kind: Server, name: s}}, total: {{requestsPerSecond: 10}}}}"


def test_conditions(tmp_path: Path) -> None:
    text = NETWORK + TLS + document("HTTPRoute", f"{{parentRefs: [{PARENT}]}}", "h")
    text += document("HTTPLocalRateLimitPolicy", LIMIT, "one", "egress")
    text += document("HTTPLocalRateLimitPolicy", LIMIT, "two", "egress")
    text += document("HTTPLocalRateLimitPolicy", LIMIT.replace("name: s}", "name: t}"), "three", "egress")
    text += document("Server", "{podSelector: {}, port: mesh}", "s", "egress")
    policy, errors, warnings = load(tmp_path, text)
    assert errors == []
    under = "under EgressNetwork shop/net:443"
    limit = "HTTPLocalRateLimitPolicy egress"
    conflict = "RouteReasonConflicted: HTTPRoute shop/h is of a kind that comes before it on this port"
    assert [f"{one.title}: {one.text}" for one in policy.statuses] == [
        "EgressNetwork shop/net: Accepted=True",
        f"{limit}/one: Accepted=True",
        f"{limit}/three: Accepted=False, NoMatchingTarget: there is no Server egress/t",
        f"{limit}/two: Accepted=False, RateLimitReasonAlreadyExists: {limit}/one limits this Server already",
        f"HTTPRoute shop/h {under}: Accepted=True",
        f"HTTPRoute shop/h {under}: ResolvedRefs=True",
        f"TLSRoute shop/r {under}: Accepted=False, {conflict}",
        f"TLSRoute shop/r {under}: ResolvedRefs=True",
    ]
    assert sum("Accepted=False" in line for line in warnings) == 3, "each is a warning"


PROFILE: Final = """{
  routes: [{
    name: get, condition: {all: [{pathRegex: /v1/.*}, {not: {method: PUT}}]}, isRetryable: true, timeout: 300ms,
    responseClasses: [{isFailure: true, condition: {any: [{status: {min: 500}}, {not: {status: {min: 429}}}]}}]}],
  retryBudget: {retryRatio: 0.2, minRetriesPerSecond: 10, ttl: 10s},
  dstOverrides: [{authority: a.test, weight: 500m}], opaquePorts: ["3306", "4000-4100"]}"""


def test_a_profile_decides_nothing(tmp_path: Path) -> None:
    policy, errors, warnings = load(tmp_path, document("ServiceProfile", PROFILE, "api.example.com"))
    assert (policy.rules, errors) == ((), [])
    assert warnings == [
        "1:1: ServiceProfile shop/api.example.com has no effect yet: its routes name no requests, and it never allows"
        " or denies"
    ]


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        (
            "retry.linkerd.io/http",
            ["5xx", "gateway-error,429", "500-504,100"],
            ["6xx", "504-500", "", "600", "5xx, 429"],
        ),
        ("retry.linkerd.io/grpc", ["cancelled", "internal,unavailable"], ["aborted", "internal,"]),
        ("retry.linkerd.io/limit", ["0", "3", "65535"], ["-1", "65536", "1.5", "many"]),
        ("retry.linkerd.io/timeout", ["0", "300ms", "2s", "1d"], ["5", "-1s", "1.5s", "1y", "1h30m"]),
        ("timeout.linkerd.io/request", ["10s"], ["10"]),
        ("timeout.linkerd.io/idle", ["1h"], ["soon"]),
    ],
)
def test_annotations(name: str, right: list[str], wrong: list[str], tmp_path: Path) -> None:
    for values, fails in ((right, False), (wrong, True)):
        for value in values:
            text = document("HTTPRoute", f"{{parentRefs: [{PARENT}]}}", "r")
            text = text.replace("name: r,", f'name: r, annotations: {{{name}: "{value}"}},')
            _, errors, warnings = load(tmp_path, NETWORK + text)
            assert [f"{name}: expected " in line for line in errors] == [True] * fails, value
            assert warnings == []


def test_annotations_become_timeouts_and_retries(tmp_path: Path) -> None:
    said = (
        "{retry.linkerd.io/http: 'gateway-error,429', retry.linkerd.io/limit: '3', retry.linkerd.io/timeout: 300ms,"
        " timeout.linkerd.io/request: 2s, timeout.linkerd.io/idle: 1m}"
    )
    text = document("HTTPRoute", f"{{parentRefs: [{PARENT}], rules: [{{timeouts: {{request: 9s}}}}]}}", "r")
    found = rule(
        rules_of(tmp_path, NETWORK + text.replace("name: r,", f"name: r, annotations: {said},")), "HTTPRoute", "r"
    )
    assert found.route is not None and json.loads(route_text(found.route)) == {
        "route": "HTTPRoute/shop/r",
        "rule": 0,
        "system": "linkerd",
        "filters": [],
        "backends": [],
        "timeouts": {"request": 2000, "backend": None, "idle": 60_000},
        "retry": {
            "codes": [502, 503, 504, 429],
            "attempts": 3,
            "backoff": None,
            "timeout": 300,
            "any_method": True,
        },
    }


def test_an_annotation_that_is_nearly_known(tmp_path: Path) -> None:
    text = document("HTTPRoute", f"{{parentRefs: [{PARENT}]}}", "r")
    text = text.replace("name: r,", "name: r, annotations: {retry.linkerd.io/htttp: 5xx},")
    _, errors, (warning,) = load(tmp_path, NETWORK + text)
    assert errors == [] and warning.endswith("is not known (did you mean `retry.linkerd.io/http`?)")
