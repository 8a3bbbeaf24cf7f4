"""The resources as their documents say them."""

from collections.abc import Iterator
from typing import Literal

import msgspec

from supervisor.policy.dialects.dialect import Part
from supervisor.policy.resources.conditions import Expression
from supervisor.policy.resources.model import Text

Protocol = Literal["http", "https", "tcp", "tcp-server-first"]


class Target(msgspec.Struct, frozen=True, array_like=True):
    """A Service that is a gateway. `weight` counts among the others: the sidecar's matter."""

    namespace: str
    service: str
    weight: int


class GatewayRule(msgspec.Struct, frozen=True, array_like=True):
    """osm-edge: Egress resources, as namespace and name, and the gateways that they leave by."""

    policies: tuple[tuple[str, str], ...]
    gateways: tuple[Target, ...]


class EgressGateway(Part, frozen=True, kw_only=True):
    """`everything`: gateways of whatever leaves the mesh; at most one resource names some."""

    everything: tuple[Target, ...]
    rules: tuple[GatewayRule, ...] = ()


class Port(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One item of `ports`, with its place in the list and in the file."""

    number: int
    protocol: Protocol
    index: int
    line: int
    column: int


class Reference(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One item of `matches`: a resource of the same namespace."""

    kind: str
    name: Text


class Egress(Part, frozen=True, kw_only=True):
    """Sources are service accounts, as namespace and name. `certificates`: sources have `mtls`, which is the sidecar's
    matter."""

    sources: tuple[tuple[str, str], ...]
    ports: tuple[Port, ...]
    hosts: tuple[Text, ...] = ()
    addresses: tuple[Text, ...] = ()  # CIDRs
    matches: tuple[Reference, ...] = ()
    certificates: bool = False

    @property
    def entries(self) -> int:
        """Each of its hosts or networks on each of its ports, for each group of routes."""
        groups = max(1, sum(match.kind == "HTTPRouteGroup" for match in self.matches))
        return len(self.sources) + groups * len(self.ports) * max(len(self.hosts), len(self.addresses), 2)


class RouteMatch(msgspec.Struct, frozen=True, array_like=True):
    """Conditions of a request: RE2 expressions for the path with its query, found anywhere in it, and for fields. No
    methods = all but CONNECT and TRACE."""

    name: str
    path: str
    methods: tuple[str, ...]
    headers: tuple[tuple[str, str], ...]


class HTTPRouteGroup(Part, frozen=True, kw_only=True):
    matches: tuple[RouteMatch, ...]

    @property
    def expressions(self) -> Iterator[Expression]:
        """As Part has it."""
        for match in self.matches:
            yield match.path, True
            yield from ((value, False) for _, value in match.headers)


class UpstreamTrafficSetting(Part, frozen=True, kw_only=True):
    """Connection settings of a host. They are about requests, and decide nothing."""

    host: str


class MeshConfig(Part, frozen=True, kw_only=True):
    """`open`: spec.traffic.enableEgress, whether what no Egress names may leave the mesh."""

    open: bool
