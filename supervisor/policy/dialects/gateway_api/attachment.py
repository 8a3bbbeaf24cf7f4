"""Which listeners each route is attached to, and why it is not: Accepted of a route under each of its parents."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from supervisor.policy.cluster.objects import Namespace
from supervisor.policy.dialects.dialect import Part, Surroundings
from supervisor.policy.dialects.gateway_api.hostnames import Hostnames, meet
from supervisor.policy.dialects.gateway_api.listeners import (
    CLASS,
    REQUESTS,
    Own,
    Refusal,
    own_listeners,
    permits,
    refusal_of,
)
from supervisor.policy.dialects.gateway_api.resources import Gateway
from supervisor.policy.dialects.routes import AnyRoute, Parent
from supervisor.policy.dialects.routes.parts import GATEWAY_API


class Attachment(NamedTuple):
    """A route under one of its parents: the listeners that it is attached to, or why it is not."""

    route: AnyRoute
    parent: Parent
    listeners: tuple[Own, ...]
    refusal: Refusal | None


class Attachments:
    """All routes under their Gateways. `elsewhere`: routes and Gateways of other classes, which decide nothing here."""

    def __init__(self, parts: Sequence[Part], surroundings: Surroundings) -> None:
        gateways = [part for part in parts if isinstance(part, Gateway)]
        self.gateways = {(one.namespace, one.name): one for one in gateways if one.class_name == CLASS}
        self.others = {(one.namespace, one.name): one for one in gateways if one.class_name != CLASS}
        self.listeners = tuple(own_listeners(list(self.gateways.values()), surroundings))
        self.surroundings = surroundings
        self.spaces = {part.name: dict(part.labels) for part in parts if isinstance(part, Namespace)}
        self.routes = [part for part in parts if isinstance(part, AnyRoute) and part.api == GATEWAY_API]
        self.elsewhere: list[Part] = list(self.others.values())
        self.found = list(self._without_conflicts(self._attached()))

    def _attached(self) -> Iterator[Attachment]:
        for route in self.routes:
            for parent in route.parents:
                if not parent.is_kind(GATEWAY_API, "Gateway"):
                    continue
                key = (parent.namespace or route.namespace, parent.name)
                if key in self.others:
                    self.elsewhere.append(route)
                    continue
                answer = self._listeners(route, parent, self.gateways.get(key))
                if isinstance(answer, Refusal):
                    yield Attachment(route, parent, (), answer)
                else:
                    yield Attachment(route, parent, answer, None)

    def _listeners(self, route: AnyRoute, parent: Parent, gateway: Gateway | None) -> tuple[Own, ...] | Refusal:
        if gateway is None:
            return Refusal(
                "NoMatchingParent", f"there is no Gateway {parent.namespace or route.namespace}/{parent.name}"
            )
        name = f"Gateway {gateway.namespace}/{gateway.name}"
        named = [
            one
            for one in gateway.listeners
            if parent.section in ("", one.name) and (not parent.port or parent.port == one.port)
        ]
        if not named:
            words = " and ".join(
                text for text in (parent.section, f"port {parent.port}" if parent.port else "") if text
            )
            return Refusal("NoMatchingParent", f"{name} has no listener {words}".rstrip())
        usable = [Own(gateway, one) for one in named if refusal_of(one, self.surroundings) is None]
        if not usable:
            names = ", ".join(one.name for one in named)
            return Refusal("NoMatchingParent", f"of {name} no listener of this gateway is named: {names}")
        permitted = [own for own in usable if permits(own, route, self.spaces)]
        if not permitted:
            names = ", ".join(own.name for own in usable)
            words = f"allowedRoutes of {name} ({names}) does not let a {route.kind} of {route.namespace} attach"
            return Refusal("NotAllowedByListeners", words)
        found = tuple(own for own in permitted if any(True for _ in meeting(route, own)))
        if not found:
            names = ", ".join(own.listener.hostname for own in permitted)
            return Refusal("NoMatchingListenerHostname", f"no hostname of the route is one of {names}")
        return found

    def _without_conflicts(self, attached: Iterable[Attachment]) -> Iterator[Attachment]:
        """Of an HTTPRoute and a GRPCRoute that share a listener and hosts the older one is accepted, else the first by
        namespace and name."""
        found = list(attached)
        if {one.route.kind for one in found if one.listeners}.issuperset(REQUESTS):
            taken: dict[tuple[str, str], Hostnames] = {}
            order = sorted(range(len(found)), key=lambda number: _age(found[number].route))
            for number in order:
                found[number] = _beside(found[number], taken)
        yield from found


def _age(route: AnyRoute) -> tuple[bool, int, str, str]:
    return route.created is None, route.created or 0, f"{route.namespace}/{route.name}", route.kind


def _beside(one: Attachment, taken: dict[tuple[str, str], Hostnames]) -> Attachment:
    """An attachment without the listeners on which routes of the other kind have its hosts; what it keeps is taken."""
    if one.route.kind not in REQUESTS or not one.listeners:
        return one
    other = REQUESTS[1 - REQUESTS.index(one.route.kind)]
    kept = []
    for own in one.listeners:
        hosts = list(meeting(one.route, own))
        theirs = taken.get((own.name, other))
        if theirs is None or not any(theirs.meets(host) for host in hosts):
            kept.append(own)
            mine = taken.setdefault((own.name, one.route.kind), Hostnames())
            for host in hosts:
                mine.add(host)
    if kept:
        return one._replace(listeners=tuple(kept))
    words = f"an older {other} has hosts of it on the same listener"
    return one._replace(listeners=(), refusal=Refusal("HostnameConflict", words))


def meeting(route: AnyRoute, own: Own) -> Iterator[str]:
    """The hostnames that a route and a listener share."""
    for host in [text.value for text in route.hostnames] or [""]:
        if (shared := meet(host, own.listener.hostname)) is not None:
            yield shared
