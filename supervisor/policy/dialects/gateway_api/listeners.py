"""Listeners of Gateways: which of them are listeners of sluice.yaml, and which routes they allow.

A Gateway opens no port. Its listener stands for the one of sluice.yaml that has its name and its port.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from supervisor.policy.dialects.dialect import Surroundings
from supervisor.policy.dialects.gateway_api.hostnames import covers
from supervisor.policy.dialects.gateway_api.resources import PROXY, Gateway, Kind, Listener
from supervisor.policy.dialects.routes import AnyRoute
from supervisor.policy.dialects.routes.parts import GATEWAY_API
from supervisor.policy.resources.labels import matches

CLASS: Final = "sluice"  # gatewayClassName of this gateway
REQUESTS: Final = ("HTTPRoute", "GRPCRoute")
# Kinds of routes that a protocol knows (gateway-api, apis/v1/gateway_types.go, ProtocolType).
PROTOCOLS: Final[Mapping[str, tuple[str, ...]]] = {
    "HTTP": REQUESTS,
    "HTTPS": REQUESTS,
    "TLS": ("TLSRoute",),
    "TCP": ("TCPRoute",),
    PROXY: (*REQUESTS, "TLSRoute", "TCPRoute"),
}
NAME_LABEL: Final = "kubernetes.io/metadata.name"  # that the API server gives each namespace


class Refusal(NamedTuple):
    """A reason of Gateway API, and a sentence."""

    reason: str
    message: str


class Own(NamedTuple):
    """A Gateway's listener that is one of sluice.yaml."""

    gateway: Gateway
    listener: Listener

    @property
    def name(self) -> str:
        """In sluice.yaml."""
        return self.listener.name


def title(gateway: Gateway, listener: Listener) -> str:
    """As messages name it."""
    return f"listener {listener.name} of Gateway {gateway.namespace}/{gateway.name}"


def refusal_of(listener: Listener, surroundings: Surroundings) -> Refusal | None:
    """Why a listener cannot be used; None where it can."""
    if listener.protocol not in PROTOCOLS:
        return Refusal("UnsupportedProtocol", f"{listener.protocol} is none of {', '.join(PROTOCOLS)}")
    if listener.protocol == "TLS" and listener.mode == "Terminate":
        return Refusal("UnsupportedValue", "TLS of a destination is not terminated here: write mode: Passthrough")
    ports = dict(surroundings.listeners)
    if listener.name not in ports:
        names = ", ".join(ports) or "none"
        return Refusal("PortUnavailable", f"sluice.yaml has no listener {listener.name}; its listeners: {names}")
    if ports[listener.name] != listener.port:
        words = f"listener {listener.name} of sluice.yaml has port {ports[listener.name]}, not {listener.port}"
        return Refusal("PortUnavailable", words)
    return None


def allowed_kinds(listener: Listener) -> tuple[tuple[str, ...], tuple[Kind, ...]]:
    """The kinds of routes that may attach, and those of `kinds` that the protocol does not know."""
    known = PROTOCOLS.get(listener.protocol, ())
    if listener.kinds is None:
        return known, ()
    fit = tuple(kind for group, kind in listener.kinds if group == GATEWAY_API and kind in known)
    return fit, tuple(one for one in listener.kinds if one[0] != GATEWAY_API or one[1] not in known)


def permits(own: Own, route: AnyRoute, spaces: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether `allowedRoutes` lets a route attach; `spaces` are the labels of namespaces that are known."""
    listener = own.listener
    if route.kind not in allowed_kinds(listener)[0]:
        return False
    if listener.routes_from == "Selector":
        labels = {**spaces.get(route.namespace, {}), NAME_LABEL: route.namespace}
        return matches(listener.spaces, labels)
    return listener.routes_from == "All" or (
        listener.routes_from == "Same" and route.namespace == own.gateway.namespace
    )


def own_listeners(gateways: Sequence[Gateway], surroundings: Surroundings) -> Iterator[Own]:
    """Those of Gateways of this class that can be used."""
    for gateway in gateways:
        for listener in gateway.listeners:
            if refusal_of(listener, surroundings) is None:
                yield Own(gateway, listener)


class Isolation:
    """The hostnames of listeners that share a port: each host belongs to the most specific one alone."""

    def __init__(self, listeners: Sequence[Own]) -> None:
        self.hosts: dict[tuple[str, str], set[str]] = {}
        for own in listeners:
            self.hosts.setdefault((own.name, own.listener.protocol), set()).add(own.listener.hostname)

    def shared(self) -> set[str]:
        """Hostnames of ports that have listeners of several protocols: there each of them has its own isolation."""
        protocols: dict[str, set[str]] = {}
        for name, protocol in self.hosts:
            protocols.setdefault(name, set()).add(protocol)
        several = {name for name, found in protocols.items() if len(found) > 1}
        return {host for (name, _), hosts in self.hosts.items() if name in several for host in hosts if host}

    def narrower(self, own: Own) -> list[str]:
        """Hostnames of other listeners that take hosts from this one's."""
        mine = own.listener.hostname
        others = self.hosts[own.name, own.listener.protocol]
        return sorted(host for host in others if host != mine and covers(mine, host))
