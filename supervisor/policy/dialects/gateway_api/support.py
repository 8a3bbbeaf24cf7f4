"""The part of routes that has an effect here already, and warnings of the rest.

Tunnels are let through whole. Where a route's rule needs its requests to be seen or changed, or sent elsewhere, it lets
no tunnel pass. A mirror, a time limit or a retry that is not done yet changes nothing that was to be protected.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from supervisor.policy.dialects.dialect import ELSEWHERE, Part
from supervisor.policy.dialects.gateway_api.backends import Backends, Way
from supervisor.policy.dialects.gateway_api.resources import Gateway
from supervisor.policy.dialects.routes import AnyRoute, GRPCRoute, HTTPRoute, needs_request
from supervisor.policy.dialects.routes.parts import Extension, ExternalAuth, Filter, Mirror, RequestRule, Timeouts
from supervisor.source.problems import Place, Problems

CLASSES: Final = "gatewayClassName: sluice names this gateway"
MOST_NAMED: Final = 5


def filters_of(rule: RequestRule) -> Iterator[Filter]:
    """Those of a rule and of its backends."""
    yield from rule.filters
    for backend in rule.backends:
        yield from backend.filters


def unusable_rule(rule: RequestRule) -> bool:
    """Whether it has a filter that is not known here: it lets nothing pass then (ExtensionRef, apis/v1)."""
    return any(isinstance(one.value, Extension | ExternalAuth) for one in filters_of(rule))


def unusable(route: AnyRoute) -> bool:
    """Whether every rule of a route is unusable."""
    return isinstance(route, HTTPRoute | GRPCRoute) and all(unusable_rule(rule) for rule in route.rules)


def needs_routing(rule: RequestRule, way: Way) -> bool:
    """Whether a rule has to see requests, whatever they are."""
    return way is Way.ELSEWHERE or any(not isinstance(one.value, Mirror) for one in filters_of(rule))


def tell_of(route: AnyRoute, backends: Backends, problems: Problems) -> None:
    """Warnings of what has no effect yet."""
    if not isinstance(route, HTTPRoute | GRPCRoute):
        for forward in route.rules:
            if backends.way(forward.backends, route) is Way.ELSEWHERE:
                words = f"{route.title} leads to Services: connections are not routed yet, and it lets none pass"
                problems.warning(Place(route.file, forward.line, forward.column), words, ELSEWHERE)
        return
    seen = [rule for rule in route.rules if _seen(rule, backends.way(rule.backends, route))]
    if seen:
        count = f"{len(seen)} of {len(route.rules)} rules" if len(route.rules) > 1 else "its rule"
        words = f"{route.title} needs HTTP routing ({count}): no tunnel is allowed by it there"
        problems.warning(Place(route.file, seen[0].line, seen[0].column), words, "requests are not routed yet")
    for rule in route.rules:
        for one in filters_of(rule):
            if isinstance(one.value, Mirror):
                name = one.value.backend.name
                words = f"the mirror {name} of {route.title} needs HTTP routing: no request is copied to it yet"
                problems.warning(Place(route.file, one.line, one.column), words)
        if rule.timeouts != Timeouts() or rule.retry is not None or rule.persistence is not None:
            words = f"timeouts, retry and sessionPersistence of {route.title} need HTTP routing: none has an effect yet"
            problems.warning(Place(route.file, rule.line, rule.column), words)


def _seen(rule: RequestRule, way: Way) -> bool:
    return needs_routing(rule, way) or any(needs_request(match) for match in rule.matches)


def tell_of_others(elsewhere: Sequence[Part], problems: Problems) -> None:
    """One line for all routes and Gateways of other classes."""
    if not elsewhere:
        return
    gateways = [part for part in elsewhere if isinstance(part, Gateway)]
    names = sorted({part.class_name for part in gateways})
    classes = ", ".join(names[:MOST_NAMED]) + (", ..." if len(names) > MOST_NAMED else "")
    routes = len({id(part) for part in elsewhere}) - len(gateways)
    counts = f"{len(gateways)} Gateway{'s' if len(gateways) > 1 else ''} and {routes} route{'s' if routes != 1 else ''}"
    words = f"{counts} of other classes ({classes}) decide nothing here"
    problems.warning(min(part.place for part in elsewhere), words, CLASSES)
