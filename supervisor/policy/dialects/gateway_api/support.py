"""Parts of routes that have an effect on requests alone, and those that have none.

Tunnels are let through whole. Where a route's rule needs its requests to be seen or changed, or sent elsewhere, it lets
no tunnel pass. A mirror, a time limit or a retry changes nothing that was to be protected.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from supervisor.policy.dialects.dialect import ELSEWHERE, Part
from supervisor.policy.dialects.gateway_api.backends import Backends, Way
from supervisor.policy.dialects.gateway_api.resources import Gateway
from supervisor.policy.dialects.routes import AnyRoute, GRPCRoute, HTTPRoute
from supervisor.policy.dialects.routes.parts import Extension, ExternalAuth, Filter, Mirror, RequestRule
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
    return way is not Way.AS_ASKED or any(not isinstance(one.value, Mirror) for one in filters_of(rule))


def tell_of(route: AnyRoute, backends: Backends, problems: Problems) -> None:
    """Errors of what is not known, warnings of what has no effect."""
    if not isinstance(route, HTTPRoute | GRPCRoute):
        for forward in route.rules:
            if backends.way(forward.backends, route) is Way.ELSEWHERE:
                words = f"{route.title} leads to Services: connections are not routed yet, and it lets none pass"
                problems.warning(Place(route.file, forward.line, forward.column), words, ELSEWHERE)
        return
    for rule in route.rules:
        for one in filters_of(rule):
            if isinstance(one.value, Extension | ExternalAuth):
                words = f"the filter {one.type} of {route.title} is not known here: its rule would let nothing pass"
                problems.error(Place(route.file, one.line, one.column), words, "remove the filter, or its rule")
        if rule.persistence is not None:
            words = f"sessionPersistence of {route.title} has no effect: each request is balanced by itself"
            problems.warning(Place(route.file, rule.line, rule.column), words)


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
