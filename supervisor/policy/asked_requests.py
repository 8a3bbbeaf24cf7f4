"""The HTTP request of a question: what the options of `explain` say of it, checked."""

import re
from collections.abc import Sequence
from typing import Final, Literal

from gateway.policy.target import HttpRequest, NotAPath
from supervisor.source.problems import quote

__all__ = ["Protocol", "request_of"]

Protocol = Literal["http", "https"]
TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2
VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\U0010ffff]*")  # of a field
MOST_FIELDS: Final = 100
LONGEST: Final = 65536


def request_of(
    protocol: Protocol | None, method: str | None, path: str | None, query: str | None, fields: Sequence[str]
) -> HttpRequest | None:
    """The request, or None where the question has none: a tunnel. What is not said of one is GET and /. A path may have
    its query behind it. Raises ValueError."""
    said = any(part is not None for part in (method, path, query)) or bool(fields)
    if protocol == "https" and said:
        raise ValueError("of https nothing of a request is visible: leave --protocol, or the request, away")
    if not said and protocol != "http":
        return None
    if method is not None and not TOKEN.fullmatch(method):
        raise ValueError(f"{quote(method)} is not a method")
    where, mark, behind = (path or "/").partition("?")
    if mark and query is not None:
        raise ValueError("the query is given twice: behind the path and by itself")
    query = behind if mark else query
    if query is not None and (len(query) > LONGEST or not re.fullmatch(r"[\x21-\x7e\x80-\U0010ffff]*", query)):
        raise ValueError(f"{quote(query)} is not a query")
    if len(fields) > MOST_FIELDS:
        raise ValueError(f"at most {MOST_FIELDS} headers can be asked for")
    try:
        return HttpRequest(method or "GET", where, query, tuple(_field(text) for text in fields))
    except NotAPath as wrong:
        raise ValueError(f"{quote(where)} is not a path: {wrong}") from None


def _field(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not TOKEN.fullmatch(name) or not VALUE.fullmatch(value):
        raise ValueError(f"{quote(text)} is not a header such as x-team:shop")
    return name, value.strip(" \t")
