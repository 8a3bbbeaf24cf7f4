"""Conditions about a request, as the literals of an image (csrc/policy/image.h): paths in normal form, regular
expressions as tables."""

from typing import Final, Protocol

import supervisor.policy.builder as image
from gateway.policy.target import NotAPath, normal_path
from supervisor.policy.regex.expression import Refused, Table, beginning, compile_expression
from supervisor.policy.resources.conditions import Field, Method, Path, Query
from supervisor.policy.resources.terms import Text
from supervisor.source.problems import Invalid, Place, quote

__all__ = ["Literals", "Requests"]

PATHS: Final = {
    "exact": image.LITERAL_PATH_EXACT,
    "prefix": image.LITERAL_PATH_PREFIX,
    "regex": image.LITERAL_PATH_REGEX,
    "search": image.LITERAL_PATH_SEARCH,
}


class Literals(Protocol):
    """The part of the builder that literals need."""

    def literal(self, kind: int, name: str, text: str, regex: int) -> int: ...
    def regex(self, table: Table) -> int: ...


class Requests:
    """Literals of one image; an expression is compiled once."""

    def __init__(self, builder: Literals) -> None:
        self._builder = builder
        self._regexes: dict[tuple[str, bool], int] = {}

    def literal(self, file: str, asked: Method | Path | Field | Query) -> int:
        """The id of one question. Raises Invalid where it is written."""
        match asked:
            case Method(name):
                return self._builder.literal(image.LITERAL_METHOD, "", name, 0)
            case Path(kind, value):
                return self._path(file, kind, value)
            case Field(name, kind, value):
                return self._builder.literal(image.LITERAL_FIELD, name, value.value, self._regex(file, kind, value))
            case Query(name, kind, value):
                return self._builder.literal(image.LITERAL_QUERY, name, value.value, self._regex(file, kind, value))

    def _path(self, file: str, kind: str, value: Text) -> int:
        if kind in ("regex", "search"):
            search = kind == "search"
            number = self._regex(file, kind, value, search=search)
            return self._builder.literal(PATHS[kind], beginning(value.value, search=search), value.value, number)
        try:
            path, doubtful = normal_path(value.value)
        except NotAPath as wrong:
            raise Invalid(_place(file, value), f"{quote(value.value)} is not a path: {wrong}") from None
        if doubtful:
            words = f"{quote(value.value)} is never matched: no request with such a path passes"
            raise Invalid(_place(file, value), words, "no empty element, backslash, %2F, %5C or %00")
        path = path.removesuffix("/") or "/" if kind == "prefix" else path
        return self._builder.literal(PATHS[kind], "", path, 0)

    def _regex(self, file: str, kind: str, value: Text, *, search: bool = False) -> int:
        if kind == "exact":
            return 0
        key = (value.value, search)
        if key not in self._regexes:
            try:
                table = compile_expression(value.value, search=search)
            except Refused as wrong:
                words = f"the regular expression {quote(value.value)} is refused: {wrong}"
                raise Invalid(_place(file, value), words) from None
            self._regexes[key] = self._builder.regex(table)
        return self._regexes[key]


def _place(file: str, text: Text) -> Place:
    return Place(file, text.line, text.column)
