"""The rules that routes under Gateways come to.

A match is an item; it allows, as far as the rule's traffic goes to the destination that was asked for. What can only be
judged or done where requests are visible (path, method, fields, filters, other backends) has a condition that no tunnel
satisfies. Linkerd's AuthorizationPolicies say whom a route admits (DECISIONS.md section 4). A rule that leads nowhere
wins as any other and lets nothing pass; other dialects may.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final, Literal, NamedTuple

from supervisor.policy.dialects.dialect import Part, Surroundings
from supervisor.policy.dialects.gateway_api.attachment import Attachments
from supervisor.policy.dialects.gateway_api.backends import Backends, Way
from supervisor.policy.dialects.gateway_api.listeners import Isolation, Own
from supervisor.policy.dialects.gateway_api.origination import Originations
from supervisor.policy.dialects.gateway_api.reach import Reach, reaches
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
from supervisor.policy.dialects.routes import AnyRoute, GRPCRoute, HTTPRoute, TCPRoute, TLSRoute, chosen_by
from supervisor.policy.dialects.routes.parts import RequestRule
from supervisor.policy.resources.conditions import AllOf, AnyOf, Condition, Path, Shows, Through
from supervisor.policy.resources.model import Item, Origination, Rules, Selector, Text, Tier
from supervisor.source.problems import Place, Problems

PROTOCOLS: Final[Mapping[str, Literal["http", "tls"]]] = {"HTTPRoute": "http", "GRPCRoute": "http", "TLSRoute": "tls"}


class Step(NamedTuple):
    """One match of a route, or a rule without matches: `by_host`, its items stand where the hostnames do. `tls` by
    hostname."""

    place: Text
    by_host: bool
    path: Path | None
    when: Condition | None
    ahead: int
    tier: Tier
    tls: Mapping[str, Origination]


class Hung(NamedTuple):
    """The facts that hold for all routes together. `hosts` are hung for every route that has them; `classes`:
    own hostnames make classes. `listeners` are those of sluice.yaml, `mixed` those with routes of several protocols."""

    isolation: Isolation
    hosts: frozenset[str]
    classes: bool
    listeners: frozenset[str]
    mixed: frozenset[str]


class Shared(NamedTuple):
    """The facts that rules of one resource may differ in, but for the tier."""

    selector: Selector
    precedence: int
    tls: Origination | None


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
    for route in attachments.routes:
        if (own := listeners.get(id(route))) and not unusable(route):
            tell_of(route, backends, problems)
            admit = authorizations.of_route(route.api, route.kind, route.namespace, route.name)
            found += _rules(route, list(_steps(route, backends, originations)), own, hung, admit)
    return found


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
    for rule in route.rules:
        yield from _matches(route, rule, backends.way(rule.backends, route), originations)


def _matches(route: HTTPRoute | GRPCRoute, rule: RequestRule, way: Way, originations: Originations) -> Iterator[Step]:
    passes = way is not Way.NOWHERE and not unusable_rule(rule)
    tier: Tier = "allow" if passes else "default_deny"
    tls = originations.of(route, rule) if passes else {}
    for match in rule.matches:
        path, when, ahead = chosen_by(match)
        place = Text("", match.line, match.column)
        if passes and path is None and when is None and needs_routing(rule, way):
            when = Path("prefix", Text("/", match.line, match.column))  # every request, no tunnel
        yield Step(place, False, path, when, ahead, tier, tls)


def _rules(
    route: AnyRoute, steps: Sequence[Step], listeners: Sequence[Own], hung: Hung, admit: Condition | None
) -> list[Rules]:
    streams: dict[Shared, list[tuple[Tier, Item]]] = {}
    reach_of: list[tuple[Selector, list[tuple[Reach, Condition | None]]]] = []
    for home in (True, False):
        own = [one for one in listeners if (one.gateway.namespace == route.namespace) == home]
        # From another namespace than the Gateway's a route decides for sources of its own alone.
        selector = Selector() if home else Selector(namespace=route.namespace)
        found = reaches(route, own, hung.isolation, hung.hosts).items()
        reach_of.append((selector, [(reach, _through(route, names, hung)) for reach, names in found]))
    index = 0
    for step in steps:
        for selector, places in reach_of:
            for reach, through in places:
                tls = step.tls.get(reach.host)
                shared = Shared(selector, reach.precedence if hung.classes else 0, tls)
                streams.setdefault(shared, []).append((step.tier, _item(index, step, reach, through)))
                index += 1
    return [
        Rules(
            kind=route.kind,
            namespace=route.namespace,
            name=route.name,
            file=route.file,
            tier=tier,
            selectors=(shared.selector,),
            items=tuple(item for _, item in items),
            created=route.created,
            protocol=PROTOCOLS.get(route.kind),
            tls=shared.tls,
            group=GATEWAY_API,
            precedence=shared.precedence,
            by_order=True,
            admit=admit if tier == "allow" else None,
        )
        for shared, stream in streams.items()
        for tier, items in groupby(stream, key=lambda one: one[0])
    ]


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
