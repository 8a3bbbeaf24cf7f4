"""Routes of Gateway API and of Linkerd's older kind: read here for the dialects of their parents."""

from supervisor.policy.dialects.routes.parts import (
    AnyRoute,
    GRPCMatch,
    GRPCRoute,
    HTTPMatch,
    HTTPRoute,
    Parent,
    Reference,
    TCPRoute,
    TLSRoute,
)
from supervisor.policy.dialects.routes.precedence import chosen_by, needs_request
from supervisor.policy.dialects.routes.read import GATEWAY_API_KINDS, LINKERD_KINDS, read

__all__ = [
    "GATEWAY_API_KINDS",
    "LINKERD_KINDS",
    "AnyRoute",
    "GRPCMatch",
    "GRPCRoute",
    "HTTPMatch",
    "HTTPRoute",
    "Parent",
    "Reference",
    "TCPRoute",
    "TLSRoute",
    "chosen_by",
    "needs_request",
    "read",
]
