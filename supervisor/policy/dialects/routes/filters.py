"""Reads `filters` of rules and of backends. They take effect where requests are routed."""

from collections.abc import Callable, Sequence
from typing import Final, Literal

from supervisor.policy.dialects.routes.parts import (
    Cors,
    Extension,
    ExternalAuth,
    Filter,
    HeaderModifier,
    Mirror,
    NewPath,
    Redirect,
    Reference,
    Rewrite,
)
from supervisor.policy.dialects.routes.references import read_object, read_reference
from supervisor.policy.dialects.routes.words import (
    METHODS,
    bounded,
    field_name,
    field_value,
    matched_path,
    new_path,
    origin,
    port,
    precise_hostname,
)
from supervisor.source.node import Fields, Node, each
from supervisor.source.problems import Place, Problems, quote

MOST_FILTERS: Final = 16
MOST_CHANGES: Final = 16
MOST_CORS: Final = 64
MOST_AGE: Final = 2**31 - 1
STATUSES: Final = (301, 302, 303, 307, 308)
# The field of each type, of which one must be there and the others must not.
FIELDS: Final = {
    "RequestHeaderModifier": "requestHeaderModifier",
    "ResponseHeaderModifier": "responseHeaderModifier",
    "RequestMirror": "requestMirror",
    "RequestRedirect": "requestRedirect",
    "URLRewrite": "urlRewrite",
    "ExtensionRef": "extensionRef",
    "CORS": "cors",
    "ExternalAuth": "externalAuth",
}
REPEATED: Final = ("RequestMirror", "ExtensionRef", "ExternalAuth")
Value = HeaderModifier | Mirror | Redirect | Rewrite | Cors | ExternalAuth | Extension


def read_filters(
    fields: Fields, types: Sequence[str], statuses: Sequence[int], problems: Problems
) -> tuple[Filter, ...]:
    """`filters`, in their order; `types` and the `statuses` of redirections are those that the kind of route knows."""
    nothing: list[Node] = []
    nodes = fields.read("filters", lambda node: bounded(node, MOST_FILTERS), nothing)
    read = each(nodes, lambda node: _filter(node, types, statuses, problems), problems)
    found = [one for one in read if one is not None]
    _fit_together(found, fields.node.file, problems)
    return tuple(found)


def _filter(node: Node, types: Sequence[str], statuses: Sequence[int], problems: Problems) -> Filter | None:
    known = tuple(FIELDS[one] for one in types)
    before = len(problems.errors)
    fields = node.fields(("type", *known), problems, null_is_absent=True)
    present = [name for name in known if fields.get(name) is not None]
    hint = next((f"write type: {kind}" for kind in types if FIELDS[kind] in present), "")
    kind = fields.need("type", lambda one: one.choice(*types), "", hint)
    if not kind:
        return None
    for name in present:
        if name != FIELDS[kind] and (other := fields.get(name)):
            problems.error(other.place, f"`{name}` beside type: {kind}", "each filter has the field of its type alone")
    nothing: Value | None = None
    value = fields.need(FIELDS[kind], lambda one: _value(one, kind, statuses, problems), nothing)
    if value is None or len(problems.errors) > before:
        return None
    return Filter(kind, value, node.line, node.column)


def _value(node: Node, kind: str, statuses: Sequence[int], problems: Problems) -> Value:
    readers: dict[str, Callable[[], Value]] = {
        "RequestHeaderModifier": lambda: _modifier(node, False, problems),
        "ResponseHeaderModifier": lambda: _modifier(node, True, problems),
        "RequestMirror": lambda: _mirror(node, problems),
        "RequestRedirect": lambda: _redirect(node, statuses, problems),
        "URLRewrite": lambda: _rewrite(node, problems),
        "ExtensionRef": lambda: Extension(read_object(node, problems)),
        "CORS": lambda: _cors(node, problems),
        "ExternalAuth": lambda: _external(node, problems),
    }
    return readers[kind]()


def _fit_together(found: Sequence[Filter], file: str, problems: Problems) -> None:
    first: dict[str, Filter] = {}
    for one in found:
        if one.type in first and one.type not in REPEATED:
            words = f"{one.type} twice: it cannot be repeated"
            problems.error(Place(file, one.line, one.column), words, f"the first one is in line {first[one.type].line}")
        first.setdefault(one.type, one)
    if "RequestRedirect" in first and "URLRewrite" in first:
        one = max(first["RequestRedirect"], first["URLRewrite"], key=lambda two: (two.line, two.column))
        words = "RequestRedirect and URLRewrite together: a request is either redirected or sent on"
        problems.error(Place(file, one.line, one.column), words, "remove one of them")


def _modifier(node: Node, responses: bool, problems: Problems) -> HeaderModifier:
    fields = node.fields(("set", "add", "remove"), problems, null_is_absent=True)
    return HeaderModifier(
        responses, _changes(fields, "set", problems), _changes(fields, "add", problems), _names(fields, "remove")
    )


def _changes(fields: Fields, name: str, problems: Problems) -> tuple[tuple[str, str], ...]:
    nothing: list[Node] = []
    found: dict[str, tuple[str, str]] = {}
    for node in fields.read(name, lambda one: bounded(one, MOST_CHANGES), nothing):
        inner = node.fields(("name", "value"), problems, null_is_absent=True)
        title = inner.need("name", field_name, "")
        value = inner.need("value", field_value, "")
        if title and title.lower() in found:
            problems.error(node.place, f"{name}: {quote(title)} twice", "each field once, whatever its case")
        found.setdefault(title.lower(), (title, value))
    return tuple(found.values())


def _names(fields: Fields, name: str, most: int = MOST_CHANGES) -> tuple[str, ...]:
    """Names of header fields."""
    nothing: list[Node] = []
    nodes = fields.read(name, lambda one: bounded(one, most), nothing)
    return tuple(each(nodes, field_name, fields.problems))


def _mirror(node: Node, problems: Problems) -> Mirror:
    fields = node.fields(("backendRef", "percent", "fraction"), problems, null_is_absent=True)
    backend = fields.need("backendRef", lambda one: read_reference(one, problems), _no_reference(node))
    share = (fields.read("percent", lambda one: one.integer(0, 100), 100), 100)
    if (part := fields.get("fraction")) is not None:
        if fields.get("percent") is not None:
            problems.error(part.place, "`fraction` beside `percent`", "write one of them")
        share = fields.read("fraction", lambda one: _fraction(one, problems), share)
    return Mirror(backend, *share)


def _no_reference(node: Node) -> Reference:
    """A reference where none could be read; its filter is left out."""
    return Reference("", "", "", "", 0, node.line, node.column)


def _fraction(node: Node, problems: Problems) -> tuple[int, int]:
    fields = node.fields(("numerator", "denominator"), problems, null_is_absent=True)
    above = fields.need("numerator", lambda one: one.integer(0, MOST_AGE), 0)
    below = fields.read("denominator", lambda one: one.integer(1, MOST_AGE), 100)
    if above > below and (one := fields.get("numerator")):
        raise one.invalid(f"{above} of {below}: the numerator is at most the denominator")
    return above, below


def _redirect(node: Node, statuses: Sequence[int], problems: Problems) -> Redirect:
    fields = node.fields(("scheme", "hostname", "path", "port", "statusCode"), problems, null_is_absent=True)
    nothing: NewPath | None = None
    return Redirect(
        fields.read("scheme", lambda one: one.choice("http", "https"), ""),
        fields.read("hostname", precise_hostname, ""),
        fields.read("path", lambda one: _new_path(one, problems), nothing),
        fields.read("port", port, 0),
        fields.read("statusCode", lambda one: _status(one, statuses), 302),
    )


def _status(node: Node, statuses: Sequence[int]) -> int:
    status = node.integer(100, 599)
    if status not in statuses:
        raise node.unexpected("one of " + ", ".join(map(str, statuses)))
    return status


def _rewrite(node: Node, problems: Problems) -> Rewrite:
    fields = node.fields(("hostname", "path"), problems, null_is_absent=True)
    nothing: NewPath | None = None
    return Rewrite(
        fields.read("hostname", precise_hostname, ""),
        fields.read("path", lambda one: _new_path(one, problems), nothing),
    )


def _new_path(node: Node, problems: Problems) -> NewPath:
    names = {"ReplaceFullPath": "replaceFullPath", "ReplacePrefixMatch": "replacePrefixMatch"}
    fields = node.fields(("type", *names.values()), problems, null_is_absent=True)
    kind = fields.need("type", lambda one: one.choice(*names), "ReplaceFullPath", f"one of {', '.join(names)}")
    for other, name in names.items():
        if other != kind and (one := fields.get(name)):
            problems.error(one.place, f"`{name}` beside type: {kind}", f"write type: {other}")
    return NewPath(kind == "ReplacePrefixMatch", fields.need(names[kind], new_path, ""))


def _cors(node: Node, problems: Problems) -> Cors:
    known = ("allowOrigins", "allowMethods", "allowHeaders", "exposeHeaders", "allowCredentials", "maxAge")
    fields = node.fields(known, problems, null_is_absent=True)
    nothing: list[Node] = []
    origins = fields.read("allowOrigins", lambda one: bounded(one, MOST_CORS), nothing)
    methods = fields.read("allowMethods", lambda one: bounded(one, len(METHODS)), nothing)
    found = Cors(
        tuple(dict.fromkeys(each(origins, origin, problems))),
        tuple(dict.fromkeys(each(methods, lambda one: one.choice("*", *METHODS), problems))),
        _names(fields, "allowHeaders", MOST_CORS),
        _names(fields, "exposeHeaders", MOST_CORS),
        fields.read("allowCredentials", Node.boolean, False),
        fields.read("maxAge", lambda one: one.integer(1, MOST_AGE), 5),
    )
    for name, values in zip(known, (found.origins, found.methods, found.headers), strict=False):
        if "*" in values and len(values) > 1 and (one := fields.get(name)):
            problems.error(one.place, f'{name}: "*" beside others', 'write ["*"] alone, or leave it out')
    return found


def _external(node: Node, problems: Problems) -> ExternalAuth:
    fields = node.fields(("protocol", "backendRef", "grpc", "http", "forwardBody"), problems, null_is_absent=True)
    usual: Literal["HTTP", "GRPC"] = "HTTP"
    protocol = fields.need("protocol", lambda one: one.choice("HTTP", "GRPC"), usual, "write protocol: HTTP or GRPC")
    for name in ("grpc", "http"):
        if name != protocol.lower() and (one := fields.get(name)):
            problems.error(one.place, f"`{name}` beside protocol: {protocol}", f"write `{protocol.lower()}`")
    known = ("allowedHeaders",) if protocol == "GRPC" else ("path", "allowedHeaders", "allowedResponseHeaders")
    found = fields.get(protocol.lower())
    if found is None:
        problems.error(node.place, f"`{protocol.lower()}` is missing", f"protocol: {protocol} has it, if only as {{}}")
    inner = found.fields(known, problems, null_is_absent=True) if found is not None else None
    body: int | None = None
    if (limit := fields.get("forwardBody")) is not None:
        size = limit.fields(("maxSize",), problems, null_is_absent=True)
        body = size.read("maxSize", lambda one: one.integer(0, 65535), 0)
    return ExternalAuth(
        protocol,
        fields.need("backendRef", lambda one: read_reference(one, problems), _no_reference(node)),
        inner.read("path", matched_path, "") if inner is not None else "",
        _names(inner, "allowedHeaders", MOST_CORS) if inner is not None else (),
        _names(inner, "allowedResponseHeaders", MOST_CORS) if inner is not None else (),
        body,
    )
