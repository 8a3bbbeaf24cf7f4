"""Retries and timeouts of routes, which Linkerd has as annotations: validated as its admission does."""

import re
from collections.abc import Callable
from typing import Final

from msgspec import UNSET

from supervisor.policy.dialects.routes import AnyRoute
from supervisor.policy.resources.routing import Retry, Timeouts
from supervisor.source.problems import Place, Problems, did_you_mean, quote

RETRY: Final = "retry.linkerd.io/"
TIMEOUT: Final = "timeout.linkerd.io/"
MOST_LIMIT: Final = 2**16 - 1
UNITS: Final = {"": 1, "ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
WORDS: Final = {"5xx": "500-599", "gateway-error": "502-504"}
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
    """Wrong values are errors, names that are not known are warnings."""
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


def timeouts_of(route: AnyRoute, said: Timeouts) -> Timeouts:
    """Those of a rule with the route's annotations, which go before what the rule says itself."""
    values = {name: _milliseconds(value) for name, value in _valid(route).items() if name.startswith(TIMEOUT)}
    return Timeouts(
        values.get(f"{TIMEOUT}request", said.request) or None,
        said.backend,
        values.get(f"{TIMEOUT}response") or UNSET,
        values.get(f"{TIMEOUT}idle") or UNSET,
    )


def retry_of(route: AnyRoute) -> Retry | None:
    """Retries by the route's annotations: whatever the method, as its author asks for them. None: there are none."""
    values = _valid(route)
    http, grpc = values.get(f"{RETRY}http"), values.get(f"{RETRY}grpc")
    said = grpc if route.kind == "GRPCRoute" else http
    if said is None:
        return None
    return Retry(
        codes=_codes(said) if route.kind != "GRPCRoute" else (),
        attempts=int(values.get(f"{RETRY}limit", "1")),
        grpc=tuple(dict.fromkeys(said.lower().split(","))) if route.kind == "GRPCRoute" else UNSET,
        timeout=_milliseconds(values.get(f"{RETRY}timeout", "0")) or UNSET,
        any_method=True,
    )


def _valid(route: AnyRoute) -> dict[str, str]:
    return {name: text.value for name, text in route.annotations if name in KNOWN and KNOWN[name][0](text.value)}


def _milliseconds(text: str) -> int:
    found = re.fullmatch(r"([0-9]+)([a-z]*)", text.strip())
    return int(found[1]) * UNITS[found[2]] if found else 0


def _codes(text: str) -> tuple[int, ...]:
    """Status codes, each once."""
    found: dict[int, None] = {}
    for part in text.split(","):
        low, _, high = WORDS.get(part.lower(), part).partition("-")
        found |= dict.fromkeys(range(int(low), int(high or low) + 1))
    return tuple(found)
