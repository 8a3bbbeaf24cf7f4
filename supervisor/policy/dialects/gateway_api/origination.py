"""BackendTLSPolicies: which destinations of which routes leave as TLS.

A policy holds for requests for its own hostname, under the routes that it targets, or under those with the backend that
it targets: a Service of this gateway, or an EgressNetwork. One for another Service holds for whatever goes to it.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from supervisor.policy.cluster.objects import Configuration
from supervisor.policy.cluster.services import Secured
from supervisor.policy.dialects.dialect import Part
from supervisor.policy.dialects.gateway_api.backends import Backends
from supervisor.policy.dialects.gateway_api.listeners import Refusal
from supervisor.policy.dialects.gateway_api.resources import BackendTLSPolicy, Target
from supervisor.policy.dialects.routes import HTTPRoute
from supervisor.policy.dialects.routes.parts import CORE, GATEWAY_API, LINKERD, Backend, RequestRule
from supervisor.policy.resources.model import Origination, Text
from supervisor.source.problems import Place

Key = tuple[str, str, str]  # kind, namespace and name of what a policy targets


class Aimed(NamedTuple):
    """A policy under one of its targets, and why it does not hold there (None where it does)."""

    policy: BackendTLSPolicy
    target: Target
    refusal: Refusal | None


class Originations:
    """Policies by their targets. Of two for one target, section and hostname the older one holds."""

    def __init__(self, parts: Sequence[Part], backends: Backends) -> None:
        self.backends = backends
        self.routes = {(part.namespace, part.name) for part in parts if isinstance(part, HTTPRoute)}
        self.authorities = authorities_of(parts)
        policies = policies_of(parts)
        self.by_key: dict[Key, dict[tuple[str, str], BackendTLSPolicy]] = {}
        self.elsewhere: dict[Key, dict[tuple[str, str], BackendTLSPolicy]] = {}
        self.aimed = [Aimed(one, target, self._aim(one, target)) for one in policies for target in one.targets]

    @property
    def hosts(self) -> set[str]:
        """All hostnames of policies that hold somewhere."""
        return {host for held in self.by_key.values() for _, host in held}

    def _aim(self, policy: BackendTLSPolicy, target: Target) -> Refusal | None:
        """Takes a target, or says why not."""
        one = target.reference
        title = f"{one.kind} {policy.namespace}/{one.name}"
        if (one.group, one.kind) not in ((CORE, "Service"), (LINKERD, "EgressNetwork"), (GATEWAY_API, "HTTPRoute")):
            return Refusal("Invalid", f"{title}: Service, EgressNetwork and HTTPRoute are targets")
        if one.kind == "HTTPRoute" and (policy.namespace, one.name) not in self.routes:
            return Refusal("TargetNotFound", f"there is no {title}")
        if one.kind == "Service":
            known = self.backends.services
            own = f"{policy.namespace}/{one.name}" in self.backends.own
            if not own and known and f"{policy.namespace}/{one.name}" not in known:
                return Refusal("TargetNotFound", f"there is no {title}")
            if own and target.section and self.port(policy.namespace, one.name, target.section) is None:
                return Refusal("TargetNotFound", f"{title} has no port {target.section}")
        own = one.kind != "Service" or f"{policy.namespace}/{one.name}" in self.backends.own
        # Of another Service every request is meant, whatever host was asked for.
        held = (self.by_key if own else self.elsewhere).setdefault((one.kind, policy.namespace, one.name), {})
        host = policy.hostname.value if own else ""
        other = held.setdefault((target.section, host), policy)
        if other is not policy:
            return Refusal("Conflicted", f"{other.title} is older and holds for {f'{host} of ' if host else ''}{title}")
        return None

    def unresolved(self, policy: BackendTLSPolicy) -> Refusal | None:
        """Why a reference to certificates of CAs cannot be resolved; None where all of them can."""
        for one in policy.authorities:
            if not one.is_kind(CORE, "ConfigMap"):
                return Refusal("InvalidKind", f"{one.kind} {one.name} has no certificates of CAs: ConfigMaps have")
            if not self.authorities.get((policy.namespace, one.name)):
                words = f"there is no ConfigMap {policy.namespace}/{one.name} with ca.crt among the manifests"
                return Refusal("InvalidCACertificateRef", words)
        return None

    def port(self, namespace: str, name: str, section: str) -> int | None:
        """The number of a Service's port; None where there is none of that name."""
        service = self.backends.services.get(f"{namespace}/{name}")
        ports = service.ports if service is not None else ()
        return next((port.number for port in ports if port.name == section), None)

    def of(self, route: Part, rule: RequestRule) -> dict[str, Origination]:
        """The TLS of a rule's requests, by hostname: the route's own policies before those of its backends."""
        found: dict[str, Origination] = {}
        own = self.by_key.get((route.kind, route.namespace, route.name), {})
        for section in (rule.name, "") if rule.name else ("",):
            for (named, host), policy in own.items():
                if named == section:
                    found.setdefault(host, _origination(policy, self.authorities))
        for backend in rule.backends:
            for host, policy in self._of_backend(backend, route.namespace):
                found.setdefault(host, _origination(policy, self.authorities))
        return found

    def _of_backend(self, backend: Backend, namespace: str) -> list[tuple[str, BackendTLSPolicy]]:
        one = backend.reference
        if not self.backends.is_own(one, namespace):
            return []
        if one.kind == "Service":
            keys = [full for full in self.backends.own if full.rpartition("/")[2] == one.name]
            if f"{one.namespace or namespace}/{one.name}" in keys:
                keys = [f"{one.namespace or namespace}/{one.name}"]
        else:
            keys = [f"{one.namespace or namespace}/{one.name}"]
        found = []
        for key in sorted(keys):
            space, _, name = key.partition("/")
            for (section, host), policy in self.by_key.get((one.kind, space, name), {}).items():
                if not section or self.port(space, name, section) == one.port:
                    found.append((bool(section), host, policy))
        found.sort(key=lambda one: not one[0])  # a section before the whole
        return [(host, policy) for _, host, policy in found]


def policies_of(parts: Sequence[Part]) -> list[BackendTLSPolicy]:
    """All of them, the older first."""
    found = [part for part in parts if isinstance(part, BackendTLSPolicy)]
    found.sort(key=lambda one: (one.created is None, one.created or 0, f"{one.namespace}/{one.name}"))
    return found


def authorities_of(parts: Sequence[Part]) -> dict[tuple[str, str], str]:
    """The certificates of CAs that ConfigMaps have, by namespace and name."""
    return {(one.namespace, one.name): one.authority for one in parts if isinstance(one, Configuration)}


def secured_by(parts: Sequence[Part]) -> Iterator[Secured]:
    """TLS towards Services, as policies of their own namespaces say: of two for one port the older holds."""
    authorities = authorities_of(parts)
    seen: set[tuple[str, str, str]] = set()
    for policy in policies_of(parts):
        for target in policy.targets:
            key = (policy.namespace, target.reference.name, target.section)
            if target.reference.is_kind(CORE, "Service") and key not in seen:
                seen.add(key)
                yield Secured(*key, _origination(policy, authorities))


def _origination(policy: BackendTLSPolicy, authorities: dict[tuple[str, str], str]) -> Origination:
    host = policy.hostname
    place = Place(policy.file, host.line, host.column)
    if not policy.authorities:
        return Origination(place, True, server_name=host.value, sans=policy.names)
    first = policy.authorities[0]
    names = ", ".join(f"ConfigMap {policy.namespace}/{one.name}" for one in policy.authorities)
    texts = (authorities.get((policy.namespace, one.name), "") for one in policy.authorities)
    ca = Text(names, first.line, first.column)
    return Origination(place, True, server_name=host.value, sans=policy.names, ca=ca, authority="\n".join(texts))
