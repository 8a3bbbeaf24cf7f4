"""Policy in the words that every dialect shares: rules, whom they select, where to. Not manifests, not images.

A resource has few facts of its own and may have very many items, so that what they share is said once.
"""

import json
from typing import Literal

import msgspec

from supervisor.policy.resources.conditions import Condition, Path
from supervisor.policy.resources.routing import HeaderChanges, Route
from supervisor.policy.resources.terms import Selector, Text
from supervisor.source.problems import Place

__all__ = ["Destination", "Item", "Origination", "Range", "Rules", "Selector", "Text", "Tier", "origination_text"]

# What an item says, or a dialect where none of its items matches.
# `unauthorized` is a deny that says why.
Tier = Literal["audit", "allow", "deny", "hard_deny", "default_allow", "default_audit", "default_deny", "unauthorized"]
OnRevoke = Literal["kill", "drain", "keep"]
Inner = Literal["enforce", "audit", "off"]
InnerProtocol = Literal["any", "tls", "http", "ssh"]
Ech = Literal["allow", "deny"]
TlsVersion = Literal["1.2", "1.3"]
Range = tuple[int, int]  # ports, both included; equal = a single port


class Destination(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where to: exactly one of `host` (a name, `*.name` or `*`), `cidr`, `hosts_from` (a path) and `anything` (every
    name and address). No ports = any."""

    host: Text | None = None
    cidr: str = ""
    hosts_from: Text | None = None
    ports: tuple[Range, ...] = ()
    excepts: tuple[Text, ...] = ()  # host patterns for `host` and `hosts_from`, CIDRs for `cidr`
    anything: bool = False


class Item(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One rule: one destination item of a resource. `index` counts the resource's items from 0.

    `path` and `when` must hold, else the item does not count; of several items the better path wins: exact, the longer
    prefix, a regex, none. `ahead` is all that a dialect says of precedence after class, host and path and before the
    age of the resource: the greater wins.
    """

    index: int
    line: int
    column: int
    destination: Destination
    path: Path | None = None
    when: Condition | None = None
    ahead: int = 0


class Origination(msgspec.Struct, frozen=True, array_like=True):
    """`tls` of a rule: its tunnels leave as TLS, or as they come where `originate` is False. `port` that is dialed, 0 =
    443 for 80, else the one asked for. Without `sans` the certificate names `server_name`, without that the host asked
    for. `ca` None = the CAs of the system. With `authority`, a PEM text, `ca` names the ConfigMaps that have it."""

    place: Place
    originate: bool
    port: int = 0
    server_name: str | None = None
    sans: tuple[str, ...] = ()
    ca: Text | None = None  # absolute path, as the next two
    certificate: Text | None = None
    key: Text | None = None
    min_version: TlsVersion = "1.2"
    alpn: tuple[str, ...] = ()
    authority: str | None = None


def origination_text(tls: Origination) -> str:
    """As the policy image and `explain` know it. "{}": bytes leave as they come."""
    if not tls.originate:
        return "{}"
    said = {
        "port": tls.port or None,
        "serverName": tls.server_name,
        "sans": tls.sans,
        "ca": tls.ca.value if tls.ca else "system",
        "certificate": tls.certificate.value if tls.certificate else None,
        "key": tls.key.value if tls.key else None,
        "minVersion": tls.min_version,
        "alpn": tls.alpn,
    }
    return json.dumps(said, separators=(",", ":"))


class Rules(msgspec.Struct, frozen=True, array_like=True):
    """The rules of one resource: one for each of `items`, which differ in their destination alone.

    `group` 0 has one verdict for each tier. Every other is a dialect, which has one verdict: that of the greatest
    `precedence`, then of the best match (csrc/policy/image.h); with `by_order` neither ports nor the selector count in
    it, `ahead` and age alone.
    `admit` is judged after an allow has won: where it does not hold the answer is a deny, unauthorized.
    `network` names a network of destinations, `in_network` one that the rules are written for: of the networks of a
    group that select the source and cover the address, the greatest `ahead` and then the oldest is the one, its tier is
    the group's default, and rules for another do not count.
    """

    kind: str
    namespace: str  # "" for kinds without one
    name: str
    file: str
    tier: Tier
    selectors: tuple[Selector, ...]
    items: tuple[Item, ...]
    created: int | None = None  # creationTimestamp, microseconds since 1970
    on_revoke: OnRevoke | None = None  # None = the resource does not say
    inner: Inner | None = None  # innerName
    protocol: InnerProtocol | None = None  # that has to show inside
    ech: Ech | None = None  # whether an encrypted ClientHello passes
    upstream: Text | None = None  # a parent gateway of sluice.yaml
    source_addresses: tuple[str, ...] = ()  # connections come from one of these; none = the system chooses
    tls: Origination | None = None  # None = the resource does not say
    route: Route | None = None  # what becomes of requests, likewise
    headers: HeaderChanges | None = None  # changes of their fields, likewise
    read_only: tuple[int, ...] = ()  # indexes of items that let requests pass which read, and no others
    group: int = 0
    precedence: int = 0
    by_order: bool = False
    admit: Condition | None = None
    network: str = ""  # "namespace/name"; its items have CIDRs or `anything`, and no other rule of that name has one
    in_network: str = ""
    no_route: bool = False  # this default denies requests that no route of a host matches: 404
    instead_of_passthrough: bool = False  # policy.passthrough ends for its sources: this default is theirs
    credentials: tuple[Text, ...] = ()  # names of those that `headers` sets
    invalid: bool = False  # the resource cannot be used: this deny closes what it selects, policy_invalid

    @property
    def order(self) -> tuple[bool, int, str, str]:
        """The order of rules that match equally well: the lower wins, then the lower item (DECISIONS.md section 4).

        The older resource first. One without a creationTimestamp is of unknown age: it comes after all that have one,
        so that adding a file does not displace what an API server has dated; among themselves they are equal.
        """
        return self.created is None, self.created or 0, self.kind, f"{self.namespace}/{self.name}"

    @property
    def ends_passthrough(self) -> bool:
        """Whether policy.passthrough ends for the sources that it selects: an allow of group 0 does that."""
        return (self.tier == "allow" and not self.group) or self.instead_of_passthrough

    @property
    def is_own_network(self) -> bool:
        """Whether it is a network of its own namespace, and not one for every namespace without any."""
        return bool(self.network) and not any(selector.elsewhere for selector in self.selectors)

    def place(self, part: Item | Text) -> Place:
        """Where a part of it stands."""
        return Place(self.file, part.line, part.column)
