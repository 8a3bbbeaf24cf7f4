"""Routes are read to their last field, in every served version."""

import msgspec
import pytest

from supervisor.policy.dialects.routes import (
    GATEWAY_API_KINDS,
    LINKERD_KINDS,
    AnyRoute,
    GRPCMatch,
    GRPCRoute,
    HTTPMatch,
    HTTPRoute,
    TCPRoute,
    TLSRoute,
)
from supervisor.policy.dialects.routes.parts import (
    Cors,
    Extension,
    ExternalAuth,
    HeaderModifier,
    Mirror,
    NewPath,
    Persistence,
    Redirect,
    Retry,
    Rewrite,
    Timeouts,
)
from tests.supervisor.policy.dialects.routes.reading import HTTP, read_route, route_of

FULL = """apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: api
  namespace: shop
  creationTimestamp: "2024-01-01T00:00:00Z"
  annotations: {retry.linkerd.io/http: 5xx, timeout.linkerd.io/request: 1s, example.com/x: y}
spec:
  useDefaultGateways: None
  parentRefs:
    - {name: outside, namespace: egress, sectionName: http, port: 8080}
    - {name: outside, namespace: egress, sectionName: https}
    - {group: policy.linkerd.io, kind: EgressNetwork, name: all, namespace: linkerd-egress, port: 80}
  hostnames: [api.example.com, "*.example.org"]
  rules:
    - name: first
      matches:
        - path: {type: Exact, value: /v1}
          headers: [{name: X-Team, value: shop}, {name: version, type: RegularExpression, value: "v[0-9]+"}]
          queryParams: [{name: q, value: "1 2"}, {name: Q, type: RegularExpression, value: a|b}]
          method: GET
        - path: {value: /v2/}
        - path: {type: RegularExpression, value: "/v[3-9]"}
      filters:
        - type: RequestHeaderModifier
          requestHeaderModifier: {set: [{name: A, value: b c}], add: [{name: D, value: e}], remove: [F]}
        - {type: ResponseHeaderModifier, responseHeaderModifier: {remove: [Server]}}
        - {type: RequestMirror, requestMirror: {backendRef: {name: copy, port: 80}, percent: 10}}
        - {type: RequestMirror, requestMirror: {backendRef: {name: two, port: 80}, fraction: {numerator: 1}}}
        - type: URLRewrite
          urlRewrite: {hostname: a.example.com, path: {type: ReplaceFullPath, replaceFullPath: /x}}
        - {type: ExtensionRef, extensionRef: {group: example.com, kind: Thing, name: one}}
        - type: CORS
          cors:
            {allowOrigins: ["https://*.example.com:8443"], allowMethods: [GET], allowHeaders: [X-A],
             exposeHeaders: [X-B], allowCredentials: true, maxAge: 60}
        - type: ExternalAuth
          externalAuth:
            {protocol: HTTP, backendRef: {name: auth, port: 80}, http: {path: /ask, allowedHeaders: [a],
             allowedResponseHeaders: [b]}, forwardBody: {maxSize: 1024}}
      backendRefs:
        - name: one
          port: 80
          weight: 3
          filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: [G]}}]
        - {group: policy.linkerd.io, kind: EgressNetwork, name: all, namespace: linkerd-egress}
      timeouts: {request: 10s, backendRequest: 1500ms}
      retry: {codes: [500, 503], attempts: 3, backoff: 100ms}
      sessionPersistence:
        {type: Cookie, cookie: {name: s, path: /x, lifetimeType: Permanent}, absoluteTimeout: 1h30m}
    - matches: [{path: {value: /old}}]
      filters:
        - type: RequestRedirect
          requestRedirect:
            {scheme: https, hostname: b.example.com, path: {type: ReplacePrefixMatch, replacePrefixMatch: ""},
             port: 8443, statusCode: 308}
    - {}
"""


def http(text: str) -> HTTPRoute:
    found = route_of(text)
    assert isinstance(found, HTTPRoute)
    return found


def test_every_field_of_an_http_route() -> None:
    route = http(FULL)
    assert (route.api, route.kind, route.namespace, route.name) == (
        *("gateway.networking.k8s.io", "HTTPRoute", "shop", "api"),
    )
    assert route.created == 1_704_067_200_000_000
    assert [(name, text.value) for name, text in route.annotations] == [
        *[("retry.linkerd.io/http", "5xx"), ("timeout.linkerd.io/request", "1s")],
    ]
    assert [(one.group, one.kind, one.namespace, one.name, one.section, one.port) for one in route.parents] == [
        ("gateway.networking.k8s.io", "Gateway", "egress", "outside", "http", 8080),
        ("gateway.networking.k8s.io", "Gateway", "egress", "outside", "https", 0),
        ("policy.linkerd.io", "EgressNetwork", "linkerd-egress", "all", "", 80),
    ]
    assert [text.value for text in route.hostnames] == ["api.example.com", "*.example.org"]
    first, second, third = route.rules
    assert (first.timeouts, first.retry) == (Timeouts(10_000, 1500), Retry((500, 503), 3, 100))
    assert first.persistence == Persistence("Cookie", "s", "/x", True, 5_400_000)
    assert [(one.reference.name, one.reference.port, one.weight) for one in first.backends] == [
        *[("one", 80, 3), ("all", 0, 1)],
    ]
    assert first.backends[0].filters[0].value == HeaderModifier(False, (), (), ("G",))
    (redirect,) = second.filters
    assert redirect.value == Redirect("https", "b.example.com", NewPath(True, ""), 8443, 308)
    assert [match.path.value.value for match in third.matches if isinstance(match, HTTPMatch)] == ["/"]


def test_matches_of_an_http_route() -> None:
    one, two, three = http(FULL).rules[0].matches
    assert isinstance(one, HTTPMatch) and isinstance(two, HTTPMatch) and isinstance(three, HTTPMatch)
    assert (one.path.kind, one.path.value.value, one.method) == ("exact", "/v1", "GET")
    assert [(named.name, named.kind, named.value.value) for named in one.headers] == [
        *[("x-team", "exact", "shop"), ("version", "regex", "v[0-9]+")],
    ]
    assert [(named.name, named.kind, named.value.value) for named in one.queries] == [
        *[("q", "exact", "1 2"), ("Q", "regex", "a|b")],
    ]
    assert (two.path.kind, two.path.value.value) == ("prefix", "/v2/")
    assert (three.path.kind, three.path.value.value) == ("regex", "/v[3-9]")


def test_filters_of_an_http_route() -> None:
    values = [one.value for one in http(FULL).rules[0].filters]
    assert values[0] == HeaderModifier(False, (("A", "b c"),), (("D", "e"),), ("F",))
    assert values[1] == HeaderModifier(True, (), (), ("Server",))
    assert isinstance(values[2], Mirror) and (values[2].numerator, values[2].denominator) == (10, 100)
    assert isinstance(values[3], Mirror) and (values[3].backend.name, values[3].numerator) == ("two", 1)
    assert values[4] == Rewrite("a.example.com", NewPath(False, "/x"))
    assert isinstance(values[5], Extension) and values[5].reference.group == "example.com"
    assert values[6] == Cors(("https://*.example.com:8443",), ("GET",), ("X-A",), ("X-B",), True, 60)
    assert isinstance(values[7], ExternalAuth)
    assert (values[7].path, values[7].headers, values[7].answered, values[7].body) == ("/ask", ("a",), ("b",), 1024)


def test_a_route_is_remembered_as_it_was_read() -> None:
    """Parts of files are kept as bytes (supervisor/policy/remembered.py)."""
    for text in (FULL, GRPC, TLS, TCP):
        route = route_of(text)
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(route), type=AnyRoute) == route


def test_without_rules_every_request_matches() -> None:
    (rule,) = http(HTTP).rules
    (match,) = rule.matches
    assert isinstance(match, HTTPMatch) and (match.path.kind, match.path.value.value) == ("prefix", "/")


GRPC = """apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: calls, namespace: shop}
spec:
  parentRefs: [{name: outside}]
  hostnames: [grpc.example.com]
  rules:
    - matches:
        - {method: {service: com.example.Cart, method: Add}, headers: [{name: Version, value: "1"}]}
        - {method: {type: RegularExpression, method: Get.*}}
        - {}
      filters: [{type: RequestMirror, requestMirror: {backendRef: {name: copy, port: 80}}}]
      backendRefs: [{name: calls, port: 80}]
      sessionPersistence: {type: Header, header: {name: X-Session}}
"""
TLS = """apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {name: bank, namespace: shop}
spec:
  parentRefs: [{name: outside, sectionName: tls}]
  hostnames: [api.bank.com, "*.bank.org"]
  rules: [{name: only, backendRefs: [{name: sluice, namespace: egress, port: 443, weight: 0}]}]
"""
TCP = """apiVersion: gateway.networking.k8s.io/v1alpha2
kind: TCPRoute
metadata: {name: db, namespace: shop}
spec:
  parentRefs: [{name: outside, port: 5432}]
  rules: [{backendRefs: [{name: sluice, namespace: egress, port: 5432}]}]
"""


def test_a_grpc_route() -> None:
    route = route_of(GRPC)
    assert isinstance(route, GRPCRoute)
    (rule,) = route.rules
    found = [(one.kind, one.service, one.method) for one in rule.matches if isinstance(one, GRPCMatch)]
    assert found == [("exact", "com.example.Cart", "Add"), ("regex", "", "Get.*"), ("exact", "", "")]
    assert rule.matches[0].headers[0].name == "version"
    assert rule.persistence == Persistence("Header", "X-Session", "/", False, None)


def test_tls_and_tcp_routes() -> None:
    tls, tcp = route_of(TLS), route_of(TCP)
    assert isinstance(tls, TLSRoute) and isinstance(tcp, TCPRoute)
    assert [text.value for text in tls.hostnames] == ["api.bank.com", "*.bank.org"]
    assert (tls.rules[0].name, tls.rules[0].backends[0].weight) == ("only", 0)
    assert tcp.rules[0].backends[0].reference.namespace == "egress"


LINKERD = """apiVersion: policy.linkerd.io/v1beta3
kind: HTTPRoute
metadata: {name: api, namespace: shop}
spec:
  parentRefs: [{kind: EgressNetwork, name: all, namespace: linkerd-egress, port: 80}]
  hostnames: [api.example.com]
  rules:
    - matches: [{path: {value: /a}}]
      filters: [{type: RequestRedirect, requestRedirect: {statusCode: 301}}]
    - backendRefs:
        - name: one
          port: 80
          filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {remove: [Server]}}]
      timeouts: {request: 1s}
"""


def test_linkerds_own_route() -> None:
    route = http(LINKERD)
    assert route.api == "policy.linkerd.io" and route.parents[0].is_kind("policy.linkerd.io", "EgressNetwork")
    assert len(route.rules) == 2


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("matches: [", "name: a\n      matches: [", "8:7: unknown key `name`"),
        ("statusCode: 301", "statusCode: 307", "9:71: statusCode: expected one of 301, 302"),
        ("type: RequestRedirect, requestRedirect: {statusCode: 301}", "type: URLRewrite", "type: expected one of"),
        ("timeouts: {request: 1s}", "retry: {attempts: 1}", "unknown key `retry`"),
        (
            "matches: [",
            "matches: [" + "{path: {value: /b}}, " * 8,
            "expected at most 8 items, found 9",
        ),
    ],
)
def test_linkerds_route_has_limits_of_its_own(old: str, new: str, line: str) -> None:
    _, errors, _ = read_route(LINKERD.replace(old, new, 1))
    assert any(line in error for error in errors), errors


@pytest.mark.parametrize(
    ("kind", "version"),
    [(kind, one) for kind, versions in (GATEWAY_API_KINDS | LINKERD_KINDS).items() for one in versions],
)
def test_every_served_version(kind: tuple[str, str], version: str) -> None:
    text = {"GRPCRoute": GRPC, "TLSRoute": TLS, "TCPRoute": TCP, "HTTPRoute": HTTP}[kind[1]]
    _, _, rest = text.partition("\n")
    route = route_of(f"apiVersion: {kind[0]}/{version}\n{rest}")
    assert (route.api, route.kind) == kind


def test_hostnames_may_be_absent_in_the_oldest_tls_route() -> None:
    text = TLS.replace('  hostnames: [api.bank.com, "*.bank.org"]\n', "")
    (error,) = read_route(text)[1]
    assert error.endswith(": `hostnames` is missing or empty (write hostnames: [api.example.com])")
    assert route_of(text.replace("io/v1\n", "io/v1alpha2\n")).hostnames == ()


def test_the_entries_of_a_route_are_its_matches_under_its_hosts_and_parents() -> None:
    assert [route_of(text).entries for text in (FULL, GRPC, TLS, TCP)] == [2 * 5 * 3, 3, 2, 1]
