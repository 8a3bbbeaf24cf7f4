"""Routes whose parents are EgressNetworks: what each allows, to whom, and which of several kinds on one port counts.

A route of the network's own namespace is for all sources of the network, one of another namespace for its own alone.
A request that needs to be seen to be judged, or to be changed or led elsewhere, never allows a tunnel.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from supervisor.policy.dialects.backends import Referrer, backend_of
from supervisor.policy.dialects.dialect import Surroundings
from supervisor.policy.dialects.groups import LINKERD as GROUP
from supervisor.policy.dialects.linkerd.annotations import check_annotations, retry_of, timeouts_of
from supervisor.policy.dialects.linkerd.attachments import (
    INVALID_KIND,
    NETWORK,
    NO_PARENT,
    Key,
    attachments,
    fault_of,
)
from supervisor.policy.dialects.linkerd.authorizations import Authorizations
from supervisor.policy.dialects.linkerd.networks import Networks
from supervisor.policy.dialects.linkerd.order import BEFORE_ROUTES, ROUTE
from supervisor.policy.dialects.linkerd.words import CORE, GATEWAY_API, LINKERD, is_gateway
from supervisor.policy.dialects.routes import AnyRoute, Reference, chosen_by, route_of
from supervisor.policy.dialects.routes.parts import Extension, ExternalAuth, ForwardRule, RequestRule
from supervisor.policy.resources.conditions import AllOf, Condition, Not, Path
from supervisor.policy.resources.model import Destination, InnerProtocol, Item, Rules, Selector, Text
from supervisor.policy.resources.routing import Asked, Backend, Invalid, Route
from supervisor.source.problems import Place, Problems

SHOWN: Final[dict[str, InnerProtocol]] = {"GRPCRoute": "http", "HTTPRoute": "http", "TLSRoute": "tls"}


class EgressRoutes:
    """Routes, and the networks that they belong to."""

    def __init__(
        self, routes: Sequence[AnyRoute], networks: Networks, surroundings: Surroundings, problems: Problems
    ) -> None:
        self.routes = routes
        self.networks = networks
        self.surroundings = surroundings
        self.problems = problems

    def rules(self, authorizations: Authorizations) -> Iterator[Rules]:
        """One of each route and network, and what keeps tunnels from going around it."""
        for route in self.routes:
            self.check_parents(route)
        ports: dict[tuple[int, Key], list[int]] = {}
        owners: dict[int, AnyRoute] = {}
        for one in attachments(self.routes, self.networks):
            owners[id(one.route)] = one.route
            if one.fault is None:
                ports.setdefault((id(one.route), one.key), []).append(one.parent.port)
            elif one.key not in self.networks.known:
                self.problems.error(one.place, f"{NO_PARENT}: {one.fault.words}", one.fault.hint)
        for (owner, key), found in ports.items():
            route = owners[owner]
            frame = self.of_route(route, key, authorizations)
            closed: list[Item] = []
            for number, rule, items in self.items(route, key, found):
                routed = self.routed(route, number, rule) if isinstance(rule, RequestRule) else None
                yield msgspec.structs.replace(frame, items=items, route=routed)
                closed += [item for item in items if item.path is not None or item.when is not None]
            yield from refusals(frame, tuple(closed))

    def routed(self, route: AnyRoute, number: int, rule: RequestRule) -> Route:
        """The way of a rule's requests: its own words, and the annotations of its route."""
        found = route_of(route, number, rule, "linkerd", lambda one: self.backend(route, one))
        timeouts, retry = timeouts_of(route, found.timeouts), retry_of(route) or found.retry
        return msgspec.structs.replace(found, timeouts=timeouts, retry=retry)

    def backend(self, route: AnyRoute, reference: Reference) -> Backend:
        """An EgressNetwork, or a Service. Others are errors."""
        if reference.is_kind(*NETWORK):
            return Asked()
        if not reference.is_kind(CORE, "Service"):
            return Invalid(INVALID_KIND)
        referrer = Referrer(route.api, route.kind, route.namespace, route.kind == "GRPCRoute")
        return backend_of(referrer, reference.namespace, reference.name, reference.port, self.surroundings)

    def check_parents(self, route: AnyRoute) -> None:
        """Parents without a port, and those that no dialect has rules for; annotations of a route of networks."""
        if any(parent.is_kind(*NETWORK) for parent in route.parents):
            check_annotations(route, self.problems)
        for parent in route.parents:
            place = Place(route.file, parent.line, parent.column)
            if parent.is_kind(*NETWORK):
                if not parent.port:
                    words = "cannot target an EgressNetwork without specifying a port"
                    self.problems.error(place, words, "write port: 443")
            elif not parent.is_kind(GATEWAY_API, "Gateway"):
                words = f"{route.title} decides nothing here under {parent.kind} {parent.name}"
                self.problems.warning(place, words, "for what leaves the mesh name an EgressNetwork as the parent")

    def of_route(self, route: AnyRoute, key: Key, authorizations: Authorizations) -> Rules:
        """The facts that its rules share."""
        own = authorizations.of(route.api, route.kind, route.namespace, route.name)
        selectors: tuple[Selector, ...] = (Selector(route.namespace),)
        if route.namespace == key[0]:
            selectors = self.networks.selectors(key[0])
        return Rules(
            kind=route.kind,
            namespace=route.namespace,
            name=route.name,
            file=route.file,
            tier="allow",
            selectors=selectors,
            items=(),
            created=route.created,
            protocol=SHOWN.get(route.kind),
            group=GROUP,
            precedence=ROUTE,
            by_order=True,
            admit=authorizations.of_network(*key, own),
            in_network=f"{key[0]}/{key[1]}",
        )

    # what it allows

    def items(
        self, route: AnyRoute, key: Key, ports: Sequence[int]
    ) -> Iterator[tuple[int, RequestRule | ForwardRule, tuple[Item, ...]]]:
        """Each match of each rule with each host, counted so; rule by rule."""
        reach = tuple((port, port) for port in sorted(set(ports)))
        hosts: tuple[Text | None, ...] = route.hostnames or (None,)
        index = 0
        rules: Sequence[RequestRule | ForwardRule] = route.rules
        for number, rule in enumerate(rules):
            items: list[Item] = []
            routed = self.needs_routing(route, rule, key)
            for path, when, ahead, line, column in matches(rule):
                for host in hosts:
                    at = (host.line, host.column) if host and isinstance(rule, ForwardRule) else (line, column)
                    to = Destination(host=host, ports=reach, anything=host is None)
                    item = Item(index, *at, to, path, when, ahead)
                    items.append(visible(item) if routed else item)
                    index += 1
            yield number, rule, tuple(items)

    def needs_routing(self, route: AnyRoute, rule: RequestRule | ForwardRule, key: Key) -> bool:
        """Whether requests are changed or led elsewhere. Backends are the network itself, this gateway, or others."""
        if rule.backends and not any(backend.weight for backend in rule.backends):
            words = "every backend has weight 0: nothing would pass"
            self.problems.error(
                Place(route.file, rule.line, rule.column), words, "leave weight out, or remove the rule"
            )
        for backend in rule.backends:
            if fault := fault_of(route, backend, key, self.networks):
                place = Place(route.file, backend.reference.line, backend.reference.column)
                self.problems.error(place, f"{fault.reason}: {fault.words}", fault.hint)
        elsewhere = [backend.reference for backend in rule.backends if self.leads_elsewhere(backend.reference)]
        if isinstance(rule, RequestRule):
            filters = (*rule.filters, *(one for backend in rule.backends for one in backend.filters))
            for one in filters:
                if isinstance(one.value, Extension | ExternalAuth):
                    words = f"the filter {one.type} of {route.title} is not known here"
                    self.problems.error(Place(route.file, one.line, one.column), words, "remove the filter")
            return bool(elsewhere or filters)
        for target in elsewhere:
            words = f"backends of a {route.kind} other than its EgressNetwork are not supported yet: {target.name}"
            hint = f"write {{group: {LINKERD}, kind: EgressNetwork, name: {key[1]}}}"
            self.problems.error(Place(route.file, target.line, target.column), words, hint)
        return False

    def leads_elsewhere(self, target: Reference) -> bool:
        """Whether a backend is a Service other than this gateway."""
        return target.is_kind(CORE, "Service") and not is_gateway(target, self.surroundings.services)


def refusals(rules: Rules, conditional: tuple[Item, ...]) -> Iterator[Rules]:
    """A denial of tunnels to the hosts of conditional items, for whom the route does not admit: what is inside may be a
    request that it would refuse. A request, once it is seen, is judged by the route itself."""
    if not conditional or rules.admit is None:
        return
    tunnels = {
        item.destination: msgspec.structs.replace(
            item, path=None, when=AllOf((Not(rules.admit), Not(every_request(item)))), ahead=BEFORE_ROUTES
        )
        for item in reversed(conditional)
    }
    items = tuple(sorted(tunnels.values(), key=lambda item: item.index))
    yield msgspec.structs.replace(rules, tier="unauthorized", items=items, protocol=None, admit=None)


def matches(rule: RequestRule | ForwardRule) -> Iterator[tuple[Path | None, Condition | None, int, int, int]]:
    """Path, condition, `ahead`, line and column of each of its matches."""
    if isinstance(rule, RequestRule):
        yield from ((*chosen_by(match), match.line, match.column) for match in rule.matches)
    else:
        yield None, None, 0, rule.line, rule.column


def visible(item: Item) -> Item:
    """The same for requests alone."""
    every = every_request(item)
    return msgspec.structs.replace(item, when=every if item.when is None else AllOf((item.when, every)))


def every_request(item: Item) -> Path:
    """A condition that every request satisfies; of a tunnel it is never known."""
    return Path("prefix", Text("/", item.line, item.column))
