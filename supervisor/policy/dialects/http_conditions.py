"""`http`, `access` and `headers` of an EgressPolicy: conditions on requests, and what is changed in them (DECISIONS.md
sections 6 and 7). Paths are judged where they are compiled."""

import contextlib
import re
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import msgspec

from supervisor.policy.resources.conditions import AllOf, AnyOf, Condition, Field, Method, Path
from supervisor.policy.resources.credentials import references
from supervisor.policy.resources.model import Destination, Text
from supervisor.policy.resources.routing import HeaderChanges
from supervisor.source.node import Fields, Node, each
from supervisor.source.problems import Invalid, Problems, quote

__all__ = [
    "ACCESSES",
    "CHANGES",
    "HTTP",
    "READ_METHODS",
    "REQUEST",
    "Match",
    "read_credentials",
    "read_headers",
    "read_matches",
    "tell_of_closed",
]

T = TypeVar("T")
HTTP: Final = ("methods", "paths", "headers")
CHANGES: Final = ("set", "remove", "keep")
ACCESSES: Final = ("read-only",)
READ_METHODS: Final = ("GET", "HEAD", "OPTIONS")
TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # RFC 9110 section 5.6.2
METHOD: Final = r"[!#$%&'*+\-.^_`|~0-9A-Z]+"
VALUE: Final = r"[^\x00-\x20\x7f]([^\x00-\x08\x0a-\x1f\x7f]*[^\x00-\x20\x7f])?"
MOST_VALUE: Final = 4096
BY_METHOD: Final = 1 << 16  # of Match.ahead; more than there are headers
MOST_PATH: Final = 1024
MOST_CLOSED: Final = 3  # destinations that a warning names
# Holds of every request, and never of a tunnel.
REQUEST: Final = Path("prefix", Text("/", 1, 1))
# Fields that frame a message or belong to one connection alone.
FRAMING: Final = (
    *("host", "connection", "content-length", "keep-alive", "te"),
    *("trailer", "transfer-encoding", "upgrade", "http2-settings"),
)


class Match(msgspec.Struct, frozen=True):
    """One item of `http`, and one of its paths; `path` None = any. `ahead`: a method goes before headers, more of them
    before fewer (DECISIONS.md section 4)."""

    path: Path | None
    when: Condition | None
    ahead: int = 0


def read_matches(fields: Fields, problems: Problems) -> tuple[Match, ...]:
    """The requests that an item of `to` means, from its `http` and `access`; none: whatever is asked."""
    none: tuple[str, ...] = ()
    methods = fields.read("access", lambda node: (node.choice(*ACCESSES), READ_METHODS)[1], none)
    access = _any_method(methods)
    node = fields.get("http")
    if node is None:
        return (Match(None, access, BY_METHOD),) if access else ()
    if node.is_null or node.value == []:
        raise node.invalid("the list is empty: it matches no request", "leave `http` out for whatever is asked")
    matches: list[Match] = []
    seen: dict[tuple[object, ...], Node] = {}
    for item in node.items():
        before = len(problems.errors)
        found = _item(item, access, problems)
        key = tuple((match.path and (match.path.kind, match.path.value.value), _plain(match.when)) for match in found)
        if key in seen and len(problems.errors) == before:
            where = f"it is first listed in line {seen[key].line}"
            problems.error(item.place, "duplicate item: the same requests twice", where)
        seen.setdefault(key, item)
        matches += found
    return tuple(matches)


def _plain(condition: Condition | None) -> object:
    """A condition without the places of its texts."""
    if isinstance(condition, AllOf | AnyOf):
        return type(condition), tuple(map(_plain, condition.of))
    return (condition.name, condition.value.value) if isinstance(condition, Field) else condition


def _any_method(methods: Sequence[str]) -> Condition | None:
    if not methods:
        return None
    return Method(methods[0]) if len(methods) == 1 else AnyOf(tuple(map(Method, methods)))


def _all(*conditions: Condition | None) -> Condition | None:
    found = tuple(condition for condition in conditions if condition is not None)
    return found[0] if len(found) == 1 else AllOf(found) if found else None


def _item(item: Node, access: Condition | None, problems: Problems) -> list[Match]:
    fields = item.fields(HTTP, problems)
    if not item.mapping():
        raise item.invalid("an empty item in `http`", "one of " + ", ".join(HTTP))
    nothing: tuple[str, ...] = ()
    no_path: tuple[Path, ...] = ()
    no_field: tuple[Field, ...] = ()
    methods = fields.read("methods", lambda node: _once(node, _method, problems), nothing)
    paths = fields.read("paths", lambda node: _once(node, _path, problems), no_path)
    headers = fields.read("headers", _fields, no_field)
    when = _all(access, _any_method(methods), *headers)
    ahead = (BY_METHOD if methods or access else 0) + len(headers)
    return [Match(path, when, ahead) for path in paths or (None,)]


def _once(node: Node, read: Callable[[Node], T], problems: Problems) -> tuple[T, ...]:
    if node.is_null or node.value == []:
        raise node.invalid("the list is empty: it matches no request")
    found: dict[str, T] = {}
    for item, value in each(node.items(), lambda one: (one, read(one)), problems):
        if item.text() in found:
            problems.error(item.place, f"duplicate item {quote(item.text())}")
        found.setdefault(item.text(), value)
    return tuple(found.values())


def _method(node: Node) -> str:
    text = node.string()
    if not re.fullmatch(METHOD, text):
        hint = f"methods are case-sensitive: write {text.upper()}" if re.fullmatch(TOKEN, text) else ""
        raise node.invalid(f"{quote(text)} is not a method", hint)
    return text


def _path(node: Node) -> Path:
    """`/v1/*` also means /v1, by element; without a star exactly this path."""
    text = node.string()
    prefix = text.endswith("/*")
    bare = text[:-2] if prefix else text
    if len(text) > MOST_PATH:
        raise node.invalid(f"a path of more than {MOST_PATH} characters")
    if not text.startswith("/"):
        raise node.unexpected("a path such as /v1/*", "a path begins with a slash")
    if "*" in bare:
        raise node.invalid(f"{quote(text)}: a star stands at the end alone, as a whole element", "write /v1/*")
    if "?" in bare:
        raise node.invalid(f"{quote(text)} has a query: paths have none")
    return Path("prefix" if prefix else "exact", Text(bare or "/", node.line, node.column))


def _fields(node: Node) -> tuple[Field, ...]:
    found: dict[str, Field] = {}
    for name, (key, value) in node.mapping().items():
        lower = _name(key, name)
        if lower in found:
            raise key.invalid(f"duplicate header {quote(name)}: names are case-insensitive")
        found[lower] = Field(lower, "exact", Text(_value(value), value.line, value.column))
    if not found:
        raise node.invalid("no header is named", "write headers: {x-team: shop}")
    return tuple(found[name] for name in sorted(found))


def _name(node: Node, text: str) -> str:
    if not re.fullmatch(TOKEN, text):
        raise node.invalid(f"{quote(text)} is not the name of a header")
    return text.lower()


def _value(node: Node) -> str:
    text = node.string()
    if not re.fullmatch(VALUE, text) or len(text) > MOST_VALUE:
        raise node.invalid(f"{quote(text)} is not the value of a header", "no control character, no space at its ends")
    return text


def read_headers(node: Node, problems: Problems) -> HeaderChanges | None:
    """`headers` of a rule, which take effect on requests alone."""
    fields = node.fields(CHANGES, problems)
    if not node.mapping():
        raise node.invalid("`headers` changes nothing", "one of " + ", ".join(CHANGES))
    changed: dict[str, str] = {}
    values: dict[str, str] = {}
    if (given := fields.get("set")) is not None:
        for name, (key, value) in given.mapping().items():
            try:
                _changed(key, _changeable(key, name), "set", changed)
                values[name.lower()] = _value(value)
                references(value, values[name.lower()])
            except Invalid as wrong:
                problems.add(wrong.problem)
    for word in ("remove", "keep"):
        if (given := fields.get(word)) is not None:
            for item in given.items():
                try:
                    name = item.string()
                    _changed(item, _changeable(item, name) if word == "remove" else _name(item, name), word, changed)
                except Invalid as wrong:
                    problems.add(wrong.problem)
    removed, kept = (tuple(name for name, by in changed.items() if by == word) for word in ("remove", "keep"))
    return HeaderChanges(tuple(values.items()), removed, kept)


def read_credentials(node: Node) -> tuple[Text, ...]:
    """The credentials that `headers` sets, in the order of the document; read_headers() reports what is wrong."""
    found: list[Text] = []
    if (given := node.fields(CHANGES, Problems()).get("set")) is not None:
        for _, value in given.mapping().values():
            with contextlib.suppress(Invalid):
                found += references(value, value.string())
    return tuple(found)


def tell_of_closed(title: str, spec: Node, wanted: Sequence[Destination], problems: Problems) -> None:
    """A warning for a rule that denies some requests of `wanted`: where none is seen it holds (DECISIONS.md 3)."""
    if not wanted:
        return
    names = [text.value if (text := to.host or to.hosts_from) else to.cidr for to in wanted[:MOST_CLOSED]]
    more = f" and {len(wanted) - len(names)} more" if len(wanted) > len(names) else ""
    words = f"{title} closes every flow to {', '.join(names)}{more} whose requests are not seen: needs_http"
    problems.warning(spec.place, words, "a request inside might be one that it denies")


def _changeable(node: Node, text: str) -> str:
    name = _name(node, text)
    if name in FRAMING or name.startswith("proxy-"):
        raise node.invalid(f"{text} frames the message, or leads it: a rule cannot change it")
    return name


def _changed(node: Node, name: str, word: str, changed: dict[str, str]) -> None:
    if name in changed:
        raise node.invalid(f"{quote(name)} is in `{changed[name]}` already")
    changed[name] = word
