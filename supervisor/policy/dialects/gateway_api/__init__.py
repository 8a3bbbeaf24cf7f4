"""Gateway API: routes that are attached to Gateways of this gateway (docs/dialects/gateway-api.md)."""

from typing import Final

from supervisor.policy.cluster.objects import Configuration, Namespace, Service
from supervisor.policy.dialects.dialect import Dialect
from supervisor.policy.dialects.gateway_api.read import KINDS, read
from supervisor.policy.dialects.gateway_api.resources import BackendTLSPolicy, Gateway, ReferenceGrant
from supervisor.policy.dialects.gateway_api.rules import rules
from supervisor.policy.dialects.gateway_api.statuses import statuses
from supervisor.policy.dialects.linkerd.closing import selects
from supervisor.policy.dialects.linkerd.resources import (
    AuthorizationPolicy,
    MeshTLSAuthentication,
    NetworkAuthentication,
)
from supervisor.policy.dialects.routes import AnyRoute, GRPCRoute, HTTPRoute, TCPRoute, TLSRoute

__all__ = ["DIALECT", "GatewayPart"]

GatewayPart = Gateway | ReferenceGrant | BackendTLSPolicy | AnyRoute
_OWN: Final = (Gateway, ReferenceGrant, BackendTLSPolicy, HTTPRoute, GRPCRoute, TLSRoute, TCPRoute)
# Who is admitted to a route, other dialects' resources say.
_ADMIT: Final = (AuthorizationPolicy, MeshTLSAuthentication, NetworkAuthentication)
DIALECT: Final = Dialect(
    KINDS, read, (*_OWN, *_ADMIT, Namespace, Service, Configuration), rules, statuses=statuses, selects=selects
)
