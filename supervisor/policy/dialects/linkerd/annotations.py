"""Retries and timeouts of routes, which Linkerd has as annotations: validated as its admission does. They are about
requests, and have no effect yet."""

import re
from collections.abc import Callable
from typing import Final

from supervisor.policy.dialects.routes import AnyRoute
from supervisor.source.problems import Place, Problems, did_you_mean, quote

RETRY: Final = "retry.linkerd.io/"
TIMEOUT: Final = "timeout.linkerd.io/"
MOST_LIMIT: Final = 2**16 - 1
_DURATION: Final = re.compile(r"0|[0-9]{1,15}(ms|s|m|h|d)")
_STATUSES: Final = re.compile(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?")
_GRPC: Final = ("cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable")


def is_duration(text: str) -> bool:
    """A whole number with its unit, or 0."""
    return _DURATION.fullmatch(text.strip()) is not None


def is_limit(text: str) -> bool:
    """A number of retries."""
    return text.isascii() and text.isdecimal() and len(text) < 6 and int(text) <= MOST_LIMIT


def is_http(text: str) -> bool:
    """Status codes, ranges of them and two words, with commas between them."""
    return all(_is_status(part) for part in text.split(","))


def _is_status(part: str) -> bool:
    found = _STATUSES.fullmatch(part)
    return part.lower() in ("5xx", "gateway-error") or bool(found and (not found[2] or found[1] <= found[2]))


def is_grpc(text: str) -> bool:
    """Names of gRPC statuses, likewise."""
    return all(part.lower() in _GRPC for part in text.split(","))


_TIME: Final = (is_duration, "a duration such as 300ms, 2s or 5m")
KNOWN: Final[dict[str, tuple[Callable[[str], bool], str]]] = {
    f"{RETRY}http": (is_http, "5xx, gateway-error, status codes and ranges such as 500-504, with commas between them"),
    f"{RETRY}grpc": (is_grpc, f"of {', '.join(_GRPC)}, with commas between them"),
    f"{RETRY}limit": (is_limit, f"a number of retries, at most {MOST_LIMIT}"),
    f"{RETRY}timeout": _TIME,
    **{f"{TIMEOUT}{name}": _TIME for name in ("request", "response", "idle")},
}


def check_annotations(route: AnyRoute, problems: Problems) -> None:
    """Wrong values are errors, names that are not known and those that have no effect yet are warnings."""
    told = False
    for name, text in route.annotations:
        if not name.startswith((RETRY, TIMEOUT)):
            continue
        place = Place(route.file, text.line, text.column)
        if name not in KNOWN:
            problems.warning(place, f"the annotation {quote(name)} is not known", did_you_mean(name, KNOWN))
            continue
        valid, expected = KNOWN[name]
        if not valid(text.value):
            problems.error(place, f"{name}: expected {expected}, found {quote(text.value)}")
        elif not told:
            told = True
            problems.warning(place, f"annotations of {route.title} need HTTP routing: no effect yet")
