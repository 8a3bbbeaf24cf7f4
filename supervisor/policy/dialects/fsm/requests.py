"""Conditions of requests, as HTTPRouteGroups have them."""

from collections.abc import Sequence
from typing import Final

from supervisor.policy.dialects.fsm.resources import HTTPRouteGroup
from supervisor.policy.resources.conditions import AllOf, AnyOf, Condition, Field, Method, Path
from supervisor.policy.resources.model import Text

# Where a match names none, or `*` (FSM's sidecar).
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")


def condition_of(groups: Sequence[HTTPRouteGroup]) -> Condition:
    """One of all their matches holds. Those with equal methods and fields are one part, as a condition is bounded."""
    parts: dict[tuple[tuple[str, ...], tuple[tuple[str, str], ...]], list[Path]] = {}
    for group in groups:
        for match in group.matches:
            path = Path("search", Text(match.path, group.line, group.column))
            parts.setdefault((match.methods or METHODS, match.headers), []).append(path)
    return AnyOf(tuple(_part(groups[0], *shared, paths) for shared, paths in parts.items()))


def _part(
    group: HTTPRouteGroup, methods: Sequence[str], headers: Sequence[tuple[str, str]], paths: Sequence[Path]
) -> Condition:
    named = AnyOf(tuple(Method(name) for name in methods))
    fields = (Field(name.lower(), "regex", Text(value, group.line, group.column)) for name, value in headers)
    return AllOf((named, *fields, AnyOf(tuple(paths))))
