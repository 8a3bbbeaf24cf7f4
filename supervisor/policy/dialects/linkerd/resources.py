"""The resources as their documents say them: kinds of policy.linkerd.io, and ServiceProfile of linkerd.io."""

from collections.abc import Iterator
from typing import Literal

import msgspec

from supervisor.policy.dialects.dialect import Part
from supervisor.policy.resources.conditions import Condition, Expression, expressions_in
from supervisor.policy.resources.labels import Requirement
from supervisor.policy.resources.model import Text

TrafficPolicy = Literal["Allow", "Deny"]
AccessPolicy = Literal[
    "deny",
    "audit",
    "all-unauthenticated",
    "all-authenticated",
    "cluster-authenticated",
    "cluster-unauthenticated",
]
ProxyProtocol = Literal["unknown", "HTTP/1", "HTTP/2", "gRPC", "opaque", "TLS"]


class Target(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A resource that is referred to; `namespace` "" = the referring one's own, `group` "" = Kubernetes' own."""

    group: str
    kind: str
    namespace: str
    name: str
    line: int
    column: int


class Block(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A CIDR without its exceptions, which lie inside it."""

    cidr: str
    excepts: tuple[Text, ...]
    line: int
    column: int


class EgressNetwork(Part, frozen=True, kw_only=True):
    """`policy` is what holds where no route does. `blocks` None = everything but the mesh's own networks."""

    policy: TrafficPolicy
    blocks: tuple[Block, ...] | None


class Server(Part, frozen=True, kw_only=True):
    """`pods` None = it selects ExternalWorkloads. `port` by number or by name; `labels` are the Server's own."""

    labels: tuple[tuple[str, str], ...]
    pods: tuple[Requirement, ...] | None
    port: int | str
    access: AccessPolicy
    protocol: ProxyProtocol


class AuthorizationPolicy(Part, frozen=True, kw_only=True):
    """A source that satisfies each of `needed` is admitted to the target; of none: every source."""

    target: Target
    needed: tuple[Target, ...]


class MeshTLSAuthentication(Part, frozen=True, kw_only=True):
    """Sources with one of these identities: as Linkerd writes them, or of service accounts and namespaces."""

    identities: tuple[Text, ...]
    references: tuple[Target, ...]


class NetworkAuthentication(Part, frozen=True, kw_only=True):
    """Sources whose address lies in one of these."""

    blocks: tuple[Block, ...]


class ServerAuthorization(Part, frozen=True, kw_only=True):
    """Admission to Servers: the one of a name, else all whose labels match. `identities` and `accounts`
    (namespace and name) are None where no identity is asked for; `tls`: one that is verified is not. Without `blocks`
    every address."""

    server: str
    selector: tuple[Requirement, ...]
    blocks: tuple[Block, ...]
    identities: tuple[Text, ...] | None
    accounts: tuple[tuple[str, str], ...] | None
    tls: bool


class StatusRange(msgspec.Struct, frozen=True, array_like=True, tag=True, gc=False):
    """Status codes from `low` to `high`, both included."""

    low: int
    high: int


class AllStatuses(msgspec.Struct, frozen=True, array_like=True, tag=True):
    of: tuple["StatusMatch", ...]


class AnyStatus(msgspec.Struct, frozen=True, array_like=True, tag=True):
    of: tuple["StatusMatch", ...]


class NotStatus(msgspec.Struct, frozen=True, array_like=True, tag=True):
    of: "StatusMatch"


StatusMatch = StatusRange | AllStatuses | AnyStatus | NotStatus


class ResponseClass(msgspec.Struct, frozen=True, array_like=True):
    """Answers that count as failures, or as successes."""

    match: StatusMatch
    failure: bool


class ProfileRoute(msgspec.Struct, frozen=True, array_like=True):
    """A name for requests. `timeout` in milliseconds, 0 = none."""

    name: str
    match: Condition
    classes: tuple[ResponseClass, ...]
    retryable: bool
    timeout: int


class RetryBudget(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Retries per request, and per second at least; `ttl` in milliseconds."""

    ratio: float
    least: int
    ttl: int


class ServiceProfile(Part, frozen=True, kw_only=True):
    """Routes of a destination, whose host is the resource's name. It decides nothing."""

    routes: tuple[ProfileRoute, ...]
    budget: RetryBudget | None
    overrides: tuple[tuple[str, str], ...]  # authority and weight
    opaque_ports: tuple[str, ...]

    @property
    def expressions(self) -> Iterator[Expression]:
        """As Part has it."""
        return expressions_in(*(route.match for route in self.routes))


class RateOverride(msgspec.Struct, frozen=True, array_like=True):
    """Requests per second of some service accounts."""

    rate: int
    clients: tuple[Target, ...]


class HTTPLocalRateLimitPolicy(Part, frozen=True, kw_only=True):
    """Requests per second to a Server, in all and of each identity; 0 = no limit."""

    target: Target
    total: int
    identity: int
    overrides: tuple[RateOverride, ...]
