"""The rules that the resources come to together."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from supervisor.policy.dialects.dialect import ELSEWHERE, Part, Surroundings
from supervisor.policy.dialects.fsm.passthrough import passthrough
from supervisor.policy.dialects.fsm.requests import condition_of
from supervisor.policy.dialects.fsm.resources import (
    Egress,
    EgressGateway,
    HTTPRouteGroup,
    MeshConfig,
    Port,
    Reference,
    UpstreamTrafficSetting,
)
from supervisor.policy.resources.conditions import AllOf, Condition, Within
from supervisor.policy.resources.model import Destination, InnerProtocol, Item, Rules, Selector, Text
from supervisor.policy.resources.routing import Route
from supervisor.source.problems import Place, Problems, did_you_mean

# What a connection has to carry, by the protocol of the port it is asked for on.
SHOWN: Final[dict[str, InnerProtocol | None]] = {"http": "http", "https": "tls", "tcp": None, "tcp-server-first": None}
TCP: Final = ("tcp", "tcp-server-first")
EVERYWHERE: Final = ("0.0.0.0/0", "::/0")
Known = dict[str, dict[tuple[str, str], Part]]  # by kind, then by namespace and name


def rules(parts: Sequence[Part], surroundings: Surroundings, problems: Problems) -> list[Rules]:
    """The rules of every Egress. EgressGateways give none: which gateway a connection takes is the sidecar's choice."""
    check_gateways([part for part in parts if isinstance(part, EgressGateway)], surroundings, problems)
    check_configs([part for part in parts if isinstance(part, MeshConfig)], problems)
    known: Known = {
        kind.__name__: {(part.namespace, part.name): part for part in parts if isinstance(part, kind)}
        for kind in (HTTPRouteGroup, UpstreamTrafficSetting)
    }
    egresses = [part for part in parts if isinstance(part, Egress)]
    found = [rules for egress in egresses for rules in _Egress(egress, problems).rules(known)]
    if surroundings.passthrough:
        found += passthrough(egresses, surroundings.allowed)
    return found


def opens(parts: Sequence[Part]) -> bool | None:
    """enableEgress of the MeshConfig."""
    return next((part.open for part in parts if isinstance(part, MeshConfig)), None)


class _Egress:
    """One Egress, and what is wrong with it beside others."""

    def __init__(self, egress: Egress, problems: Problems) -> None:
        self.egress = egress
        self.problems = problems

    def at(self, part: Text | Port) -> Place:
        return Place(self.egress.file, part.line, part.column)

    def rules(self, known: Known) -> Iterator[Rules]:
        """Its rules, a group for each protocol and, of http, for each HTTPRouteGroup: they have conditions, which no
        tunnel satisfies, and the group is the route of what they let pass."""
        egress = self.egress
        matched = [self.reference(match, known) for match in egress.matches]
        self.warn()
        if not all(matched):
            return
        groups = [part for part in matched if isinstance(part, HTTPRouteGroup)]
        for protocol, inner in SHOWN.items():
            ports = [port for port in egress.ports if port.protocol == protocol]
            routed: list[HTTPRouteGroup | None] = [*groups] if protocol == "http" else []
            for group in routed or [None]:
                condition = condition_of([group]) if group is not None else None
                items = tuple(item for port in ports for item in self.items(port, condition))
                if items:
                    yield self.group(items, inner, group)

    def group(self, items: tuple[Item, ...], inner: InnerProtocol | None, routes: HTTPRouteGroup | None) -> Rules:
        egress = self.egress
        title = f"{routes.kind}/{routes.namespace}/{routes.name}" if routes is not None else ""
        return Rules(
            kind=egress.kind,
            namespace=egress.namespace,
            name=egress.name,
            file=egress.file,
            tier="allow",
            selectors=tuple(Selector(namespace, account) for namespace, account in egress.sources),
            items=items,
            created=egress.created,
            protocol=inner,
            route=Route(title, 0, "fsm") if title else None,
        )

    def items(self, port: Port, condition: Condition | None) -> Iterator[Item]:
        """The destinations on one port. They are numbered through the ports in turn, each with all of its hosts."""
        blocks = tuple(block.value for block in self.egress.addresses)
        first = port.index * max(len(self.egress.hosts), len(self.egress.addresses), len(EVERYWHERE))
        for index, (part, destination) in enumerate(self.destinations(port), first):
            within = Within(blocks) if blocks and destination.host else None
            when = AllOf((within, condition)) if within and condition else within or condition
            yield Item(index, part.line, part.column, destination, when=when)

    def destinations(self, port: Port) -> Iterator[tuple[Text | Port, Destination]]:
        """Where to, and the part of the resource that says so. Of tcp these are addresses alone; of the others they are
        names where there are any; the blocks that a name has to lie in are its condition."""
        egress = self.egress
        reach = ((port.number, port.number),)
        tcp = port.protocol in TCP
        if not tcp and egress.hosts:
            yield from ((host, Destination(host=host, ports=reach)) for host in egress.hosts)
        elif egress.addresses:
            yield from ((one, Destination(cidr=one.value, ports=reach)) for one in egress.addresses)
        elif tcp:
            yield from ((port, Destination(cidr=cidr, ports=reach)) for cidr in EVERYWHERE)
        else:
            words = f"port {port.number}, {port.protocol}: neither hosts nor ipAddresses, so that it allows nothing"
            self.problems.warning(self.at(port), words, "name the hosts, or write protocol: tcp for every address")

    def reference(self, match: Reference, known: Known) -> Part | None:
        """A resource that does not exist makes the Egress unusable: what it would close is not known."""
        resources = known[match.kind]
        if (found := resources.get((self.egress.namespace, match.name.value))) is not None:
            return found
        near = [name for namespace, name in resources if namespace == self.egress.namespace]
        words = f"there is no {match.kind} {self.egress.namespace}/{match.name.value}"
        self.problems.error(self.at(match.name), words, did_you_mean(match.name.value, near))
        return None

    def warn(self) -> None:
        """Warnings of parts that FSM treats other than its documents say, or in the sidecar."""
        egress = self.egress
        if egress.certificates:
            words = f"mtls of {egress.title} is the sidecar's matter: it dials such destinations itself"
            self.problems.warning(egress.place, words, "to originate TLS here write an EgressPolicy with tls")
        tcp = [port for port in egress.ports if port.protocol in TCP]
        if egress.hosts and len(tcp) == len(egress.ports):
            words = "hosts have no effect on tcp, here as in FSM"
            self.problems.warning(self.at(egress.hosts[0]), words, "write ipAddresses, or protocol: https")
        secure = [port for port in egress.ports if port.protocol == "https"]
        if secure and len(egress.hosts) > 1:
            words = "FSM's sidecar mixes the https hosts of one port up: here each leads to the name it asks for"
            self.problems.warning(self.at(secure[0]), words)


def check_gateways(gateways: Iterable[EgressGateway], surroundings: Surroundings, problems: Problems) -> None:
    """One resource of a mesh may name gateways for everything (FSM's admission rule); those that name other gateways
    than this one are reported."""
    first: EgressGateway | None = None
    for gateway in sorted(gateways, key=lambda part: (part.created is None, part.created, part.namespace, part.name)):
        if gateway.everything:
            if first is not None:
                words = f"{gateway.title} names gateways for everything, as {first.title} does"
                problems.error(gateway.place, words, f"one of a mesh may: {first.title} is at {first.place}")
            first = first or gateway
        targets = [*gateway.everything, *(target for rule in gateway.rules for target in rule.gateways)]
        names = {f"{target.namespace}/{target.service}" for target in targets}
        if names and not names & set(surroundings.services):
            others = ", ".join(sorted(names))
            words = f"{gateway.title} leads to other gateways than this one ({others}): it changes nothing here"
            problems.warning(gateway.place, words, ELSEWHERE)


def check_configs(configs: Sequence[MeshConfig], problems: Problems) -> None:
    """A mesh has one."""
    for other in configs[1:]:
        words = f"{other.title} beside {configs[0].title}: a mesh has one MeshConfig"
        problems.error(other.place, words, f"the other one is at {configs[0].place}")
