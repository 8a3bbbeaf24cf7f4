"""The rules that routes under Gateways come to.

A match is an item; it allows. What can only be judged or done where requests are visible (path, method, fields,
filters, other backends) has a condition that no tunnel satisfies. Linkerd's AuthorizationPolicies say whom a route
admits (DECISIONS.md section 4). A rule that leads nowhere wins as any other: its requests are answered 500, and it lets
no tunnel pass; other dialects may. Requests to a host of routes that none of them matches are denied by a default, 404.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from supervisor.policy.dialects.dialect import Part, Surroundings
from supervisor.policy.dialects.gateway_api.attachment import Attachments
from supervisor.policy.dialects.gateway_api.backends import Backends, Way
from supervisor.policy.dialects.gateway_api.listeners import Isolation, Own
from supervisor.policy.dialects.gateway_api.origination import Originations
from supervisor.policy.dialects.gateway_api.reach import ROUTED, Reach, reaches
from supervisor.policy.dialects.gateway_api.support import (
    needs_routing,
    tell_of,
    tell_of_others,
    unusable,
    unusable_rule,
)
from supervisor.policy.dialects.groups import GATEWAY_API
from supervisor.policy.dialects.linkerd.authorizations import Authorizations
from supervisor.policy.dialects.linkerd.rules import targets_of
from supervisor.policy.dialects.routes import AnyRoute, GRPCRoute, HTTPRoute, TCPRoute, TLSRoute, chosen_by, route_of
from supervisor.policy.dialects.routes.parts import RequestRule
from supervisor.policy.resources.conditions import AllOf, AnyOf, Condition, Path, Shows, Through
from supervisor.policy.resources.model import Item, Origination, Rules, Selector, Text, Tier
from supervisor.policy.resources.routing import Route
from supervisor.source.problems import Place, Problems

PROTOCOLS: Final[Mapping[str, Literal["http", "tls"]]] = {"HTTPRoute": "http", "GRPCRoute": "http", "TLSRoute": "tls"}


class Step(NamedTuple):
    """One match of a route, or a rule without matches: `by_host`, its items stand where the hostnames do. `tls` by
    hostname. `rule` is its number. `again`: the step before it once more, for tunnels."""

    place: Text
    by_host: bool
    path: Path | None
    when: Condition | None
    ahead: int
    tier: Tier
    tls: Mapping[str, Origination]
    rule: int = 0
    route: Route | None = None
    again: bool = False


class Hung(NamedTuple):
    """The facts that hold for all routes together. `hosts` are hung for every route that has them; `classes`:
    own hostnames make classes. `listeners` are those of sluice.yaml, `mixed` those with routes of several protocols."""

    isolation: Isolation
    hosts: frozenset[str]
    classes: bool
    listeners: frozenset[str]
    mixed: frozenset[str]


class Shared(NamedTuple):
    """The facts that rules of one resource may differ in. `rule` is the number of the route's own."""

    selector: Selector
    precedence: int
    tls: Origination | None
    rule: int
    tier: Tier


def rules(parts: Sequence[Part], surroundings: Surroundings, problems: Problems) -> list[Rules]:
    """The rules of all routes that are accepted under a Gateway."""
    attachments = Attachments(parts, surroundings)
    backends = Backends(parts, surroundings)
    originations = Originations(parts, backends)
    hung = _hung(attachments, originations, surroundings)
    tell_of_others(attachments.elsewhere, problems)
    for gateway in attachments.gateways.values():
        for field in gateway.unused:
            words = f"{field.value} of {gateway.title} has no effect: sluice.yaml says what this gateway listens on"
            problems.warning(Place(gateway.file, field.line, field.column), words)
    authorizations = Authorizations(parts, targets_of(parts), surroundings, Problems())  # Linkerd tells what is wrong
    listeners: dict[int, list[Own]] = {}
    for one in attachments.found:
        listeners.setdefault(id(one.route), []).extend(one.listeners)
    found: list[Rules] = []
    unmatched = NoRoute(hung)
    for route in attachments.routes:
        if own := listeners.get(id(route)):
            tell_of(route, backends, problems)
        if own and not unusable(route):
            admit = authorizations.of_route(route.api, route.kind, route.namespace, route.name)
            found += _rules(route, list(_steps(route, backends, originations)), own, hung, admit)
            unmatched.add(route, own)
    return [*found, *unmatched.rules()]


def _hung(attachments: Attachments, originations: Originations, surroundings: Surroundings) -> Hung:
    isolation = Isolation(attachments.listeners)
    hosts = frozenset((*isolation.shared(), *originations.hosts))
    classes = bool(hosts) or any(own.listener.hostname for own in attachments.listeners)
    shown: dict[str, set[str | None]] = {}
    for one in attachments.found:
        for own in one.listeners:
            shown.setdefault(own.name, set()).add(PROTOCOLS.get(one.route.kind))
    mixed = frozenset(name for name, protocols in shown.items() if len(protocols) > 1)
    return Hung(isolation, hosts, classes, frozenset(name for name, _ in surroundings.listeners), mixed)


def _steps(route: AnyRoute, backends: Backends, originations: Originations) -> Iterator[Step]:
    """The matches of a route, in its order."""
    if isinstance(route, TLSRoute | TCPRoute):
        for forward in route.rules:
            tier: Tier = "allow" if backends.way(forward.backends, route) is Way.AS_ASKED else "default_deny"
            yield Step(Text("", forward.line, forward.column), True, None, None, 0, tier, {})
        return
    for index, rule in enumerate(route.rules):
        yield from _matches(route, index, rule, backends, originations)


def _matches(
    route: HTTPRoute | GRPCRoute, index: int, rule: RequestRule, backends: Backends, originations: Originations
) -> Iterator[Step]:
    way = backends.way(rule.backends, route)
    if unusable_rule(rule):
        return  # an error says so
    tls = originations.of(route, rule)
    resolved = route_of(route, index, rule, "gateway-api", lambda one: backends.resolve(one, route))
    for match in rule.matches:
        path, when, ahead = chosen_by(match)
        place = Text("", match.line, match.column)
        seen = when
        if path is None and when is None and needs_routing(rule, way):
            seen = Path("prefix", Text("/", match.line, match.column))  # every request, no tunnel
        yield Step(place, False, path, seen, ahead, "allow", tls, index, resolved)
        if way is Way.NOWHERE:
            yield Step(place, False, path, when, ahead, "default_deny", {}, index, again=True)


def _reach_of(
    route: AnyRoute, listeners: Sequence[Own], hung: Hung
) -> Iterator[tuple[Selector, list[tuple[Reach, Condition | None]]]]:
    for home in (True, False):
        own = [one for one in listeners if (one.gateway.namespace == route.namespace) == home]
        # From another namespace than the Gateway's a route decides for sources of its own alone.
        selector = Selector() if home else Selector(namespace=route.namespace)
        found = reaches(route, own, hung.isolation, hung.hosts).items()
        yield selector, [(reach, _through(route, names, hung)) for reach, names in found]


def _rules(
    route: AnyRoute, steps: Sequence[Step], listeners: Sequence[Own], hung: Hung, admit: Condition | None
) -> list[Rules]:
    streams: dict[Shared, list[Item]] = {}
    routes = {step.rule: step.route for step in steps if not step.again}
    reach_of = list(_reach_of(route, listeners, hung))
    index = first = 0
    for step in steps:
        index, first = (first, first) if step.again else (index, index)
        for selector, places in reach_of:
            for reach, through in places:
                tls = step.tls.get(reach.host)
                precedence = reach.precedence if hung.classes else ROUTED
                shared = Shared(selector, precedence, tls, step.rule, step.tier)
                streams.setdefault(shared, []).append(_item(index, step, reach, through))
                index += 1
    return [
        _frame(
            *(route, shared.selector, tuple(items), shared.tier, shared.precedence),
            tls=shared.tls,
            route=routes[shared.rule] if shared.tier == "allow" else None,
            admit=admit if shared.tier == "allow" else None,
        )
        for shared, items in streams.items()
    ]


def _frame(
    part: AnyRoute, selector: Selector, items: tuple[Item, ...], tier: Tier, precedence: int, **said: Any
) -> Rules:
    return Rules(
        kind=part.kind,
        namespace=part.namespace,
        name=part.name,
        file=part.file,
        tier=tier,
        selectors=(selector,),
        items=items,
        created=part.created,
        protocol=PROTOCOLS.get(part.kind),
        group=GATEWAY_API,
        precedence=precedence,
        by_order=True,
        **said,
    )


class NoRoute:
    """Denials of requests to hosts of routes that none of these matches: the oldest route of a host names them."""

    def __init__(self, hung: Hung) -> None:
        self.hung = hung
        self.routes: list[tuple[HTTPRoute | GRPCRoute, list[Own]]] = []

    def add(self, route: AnyRoute, listeners: list[Own]) -> None:
        """Takes one that is attached to these."""
        if isinstance(route, HTTPRoute | GRPCRoute):
            self.routes.append((route, listeners))

    def rules(self) -> Iterator[Rules]:
        """For each route the hosts that no older one has spoken of."""
        seen: set[tuple[Selector, str, tuple[str, ...], Condition | None]] = set()
        self.routes.sort(key=lambda one: (one[0].created is None, one[0].created or 0, one[0].namespace, one[0].name))
        for route, listeners in self.routes:
            for selector, places in _reach_of(route, listeners, self.hung):
                items: list[Item] = []
                for reach, through in places:
                    key = (selector, reach.host, reach.excepts, through)
                    if key not in seen:
                        seen.add(key)
                        place = reach.text if reach.text.value else Text("", route.line, route.column)
                        items.append(Item(len(items), place.line, place.column, reach.destination, when=through))
                if items:
                    yield _frame(route, selector, tuple(items), "default_deny", precedence=0, no_route=True)


def _through(route: AnyRoute, names: set[str], hung: Hung) -> Condition | None:
    """The listeners that a route is attached to, None where it is to all; on those with routes for other protocols its
    own has to show."""
    protocol = PROTOCOLS.get(route.kind)
    mixed = sorted(names & hung.mixed) if protocol else []
    alone = sorted(names.difference(mixed))
    every = names >= hung.listeners
    if protocol is None or not mixed:
        return None if every else _any_of([Through(name) for name in alone])
    if not alone and every:
        return Shows(protocol)
    shown = AllOf((_any_of([Through(name) for name in mixed]), Shows(protocol)))
    return _any_of([*(Through(name) for name in alone), shown])


def _any_of(conditions: Sequence[Condition]) -> Condition:
    return conditions[0] if len(conditions) == 1 else AnyOf(tuple(conditions))


def _item(index: int, step: Step, reach: Reach, through: Condition | None) -> Item:
    place = reach.text if step.by_host and reach.text.value else step.place
    parts = [part for one in (through, step.when) if one for part in (one.of if isinstance(one, AllOf) else (one,))]
    when = AllOf(tuple(parts)) if len(parts) > 1 else parts[0] if parts else None
    return Item(index, place.line, place.column, reach.destination, step.path, when, step.ahead)
