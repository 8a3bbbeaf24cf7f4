"""The Services of a cluster as backends of routes: by their endpoints, by a name that they stand for, or by their own.

An endpoint whose address belongs to a live pod of the Service's own namespace is one that the address guard is lifted
for, and so is a pod of another namespace where a ReferenceGrant there lets Services of this one refer to Pods.
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgspec
from msgspec import UNSET

from supervisor.policy.cluster.objects import EndpointSlice, Fact, Service
from supervisor.policy.cluster.workloads import Workload
from supervisor.policy.resources import routing
from supervisor.policy.resources.model import Origination, origination_text

__all__ = ["UNSUPPORTED", "ClusterServices", "Grant", "Secured"]

Key = tuple[str, str]  # namespace and name
Found = routing.Service | routing.Named | routing.Invalid
MOST_ENDPOINTS: Final = 1000
_NAME: Final = re.compile(r"[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?(\.[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?)*")
# Of a Service's port (KEP-3726).
PROTOCOLS: Final[Mapping[str, routing.Protocol]] = {
    "kubernetes.io/h2c": "h2c",
    "https": "https",
    "kubernetes.io/wss": "https",
}


UNSUPPORTED: Final = "UnsupportedProtocol"


class Secured(NamedTuple):
    """TLS towards a Service, or towards its port of that name ("" = every one)."""

    namespace: str
    name: str
    port: str
    tls: Origination


class Grant(NamedTuple):
    """A ReferenceGrant: resources of a group, kind and namespace may refer to those of a group, a kind and a name (""
    = every one) in its own."""

    namespace: str
    sources: frozenset[tuple[str, str, str]]
    targets: frozenset[tuple[str, str, str]]


class ClusterServices:
    """Those that are known. Where none is, every name of one is taken to exist."""

    def __init__(
        self,
        facts: Iterable[Fact],
        workloads: Iterable[Workload],
        grants: Iterable[Grant],
        domain: str,
        secured: Iterable[Secured] = (),
    ) -> None:
        self.secured = {(one.namespace, one.name, one.port): origination_text(one.tls) for one in secured}
        self.services: dict[Key, Service] = {}
        self.slices: dict[Key, list[EndpointSlice]] = {}
        for fact in facts:
            if isinstance(fact, Service):
                self.services[fact.namespace, fact.name] = fact
            elif isinstance(fact, EndpointSlice) and fact.service:
                self.slices.setdefault((fact.namespace, fact.service), []).append(fact)
        self.workloads = tuple(workloads) if self.slices else ()
        self.pods: dict[str, str] | None = None  # the namespace of the pod that has an address
        self.by_namespace: dict[str, list[Grant]] = {}
        for grant in grants:
            self.by_namespace.setdefault(grant.namespace, []).append(grant)
        self.domain = domain

    def find(self, namespace: str, name: str, port: int, grpc: bool = False) -> Found | None:
        """As `Services` of dialects/dialect.py."""
        key = (namespace, name)
        service = self.services.get(key)
        if service is None and self.services:
            return None
        if service is not None and service.external_name:
            host = service.external_name.lower().removesuffix(".")
            return routing.Named(host, port) if _is_name(host) else None
        own = next((one for one in service.ports if one.number == port), None) if service is not None else None
        if own is None and service is not None and service.ports:
            return None
        usual: routing.Protocol = "h2c" if grpc else "http"
        protocol = PROTOCOLS.get(own.protocol, usual) if own is not None else usual
        port_name = own.name if own is not None else ""
        tls = self.secured.get((*key, port_name)) or self.secured.get((*key, ""))
        if protocol == "https" and tls is None:
            return routing.Invalid(UNSUPPORTED)  # nothing says which name its certificate has
        slices = self.slices.get(key)
        found = routing.Service(namespace, name, port, protocol, tls=UNSET if tls is None else tls)
        if slices is None:
            return msgspec.structs.replace(found, dns=f"{name}.{namespace}.svc.{self.domain}")
        endpoints = tuple(sorted(self._endpoints(key, slices, port_name, port)))
        return msgspec.structs.replace(found, endpoints=endpoints[:MOST_ENDPOINTS])

    def _endpoints(
        self, key: Key, slices: Iterable[EndpointSlice], port_name: str, port: int
    ) -> set[tuple[str, int, bool]]:
        """Those that are ready. A slice has a port by the name that the Service gives it."""
        found = set()
        for one in slices:
            number = next((own.number or port for own in one.ports if own.name == port_name), 0 if one.ports else port)
            for endpoint in one.endpoints if number else ():
                if endpoint.ready:
                    texts = filter(None, map(_address, endpoint.addresses))
                    found |= {(text, number, self._is_own_pod(key[0], text)) for text in texts}
        return found

    def _is_own_pod(self, namespace: str, address: str) -> bool:
        if self.pods is None:
            self.pods = {one.address: one.pod.namespace for one in self.workloads}
        space = self.pods.get(address)
        return space == namespace or (space is not None and self._granted(("", "Service", namespace), "Pod", space, ""))

    def grants(self, group: str, kind: str, namespace: str, service: Key) -> bool:
        """As `Services` has it."""
        return namespace == service[0] or self._granted((group, kind, namespace), "Service", *service)

    def _granted(self, source: tuple[str, str, str], kind: str, namespace: str, name: str) -> bool:
        targets = {("", kind, ""), ("", kind, name)}
        grants = self.by_namespace.get(namespace, ())
        return any(source in grant.sources and not targets.isdisjoint(grant.targets) for grant in grants)


def _is_name(text: str) -> bool:
    return len(text) <= 253 and bool(_NAME.fullmatch(text)) and not text.rpartition(".")[2].isdecimal()


def _address(text: str) -> str | None:
    """The canonical text of an address; None for a name, which slices of that type have."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None
