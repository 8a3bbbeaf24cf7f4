"""Problems of `sluice check` in the forms that build services read, and conditions of resources in text and JSON."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from supervisor.policy.resources.status import Status
from supervisor.source.escape import escape
from supervisor.source.problems import Problem

__all__ = ["FORMS", "condition_lines", "condition_object"]

MOST_LINES: Final = 1000
SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"


def condition_object(status: Status) -> dict[str, object]:
    """A condition as JSON has it: the resource, its parent (null = none), and the fields of meta/v1 Condition."""
    resource = {"kind": status.kind, "namespace": status.namespace or None, "name": status.name}
    return {
        "resource": {name: escape(value) if value is not None else None for name, value in resource.items()},
        "parent": escape(status.parent) or None,
        "type": status.type,
        "status": str(status.status),
        "reason": status.reason,
        "message": escape(status.message),
        "file": escape(status.file),
        "line": status.line,
        "column": status.column,
    }


def condition_lines(statuses: Sequence[Status]) -> Iterator[str]:
    """A line for each resource and parent with all of their conditions, those first that are not all fine; at most
    MOST_LINES."""
    found: dict[str, list[Status]] = {}
    for status in statuses:
        found.setdefault(status.title, []).append(status)
    lines = sorted(found.items(), key=lambda one: (all(status.fine for status in one[1]), one[0]))
    for title, own in lines[:MOST_LINES]:
        yield escape(f"{title}: {'; '.join(status.text for status in own)}")
    if len(lines) > MOST_LINES:
        yield f"... and {len(lines) - MOST_LINES} resources more: --json has all of them"


def _github(errors: Iterable[Problem], warnings: Iterable[Problem]) -> str:
    """Workflow commands of GitHub Actions, a line each (its documentation, "Workflow commands")."""
    return "\n".join(
        f"::{level} {_place(problem)}::{_escaped(_text(problem))}" for level, problem in _leveled(errors, warnings)
    )


def _place(problem: Problem) -> str:
    parts = {"file": _relative(problem.file), "line": problem.line, "col": problem.column}
    return ",".join(f"{name}={_escaped(str(value), ':,')}" for name, value in parts.items() if value)


def _escaped(text: str, more: str = "") -> str:
    """`%`, line ends and the characters of `more` as %XX."""
    return "".join(f"%{ord(each):02X}" if each in f"%\r\n{more}" else each for each in text)


def _sarif(errors: Iterable[Problem], warnings: Iterable[Problem]) -> str:
    """A log of OASIS SARIF 2.1.0, one run."""
    results = [_result(level, problem) for level, problem in _leveled(errors, warnings)]
    driver = {"name": "sluice check", "rules": [{"id": "error"}, {"id": "warning"}]}
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, ensure_ascii=True, indent=2)


def _result(level: str, problem: Problem) -> dict[str, Any]:
    location: dict[str, Any] = {"artifactLocation": {"uri": _uri(problem.file)}}
    if problem.line:
        column = {"startColumn": problem.column} if problem.column else {}
        location["region"] = {"startLine": problem.line, **column}
    result = {"ruleId": level, "level": level, "message": {"text": _text(problem)}}
    return {**result, "locations": [{"physicalLocation": location}]} if problem.file else result


def _uri(file: str) -> str:
    """A path as a URI reference (RFC 3986 section 4.1): a relative one has no colon before its first slash."""
    path = os.path.relpath(file)
    if path.startswith(".."):
        return "file://" + quote(os.fsencode(os.path.abspath(file)), safe="/")
    return quote(os.fsencode(path), safe="/")


def _leveled(errors: Iterable[Problem], warnings: Iterable[Problem]) -> Iterator[tuple[str, Problem]]:
    """Errors first, each in the order of places."""
    for level, problems in (("error", errors), ("warning", warnings)):
        for problem in sorted(problems):
            yield level, problem


def _text(problem: Problem) -> str:
    hint = f" ({escape(problem.suggestion)})" if problem.suggestion else ""
    return escape(problem.message) + hint


def _relative(file: str) -> str:
    """Of the working directory, where it lies below it: a build service knows no other root."""
    below = os.path.relpath(file) if file else ""
    return escape(file if below.startswith("..") else below)


FORMS: Final[Mapping[str, Callable[[Iterable[Problem], Iterable[Problem]], str]]] = {
    "github": _github,
    "sarif": _sarif,
}
