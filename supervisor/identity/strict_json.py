"""JSON that every reader reads the same way (RFC 8259, RFC 8725 section 2.6): no name twice, no NaN, bounded depth."""

import json
from typing import Any, NoReturn

__all__ = ["read_object"]


def read_object(data: bytes) -> dict[str, Any]:
    """The object. Raises ValueError, whose text quotes nothing."""
    try:
        found = json.loads(data.decode(), object_pairs_hook=_members, parse_constant=_constant)
    except (ValueError, RecursionError):
        raise ValueError("not JSON, or a name in it stands twice") from None
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _constant(_: str) -> NoReturn:
    raise ValueError("a number that JSON does not have")
