"""Which routes belong to which EgressNetworks, and why others do not: what Linkerd writes into their status."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from supervisor.policy.dialects.linkerd.networks import Networks
from supervisor.policy.dialects.linkerd.words import CORE, LINKERD
from supervisor.policy.dialects.routes import AnyRoute, Parent
from supervisor.policy.dialects.routes.parts import Backend
from supervisor.source.problems import Place

ACCEPTED: Final = "Accepted"
NO_PARENT: Final = "NoMatchingParent"
CONFLICTED: Final = "RouteReasonConflicted"
BACKEND_NOT_FOUND: Final = "BackendNotFound"
INVALID_KIND: Final = "InvalidKind"
NETWORK: Final = (LINKERD, "EgressNetwork")
# Of several kinds on one port of a network the strongest counts (GEP-1426).
STRENGTH: Final = {"GRPCRoute": 3, "HTTPRoute": 2, "TLSRoute": 1, "TCPRoute": 0}

Key = tuple[str, str]  # namespace and name of an EgressNetwork


class Fault(msgspec.Struct, frozen=True):
    """Why something is not accepted, or not resolved."""

    reason: str
    words: str
    hint: str = ""


class Attachment(msgspec.Struct, frozen=True):
    """A route under one port of an EgressNetwork. `fault` None = accepted."""

    route: AnyRoute
    parent: Parent
    key: Key
    fault: Fault | None

    @property
    def place(self) -> Place:
        """Where the route names its parent."""
        return Place(self.route.file, self.parent.line, self.parent.column)

    @property
    def title(self) -> str:
        """The parent as people name it."""
        return f"EgressNetwork {self.key[0]}/{self.key[1]}:{self.parent.port}"


def attachments(routes: Sequence[AnyRoute], networks: Networks) -> list[Attachment]:
    """One for each route and parent that is an EgressNetwork with a port."""
    found = [
        (route, parent, (parent.namespace or route.namespace, parent.name))
        for route in routes
        for parent in route.parents
        if parent.is_kind(*NETWORK) and parent.port and parent.name
    ]
    strongest: dict[tuple[Key, int], AnyRoute] = {}
    for route, parent, key in found:
        other = strongest.setdefault((key, parent.port), route)
        if STRENGTH[route.kind] > STRENGTH[other.kind]:
            strongest[key, parent.port] = route
    return [
        Attachment(route, parent, key, _fault(route, key, strongest[key, parent.port], networks))
        for route, parent, key in found
    ]


def _fault(route: AnyRoute, key: Key, strongest: AnyRoute, networks: Networks) -> Fault | None:
    if key not in networks.known:
        return Fault(NO_PARENT, f"there is no EgressNetwork {key[0]}/{key[1]}", networks.nearest(key))
    if key not in networks.accepted:
        return Fault(NO_PARENT, "EgressNetwork parent has not been accepted")
    if STRENGTH[strongest.kind] > STRENGTH[route.kind]:
        return Fault(CONFLICTED, f"{strongest.title} is of a kind that comes before it on this port")
    return None


def backends(route: AnyRoute) -> Iterator[Backend]:
    """All of its rules."""
    for rule in route.rules:
        yield from rule.backends


def fault_of(route: AnyRoute, backend: Backend, key: Key, networks: Networks) -> Fault | None:
    """The fault of a backend of a route under an EgressNetwork: it is that network, or a Service."""
    target = backend.reference
    if not target.is_kind(*NETWORK):
        if target.is_kind(CORE, "Service"):
            return None
        return Fault(INVALID_KIND, f"a backend is an EgressNetwork or a Service, found {target.kind} ({target.group})")
    own = (target.namespace or route.namespace, target.name)
    if own not in networks.known:
        return Fault(BACKEND_NOT_FOUND, f"there is no EgressNetwork {own[0]}/{own[1]}", networks.nearest(own))
    if own != key:
        words = f"the backend EgressNetwork {own[0]}/{own[1]} is not the parent, {key[0]}/{key[1]}"
        return Fault(INVALID_KIND, words, f"write name: {key[1]} and namespace: {key[0]}")
    return None
