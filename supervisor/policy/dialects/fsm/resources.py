"""The resources as their documents say them."""

import msgspec

from supervisor.policy.dialects.dialect import Part


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
