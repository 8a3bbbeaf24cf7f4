"""Conditions: a formula about the source, the destination's address and the request, in the words of every dialect.

A part that cannot be known yet makes the whole unknown unless the rest decides: an unknown condition never lets pass,
and never stops a denial (DECISIONS.md section 3). The compiler makes a bounded program of it (csrc/policy/program.h).
"""

from collections.abc import Iterator
from typing import Literal

import msgspec

from supervisor.policy.resources.terms import Selector, Text

__all__ = [
    "AllOf",
    "AnyOf",
    "Asks",
    "Condition",
    "Field",
    "Method",
    "Not",
    "Path",
    "Query",
    "Shows",
    "Through",
    "Within",
    "expressions_in",
]

Expression = tuple[str, bool]  # its text, and whether it is searched


class AllOf(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Each of them holds; of none: it holds."""

    of: tuple["Condition", ...]


class AnyOf(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """One of them holds; of none: it does not."""

    of: tuple["Condition", ...]


class Not(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """It does not hold."""

    of: "Condition"


class Asks(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The source is one of these. Known always."""

    selectors: tuple[Selector, ...]


class Through(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The source asks through that listener of sluice.yaml. Known always."""

    listener: str


class Shows(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """That protocol shows inside. While nothing does it holds: a question is judged for each protocol, and again when
    one shows."""

    protocol: Literal["http", "tls"]


class Within(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The destination's address lies in one of these blocks. Known from the address phase on."""

    cidrs: tuple[str, ...]


class Method(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The request's method, case-sensitive. Known from the request phase on, as are the next ones."""

    name: str


class Path(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The request's path in normal form, without the query. `exact`; `prefix` by element (`/v1` is also `/v1/` and
    `/v1/a`, never `/v1a`); `regex` of RE2 that matches the whole; `search`, a regex that is found anywhere in path and
    query as sent."""

    kind: Literal["exact", "prefix", "regex", "search"]
    value: Text


class Field(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The first field of that name (lower case) has the value, or one that a regex matches whole."""

    name: str
    kind: Literal["exact", "regex"]
    value: Text


class Query(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The first query parameter of that name, decoded, likewise."""

    name: str
    kind: Literal["exact", "regex"]
    value: Text


Condition = AllOf | AnyOf | Not | Asks | Through | Shows | Within | Method | Path | Field | Query


def expressions_in(*conditions: Condition | None) -> Iterator[Expression]:
    """The regular expressions that conditions ask for."""
    for condition in conditions:
        match condition:
            case AllOf(of) | AnyOf(of):
                yield from expressions_in(*of)
            case Not(one):
                yield from expressions_in(one)
            case Path("regex" | "search" as kind, value):
                yield value.value, kind == "search"
            case Field(_, "regex", value) | Query(_, "regex", value):
                yield value.value, False
