"""The conditions that Linkerd would write into the status of its resources (policy-controller/k8s/status/src)."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from supervisor.policy.dialects.dialect import Part, Surroundings, status_of
from supervisor.policy.dialects.linkerd.attachments import ACCEPTED, Attachment, attachments, backends, fault_of
from supervisor.policy.dialects.linkerd.networks import OVERLAP, Networks
from supervisor.policy.dialects.linkerd.rates import by_age
from supervisor.policy.dialects.linkerd.resources import EgressNetwork, HTTPLocalRateLimitPolicy, Server
from supervisor.policy.dialects.linkerd.words import CORE, is_gateway
from supervisor.policy.dialects.routes import AnyRoute
from supervisor.policy.resources.status import Status
from supervisor.source.problems import Place

RESOLVED: Final = "ResolvedRefs"


def statuses(parts: Sequence[Part], surroundings: Surroundings) -> list[Status]:
    """Those of EgressNetworks, of routes under them, and of HTTPLocalRateLimitPolicies."""
    networks = Networks((part for part in parts if isinstance(part, EgressNetwork)), surroundings)
    routes = [part for part in parts if isinstance(part, AnyRoute)]
    servers = {(part.namespace, part.name) for part in parts if isinstance(part, Server)}
    limits = [part for part in parts if isinstance(part, HTTPLocalRateLimitPolicy)]
    return [
        *(status for part in networks.known.values() for status in of_network(part, networks)),
        *(status for one in attachments(routes, networks) for status in of_route(one, networks, surroundings)),
        *of_limits(limits, servers),
    ]


def of_network(part: EgressNetwork, networks: Networks) -> Iterator[Status]:
    overlaps = networks.overlaps(part)
    words = "networks overlap with clusterNetworks" if overlaps else ""
    place = Place(part.file, overlaps[0][0].line, overlaps[0][0].column) if overlaps else None
    yield status_of(part, ACCEPTED, not overlaps, OVERLAP if overlaps else ACCEPTED, words, place=place)


def of_route(one: Attachment, networks: Networks, surroundings: Surroundings) -> Iterator[Status]:
    """Accepted and ResolvedRefs; the latter is not known where a backend is a Service other than this gateway."""
    fault, route = one.fault, one.route
    reason, words = (fault.reason, fault.words) if fault else (ACCEPTED, "")
    yield status_of(route, ACCEPTED, fault is None, reason, words, one.title, one.place)
    found = list(backends(route))
    for backend in found:
        if fault := fault_of(route, backend, one.key, networks):
            place = Place(route.file, backend.reference.line, backend.reference.column)
            yield status_of(route, RESOLVED, False, fault.reason, fault.words, one.title, place)
            return
    targets = [backend.reference for backend in found]
    if all(not target.is_kind(CORE, "Service") or is_gateway(target, surroundings.services) for target in targets):
        yield status_of(route, RESOLVED, True, RESOLVED, "", one.title, one.place)


def of_limits(limits: Iterable[HTTPLocalRateLimitPolicy], servers: set[tuple[str, str]]) -> Iterator[Status]:
    """One of each Server counts: the oldest."""
    first: dict[tuple[str, str], HTTPLocalRateLimitPolicy] = {}
    for limit in by_age(limits):
        key = (limit.namespace, limit.target.name)
        place = Place(limit.file, limit.target.line, limit.target.column)
        if key not in servers:
            words = f"there is no Server {key[0]}/{key[1]}"
            yield status_of(limit, ACCEPTED, False, "NoMatchingTarget", words, place=place)
        elif key in first:
            words = f"{first[key].title} limits this Server already"
            yield status_of(limit, ACCEPTED, False, "RateLimitReasonAlreadyExists", words, place=place)
        else:
            first[key] = limit
            yield status_of(limit, ACCEPTED, True, ACCEPTED)
