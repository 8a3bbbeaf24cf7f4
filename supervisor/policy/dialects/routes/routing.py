"""Filters, backends, time limits and retries of one rule of a route, resolved into the words of rules."""

from collections.abc import Callable, Iterator, Sequence

from msgspec import UNSET

from supervisor.policy.dialects.routes.parts import (
    AnyRoute,
    Backend,
    Cors,
    Filter,
    HeaderModifier,
    Mirror,
    NewPath,
    Redirect,
    Reference,
    RequestRule,
    Retry,
    Rewrite,
    Timeouts,
)
from supervisor.policy.dialects.routes.precedence import chosen_by
from supervisor.policy.resources import routing

__all__ = ["Resolve", "route_of"]

Resolve = Callable[[Reference], routing.Backend]


def route_of(route: AnyRoute, index: int, rule: RequestRule, system: routing.System, resolve: Resolve) -> routing.Route:
    """Of rule number `index`. `resolve`: where a reference of the route leads to."""
    matched = _prefix(rule)
    filters = tuple(_filters(rule.filters, matched, resolve))
    return routing.Route(
        route=f"{route.kind}/{route.namespace}/{route.name}",
        rule=index,
        system=system,
        filters=filters,
        backends=_backends(rule.backends, matched, resolve),
        timeouts=_timeouts(rule.timeouts),
        retry=_retry(rule.retry),
        name=rule.name or UNSET,
    )


def _backends(backends: Sequence[Backend], matched: str, resolve: Resolve) -> tuple[routing.Weighted, ...]:
    """None where all of them are the destination that was asked for."""
    found = tuple(
        routing.Weighted(one.weight, resolve(one.reference), tuple(_filters(one.filters, matched, resolve)))
        for one in backends
    )
    as_asked = all(isinstance(one.backend, routing.Asked) and not one.filters for one in found)
    return () if as_asked and any(one.weight for one in found) else found


def _prefix(rule: RequestRule) -> str:
    """The prefix that a rule with one match wants, as requests are compared: filters that replace it have no other."""
    path = chosen_by(rule.matches[0])[0]
    return path.value.value if path is not None and path.kind == "prefix" else "/"


def _filters(filters: Sequence[Filter], matched: str, resolve: Resolve) -> Iterator[routing.Filter]:
    """In their order. Those that are not known here are none: their rule lets nothing pass."""
    for one in filters:
        match one.value:
            case HeaderModifier(responses, set_, add, remove):
                kind = routing.ResponseHeaders if responses else routing.RequestHeaders
                yield kind(_lower(set_), _lower(add), tuple(map(str.lower, remove)))
            case Mirror(backend, numerator, denominator):
                yield routing.MirrorTo(resolve(backend), numerator, denominator)
            case Redirect(scheme, hostname, path, port, status):
                new = _path(path, matched)
                yield routing.RedirectTo(scheme or None, hostname or None, port or None, status, new)
            case Rewrite(hostname, path):
                yield routing.RewriteTo(hostname or None, _path(path, matched))
            case Cors():
                yield _cors(one.value)


def _cors(one: Cors) -> routing.Cors:
    names, exposed = (tuple(map(str.lower, each)) for each in (one.headers, one.exposed))
    return routing.Cors(one.origins, one.methods, names, exposed, one.credentials, one.age)


def _lower(changes: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((name.lower(), value) for name, value in changes)


def _path(new: NewPath | None, matched: str) -> routing.NewPath | None:
    if new is None:
        return None
    return routing.NewPath(prefix=new.value, matched=matched) if new.prefix else routing.NewPath(full=new.value)


def _timeouts(said: Timeouts) -> routing.Timeouts:
    return routing.Timeouts(said.request or None, said.backend or None)


def _retry(said: Retry | None) -> routing.Retry | None:
    if said is None:
        return None
    return routing.Retry(said.codes, said.attempts or 1, said.backoff)
