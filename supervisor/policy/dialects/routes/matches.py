"""Reads `matches` of HTTPRoute and GRPCRoute rules."""

import re
from collections.abc import Callable
from typing import Final, Literal

from supervisor.policy.dialects.routes.parts import GRPCMatch, HTTPMatch, Named
from supervisor.policy.dialects.routes.words import METHODS, bounded, field_name, field_value, matched_path
from supervisor.policy.resources.conditions import Path
from supervisor.policy.resources.expressions import expression
from supervisor.policy.resources.model import Text
from supervisor.source.node import Fields, Node
from supervisor.source.problems import Problems, quote

MOST_VALUES: Final = 16
MOST_NAME: Final = 1024  # bytes of a gRPC service or method
PATHS: Final[dict[str, Literal["exact", "prefix", "regex"]]] = {
    "Exact": "exact",
    "PathPrefix": "prefix",
    "RegularExpression": "regex",
}
KINDS: Final[dict[str, Literal["exact", "regex"]]] = {"Exact": "exact", "RegularExpression": "regex"}
_SERVICE: Final = re.compile(r"\.?[A-Za-z_][A-Za-z_0-9]*(\.[A-Za-z_][A-Za-z_0-9]*)*")
_METHOD: Final = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")


def every_path(node: Node) -> HTTPMatch:
    """The match that stands where a rule has none."""
    return HTTPMatch(Path("prefix", Text("/", node.line, node.column)), (), (), "", node.line, node.column)


def every_call(node: Node) -> GRPCMatch:
    """The same of a GRPCRoute."""
    return GRPCMatch("exact", "", "", (), node.line, node.column)


def http_match(node: Node, problems: Problems) -> HTTPMatch:
    """One match; all of its parts must hold."""
    fields = node.fields(("path", "headers", "queryParams", "method"), problems, null_is_absent=True)
    return HTTPMatch(
        fields.read("path", lambda one: _path(one, problems), every_path(node).path),
        _named(fields, "headers", field_value, str.lower, problems),
        _named(fields, "queryParams", lambda one: _text(one, 1024), str, problems),
        fields.read("method", _http_method, ""),
        node.line,
        node.column,
    )


def _http_method(node: Node) -> str:
    text = node.value if isinstance(node.value, str) else ""
    if text not in METHODS and text.upper() in METHODS:
        raise node.unexpected("a method in upper case", f"write {text.upper()}")
    return node.choice(*METHODS)


def _path(node: Node, problems: Problems) -> Path:
    fields = node.fields(("type", "value"), problems, null_is_absent=True)
    kind = PATHS[fields.read("type", lambda one: one.choice(*PATHS), "PathPrefix")]
    reader = expression if kind == "regex" else matched_path
    value = fields.get("value") or node
    return Path(kind, Text(fields.read("value", reader, "/"), value.line, value.column))


def _named(
    fields: Fields, name: str, plain: Callable[[Node], str], same: Callable[[str], str], problems: Problems
) -> tuple[Named, ...]:
    """`headers` or `queryParams`. Of equivalent names the first one counts; `same` makes them equal."""
    nothing: list[Node] = []
    found: dict[str, Named] = {}
    written: set[str] = set()
    for node in fields.read(name, lambda one: bounded(one, MOST_VALUES), nothing):
        inner = node.fields(("type", "name", "value"), problems, null_is_absent=True)
        kind = KINDS[inner.read("type", lambda one: one.choice(*KINDS), "Exact")]
        title = inner.need("name", field_name, "")
        place = inner.get("value") or node
        text = inner.need("value", plain if kind == "exact" else _expression, "")
        if title in written:
            problems.error(node.place, f"{name}: {quote(title)} twice", "a match names each once")
        elif same(title) in found:
            words = f"{name}: {quote(title)} is ignored: the same name in another case comes before it"
            problems.warning(node.place, words)
        written.add(title)
        found.setdefault(same(title), Named(same(title), kind, Text(text, place.line, place.column)))
    return tuple(found.values())


def _expression(node: Node) -> str:
    if node.value == "":
        raise node.unexpected("a regular expression", "write .* for any value")
    return expression(node)


def _text(node: Node, most: int) -> str:
    text = node.string()
    if not 1 <= len(text) <= most:
        raise node.invalid(f"expected a text of 1 to {most} characters, found {len(text)}")
    return text


def grpc_match(node: Node, problems: Problems) -> GRPCMatch:
    """One match; all of its parts must hold."""
    fields = node.fields(("method", "headers"), problems, null_is_absent=True)
    headers = _named(fields, "headers", lambda one: _text(one, 4096), str.lower, problems)
    kind: Literal["exact", "regex"] = "exact"
    service = method = ""
    if (inner := fields.get("method")) is not None:
        words = inner.fields(("type", "service", "method"), problems, null_is_absent=True)
        kind = KINDS[words.read("type", lambda one: one.choice(*KINDS), "Exact")]
        service = words.read("service", lambda one: _call(one, kind, _SERVICE, "com.example.Service"), "")
        method = words.read("method", lambda one: _call(one, kind, _METHOD, "GetItem"), "")
        if words.get("service") is None and words.get("method") is None:
            problems.error(inner.place, "expected `service`, `method` or both, found neither")
    return GRPCMatch(kind, service, method, headers, node.line, node.column)


def _call(node: Node, kind: str, form: re.Pattern[str], example: str) -> str:
    text = node.string()
    if len(text) > MOST_NAME:
        raise node.invalid(f"expected at most {MOST_NAME} bytes, found {len(text)}")
    if kind == "regex":
        return _expression(node)
    if not form.fullmatch(text):
        near = text.strip("/").replace("/", ".")
        hint = f"write {near}" if near != text and form.fullmatch(near) else ""
        raise node.unexpected(f"a name such as {example}: letters, digits and '_'", hint)
    return text
