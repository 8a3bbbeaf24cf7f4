"""Gateway API as its documentation has it, on manifests as they are: which rule of which route a request belongs to.

It knows nothing of how policy is compiled: listeners are chosen, then routes of it, then matches are compared one by
one (landscape sections 2.1 to 2.3).
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from tests.supervisor.policy.dialects.gateway_api.deciding import Question

Manifest = dict[str, Any]
GROUP = "gateway.networking.k8s.io"
KINDS = {
    "HTTP": ("HTTPRoute", "GRPCRoute"),
    "HTTPS": ("HTTPRoute", "GRPCRoute"),
    "TLS": ("TLSRoute",),
    "TCP": ("TCPRoute",),
    "sluice.dev/proxy": ("HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute"),
}
INSIDE = {"HTTPRoute": "http", "GRPCRoute": "http", "TLSRoute": "tls"}
DEAD = ("ExtensionRef", "ExternalAuth")  # filters that are not known


# The parts of a precedence, in order.
KEYS = ("host", "kind of path", "prefix or service", "method", "fields", "queries", "age", "index")


class Found(NamedTuple):
    """A rule, by number in its route, and whether it lets the traffic pass."""

    kind: str
    namespace: str
    name: str
    rule: int
    passes: bool


class Documented:
    """All manifests of a world."""

    def __init__(self, manifests: Sequence[Manifest], listeners: dict[str, int], own: str) -> None:
        self.own = own
        self.hits: Counter[str] = Counter()
        self.by_kind: dict[str, list[Manifest]] = {}
        for one in manifests:
            self.by_kind.setdefault(one["kind"], []).append(one)
        self.gateways = [one for one in self.by_kind.get("Gateway", []) if one["spec"]["gatewayClassName"] == "sluice"]
        self.spaces = {
            one["metadata"]["name"]: one["metadata"].get("labels", {}) for one in self.by_kind.get("Namespace", [])
        }
        self.routes = [
            one for kind in ("HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute") for one in self.by_kind.get(kind, [])
        ]
        self.usable = [
            (gateway, one)
            for gateway in self.gateways
            for one in gateway["spec"]["listeners"]
            if listeners.get(one["name"]) == one["port"]
            and one["protocol"] in KINDS
            and (one["protocol"] != "TLS" or one["tls"]["mode"] == "Passthrough")
        ]  # fmt: skip
        self.attached = [
            (route, gateway, one)
            for route in self.routes
            for gateway, one in self.usable
            if self.attaches(route, gateway, one) and any(self.shared(route, one))
        ]
        self.attached = list(self.without_conflicts())

    def attaches(self, route: Manifest, gateway: Manifest, listener: Manifest) -> bool:
        """By parentRefs and allowedRoutes."""
        here = space(route)
        named = any(
            (parent.get("namespace", here), parent["name"]) == (space(gateway), gateway["metadata"]["name"])
            and parent.get("sectionName", listener["name"]) == listener["name"]
            and parent.get("port", listener["port"]) == listener["port"]
            and parent.get("kind", "Gateway") == "Gateway"
            for parent in route["spec"].get("parentRefs", [])
        )
        allowed = listener.get("allowedRoutes", {})
        kinds = [one["kind"] for one in allowed["kinds"]] if "kinds" in allowed else KINDS[listener["protocol"]]
        spaces = allowed.get("namespaces", {})
        by = spaces.get("from", "Same")
        if by == "Selector":
            labels = {"kubernetes.io/metadata.name": here, **self.spaces.get(here, {})}
            wanted = spaces["selector"].get("matchLabels", {})
            inside = all(labels.get(key) == value for key, value in wanted.items())
        else:
            inside = by == "All" or (by == "Same" and here == space(gateway))
        return named and inside and route["kind"] in kinds and route["kind"] in KINDS[listener["protocol"]]

    def shared(self, route: Manifest, listener: Manifest) -> Iterator[tuple[str, str]]:
        """Pairs of hostnames of both that a host can match together."""
        theirs = listener.get("hostname", "")
        for mine in hostnames(route):
            if is_host(mine, example(theirs)) or is_host(theirs, example(mine)):
                yield mine, theirs

    def without_conflicts(self) -> Iterator[tuple[Manifest, Manifest, Manifest]]:
        """HTTPRoute and GRPCRoute with hosts in common on one port: the older stays."""
        accepted: list[tuple[Manifest, Manifest, Manifest]] = []
        for route, gateway, listener in sorted(self.attached, key=lambda one: age(one[0])):
            rivals = {"HTTPRoute": "GRPCRoute", "GRPCRoute": "HTTPRoute"}.get(route["kind"])
            if not any(
                other["kind"] == rivals and on["name"] == listener["name"] and meet(route, listener, other, on)
                for other, _, on in accepted
            ):
                accepted.append((route, gateway, listener))
        return iter(accepted)

    def decide(self, question: Question) -> Found | None:
        """The rule that the documentation gives the request to; None = none (404, or the connection is rejected)."""
        candidates: list[tuple[tuple[Any, ...], Found]] = []
        for route, host in self.meant(question):
            for number, rule in enumerate(rules_of(route)):
                for match in rule.get("matches") or [{}]:
                    found = self.judge(route, number, rule, match, question)
                    if found is None:
                        continue
                    key = (rank_host(host), *rank_match(route, match), older(route), -number)
                    candidates.append((key, found))
        if not candidates:
            return None
        best = max(candidates, key=lambda one: one[0])
        if others := [one for one in candidates if one[1] != best[1]]:
            second = max(others, key=lambda one: one[0])
            part = next(name for name, a, b in zip(KEYS, best[0], second[0], strict=True) if a != b)
            self.hits[f"tie-break {part}"] += 1
            self.hits["kinds of one host"] += best[1].kind != second[1].kind
        return best[1]

    def has_routes(self, question: Question) -> bool:
        """Whether requests to the host have a route, so that one that none matches is answered 404."""
        return any(route["kind"] in ("HTTPRoute", "GRPCRoute") for route, _ in self.meant(question))

    def meant(self, question: Question) -> Iterator[tuple[Manifest, str]]:
        """The routes of a host, with the hostname that means it."""
        for route, gateway, listener in self.attached:
            if listener["name"] != question.listener or not self.is_chosen(gateway, listener, question.host):
                continue
            if question.protocol and question.protocol != INSIDE.get(route["kind"], question.protocol):
                continue
            if space(route) not in (space(gateway), question.namespace):
                continue  # a route of another namespace than the Gateway's is for its own sources
            if all(self.is_dead(rule) for rule in rules_of(route)):
                continue
            hosts = [host for host in hostnames(route) if is_host(host, question.host)]
            if hosts:
                yield route, max(hosts, key=rank_host)

    def is_chosen(self, gateway: Manifest, listener: Manifest, host: str) -> bool:
        """Of the listeners of one port and protocol the most specific hostname."""
        rivals = [
            rank_host(one.get("hostname", ""))
            for _, one in self.usable
            if (one["name"], one["protocol"]) == (listener["name"], listener["protocol"])
            and is_host(one.get("hostname", ""), host)
        ]
        mine = listener.get("hostname", "")
        return listener["protocol"] == "TCP" or (is_host(mine, host) and rank_host(mine) == max(rivals))

    def judge(self, route: Manifest, number: int, rule: Manifest, match: Manifest, question: Question) -> Found | None:
        """A match: whether it holds, and what becomes of the traffic."""
        way = self.way(route, rule)
        dead = way == "nowhere" or self.is_dead(rule)
        if route["kind"] in ("HTTPRoute", "GRPCRoute"):
            filters = [
                *rule.get("filters", []),
                *(one for to in rule.get("backendRefs", []) for one in to.get("filters", [])),
            ]
            blind = way == "elsewhere" or any(one["type"] != "RequestMirror" for one in filters)
            if question.request is not None:
                known: bool | None = matches(route["kind"], match, question)
            else:
                known = True if unconditional(route["kind"], match) and (dead or not blind) else None
            if known is False or (known is None and not dead):
                return None
        else:
            dead = way != "as asked"
        return Found(route["kind"], space(route), route["metadata"]["name"], number, not dead)

    def is_dead(self, rule: Manifest) -> bool:
        filters = [
            *rule.get("filters", []),
            *(one for to in rule.get("backendRefs", []) for one in to.get("filters", [])),
        ]
        return any(one["type"] in DEAD for one in filters)

    def way(self, route: Manifest, rule: Manifest) -> str:
        """Where the rule's traffic goes."""
        backends = rule.get("backendRefs", [])
        if not backends:
            return "as asked"
        live = [one for one in backends if one.get("weight", 1)]
        states = [self.backend(route, one) for one in live]
        if not any(states):
            return "nowhere"
        return "as asked" if all(state == "own" for state in states) else "elsewhere"

    def backend(self, route: Manifest, to: Manifest) -> str:
        """`own`, `other`, or "" for one that cannot be resolved."""
        if to.get("kind") == "EgressNetwork":
            return "own"
        where, name = to.get("namespace", space(route)), to["name"]
        if f"{where}/{name}" == self.own:
            return "own"
        services = [(space(one), one["metadata"]["name"]) for one in self.by_kind.get("Service", [])]
        if "namespace" not in to and name == self.own.partition("/")[2] and (where, name) not in services:
            return "own"
        if to.get("kind", "Service") != "Service":
            return ""
        if where != space(route) and not any(
            space(grant) == where
            and any(
                (one["group"], one["kind"], one["namespace"]) == (GROUP, route["kind"], space(route))
                for one in grant["spec"]["from"]
            )
            and any(one["kind"] == "Service" and one.get("name", name) == name for one in grant["spec"]["to"])
            for grant in self.by_kind.get("ReferenceGrant", [])
        ):
            return ""
        return "other" if not services or (where, name) in services else ""


def space(manifest: Manifest) -> str:
    return str(manifest["metadata"]["namespace"])


def hostnames(route: Manifest) -> list[str]:
    return route["spec"].get("hostnames") or [""]


def rules_of(route: Manifest) -> list[Manifest]:
    return route["spec"].get("rules") or [{}]


def is_host(pattern: str, host: str) -> bool:
    if not pattern:
        return True
    return host.endswith(pattern[1:]) and host != pattern[2:] if pattern.startswith("*.") else host == pattern


def example(pattern: str) -> str:
    """A host of a hostname, of which no hostname of a test is a longer form."""
    return "only-here.test" if not pattern else pattern.replace("*", "only-here")


def meet(one: Manifest, on: Manifest, other: Manifest, under: Manifest) -> bool:
    """Whether two routes have a host in common, each under its listener."""
    for a in hostnames(one):
        for b in hostnames(other):
            patterns = [a, b, on.get("hostname", ""), under.get("hostname", "")]
            probe = max(patterns, key=rank_host)
            if all(is_host(pattern, example(probe)) for pattern in patterns):
                return True
    return False


def rank_host(host: str) -> tuple[int, int]:
    """Characters of a hostname without a wildcard, then of any."""
    return (0 if host.startswith("*") else len(host)), len(host)


def age(route: Manifest) -> tuple[bool, str, str, str]:
    """The documentation leaves two kinds of one name and age open."""
    created = route["metadata"].get("creationTimestamp")
    return created is None, created or "", f"{space(route)}/{route['metadata']['name']}", route["kind"]


class older:  # reads as a key
    """Greater for the older route, then for the first by kind, namespace and name."""

    def __init__(self, route: Manifest) -> None:
        created = route["metadata"].get("creationTimestamp")
        self.key = created is None, created or "", route["kind"], f"{space(route)}/{route['metadata']['name']}"

    def __gt__(self, other: "older") -> bool:
        return self.key < other.key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, older) and self.key == other.key

    __hash__ = None  # type: ignore[assignment] # a key of comparisons alone


def path_of(match: Manifest) -> tuple[str, str]:
    path = match.get("path", {})
    return path.get("type", "PathPrefix"), path.get("value", "/")


def named(parts: list[Manifest], lower: bool) -> dict[str, tuple[str, str]]:
    """The first of equivalent names."""
    found: dict[str, tuple[str, str]] = {}
    for one in parts:
        found.setdefault(one["name"].lower() if lower else one["name"], (one.get("type", "Exact"), one["value"]))
    return found


def unconditional(kind: str, match: Manifest) -> bool:
    """Whether every request matches."""
    if kind == "GRPCRoute":
        return not match.get("method") and not match.get("headers")
    whole = path_of(match) == ("PathPrefix", "/")
    return whole and not any(match.get(name) for name in ("method", "headers", "queryParams"))


def matches(kind: str, match: Manifest, question: Question) -> bool:
    request = question.request
    assert request is not None
    headers = named(match.get("headers", []), lower=True)
    if not all(fits(form, value, request.fields.get(name)) for name, (form, value) in headers.items()):
        return False
    if kind == "GRPCRoute":
        return call_matches(match.get("method") or {}, request.path)
    queries = named(match.get("queryParams", []), lower=False)
    if not all(fits(form, value, request.queries.get(name)) for name, (form, value) in queries.items()):
        return False
    return match.get("method", request.method) == request.method and path_matches(*path_of(match), request.path)


def fits(form: str, value: str, found: str | None) -> bool:
    if found is None:
        return False
    return found == value if form == "Exact" else re.fullmatch(value, found) is not None


def path_matches(form: str, value: str, path: str) -> bool:
    """By elements: a trailing slash of a prefix does not count."""
    if form == "RegularExpression":
        return re.fullmatch(value, path) is not None
    if form == "Exact":
        return path == value
    wanted = [part for part in value.split("/") if part]
    return path.split("/")[1 : len(wanted) + 1] == wanted


def call_matches(method: Manifest, path: str) -> bool:
    if not method:
        return True
    parts = path.split("/")
    form = method.get("type", "Exact")
    if form == "Exact" and "method" not in method:
        return bool(parts[1] == method["service"])
    if len(parts) != 3 or not parts[1] or not parts[2]:
        return False
    return all(fits(form, method[name], parts[at]) for name, at in (("service", 1), ("method", 2)) if name in method)


def rank_match(route: Manifest, match: Manifest) -> tuple[int, ...]:
    """Exact path, the longest prefix, then method, header fields, query parameters; of gRPC characters of the service
    and of the method. An expression comes after all of them, before no path."""
    headers = len(named(match.get("headers", []), lower=True))
    if route["kind"] == "GRPCRoute":
        method = match.get("method") or {}
        exact = method.get("type", "Exact") == "Exact"
        service, call = len(method.get("service", "")), len(method.get("method", ""))
        return (2 if exact and service else 1 if method else 0), service, call, headers, 0
    if route["kind"] != "HTTPRoute":
        return (0, 0, 0, 0, 0)
    form, value = path_of(match)
    kind = {"Exact": 3, "PathPrefix": 2 if value != "/" else 0, "RegularExpression": 1}[form]
    prefix = len(value) if kind == 2 else 0
    queries = len(named(match.get("queryParams", []), lower=False))
    return kind, prefix, int("method" in match), headers, queries
