"""The order of matches, as landscape 2.2 and 2.3 have it, and what of a match is path and what condition."""

from itertools import pairwise

import pytest

from supervisor.policy.dialects.routes import GRPCRoute, HTTPRoute, chosen_by, needs_request
from supervisor.policy.resources.conditions import AllOf, Condition, Field, Method, Path, Query
from tests.supervisor.policy.dialects.routes.reading import HTTP, route_of

KINDS = ("exact", "prefix", "regex")


def chosen(match: str, kind: str = "HTTPRoute") -> tuple[Path | None, Condition | None, int]:
    """Of one match, as a flow mapping."""
    route = route_of(HTTP.replace("HTTPRoute", kind) + f"  rules: [{{matches: [{match}]}}]\n")
    assert isinstance(route, HTTPRoute | GRPCRoute)
    return chosen_by(route.rules[0].matches[0])


def strength(match: str, kind: str = "HTTPRoute") -> tuple[int, int, int]:
    """As rules compare: the better path, then `ahead`."""
    path, _, ahead = chosen(match, kind)
    if path is None:
        return -len(KINDS), 0, ahead
    return -KINDS.index(path.kind), len(path.value.value) if path.kind == "prefix" else 0, ahead


HEADERS = ", ".join(f"{{name: h{number}, value: a}}" for number in range(16))
QUERIES = HEADERS.replace("h", "q")
DESCENDING = (
    "{path: {type: Exact, value: /a}, method: GET}",
    "{path: {type: Exact, value: /a}}",
    "{path: {value: /a/b}}",
    "{path: {value: /a/}}",
    "{path: {value: /a}, method: GET, headers: [{name: a, value: b}]}",
    "{path: {value: /a}, method: GET}",
    f"{{path: {{value: /a}}, headers: [{HEADERS}], queryParams: [{QUERIES}]}}",
    f"{{path: {{value: /a}}, headers: [{HEADERS}]}}",
    f"{{path: {{value: /a}}, headers: [{{name: a, value: b}}], queryParams: [{QUERIES}]}}",
    "{path: {value: /a}, headers: [{name: a, value: b}], queryParams: [{name: a, value: b}]}",
    "{path: {value: /a}, headers: [{name: a, value: b}, {name: A, value: c}]}",  # the second does not count
    "{path: {value: /a}, queryParams: [{name: a, value: b}]}",
    "{path: {value: /a}}",
    "{path: {type: RegularExpression, value: /a.*}, method: GET}",
    "{path: {type: RegularExpression, value: /a.*}}",
    "{method: GET}",
    "{}",
)
CALLS = (
    "{method: {service: a.B, method: Get}, headers: [{name: a, value: b}]}",
    "{method: {service: a.B, method: Get}}",
    "{method: {service: a.B}}",
    "{method: {type: RegularExpression, service: a.B+, method: Get}}",
    "{method: {type: RegularExpression, service: a.B+}}",
    "{method: {type: RegularExpression, service: a.B}}",
    "{method: {method: Get}}",
    "{headers: [{name: a, value: b}, {name: c, value: d}]}",
    "{headers: [{name: a, value: b}]}",
    "{}",
)


@pytest.mark.parametrize(("better", "worse"), list(pairwise(DESCENDING)))
def test_http_matches_in_their_order(better: str, worse: str) -> None:
    assert strength(better) > strength(worse)


@pytest.mark.parametrize(("better", "worse"), list(pairwise(CALLS)))
def test_grpc_matches_in_their_order(better: str, worse: str) -> None:
    assert strength(better, "GRPCRoute") > strength(worse, "GRPCRoute")


def test_the_parts_of_a_match() -> None:
    path, condition, _ = chosen(
        "{path: {type: Exact, value: /%7Ea%2c}, method: GET, headers: [{name: A, value: b}],"
        " queryParams: [{name: C, type: RegularExpression, value: d+}]}"
    )
    assert path is not None and (path.kind, path.value.value) == ("exact", "/~a%2c"), "unreserved characters decoded"
    assert isinstance(condition, AllOf)
    method, field, query = condition.of
    assert isinstance(method, Method) and method.name == "GET"
    assert isinstance(field, Field) and (field.name, field.kind, field.value.value) == ("a", "exact", "b")
    assert isinstance(query, Query) and (query.name, query.kind, query.value.value) == ("C", "regex", "d+")
    assert isinstance(chosen("{method: GET}")[1], Method)
    assert chosen("{}")[:2] == (None, None)


@pytest.mark.parametrize(
    ("match", "path", "conditions"),
    [
        ("{method: {service: a.B, method: Get}}", ("exact", "/a.B/Get"), 0),
        ("{method: {service: a.B}}", ("prefix", "/a.B"), 0),
        ("{method: {method: Get}}", ("regex", "/[^/]+/Get"), 0),
        ("{method: {type: RegularExpression, service: a|b, method: c}}", ("regex", "/(?:a|b)/(?:c)"), 1),
        ("{method: {type: RegularExpression, service: .*}}", ("regex", "/(?:.*)/[^/]+"), 1),
    ],
)
def test_grpc_matches_are_paths(match: str, path: tuple[str, str], conditions: int) -> None:
    found, condition, _ = chosen(match, "GRPCRoute")
    assert found is not None and (found.kind, found.value.value) == path
    assert (condition is not None) == bool(conditions)


def test_what_needs_requests_to_be_seen() -> None:
    for match, needed in (("{}", False), ("{path: {value: /}}", False), ("{path: {value: /a}}", True)):
        route = route_of(HTTP + f"  rules: [{{matches: [{match}]}}]\n")
        assert isinstance(route, HTTPRoute)
        assert needs_request(route.rules[0].matches[0]) == needed
