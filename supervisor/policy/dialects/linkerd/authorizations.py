"""Admission: AuthorizationPolicies with what they refer to, and ServerAuthorizations, as conditions.

Several policies on one target are alternatives; of one, all authentications must hold. A policy whose reference does
not exist is unusable: no source satisfies it.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from supervisor.policy.dialects.dialect import Part, Surroundings
from supervisor.policy.dialects.linkerd.identities import Identities, of_reference
from supervisor.policy.dialects.linkerd.resources import (
    AuthorizationPolicy,
    Block,
    MeshTLSAuthentication,
    NetworkAuthentication,
    Server,
    ServerAuthorization,
    Target,
)
from supervisor.policy.dialects.linkerd.words import CORE, LINKERD
from supervisor.policy.resources.conditions import AllOf, AnyOf, Asks, Condition, Not
from supervisor.policy.resources.labels import matches
from supervisor.policy.resources.terms import Selector
from supervisor.source.problems import Place, Problems, did_you_mean

__all__ = ["ALL_SOURCES", "NO_SOURCE", "Authorizations", "all_of", "any_of", "within"]

ALL_SOURCES: Final = AllOf(())
NO_SOURCE: Final = AnyOf(())

Key = tuple[str, str, str, str]  # group, kind, namespace and name


class Authorizations:
    """`targets` are the resources that exist, by key: those that a policy may be about."""

    def __init__(
        self, parts: Sequence[Part], targets: Collection[Key], surroundings: Surroundings, problems: Problems
    ) -> None:
        self.problems = problems
        self.targets = targets
        self.gateway = surroundings.namespace
        self.identities = Identities(surroundings.trust_domains, problems)
        self.authentications: dict[tuple[str, str, str], Condition] = {}
        for part in parts:
            if isinstance(part, MeshTLSAuthentication):
                self.authentications[part.kind, part.namespace, part.name] = self.identified(part)
            elif isinstance(part, NetworkAuthentication):
                self.authentications[part.kind, part.namespace, part.name] = within(part.blocks)
        self.by_target: dict[Key, list[Condition]] = defaultdict(list)
        for policy in parts:
            if isinstance(policy, AuthorizationPolicy) and (key := self.target(policy)):
                self.by_target[key].append(self.policy(policy))
        self.for_servers = [part for part in parts if isinstance(part, ServerAuthorization)]

    # what policies say

    def target(self, policy: AuthorizationPolicy) -> Key | None:
        """The key of its target. One that does not exist is an error: what it would close is not known."""
        target = policy.target
        if (target.group, target.kind) == (CORE, "Namespace"):
            return CORE, "Namespace", "", policy.namespace
        key = (target.group, target.kind, policy.namespace, target.name)
        if key in self.targets:
            return key
        if not target.name:
            return None  # what is wrong with it is said already
        near = [name for group, kind, namespace, name in self.targets if (group, kind, namespace) == key[:3]]
        words = f"NoMatchingTarget: there is no {target.kind} {policy.namespace}/{target.name} of {target.group}"
        self.problems.error(at(policy, target), words, did_you_mean(target.name, near))
        return None

    def policy(self, policy: AuthorizationPolicy) -> Condition:
        return all_of(self.authentication(policy, target) for target in policy.needed)

    def authentication(self, policy: AuthorizationPolicy, target: Target) -> Condition:
        if target.kind == "ServiceAccount":
            return Asks((of_reference(target, policy.namespace),))
        namespace = target.namespace or policy.namespace
        if (found := self.authentications.get((target.kind, namespace, target.name))) is not None:
            return found
        if not target.name:
            return NO_SOURCE
        near = [name for kind, space, name in self.authentications if (kind, space) == (target.kind, namespace)]
        words = f"there is no {target.kind} {namespace}/{target.name}"
        self.problems.error(at(policy, target), words, did_you_mean(target.name, near))
        return NO_SOURCE

    def identified(self, part: MeshTLSAuthentication) -> Condition:
        selectors = self.identities.selectors(part.identities, part.file)
        selectors += (of_reference(target, part.namespace) for target in part.references)
        return asks(selectors)

    # what they come to

    def of(self, group: str, kind: str, namespace: str, name: str) -> Condition | None:
        """The sources that policies on a resource admit to it; None where there is none."""
        found = self.by_target.get((group, kind, namespace, name))
        return None if found is None else any_of(found)

    def of_namespace(self, namespace: str) -> Condition | None:
        """The same of a namespace."""
        return self.of(CORE, "Namespace", "", namespace)

    def of_network(self, namespace: str, name: str, route: Condition | None = None) -> Condition | None:
        """The sources admitted to an EgressNetwork, or to a route there that has the authorizations `route`. Those of
        the most specific target decide; those on the gateway's own namespace must hold as well. None = every
        source."""
        own = route if route is not None else self.of(LINKERD, "EgressNetwork", namespace, name)
        gateway = self.of_namespace(self.gateway)
        if own is None and namespace != self.gateway:
            own = self.of_namespace(namespace)
        needed = [condition for condition in (own, gateway) if condition is not None]
        condition = all_of(needed)
        return None if condition == ALL_SOURCES else condition

    def of_route(self, group: str, kind: str, namespace: str, name: str) -> Condition | None:
        """The sources admitted to a route under a Gateway: those of the route, and of the gateway's own namespace.
        None = every source."""
        own = (self.of(group, kind, namespace, name), self.of_namespace(self.gateway))
        condition = all_of(each for each in own if each is not None)
        return None if condition == ALL_SOURCES else condition

    def of_server(self, server: Server) -> list[Condition]:
        """The sources admitted to a Server beside its accessPolicy: each a way in."""
        found = [
            self.by_authorization(one)
            for one in self.for_servers
            if one.namespace == server.namespace
            and (one.server == server.name if one.server else matches(one.selector, dict(server.labels)))
        ]
        for condition in (
            self.of(LINKERD, "Server", server.namespace, server.name),
            self.of_namespace(server.namespace),
        ):
            found += [condition] if condition is not None else []
        return found

    def by_authorization(self, part: ServerAuthorization) -> Condition:
        """A client without an identity cannot be told from one without TLS: `unauthenticatedTLS` admits those with
        one."""
        who: Condition = ALL_SOURCES
        if part.tls:
            who = Asks((Selector(identified=True),))
        elif part.identities is not None:
            selectors = self.identities.selectors(part.identities, part.file)
            selectors += (Selector(*account) for account in part.accounts or ())
            who = asks(selectors)
        return all_of((who, within(part.blocks) if part.blocks else ALL_SOURCES))


def at(part: Part, target: Target) -> Place:
    """Where a reference of a resource stands."""
    return Place(part.file, target.line, target.column)


def asks(selectors: Iterable[Selector]) -> Condition:
    """The source is one of these; no source, of none."""
    found = tuple(dict.fromkeys(selectors))
    return Asks(found) if found else NO_SOURCE


def within(blocks: Iterable[Block]) -> Condition:
    """The source's address lies in one of the blocks."""
    plain = [Selector(cidr=block.cidr) for block in blocks if not block.excepts]
    found = [asks(plain)] if plain else []
    for block in blocks:
        if block.excepts:
            excepted = asks(Selector(cidr=text.value) for text in block.excepts)
            found.append(AllOf((Asks((Selector(cidr=block.cidr),)), Not(excepted))))
    return any_of(found)


def all_of(conditions: Iterable[Condition]) -> Condition:
    """All of them hold; those that always do are left out."""
    found = tuple(condition for condition in conditions if condition != ALL_SOURCES)
    if NO_SOURCE in found:
        return NO_SOURCE
    return found[0] if len(found) == 1 else AllOf(found)


def any_of(conditions: Iterable[Condition]) -> Condition:
    """One of them holds; those that never do are left out."""
    found = tuple(condition for condition in conditions if condition != NO_SOURCE)
    if ALL_SOURCES in found:
        return ALL_SOURCES
    return found[0] if len(found) == 1 else AnyOf(found)
