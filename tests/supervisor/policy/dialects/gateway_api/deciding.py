"""A slow reading of `Rules`: which of them decides a question, as supervisor/policy/resources/model.py says."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from supervisor.policy.resources.conditions import (
    AllOf,
    AnyOf,
    Condition,
    Field,
    Method,
    Not,
    Path,
    Query,
    Shows,
    Through,
)
from supervisor.policy.resources.model import Item, Rules
from supervisor.policy.resources.routing import Invalid


class Request(NamedTuple):
    """A request as it is seen. `fields` by lower-case name."""

    method: str
    path: str
    fields: Mapping[str, str]
    queries: Mapping[str, str]


class Question(NamedTuple):
    """`request` None: a tunnel whose requests are not seen. `protocol` is what shows inside: http, tls or other, "" =
    nothing yet."""

    listener: str
    namespace: str
    host: str
    protocol: str
    request: Request | None = None


class Decision(NamedTuple):
    """The rule that decides, and its item."""

    rules: Rules
    item: Item


def decide(policy: Sequence[Rules], question: Question) -> Decision | None:
    """The best of all rules of one group; None where none matches."""
    best: tuple[tuple[object, ...], Decision] | None = None
    order = 0
    for rules in sorted(policy, key=lambda one: one.order):
        for item in rules.items:
            order -= 1
            depth = _depth(item, question.host)
            if depth is None or not _selects(rules, question) or not _counts(rules, item, question):
                continue
            key = (rules.precedence, depth, *_better(item.path), item.ahead, order)
            if best is None or key > best[0]:
                best = key, Decision(rules, item)
    return best[1] if best else None


def passes(decision: Decision) -> bool:
    """Whether it lets the traffic pass, to a backend that can be used."""
    rules = decision.rules
    backends = rules.route.backends if rules.route is not None else ()
    usable = not backends or any(one.weight and not isinstance(one.backend, Invalid) for one in backends)
    return rules.tier == "allow" and usable


def _counts(rules: Rules, item: Item, question: Question) -> bool:
    """A condition that is not known never lets pass, and never stops a denial."""
    if question.protocol and rules.protocol not in (None, question.protocol):
        return False
    if rules.no_route and question.request is None:
        return False
    known = holds(AllOf(tuple(one for one in (item.path, item.when) if one is not None)), question)
    return known if known is not None else rules.tier == "default_deny"


def _selects(rules: Rules, question: Question) -> bool:
    return any(one.namespace in ("", question.namespace) for one in rules.selectors)


def _depth(item: Item, host: str) -> tuple[int, bool] | None:
    to = item.destination
    pattern = "*" if to.anything else to.host.value if to.host else ""
    if not _covers(pattern, host) or any(_covers(one.value, host) for one in to.excepts):
        return None
    name = pattern.removeprefix("*").removeprefix(".")
    return (name.count(".") + 1 if name else 0), not pattern.startswith("*")


def _covers(pattern: str, host: str) -> bool:
    if pattern.startswith("*"):
        return host.endswith(pattern[1:]) and len(host) > len(pattern) - 1
    return pattern == host


def _better(path: Path | None) -> tuple[int, int]:
    if path is None:
        return 0, 0
    rank = {"regex": 1, "search": 1, "prefix": 2, "exact": 3}[path.kind]
    return rank, len(path.value.value) if path.kind == "prefix" else 0


def holds(condition: Condition, question: Question) -> bool | None:
    """Whether a condition holds; None = not known."""
    if isinstance(condition, AllOf | AnyOf):
        parts = [holds(one, question) for one in condition.of]
        decisive = isinstance(condition, AnyOf)
        if decisive in parts:
            return decisive
        return None if None in parts else not decisive
    if isinstance(condition, Not):
        inner = holds(condition.of, question)
        return None if inner is None else not inner
    if isinstance(condition, Through):
        return condition.listener == question.listener
    if isinstance(condition, Shows):
        return question.protocol in ("", condition.protocol)
    assert isinstance(condition, Method | Path | Field | Query), condition
    return None if question.request is None else _seen(condition, question.request)


def _seen(condition: Method | Path | Field | Query, request: Request) -> bool:
    if isinstance(condition, Method):
        return request.method == condition.name
    text = condition.value.value
    if isinstance(condition, Path):
        if condition.kind == "prefix":
            return request.path == text or request.path.startswith(text.rstrip("/") + "/")
        return request.path == text if condition.kind == "exact" else re.fullmatch(text, request.path) is not None
    found = (request.fields if isinstance(condition, Field) else request.queries).get(condition.name)
    if found is None:
        return False
    return found == text if condition.kind == "exact" else re.fullmatch(text, found) is not None
