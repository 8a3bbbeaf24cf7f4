"""Backends of routes: what each reference leads to, and what is wrong with it (ResolvedRefs)."""

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import NamedTuple

from supervisor.policy.cluster.objects import Service
from supervisor.policy.dialects.dialect import Part, Surroundings
from supervisor.policy.dialects.gateway_api.listeners import Refusal
from supervisor.policy.dialects.routes import AnyRoute, GRPCRoute, HTTPRoute, Reference
from supervisor.policy.dialects.routes.parts import CORE, LINKERD, Mirror
from supervisor.policy.dialects.routes.parts import Backend as BackendRef
from supervisor.policy.resources.routing import Asked, Backend, Invalid


class Way(Enum):
    """Where a rule's traffic goes."""

    AS_ASKED = "to the destination that was asked for"
    ELSEWHERE = "to a Service, for all of it or a share"
    NOWHERE = "to none: every backend is invalid, or has the weight 0"


class Wrong(NamedTuple):
    """A reference that cannot be resolved, and why."""

    reference: Reference
    refusal: Refusal


class Backends:
    """References of routes resolved. Where no Service is known at all, every name of one is taken to exist."""

    def __init__(self, parts: Sequence[Part], surroundings: Surroundings) -> None:
        self.own = frozenset(surroundings.services)
        self.own_names = frozenset(one.rpartition("/")[2] for one in surroundings.services)
        services = [part for part in parts if isinstance(part, Service)]
        self.services = {f"{one.namespace}/{one.name}": one for one in services}
        self.known = surroundings.known

    def is_own(self, reference: Reference, namespace: str) -> bool:
        """Whether it is this gateway: a Service of it, without a namespace by its name alone, or an EgressNetwork."""
        if reference.is_kind(LINKERD, "EgressNetwork"):
            return True
        if not reference.is_kind(CORE, "Service"):
            return False
        if reference.namespace:
            return f"{reference.namespace}/{reference.name}" in self.own
        here = f"{namespace}/{reference.name}"
        return here in self.own or (reference.name in self.own_names and here not in self.services)

    def wrong(self, reference: Reference, route: AnyRoute) -> Refusal | None:
        """Why a reference cannot be resolved; None where it can."""
        if self.is_own(reference, route.namespace):
            return None
        if not reference.is_kind(CORE, "Service"):
            kind = f"{reference.group} {reference.kind}".strip()
            return Refusal("InvalidKind", f"{kind} {reference.name} is not a backend: Service and EgressNetwork are")
        namespace = reference.namespace or route.namespace
        if namespace != route.namespace and not self.granted(reference, namespace, route):
            words = f"no ReferenceGrant of {namespace} lets {route.kind} of {route.namespace} refer to {reference.name}"
            return Refusal("RefNotPermitted", words)
        if self.services and f"{namespace}/{reference.name}" not in self.services:
            return Refusal("BackendNotFound", f"there is no Service {namespace}/{reference.name}")
        found = self.known.find(namespace, reference.name, reference.port)
        if isinstance(found, Invalid):
            words = (
                f"port {reference.port} of Service {namespace}/{reference.name} is https: a BackendTLSPolicy says how"
            )
            return Refusal(found.reason, words)
        if found is None:
            words = f"Service {namespace}/{reference.name} has no port {reference.port}, or stands for no name"
            return Refusal("BackendNotFound", words)
        return None

    def granted(self, reference: Reference, namespace: str, route: AnyRoute) -> bool:
        """Whether a ReferenceGrant of the Service's namespace names both sides."""
        return self.known.grants(route.api, route.kind, route.namespace, (namespace, reference.name))

    def resolve(self, reference: Reference, route: AnyRoute) -> Backend:
        """Where a reference leads to."""
        if self.is_own(reference, route.namespace):
            return Asked()
        if (refusal := self.wrong(reference, route)) is not None:
            return Invalid(refusal.reason)
        space, grpc = reference.namespace or route.namespace, isinstance(route, GRPCRoute)
        return self.known.find(space, reference.name, reference.port, grpc) or Invalid("BackendNotFound")

    def way(self, backends: Sequence[BackendRef], route: AnyRoute) -> Way:
        """Where a rule's traffic goes. Without backends to the destination that was asked for (DECISIONS.md section
        7)."""
        if not backends:
            return Way.AS_ASKED
        live = [one for one in backends if one.weight]
        good = [one for one in live if self.wrong(one.reference, route) is None]
        if not good:
            return Way.NOWHERE
        if len(good) == len(live) and all(self.is_own(one.reference, route.namespace) for one in good):
            return Way.AS_ASKED
        return Way.ELSEWHERE

    def all_wrong(self, route: AnyRoute) -> list[Wrong]:
        """Every reference of a route that cannot be resolved, in the order of the document."""
        found = []
        for reference in references(route):
            if (refusal := self.wrong(reference, route)) is not None:
                found.append(Wrong(reference, refusal))
        return found


def references(route: AnyRoute) -> Iterable[Reference]:
    """All backends of a route, those of mirrors among them."""
    for rule in route.rules:
        yield from (backend.reference for backend in rule.backends)
    if isinstance(route, HTTPRoute | GRPCRoute):
        for request in route.rules:
            inner = [one for backend in request.backends for one in backend.filters]
            yield from (one.value.backend for one in (*request.filters, *inner) if isinstance(one.value, Mirror))
