"""Policy in the words that every dialect shares: rules, whom they select, where to. Not manifests, not images."""

from typing import Literal

import msgspec

from supervisor.source.problems import Place

Tier = Literal["audit", "allow", "deny", "hard_deny"]
OnRevoke = Literal["kill", "drain", "keep"]
Inner = Literal["enforce", "audit", "off"]
InnerProtocol = Literal["any", "tls", "http", "ssh"]
Ech = Literal["allow", "deny"]
Range = tuple[int, int]  # ports, both included; equal = a single port


class Selector(msgspec.Struct, frozen=True, array_like=True):
    """Sources: all that is set must hold. Nothing set = the whole mesh.

    At most one of `service_account`, `identity` and `user`; a service account has a namespace.
    """

    namespace: str = ""
    service_account: str = ""
    identity: str = ""  # SPIFFE ID
    user: str = ""
    cidr: str = ""


class Text(msgspec.Struct, frozen=True, array_like=True):
    """A text of a manifest and where it stands, for what can only be judged later."""

    value: str
    place: Place


class Destination(msgspec.Struct, frozen=True, array_like=True):
    """Where to: exactly one of `host` (a name, `*.name` or `*`), `cidr` and `hosts_from` (a path). No ports = any."""

    host: Text | None = None
    cidr: str = ""
    hosts_from: Text | None = None
    ports: tuple[Range, ...] = ()
    excepts: tuple[Text, ...] = ()  # host patterns for `host` and `hosts_from`, CIDRs for `cidr`


class Rule(msgspec.Struct, frozen=True, array_like=True):
    """One destination item of one resource; `index` counts the resource's items from 0, `place` is the item's."""

    kind: str
    namespace: str  # "" for kinds without one
    name: str
    index: int
    place: Place
    tier: Tier
    selectors: tuple[Selector, ...]
    destination: Destination
    created: int | None = None  # creationTimestamp, microseconds since 1970
    on_revoke: OnRevoke | None = None  # None = the resource does not say
    inner: Inner | None = None  # innerName
    protocol: InnerProtocol | None = None  # that has to show inside
    ech: Ech | None = None  # whether an encrypted ClientHello passes
    upstream: Text | None = None  # a parent gateway of sluice.yaml
    source_addresses: tuple[str, ...] = ()  # connections come from one of these; none = the system chooses

    @property
    def order(self) -> tuple[bool, int, str, str, int]:
        """The order of rules that match equally well: the lower wins (DECISIONS.md section 4).

        The older resource first. One without a creationTimestamp is of unknown age: it comes after all that have one,
        so that adding a file does not displace what an API server has dated; among themselves they are equal.
        """
        return self.created is None, self.created or 0, self.kind, f"{self.namespace}/{self.name}", self.index
