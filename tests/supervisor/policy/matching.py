"""Matching, the slow way: names as texts, networks by `ipaddress`, every item of every manifest as written."""

import functools
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

Manifest = dict[str, Any]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

EXACT: Final = 1000
# A world asks for the same few texts again and again.
network_of = functools.lru_cache(maxsize=4096)(ipaddress.ip_network)
address_of = functools.lru_cache(maxsize=4096)(ipaddress.ip_address)


@dataclass(frozen=True)
class World:
    """Everything that decisions depend on. Lists are files by name; users map to (namespace, service account)."""

    manifests: Sequence[Manifest]
    lists: dict[str, str] = field(default_factory=dict)
    users: dict[str, tuple[str, str]] = field(default_factory=dict)
    networks: Sequence[tuple[str, str, str]] = ()
    allow: Sequence[str] = ()
    deny: Sequence[str] = ()
    nat64: Sequence[str] = ()  # of 96 bits
    own: Sequence[tuple[str, int]] = ()
    passthrough: bool = False
    audit: bool = False
    audit_namespaces: Sequence[str] = ()


@dataclass(frozen=True)
class Who:
    """A source by its highest identity; `lower` are the same source by each lower one that holds."""

    namespace: str
    account: str
    identity: str
    user: str
    address: Address | None
    lower: tuple["Who", ...] = ()


@dataclass(frozen=True)
class Item:
    """One item of `to` of one manifest."""

    manifest: Manifest
    index: int
    to: dict[str, Any]
    tier: str
    order: tuple[Any, ...]

    @property
    def namespace(self) -> str:
        return str(self.manifest["metadata"].get("namespace", ""))

    @property
    def upstream(self) -> str:
        return str(self.manifest["spec"].get("upstream", ""))

    @property
    def inner_name(self) -> str:
        return str(self.manifest["spec"].get("innerName", "enforce"))

    @property
    def rule(self) -> tuple[str, str, str, int]:
        kind = "EgressPolicy" if self.namespace else "ClusterEgressPolicy"
        return kind, self.namespace, self.manifest["metadata"]["name"], self.index


@dataclass(frozen=True)
class Match:
    """An item that matches, and how well: bigger is better, except `order`."""

    item: Item
    depth: int
    port: int
    rank: tuple[int, int]
    path: tuple[int, int] = (0, 0)
    ahead: tuple[bool, int] = (False, 0)  # a method is wanted, and so many headers
    unknown: bool = False  # it holds although its conditions cannot be judged

    @property
    def key(self) -> tuple[Any, ...]:
        return self.depth, self.path, self.port, self.rank, self.ahead


def items_of(manifest: Manifest) -> list[Item]:
    """The items of `to`, with the order that decides between equals."""
    spec, metadata = manifest["spec"], manifest["metadata"]
    tier = {"Allow": "allow", "Deny": "deny", "Audit": "audit"}[spec["action"]]
    tier = "hard_deny" if spec.get("hard") else tier
    created = metadata.get("creationTimestamp")
    name = f"{metadata.get('namespace', '')}/{metadata['name']}"
    # Drawn timestamps are all in one form and one zone, so their texts sort as they do; absent ones come last.
    order = ((created is None, created or ""), manifest["kind"], name)
    return [Item(manifest, index, to, tier, (*order, index)) for index, to in enumerate(spec["to"])]


def holds(network: Network, address: Address) -> bool:
    return network.version == address.version and address in network


def inside(inner: Any, outer: Any) -> bool:
    return bool(inner.version == outer.version and inner.subnet_of(outer))


def pattern_depth(pattern: str, name: str) -> int | None:
    """How much of a name a pattern spells out; None = it does not match."""
    if pattern == "*":
        return 0
    if not pattern.startswith("*."):
        return EXACT if pattern == name else None
    suffix = pattern[2:]
    return len(suffix.split(".")) if name.endswith("." + suffix) else None


def name_depth(item: Item, name: str, world: World) -> int | None:
    patterns = [item.to["host"]] if "host" in item.to else []
    if "hostsFrom" in item.to:
        lines = (line.partition("#")[0].strip() for line in world.lists[item.to["hostsFrom"]].splitlines())
        patterns = [line for line in lines if line]
    depths = [depth for pattern in patterns if (depth := pattern_depth(pattern, name)) is not None]
    if not depths or is_excepted(item, lambda text: pattern_depth(text, name) is not None):
        return None
    return max(depths)


def address_depth(item: Item, text: str, world: World) -> int | None:
    del world
    if "cidr" not in item.to:
        return None
    address, network = address_of(text), network_of(item.to["cidr"])
    if not holds(network, address) or is_excepted(item, lambda cidr: holds(network_of(cidr), address)):
        return None
    return network.prefixlen


def is_excepted(item: Item, matches: Any) -> bool:
    return any(matches(text) for text in item.to.get("except", ()))


def port_class(ports: list[int | str] | None, port: int) -> int | None:
    """2 = as a single port, 1 = in a range, 0 = any; None = not at all."""
    if ports is None:
        return 0
    best = None
    for item in ports:
        low, _, high = str(item).partition("-")
        if int(low) <= port <= int(high or low):
            best = max(best or 0, 1 if high else 2)
    return best


@dataclass(frozen=True)
class Request:
    """An HTTP request."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()


Ahead = tuple[bool, int]


def ahead_of(to: dict[str, Any], item: dict[str, Any]) -> Ahead:
    return "methods" in item or "access" in to, len(item.get("headers", {}))


def most_ahead(to: dict[str, Any]) -> Ahead:
    """Of an item whose conditions cannot be judged."""
    return max(ahead_of(to, item) for item in to.get("http", [{}]))


def request_rank(to: dict[str, Any], request: Request) -> tuple[tuple[int, int], Ahead] | None:
    """How well the best item of `http` means the request: 3 = exactly its path, 2 = a prefix and its length, 0 = any
    path, and the conditions beside it; None = none of them does."""
    if to.get("access") == "read-only" and request.method not in ("GET", "HEAD", "OPTIONS"):
        return None
    ranks = [
        (rank, ahead_of(to, item))
        for item in to.get("http", [{}])
        if request.method in item.get("methods", [request.method])
        and all(first_header(request, name) == value for name, value in item.get("headers", {}).items())
        for path in item.get("paths", [None])
        if (rank := path_rank(path, request.path)) is not None
    ]
    return max(ranks, default=None)


def first_header(request: Request, name: str) -> str | None:
    return next((value for other, value in request.headers if other.lower() == name.lower()), None)


def path_rank(pattern: str | None, path: str) -> tuple[int, int] | None:
    if pattern is None:
        return 0, 0
    if not pattern.endswith("/*"):
        return (3, 0) if path == pattern else None
    above = pattern[:-2]
    return (2, len(above) or 1) if path == above or path.startswith(above + "/") else None


def best_rank(item: Item, who: Who) -> tuple[int, int] | None:
    """How narrowly the item's manifest selects the source; None = not at all.

    What denies also matches every lower identity; what lets pass matches the highest alone.
    """
    selectors = item.manifest["spec"].get("from", [{}])
    identities = (who, *who.lower) if item.tier in ("deny", "hard_deny") else (who,)
    ranks = [
        rank
        for identity in identities
        for selector in selectors
        if (rank := selector_rank(selector, item.namespace, identity)) is not None
    ]
    return max(ranks, default=None)


def by_lower_alone(item: Item, who: Who) -> bool:
    """Whether one of its selectors selects a lower identity, and not the highest."""
    return any(
        selector_rank(selector, item.namespace, who) is None
        and any(selector_rank(selector, item.namespace, lower) is not None for lower in who.lower)
        for selector in item.manifest["spec"].get("from", [{}])
    )


def selector_rank(selector: dict[str, str], namespace: str, who: Who) -> tuple[int, int] | None:
    space = selector.get("namespace", namespace)
    wanted = {
        "namespace": (space, who.namespace),
        "account": (selector.get("serviceAccount", ""), who.account),
        "identity": (selector.get("identity", ""), who.identity),
        "user": (selector.get("user", ""), who.user),
    }
    if any(want and want != have for want, have in wanted.values()):
        return None
    length = 0
    if cidr := selector.get("cidr"):
        network = network_of(cidr)
        if who.address is None or not holds(network, who.address):
            return None
        length = 1 + network.prefixlen
    if wanted["identity"][0] or wanted["user"][0]:
        return 4, length
    if wanted["account"][0]:
        return 3, length
    if space:
        return 2, length
    return (1 if cidr else 0), length
