"""The rules that the resources of Linkerd come to together."""

from collections.abc import Iterable, Sequence

from supervisor.policy.dialects.dialect import Part, Surroundings
from supervisor.policy.dialects.linkerd.authorizations import Authorizations
from supervisor.policy.dialects.linkerd.egress_routes import EgressRoutes
from supervisor.policy.dialects.linkerd.networks import Networks
from supervisor.policy.dialects.linkerd.resources import (
    EgressNetwork,
    Server,
    ServiceProfile,
)
from supervisor.policy.dialects.linkerd.servers import Servers
from supervisor.policy.dialects.linkerd.words import LINKERD
from supervisor.policy.dialects.routes import AnyRoute
from supervisor.policy.resources.model import Rules
from supervisor.source.problems import Problems


def rules(parts: Sequence[Part], surroundings: Surroundings, problems: Problems) -> list[Rules]:
    """The rules of every EgressNetwork, of the routes in it, and of the Servers of this gateway."""
    routes = [part for part in parts if isinstance(part, AnyRoute)]
    servers = Servers((part for part in parts if isinstance(part, Server)), surroundings, problems)
    networks = Networks((part for part in parts if isinstance(part, EgressNetwork)), surroundings)
    networks.check(problems)
    authorizations = Authorizations(parts, targets_of(parts), surroundings, problems)
    check_profiles((part for part in parts if isinstance(part, ServiceProfile)), problems)
    return [
        *networks.rules(authorizations),
        *EgressRoutes(routes, networks, surroundings, problems).rules(authorizations),
        *servers.rules(authorizations),
    ]


def targets_of(parts: Iterable[Part]) -> set[tuple[str, str, str, str]]:
    """The resources that an AuthorizationPolicy may be about: group, kind, namespace and name."""
    found = set()
    for part in parts:
        if isinstance(part, Server | EgressNetwork):
            found.add((LINKERD, part.kind, part.namespace, part.name))
        elif isinstance(part, AnyRoute):
            found.add((part.api, part.kind, part.namespace, part.name))
    return found


def check_profiles(profiles: Iterable[ServiceProfile], problems: Problems) -> None:
    """They have no effect yet."""
    for profile in profiles:
        words = f"{profile.title} has no effect yet: its routes name no requests, and it never allows or denies"
        problems.warning(profile.place, words)
