"""Linkerd: EgressNetworks with their routes, who is admitted to them, and Servers that stand for listeners."""

from typing import Final

from supervisor.policy.dialects.dialect import Dialect
from supervisor.policy.dialects.linkerd.closing import selects
from supervisor.policy.dialects.linkerd.rates import rates
from supervisor.policy.dialects.linkerd.read import KINDS, read
from supervisor.policy.dialects.linkerd.resources import (
    AuthorizationPolicy,
    EgressNetwork,
    HTTPLocalRateLimitPolicy,
    MeshTLSAuthentication,
    NetworkAuthentication,
    Server,
    ServerAuthorization,
    ServiceProfile,
)
from supervisor.policy.dialects.linkerd.rules import rules
from supervisor.policy.dialects.linkerd.statuses import statuses
from supervisor.policy.dialects.linkerd.words import LINKERD as GROUP
from supervisor.policy.dialects.routes import GRPCRoute, HTTPRoute, TCPRoute, TLSRoute

__all__ = ["DIALECT", "GROUP", "LinkerdPart"]

LinkerdPart = (
    EgressNetwork
    | Server
    | AuthorizationPolicy
    | MeshTLSAuthentication
    | NetworkAuthentication
    | ServerAuthorization
    | ServiceProfile
    | HTTPLocalRateLimitPolicy
)
_OWN: Final = (
    *(EgressNetwork, Server, AuthorizationPolicy, MeshTLSAuthentication, NetworkAuthentication),
    *(ServerAuthorization, ServiceProfile, HTTPLocalRateLimitPolicy),
)
_PARTS: Final = (*_OWN, HTTPRoute, GRPCRoute, TLSRoute, TCPRoute)
DIALECT: Final = Dialect(KINDS, read, _PARTS, rules, statuses=statuses, selects=selects, rates=rates)
