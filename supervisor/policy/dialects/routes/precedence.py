"""One match of a route in the words of rules: a path, a condition, and the order among matches of one path.

The order is Gateway API's (HTTPRouteRule and GRPCRouteRule, apis/v1): an exact path, the prefix with most characters, a
method, most header fields, most query parameters; of gRPC most characters of the service, of the method, most header
fields. What follows, age, name and place in the list, is the order of the rules.
"""

import re
from typing import Final

from supervisor.policy.dialects.routes.parts import GRPCMatch, HTTPMatch, Named
from supervisor.policy.resources.conditions import AllOf, Condition, Field, Method, Path, Query
from supervisor.policy.resources.model import Text

PATHS: Final = {"regex": 1, "search": 1, "prefix": 2, "exact": 3}
# Beyond the longest path (words.py), service, method, header fields and query parameters.
ROOM: Final = 2048
FIELDS: Final = 32
# RFC 3986 section 2.3. Requests are compared with these characters decoded.
UNRESERVED: Final = re.compile(r"%(2[dDeE]|3[0-9]|4[1-9a-fA-F]|5[0-9aAfF]|6[1-9a-fA-F]|7[0-9aAeE])")
ONE_CALL: Final = "/[^/]+/[^/]+"  # the path of a gRPC call

Precedence = tuple[Path | None, Condition | None, int]


def chosen_by(match: HTTPMatch | GRPCMatch) -> Precedence:
    """The path and the condition of a match (None = any), and its `ahead`: the greater wins. The path counts in it as
    well, so that whole tunnels are judged in the same order."""
    return _of_request(match) if isinstance(match, HTTPMatch) else _of_call(match)


def needs_request(match: HTTPMatch | GRPCMatch) -> bool:
    """Whether it can only be judged where requests are visible."""
    path, condition, _ = chosen_by(match)
    return path is not None or condition is not None


def _of_request(match: HTTPMatch) -> Precedence:
    fields = _fields(match.headers)
    queries = tuple(Query(one.name, one.kind, one.value) for one in match.queries)
    method = (Method(match.method),) if match.method else ()
    path, longer = _path(match.path)
    ahead = (((_rank(path) * 2 + longer) * 2 + len(method)) * FIELDS + len(fields)) * FIELDS + len(queries)
    return path, _all((*method, *fields, *queries)), ahead


def _path(path: Path) -> tuple[Path | None, int]:
    """The path in normal form. A trailing slash of a prefix does not count in matching, and is a character more in
    precedence: 1."""
    if path.kind == "regex":
        return path, 0
    value = UNRESERVED.sub(lambda found: chr(int(found[1], 16)), path.value.value)
    if path.kind == "exact":
        return _with(path, value), 0
    shorter = value.rstrip("/")
    return (_with(path, shorter), len(value) - len(shorter)) if shorter else (None, 0)


def _rank(path: Path | None) -> int:
    """An exact path, then prefixes by their length, then expressions, then none."""
    if path is None:
        return 0
    return PATHS[path.kind] * ROOM + (len(path.value.value) if path.kind == "prefix" else 0)


def _with(path: Path, value: str) -> Path:
    return Path(path.kind, Text(value, path.value.line, path.value.column))


def _of_call(match: GRPCMatch) -> Precedence:
    fields = _fields(match.headers)
    if not match.service and not match.method:
        return None, _all(fields), len(fields)
    exact = match.kind == "exact"
    if exact and match.service:
        path = Path("prefix", Text(f"/{match.service}", match.line, match.column))
        if match.method:
            path = Path("exact", Text(f"/{match.service}/{match.method}", match.line, match.column))
        return path, _all(fields), _call_ahead(path, match, fields)
    path = Path("regex", Text(match.calls, match.line, match.column))
    # Neither part may reach into the other.
    whole = () if exact else (Path("regex", Text(ONE_CALL, match.line, match.column)),)
    return path, _all((*whole, *fields)), _call_ahead(path, match, fields)


def _call_ahead(path: Path, match: GRPCMatch, fields: tuple[Field, ...]) -> int:
    return ((_rank(path) * ROOM + len(match.service)) * ROOM + len(match.method)) * FIELDS + len(fields)


def _fields(headers: tuple[Named, ...]) -> tuple[Field, ...]:
    return tuple(Field(one.name, one.kind, one.value) for one in headers)


def _all(conditions: tuple[Condition, ...]) -> Condition | None:
    """All of them; None of none."""
    if len(conditions) < 2:
        return conditions[0] if conditions else None
    return AllOf(conditions)
