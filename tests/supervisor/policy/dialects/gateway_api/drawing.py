"""Random worlds of Gateways and routes, and questions about them; few names, so that much meets."""

import random
from typing import Any, Final

from tests.supervisor.policy.dialects.gateway_api.deciding import Question, Request

LISTENERS: Final = {"default": 1080, "second": 1081}
OWN: Final = "egress/sluice"
SPACES: Final = ("egress", "shop", "team")
HOSTS: Final = ("a.test", "*.a.test", "b.a.test", "*.b.a.test", "c.b.a.test", "*.test", "d.test")
ASKED: Final = ("a.test", "b.a.test", "c.b.a.test", "x.c.b.a.test", "d.test", "e.d.test", "other.example")
PATHS: Final = ("/", "/v1", "/v1/", "/v1/a", "/v2")
PROBES: Final = (
    "/",
    "/v1",
    "/v1/",
    "/v1/a",
    "/v1/a/b",
    "/v1x",
    "/v2",
    "/s.One/Get",
    "/s.One/Put",
    "/s.Two/Get",
    "/s.One/x/Get",
)
EXPRESSIONS: Final = ("/v[12]", "/v1.*", ".*")
NAMES: Final = ("X-B", "x-b", "x-a")
VALUES: Final = ("one", "two")
METHODS: Final = ("GET", "POST")
VERSION: Final = {"TLSRoute": "v1alpha2", "TCPRoute": "v1alpha2"}

Manifest = dict[str, Any]


def some(draw: random.Random, share: float) -> bool:
    return draw.random() < share


def world(draw: random.Random) -> list[Manifest]:
    """Two or three Gateways, up to ten routes, grants and Services."""
    found: list[Manifest] = []
    places = [(space, name) for space in SPACES for name in ("g", "h")]
    gateways = draw.sample(places, draw.randint(2, 3))
    for space, name in gateways:
        found.append(gateway(draw, space, name))
    names = [(kind, space, name) for kind in ROUTES for space in SPACES for name in ("r1", "r2", "r3")]
    for kind, space, name in draw.sample(names, draw.randint(3, 10)):
        found.append(route(draw, kind, space, name, gateways))
    if some(draw, 0.7):
        found += contest(draw, *draw.choice(gateways))
    if some(draw, 0.5):
        for space in SPACES:
            found.append(service(space, "one"))
    if some(draw, 0.5):
        found.append(grant(draw))
    if some(draw, 0.5):
        found.append(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"tier": "gold"}}}
        )
    draw.shuffle(found)
    return found


def frame(kind: str, space: str, name: str, version: str = "v1") -> Manifest:
    version = VERSION.get(kind, version)
    return {
        "apiVersion": f"gateway.networking.k8s.io/{version}",
        "kind": kind,
        "metadata": {"name": name, "namespace": space},
    }


def gateway(draw: random.Random, space: str, name: str) -> Manifest:
    listeners = []
    for one in draw.sample(list(LISTENERS), draw.randint(1, 2)):
        protocol = draw.choice(("HTTP", "HTTP", "TLS", "TCP", "sluice.dev/proxy", "sluice.dev/proxy", "UDP"))
        listener: Manifest = {
            "name": one,
            "port": LISTENERS[one] + (1000 if some(draw, 0.05) else 0),
            "protocol": protocol,
        }
        if protocol == "TLS":
            listener["tls"] = {"mode": "Passthrough"}
        if protocol not in ("TCP", "UDP") and some(draw, 0.5):
            listener["hostname"] = draw.choice(HOSTS)
        if some(draw, 0.85):
            listener["allowedRoutes"] = allowed(draw)
        listeners.append(listener)
    spec = {"gatewayClassName": "other" if some(draw, 0.05) else "sluice", "listeners": listeners}
    return {**frame("Gateway", space, name), "spec": spec}


def allowed(draw: random.Random) -> Manifest:
    by = draw.choice(("All", "All", "All", "Same", "Selector"))
    spaces: Manifest = {"from": by}
    if by == "Selector":
        label = draw.choice(({"tier": "gold"}, {"kubernetes.io/metadata.name": "team"}, {}))
        spaces["selector"] = {"matchLabels": label} if label else {}
    found: Manifest = {"namespaces": spaces}
    if some(draw, 0.1):
        found["kinds"] = [{"kind": kind} for kind in draw.sample(ROUTES, 2)]
    return found


ANY: Final = {"type": "RegularExpression", "value": ".*"}
ONE, BOTH = [{"name": "x-a", **ANY}], [{"name": "x-a", **ANY}, {"name": "x-b", **ANY}]
CONTESTS: Final[tuple[tuple[Manifest, Manifest], ...]] = (
    *(({"path": {"value": "/v1"}}, {"path": {"value": "/v1/a"}}), ({}, {"method": "GET"})),
    *(({"headers": ONE}, {"headers": BOTH}), ({"queryParams": ONE}, {"queryParams": BOTH})),
)


def contest(draw: random.Random, space: str, gateway_name: str) -> list[Manifest]:
    """Two routes for the same hosts that differ in one part of their matches."""
    hosts, names, found = draw.sample(ASKED, 5), ["c1", "c2"], []
    draw.shuffle(names)
    for name, match in zip(names, draw.choice(CONTESTS), strict=True):
        spec = {"parentRefs": [{"name": gateway_name}], "hostnames": hosts, "rules": [{"matches": [match]}]}
        found.append({**frame("HTTPRoute", space, name), "spec": spec})
    return found


ROUTES: Final = ("HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute")


def route(draw: random.Random, kind: str, space: str, name: str, gateways: list[tuple[str, str]]) -> Manifest:
    found = frame(kind, space, name)
    if some(draw, 0.7):
        found["metadata"]["creationTimestamp"] = f"2024-01-0{draw.randint(1, 3)}T00:00:00Z"
    parents = []
    for where, gateway_name in draw.sample(gateways, draw.randint(1, len(gateways))):
        parent: Manifest = {"name": gateway_name}
        if where != space or some(draw, 0.3):
            parent["namespace"] = where
        if some(draw, 0.3):
            parent["sectionName"] = draw.choice([*LISTENERS, "none"])
        if some(draw, 0.2):
            parent["port"] = draw.choice(list(LISTENERS.values()))
        parents.append(parent)
    spec: Manifest = {"parentRefs": parents}
    if kind != "TCPRoute" and some(draw, 0.75):
        spec["hostnames"] = draw.sample(HOSTS, draw.randint(1, 3))
    if kind in ("HTTPRoute", "GRPCRoute"):
        spec["rules"] = [request_rule(draw, kind, space) for _ in range(draw.randint(1, 3))]
    else:
        spec["rules"] = [{"backendRefs": [backend(draw, space) for _ in range(draw.randint(1, 2))]}]
    return {**found, "spec": spec}


def request_rule(draw: random.Random, kind: str, space: str) -> Manifest:
    one = http_match if kind == "HTTPRoute" else grpc_match
    rule: Manifest = {"matches": [one(draw) for _ in range(draw.randint(0, 2))]}
    if some(draw, 0.4):
        rule["backendRefs"] = [backend(draw, space) for _ in range(draw.randint(1, 2))]
    if some(draw, 0.15):
        rule["filters"] = [draw.choice((MIRROR, MODIFIER))]
    return rule


MIRROR: Final = {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "one", "port": 80}}}
MODIFIER: Final = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["x-c"]}}


def backend(draw: random.Random, space: str) -> Manifest:
    found: Manifest = draw.choice(
        (
            {"name": "sluice", "namespace": "egress"},
            {"name": "sluice", "namespace": "egress"},
            {"name": "sluice"},
            {"name": "one"},
            {"name": "gone"},
            {"name": "one", "namespace": draw.choice(SPACES)},
            {"group": "example.com", "kind": "Bucket", "name": "one"},
            {"group": "policy.linkerd.io", "kind": "EgressNetwork", "name": "all"},
        )
    )
    found = {**found, "port": 80}
    if some(draw, 0.2):
        found["weight"] = draw.choice((0, 1))
    return found


def http_match(draw: random.Random) -> Manifest:
    found: Manifest = {}
    if some(draw, 0.6):
        form = draw.choice(("Exact", "PathPrefix", "PathPrefix", "RegularExpression"))
        value = draw.choice(EXPRESSIONS if form == "RegularExpression" else PATHS)
        found["path"] = {"type": form, "value": value}
    if some(draw, 0.4):
        found["headers"] = named(draw)
    if some(draw, 0.2):
        found["queryParams"] = named(draw)
    if some(draw, 0.2):
        found["method"] = draw.choice(METHODS)
    return found


def named(draw: random.Random) -> list[Manifest]:
    found: list[Manifest] = []
    names = NAMES[:2] if some(draw, 0.3) else draw.sample(NAMES, draw.randint(1, 2))
    for name in names:
        if some(draw, 0.2):
            found.append({"name": name, "type": "RegularExpression", "value": draw.choice(("o.*", "one|two"))})
        else:
            found.append({"name": name, "value": draw.choice(VALUES)})
    return found


def grpc_match(draw: random.Random) -> Manifest:
    found: Manifest = {}
    if some(draw, 0.8):
        form = draw.choice(("Exact", "Exact", "RegularExpression"))
        service, method = ("s.One", "Get") if form == "Exact" else ("s[.].*", "G.*")
        parts = draw.choice(({"service": service}, {"method": method}, {"service": service, "method": method}))
        found["method"] = {"type": form, **parts}
    if some(draw, 0.3):
        found["headers"] = named(draw)
    return found


def service(space: str, name: str) -> Manifest:
    spec = {"selector": {"app": name}, "ports": [{"port": 80}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": space}, "spec": spec}


def grant(draw: random.Random) -> Manifest:
    source = {"group": "gateway.networking.k8s.io", "kind": draw.choice(ROUTES), "namespace": draw.choice(SPACES)}
    target = {"group": "", "kind": "Service"}
    if some(draw, 0.5):
        target["name"] = draw.choice(("one", "gone"))
    found = frame("ReferenceGrant", draw.choice(SPACES), "grant", "v1beta1")
    return {**found, "spec": {"from": [source], "to": [target]}}


def question(draw: random.Random) -> Question:
    protocol = draw.choice(("http", "http", "http", "tls", "other"))
    seen: Request | None = None
    if protocol == "http" and some(draw, 0.75):
        fields = {name.lower(): draw.choice(VALUES) for name in NAMES if some(draw, 0.5)}
        queries = {name: draw.choice(VALUES) for name in NAMES if some(draw, 0.5)}
        seen = Request(draw.choice(METHODS), draw.choice(PROBES), fields, queries)
    return Question(draw.choice(list(LISTENERS)), draw.choice((*SPACES, "")), draw.choice(ASKED), protocol, seen)
