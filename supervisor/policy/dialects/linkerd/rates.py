"""HTTPLocalRateLimitPolicies at the listeners of this gateway, for which a Server stands."""

from collections.abc import Iterable, Iterator, Sequence

from supervisor.policy.dialects.dialect import Part, Surroundings
from supervisor.policy.dialects.linkerd.resources import HTTPLocalRateLimitPolicy, Server
from supervisor.policy.dialects.linkerd.servers import Servers
from supervisor.policy.resources.rates import Rate
from supervisor.source.problems import Problems

Limits = Iterable[HTTPLocalRateLimitPolicy]


def by_age(limits: Limits) -> list[HTTPLocalRateLimitPolicy]:
    """Of several for one Server the first one counts."""
    return sorted(limits, key=lambda one: (one.created is None, one.created or 0, one.namespace, one.name))


def rates(parts: Sequence[Part], surroundings: Surroundings) -> list[Rate]:
    """One of each listener whose Server has a limit."""
    servers = Servers((part for part in parts if isinstance(part, Server)), surroundings, Problems())
    limits = by_age(part for part in parts if isinstance(part, HTTPLocalRateLimitPolicy))
    return [found for listener, server in servers.of_listener.items() for found in _of(listener, server, limits)]


def _of(listener: str, server: Server, limits: Limits) -> Iterator[Rate]:
    for limit in limits:
        if (limit.namespace, limit.target.name) == (server.namespace, server.name):
            overrides = (
                (each.rate, tuple(f"{one.namespace or limit.namespace}/{one.name}" for one in each.clients))
                for each in limit.overrides
            )
            yield Rate(
                name=f"{limit.kind}/{limit.namespace}/{limit.name}",
                listener=listener,
                total=limit.total,
                identity=limit.identity,
                overrides=tuple(overrides),
            )
            return
