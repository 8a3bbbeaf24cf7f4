"""Routes of Gateway API and of Linkerd's older kind: read here for the dialects of their parents."""

from typing import Final

from supervisor.policy.dialects.dialect import Dialect, sources_of
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
from supervisor.policy.dialects.routes.routing import route_of

__all__ = [
    "DIALECT",
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
    "route_of",
]

# The older kind is a part of every dialect that has parents for it: this one reads it, and gives no rules.
DIALECT: Final = Dialect(LINKERD_KINDS, read, selects=lambda manifest, space, around: sources_of(space, around))
